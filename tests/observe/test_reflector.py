"""The reflector keeps a true copy, whatever the API server does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.observe.records import PodRecord, read_pod
from ippolicy.observe.reflector import Kind, Reflector
from ippolicy.observe.settings import ObserveSettings
from observe_fakes import (
    FakeApi,
    FakeCollection,
    FakeTime,
    cancelled,
    dropped,
    gone,
    line,
    refused,
    turns,
    until,
)

PATH = "/api/v1/pods"
Change = tuple[PodRecord | None, PodRecord | None, float]


class Rig:
    """A reflector on a fake API, with every change it reported."""

    def __init__(self, page_size: int = 3) -> None:
        self.api = FakeApi()
        self.pods: FakeCollection = self.api.at(PATH)
        self.time = FakeTime()
        self.changes: list[Change] = []
        self.level: set[str] = set()
        self.reflector = Reflector(
            self.api,
            Kind(PATH, read_pod, {"fieldSelector": "spec.hostNetwork=false"}),
            ObserveSettings(list_page_size=page_size),
            self._changed,
            clock=self.time.clock,
            sleep=self.time.sleep,
            random=Random(7),
        )

    def _changed(self, old: PodRecord | None, new: PodRecord | None, at_s: float) -> None:
        self.changes.append((old, new, at_s))
        if not self.reflector.synced.is_set() and new is not None:
            self.level.add(new.uid)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reflector.run())
        try:
            await until(self.reflector.synced.is_set)
            yield
            assert not task.done()
        finally:
            await cancelled(task)

    def truth(self) -> dict[str, str]:
        return {
            name: item["metadata"]["resourceVersion"] for name, item in self.pods.objects.items()
        }

    def held(self) -> dict[str, str]:
        return {
            key.removeprefix("/"): pod.resource_version for key, pod in self.reflector.store.items()
        }

    async def caught_up(self) -> None:
        await until(lambda: self.held() == self.truth())


def put(rig: Rig, name: str, node: str = "node-a") -> None:
    rig.pods.put(name, spec={"nodeName": node})


async def test_the_first_list_is_read_page_by_page_and_then_watched() -> None:
    rig = Rig(page_size=2)
    for name in "abcde":
        put(rig, name)
    async with rig.running():
        assert rig.held() == rig.truth()
        assert [p.get("limit") for p in rig.pods.lists] == ["2", "2", "2"]
        assert {p["fieldSelector"] for p in rig.pods.lists} == {"spec.hostNetwork=false"}
        await until(lambda: bool(rig.pods.watches))
        watch = rig.pods.watches[0]
        assert watch["allowWatchBookmarks"] == "true"
        assert 300 <= int(watch["timeoutSeconds"]) <= 450
        put(rig, "f")
        rig.pods.delete("a")
        await rig.caught_up()
    assert len(rig.level) == 5
    assert rig.reflector.counters.events == 2


async def test_an_expired_page_starts_the_list_again() -> None:
    rig = Rig(page_size=2)
    for name in "abcde":
        put(rig, name)
    rig.pods.page_faults.append(gone())
    async with rig.running():
        assert rig.held() == rig.truth()
    assert ["continue" in p for p in rig.pods.lists] == [False, True, False, True, True]
    assert rig.reflector.counters.relists == 0


@pytest.mark.parametrize("as_event", [False, True])
async def test_a_relist_reports_the_deletions_it_finds(as_event: bool) -> None:
    rig = Rig()
    rig.pods.gone_as_event = as_event
    for name in "abcd":
        put(rig, name)
    async with rig.running():
        await until(lambda: bool(rig.pods.watches))
        rig.pods.order(dropped())
        rig.pods.delete("b")
        rig.pods.delete("c")
        put(rig, "c")
        rig.pods.compact()
        before = len(rig.changes)
        await rig.caught_up()
        told = rig.changes[before:]
    assert [(o.key if o else "", n.key if n else "") for o, n, _ in told] == [
        ("/b", ""),
        ("/c", ""),
        ("", "/c"),
    ]
    assert rig.reflector.counters.relists == 1


async def test_a_dropped_watch_resumes_from_the_last_bookmark() -> None:
    rig = Rig()
    put(rig, "a")
    async with rig.running():
        await until(lambda: bool(rig.pods.watches))
        rig.pods.version += 50
        rig.pods.bookmark()
        rig.pods.order(dropped())
        rig.pods.compact()
        await until(lambda: len(rig.pods.watches) == 2)
        put(rig, "b")
        await rig.caught_up()
    assert rig.pods.watches[1]["resourceVersion"] == "61"
    assert len(rig.pods.lists) == 1
    assert rig.reflector.counters.reconnects == 1
    assert rig.reflector.counters.errors == {"dropped": 1}


async def test_waits_grow_with_jitter_and_honour_retry_after() -> None:
    rig = Rig()
    rig.pods.list_faults += [refused(503)] * 12 + [refused(429, retry_after_s=40)]
    async with rig.running():
        pass
    slept = rig.time.slept
    bounds = [min(30.0, 0.5 * 2**n) for n in range(12)]
    assert all(0 <= span <= bound for span, bound in zip(slept, bounds, strict=False))
    assert len({round(span, 6) for span in slept}) == len(slept)
    assert 40 <= slept[12] <= 70


async def test_a_server_that_ends_each_watch_at_once_is_not_asked_in_a_tight_loop() -> None:
    rig = Rig()
    rig.pods.watch_faults += [b""] * 20
    async with rig.running():
        await until(lambda: len(rig.pods.watches) > 20)
    assert sum(rig.time.slept) > 60


async def test_state_says_what_is_wrong_and_which_right_is_missing() -> None:
    rig = Rig()
    rig.pods.list_faults += [refused(403)] * 200
    task = asyncio.create_task(rig.reflector.run())
    await turns(30)
    state = rig.reflector.state
    await cancelled(task)
    assert state.succeeded_at_s is None
    assert state.permission == "list, watch pods"
    assert state.error is not None
    assert "403" in state.error


async def test_an_error_is_forgotten_when_the_watch_is_back() -> None:
    rig = Rig()
    async with rig.running():
        await until(lambda: bool(rig.pods.watches))
        rig.pods.watch_faults.append(refused(500))
        rig.pods.order(dropped())
        await until(lambda: rig.reflector.state.error is not None)
        await until(lambda: len(rig.pods.watches) == 3 and rig.reflector.state.error is None)
        assert rig.reflector.state.age_s(rig.time.now_s) == 0


GARBAGE = [
    b"<html>no</html>",
    b"{}",
    b'{"metadata":{"resourceVersion":"5"}}',
    b'{"kind":"Status","metadata":{},"items":null}',
    b'{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"uid":1}}]}',
    b'{"metadata":{"resourceVersion":"5"},"items":[{"meta',
]


@pytest.mark.parametrize("body", GARBAGE)
async def test_a_garbage_list_never_empties_the_store(body: bytes) -> None:
    rig = Rig()
    put(rig, "a")
    async with rig.running():
        await until(lambda: bool(rig.pods.watches))
        rig.pods.list_faults.append(body)
        rig.pods.order(dropped())
        rig.pods.compact()
        rig.pods.version += 1
        rig.pods.compact()
        await until(lambda: rig.reflector.counters.errors["garbage"] == 1)
        assert rig.held() == rig.truth()
        await until(lambda: rig.reflector.counters.relists == 1)
    assert len(rig.changes) == 1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"not json", "garbage"),
        (b'{"type":"ADDED"}', "garbage"),
        (b'{"type":"BOOKMARK","object":{}}', "garbage"),
        (b'{"type":"ADDED","object":{"metadata":{}}}', "garbage"),
        (
            line({"type": "ERROR", "object": {"code": 500, "reason": "InternalError"}}),
            "error-event",
        ),
    ],
)
async def test_a_garbage_watch_is_answered_with_a_new_list(bad: bytes, reason: str) -> None:
    rig = Rig()
    put(rig, "a")
    async with rig.running():
        await until(lambda: bool(rig.pods.watches))
        rig.pods.order(bad)
        await until(lambda: rig.reflector.counters.relists == 1)
        put(rig, "b")
        await rig.caught_up()
    assert rig.reflector.counters.errors == {reason: 1}


async def test_a_server_that_keeps_failing_on_our_version_is_listed_again() -> None:
    rig = Rig()
    async with rig.running():
        await until(lambda: bool(rig.pods.watches))
        rig.pods.watch_faults += [refused(504)] * 5
        rig.pods.order(dropped())
        await until(lambda: rig.reflector.counters.relists == 1)


async def test_a_late_word_of_an_older_namesake_deletes_nothing() -> None:
    rig = Rig()
    put(rig, "a")
    async with rig.running():
        await until(lambda: bool(rig.pods.watches))
        old = {"metadata": {"name": "a", "uid": "other", "resourceVersion": "99"}}
        rig.pods.order(line({"type": "DELETED", "object": old}))
        await turns(10)
        assert rig.held() == rig.truth()


def carry_out(rig: Rig, step: str, name: str) -> None:
    pods = rig.pods
    if step == "put":
        put(rig, name, node=f"node-{pods.version % 3}")
    elif step == "delete":
        if name in pods.objects:
            pods.delete(name)
    else:
        FAULTS[step](pods)


def flip_gone(pods: FakeCollection) -> None:
    pods.gone_as_event = not pods.gone_as_event


FAULTS: dict[str, Callable[[FakeCollection], None]] = {
    "drop": lambda pods: pods.order(dropped()),
    "end": lambda pods: pods.order(None),
    "compact": FakeCollection.compact,
    "bookmark": FakeCollection.bookmark,
    "garbage": lambda pods: pods.order(b"\x00"),
    "expire": lambda pods: pods.page_faults.append(gone()),
    "fail": lambda pods: pods.watch_faults.append(refused(500)),
    "page": lambda pods: pods.list_faults.append(b'{"items":'),
    "event": flip_gone,
}
STEPS = st.one_of(
    st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from("abcdef")),
    st.tuples(st.sampled_from(sorted(FAULTS)), st.just("")),
)


@settings(max_examples=150, deadline=None)
@given(
    history=st.lists(st.tuples(STEPS, st.integers(0, 6)), max_size=40),
    page_size=st.integers(1, 4),
)
def test_after_any_history_the_store_is_the_truth_and_every_object_left_once(
    history: list[tuple[tuple[str, str], int]], page_size: int
) -> None:
    async def play() -> Rig:
        rig = Rig(page_size)
        for name in "abc":
            put(rig, name)
        async with rig.running():
            for (step, name), pause in history:
                carry_out(rig, step, name)
                await turns(pause)
            await rig.caught_up()
        return rig

    rig = asyncio.run(play())
    alive: dict[str, PodRecord] = {}
    ended: set[str] = set()
    for old, new, _ in rig.changes:
        if old is not None:
            assert alive.pop(old.uid) == old
        if new is not None:
            assert old is None or old.uid == new.uid
            assert new.uid not in ended
            alive[new.uid] = new
        else:
            assert old is not None
            ended.add(old.uid)
    assert {pod.key: pod for pod in alive.values()} == rig.reflector.store
