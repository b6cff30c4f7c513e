"""One of several operators is in office, and never two at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from ippolicy.act.lease import LeaseState, LeaseStore
from ippolicy.act.requests import CallFailed
from ippolicy.engine import checkpoints
from ippolicy.engine.election import LAST_WORD_S, Election
from ippolicy.errors import FactsChanged
from localapi import LocalAPI
from virtual_loop import in_virtual_time

DURATION_S = 12.0


@dataclass
class Shelf:
    """A Lease as an API server keeps it: a write that follows no longer the last one is refused."""

    lease: LeaseState | None = None
    away: bool = False
    asked: Callable[[], None] = field(default=lambda: None)
    answers: list[LeaseState] = field(default_factory=list)  # of reads that are overtaken

    def read(self) -> LeaseState | None:
        self.asked()
        if self.away:
            raise CallFailed("read Lease: no answer")
        return self.answers.pop() if self.answers else self.lease

    def write(self, state: LeaseState) -> None:
        if self.away:
            raise CallFailed("write Lease: no answer")
        version = self.lease.version if self.lease else ""
        if state.version != version:
            raise FactsChanged("the Lease is another")
        self.lease = replace(state, version=str(int(version or 0) + 1))


def candidate(shelf: Shelf, name: str) -> tuple[Election, asyncio.Task[None]]:
    loop = asyncio.get_running_loop()
    election = Election(shelf, name, duration_s=DURATION_S, clock=loop.time)
    return election, asyncio.create_task(election.run())


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@in_virtual_time
async def test_the_first_is_in_office_and_the_second_waits() -> None:
    shelf = Shelf()
    first, running = candidate(shelf, "first")
    await first.won.wait()
    second, waiting = candidate(shelf, "second")
    await asyncio.sleep(10 * DURATION_S)
    assert (first.leading, second.leading) == (True, False)
    assert await first.confirm()
    assert not await second.confirm()
    await ended(running, waiting)


@in_virtual_time
async def test_who_dies_without_a_word_is_followed_within_its_duration_and_one_look() -> None:
    shelf = Shelf()
    first, running = candidate(shelf, "first")
    await first.won.wait()
    second, waiting = candidate(shelf, "second")
    await asyncio.sleep(3 * DURATION_S)
    await ended(running)
    died_s = asyncio.get_running_loop().time()
    await second.won.wait()
    took_s = asyncio.get_running_loop().time() - died_s
    assert first.retry_s < took_s <= DURATION_S + 2 * second.retry_s
    assert not first.leading
    assert shelf.lease is not None
    assert shelf.lease.transitions == 1
    await ended(waiting)


@in_virtual_time
async def test_who_gives_the_office_up_is_followed_at_the_next_look() -> None:
    shelf = Shelf()
    first, running = candidate(shelf, "first")
    await first.won.wait()
    second, waiting = candidate(shelf, "second")
    await asyncio.sleep(3.0)
    await first.release()
    assert not first.leading
    await ended(running)
    left_s = asyncio.get_running_loop().time()
    await second.won.wait()
    assert asyncio.get_running_loop().time() - left_s <= second.retry_s
    await ended(waiting)


@in_virtual_time
async def test_who_cannot_renew_is_out_of_office_before_another_may_follow() -> None:
    shelf = Shelf()
    first, running = candidate(shelf, "first")
    await first.won.wait()
    shelf.away = True
    await first.lost.wait()
    assert asyncio.get_running_loop().time() < DURATION_S
    assert not first.leading
    await running
    shelf.away = False
    assert not await first.confirm()


@in_virtual_time
async def test_an_operator_that_was_stopped_writes_nothing_once_it_goes_on() -> None:
    shelf = Shelf()
    first, running = candidate(shelf, "first")
    await first.won.wait()
    await ended(running)  # it is stopped: nothing of it runs, and the clock goes on
    second, waiting = candidate(shelf, "second")
    await second.won.wait()
    assert not first.leading
    assert not await first.confirm()
    await ended(waiting)


@in_virtual_time
async def test_an_office_that_was_taken_meanwhile_is_not_confirmed() -> None:
    shelf = Shelf()
    first, running = candidate(shelf, "first")
    await first.won.wait()
    assert shelf.lease is not None
    shelf.lease = replace(shelf.lease, holder="somebody", version="99")
    assert first.leading, "it cannot know yet"
    assert not await first.confirm()
    await ended(running)


@in_virtual_time
async def test_who_learns_that_another_has_the_office_is_out_of_it_for_good() -> None:
    shelf = Shelf()
    first, running = candidate(shelf, "first")
    await first.won.wait()
    assert shelf.lease is not None
    ours, shelf.lease = shelf.lease, replace(shelf.lease, holder="somebody", version="99")
    assert not await first.confirm()
    shelf.lease = ours
    assert not first.leading, "whatever its own clock says: it may have stood still"
    assert not await first.confirm()
    assert first.lost.is_set()
    await ended(running)


@in_virtual_time
async def test_the_loss_is_told_before_anything_else_that_waited_for_its_time_goes_on() -> None:
    told: list[str] = []
    loop = asyncio.get_running_loop()
    first = Election(
        Shelf(),
        "first",
        duration_s=DURATION_S,
        on_loss=lambda: told.append("lost"),
        clock=loop.time,
    )
    running = asyncio.create_task(first.run())
    await first.won.wait()
    await ended(running)  # it is stopped: nothing of it runs, and the clock goes on

    async def write() -> None:
        await asyncio.sleep(DURATION_S)
        told.append("write")

    await write()
    assert told == ["lost", "write"]


@in_virtual_time
async def test_who_gave_the_office_up_did_not_lose_it() -> None:
    told: list[str] = []
    loop = asyncio.get_running_loop()
    first = Election(
        Shelf(),
        "first",
        duration_s=DURATION_S,
        on_loss=lambda: told.append("lost"),
        clock=loop.time,
    )
    running = asyncio.create_task(first.run())
    await first.won.wait()
    await ended(running)
    await first.release()
    await asyncio.sleep(2 * DURATION_S)
    assert told == []


@in_virtual_time
async def test_an_answer_that_never_comes_does_not_keep_it_from_hearing_that_it_lost() -> None:
    first, running = candidate(Shelf(), "first")
    await first.won.wait()
    in_office_s = asyncio.get_running_loop().time()

    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ippolicy.engine.election.call_off_loop", hang)
        await first.lost.wait()
    assert asyncio.get_running_loop().time() - in_office_s <= DURATION_S * 2 / 3
    await ended(running)


@in_virtual_time
async def test_an_answer_that_never_comes_does_not_keep_it_from_stopping() -> None:
    first, running = candidate(Shelf(), "first")
    await first.won.wait()
    await ended(running)
    began_s = asyncio.get_running_loop().time()

    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ippolicy.engine.election.call_off_loop", hang)
        await first.release()
    assert asyncio.get_running_loop().time() - began_s <= LAST_WORD_S


def test_the_last_words_of_a_stop_leave_it_time_to_end_within_five_seconds() -> None:
    assert LAST_WORD_S + checkpoints.LAST_WORD_S <= 3.0


@in_virtual_time
async def test_who_stands_no_more_says_so_whatever_it_failed_of() -> None:
    shelf = Shelf()

    def fail() -> None:
        raise ZeroDivisionError("by nought")

    shelf.asked = fail
    first, running = candidate(shelf, "first")
    await first.lost.wait()
    with pytest.raises(ZeroDivisionError):
        await running


@in_virtual_time
async def test_a_renewal_still_on_its_way_does_not_keep_the_office_from_being_given_up() -> None:
    shelf = Shelf()
    first, running = candidate(shelf, "first")
    await first.won.wait()
    await ended(running)

    def renew() -> None:
        shelf.asked = lambda: None
        assert shelf.lease is not None
        seen, shelf.lease = shelf.lease, replace(shelf.lease, version="99")
        shelf.answers = [seen]

    shelf.asked = renew
    await first.release()
    assert shelf.lease is not None
    assert shelf.lease.holder == ""


@in_virtual_time
async def test_of_two_who_are_as_fast_one_is_in_office() -> None:
    shelf = Shelf()
    (first, one), (second, other) = candidate(shelf, "first"), candidate(shelf, "second")
    await asyncio.sleep(DURATION_S)
    assert first.leading != second.leading
    await ended(one, other)


def test_a_lease_is_kept_by_the_api_server_and_a_late_write_is_refused(kube_api: LocalAPI) -> None:
    store = LeaseStore(kube_api.client(), kube_api.namespace, "ippolicy-operator")
    assert store.read() is None
    mine = LeaseState("me", 12, 1_800_000_000.5, 1_800_000_001.25, transitions=2)
    store.write(mine)
    with pytest.raises(FactsChanged):
        store.write(mine)
    found = store.read()
    assert found is not None
    assert replace(found, version="") == mine
    store.write(replace(found, holder=""))
    with pytest.raises(FactsChanged):
        store.write(found)
