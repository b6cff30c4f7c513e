"""What was seen is kept on the cluster, and a restart goes on from there."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

import pytest

from engine_fakes import OTHER, REF, Rig, invalid_policy, raw_policy
from ippolicy.act.checkpoints import CheckpointTrouble
from ippolicy.act.requests import CallFailed
from ippolicy.decide.checkpoint import decode
from ippolicy.engine import checkpoints as module
from ippolicy.errors import NewerCheckpoint
from ippolicy.facts import DaemonSetRef, PodEvent, watched_s
from views import a_snapshot
from virtual_loop import START_S, in_virtual_time, wall_clock

INTERVAL_S = 300.0
GAP_S = 45.0
PAUSED = {"annotations": {"ippolicy.dev/paused": "true"}}
DOWN = CallFailed("write ConfigMap: no answer")
FORBIDDEN = CallFailed("delete ConfigMap: HTTP 403", status=403, refused=True, retryable=False)


async def kill9(rig: Rig) -> None:
    """No last word."""
    for task in (rig.engine._task, rig.engine._keeping):
        assert task is not None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def lived(rig: Rig, span_s: float, clock: Callable[[], float]) -> None:
    """A pod of node-3 comes or goes every 20 s."""
    rig.take(raw_policy())
    await rig.engine.start()
    end_s, change = clock() + span_s, 1
    while clock() < end_s:
        await asyncio.sleep(min(20, end_s - clock()))
        rig.observer.on_pod_event(PodEvent(clock(), "node-3", change))
        change = -change


def observed_s(rig: Rig) -> float:
    """How long demand was watched, as the last decision says."""
    decision = rig.view().decision
    assert decision is not None
    assert decision.fleet is not None
    return decision.fleet.evidence.observed_s


def events_kept(rig: Rig, now_s: float, ref: DaemonSetRef = REF) -> list[float]:
    """When pods of node-3 came and went, in seconds since the start."""
    traces = rig.engine._histories[ref].traces(now_s)
    times = [t for trace in traces if trace.node == "node-3" for t in trace.times_s.tolist()]
    return sorted(round(t - START_S, 1) for t in times)


def count(rig: Rig, outcome: str) -> float:
    """Checkpoints with this outcome, as /metrics tells."""
    name = f'ippolicy_checkpoints_total{{outcome="{outcome}",policy="default"}} '
    text = rig.publisher.exporter.render().decode()
    swapped = f'ippolicy_checkpoints_total{{policy="default",outcome="{outcome}"}} '
    lines = [line for line in text.splitlines() if line.startswith((name, swapped))]
    return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0


# A restart


@pytest.mark.parametrize("span_s", [301.0, 599.0, 1_000.0, 3_599.0])
@in_virtual_time
async def test_a_kill_loses_nothing_older_than_five_minutes(span_s: float) -> None:
    clock = wall_clock()
    rig = Rig(clock=clock)
    await lived(rig, span_s, clock)
    before = events_kept(rig, clock())
    await kill9(rig)
    killed_s = clock() - START_S
    await asyncio.sleep(GAP_S)
    again = Rig(checkpoints=rig.checkpoints, clock=clock)
    again.take(raw_policy())
    await again.engine.tick()
    kept = events_kept(again, clock())
    assert kept == before[: len(kept)]
    assert all(at_s > killed_s - INTERVAL_S for at_s in before[len(kept) :])
    continued_s = observed_s(again)
    assert span_s - INTERVAL_S <= continued_s <= span_s
    await asyncio.sleep(100)
    await again.engine.tick()
    assert observed_s(again) == pytest.approx(continued_s + 100)


@in_virtual_time
async def test_a_clean_stop_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = wall_clock()
    rig = Rig(clock=clock)
    await lived(rig, 200, clock)
    before = events_kept(rig, clock())
    await rig.engine.stop()
    assert rig.observer.log[-1] == "stopped"
    await asyncio.sleep(GAP_S)
    again = Rig(checkpoints=rig.checkpoints, clock=clock)
    await lived(again, 60, clock)
    assert events_kept(again, clock())[: len(before)] == before
    await again.engine.tick()
    assert observed_s(again) == pytest.approx(260, abs=0.5)
    await again.engine.stop()
    assert count(again, "Restored") == 1
    assert "10 traces of demand, kept 45 s ago, were taken up" in caplog.text


@in_virtual_time
async def test_the_time_between_is_no_demand() -> None:
    clock = wall_clock()
    rig = Rig(clock=clock)
    await lived(rig, 100, clock)
    await rig.engine.stop()
    await asyncio.sleep(GAP_S)
    again = Rig(checkpoints=rig.checkpoints, clock=clock)
    again.take(raw_policy())
    await again.engine.tick()
    await asyncio.sleep(10)
    await again.engine.tick()
    assert watched_s(again.engine._histories[REF].traces(clock())) == pytest.approx(110)


@in_virtual_time
async def test_what_is_kept_is_known_before_the_first_decision() -> None:
    clock = wall_clock()
    rig = Rig(clock=clock)
    await lived(rig, 400, clock)
    await rig.engine.stop()
    again = Rig(checkpoints=rig.checkpoints, clock=clock)
    again.take(raw_policy())
    await again.engine.tick()
    assert len(again.names()) == 1
    assert observed_s(again) == pytest.approx(400)


@in_virtual_time
async def test_a_clock_that_was_ahead_leaves_no_demand_of_a_time_to_come() -> None:
    clock = wall_clock()
    ahead = Rig(clock=lambda: clock() + 1_000)
    await lived(ahead, 400, lambda: clock() + 1_000)
    await ahead.engine.stop()
    again = Rig(checkpoints=ahead.checkpoints, clock=clock)
    again.take(raw_policy())
    await again.engine.tick()
    assert events_kept(again, clock() + 5_000) == []


# When it is written


@in_virtual_time
async def test_it_is_written_every_interval_and_at_the_end() -> None:
    rig = Rig(checkpoint_interval="5m")
    rig.take(raw_policy())
    await rig.engine.start()
    saved = []
    for _ in range(3):
        await asyncio.sleep(INTERVAL_S)
        await asyncio.sleep(1)
        saved.append(decode(rig.checkpoints.kept[REF]).saved_at_s - START_S)
    await rig.engine.stop()
    assert saved == [300, 600, 900]
    assert decode(rig.checkpoints.kept[REF]).saved_at_s - START_S == 903
    assert rig.checkpoints.log == ["read", *["write"] * 4]
    assert count(rig, "Written") == 4


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (raw_policy(mode="Recommend"), True),
        (raw_policy(metadata=PAUSED), True),
        (raw_policy(mode="Off"), False),
    ],
)
@in_virtual_time
async def test_an_operator_that_is_to_write_nothing_to_aws_node_keeps_demand_but_not_in_off(
    policy: dict[str, object], kept: bool
) -> None:
    rig = Rig()
    rig.take(policy)
    await rig.engine.tick()
    await rig.engine.stop()
    assert (REF in rig.checkpoints.kept) is kept


@in_virtual_time
async def test_nothing_is_written_of_a_cluster_that_was_not_seen() -> None:
    rig = Rig()
    rig.observer.facts = lambda _: a_snapshot(nodes=0)
    rig.take(raw_policy())
    await rig.engine.tick()
    await rig.engine.stop()
    assert rig.checkpoints.kept == {}


@in_virtual_time
async def test_it_belongs_to_all_policies_about_the_daemon_set() -> None:
    rig = Rig()
    rig.take(raw_policy("old"), raw_policy("new", created="2026-01-02T00:00:00Z"))
    await rig.engine.tick()
    await rig.engine.stop()
    assert rig.checkpoints.owners == {REF: ["old", "new"]}


async def test_a_stop_waits_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_WORD_S", 0.05)
    rig, answered = Rig(), threading.Event()
    rig.take(raw_policy())
    await rig.engine.tick()
    monkeypatch.setattr(rig.checkpoints, "write", lambda *_, **__: answered.wait(5))
    async with asyncio.timeout(1):
        await rig.engine.stop()
    answered.set()
    assert rig.observer.log == ["stopped"]


# What goes wrong


@in_virtual_time
async def test_a_damaged_one_is_told_dropped_and_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.checkpoints.kept[REF] = b"ippd is not all of it"
    rig.take(raw_policy())
    await rig.engine.start()
    await asyncio.sleep(1)
    told = rig.view().checkpoint
    assert told.trouble is CheckpointTrouble.DROPPED
    assert told.message in caplog.text
    assert rig.view().decision is not None
    assert count(rig, "Dropped") == 1
    await asyncio.sleep(INTERVAL_S + 15)
    assert rig.view().checkpoint.trouble is None
    assert len(decode(rig.checkpoints.kept[REF]).traces) == 10
    await rig.engine.stop()
    assert rig.checkpoints.log.count("read") == 1


@in_virtual_time
async def test_one_of_a_newer_operator_is_left_alone_until_it_is_deleted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()

    def newer(ref: DaemonSetRef) -> None:
        raise NewerCheckpoint(f"{ref} is newer")

    monkeypatch.setattr(rig.checkpoints, "read", newer)
    rig.take(raw_policy())
    await rig.engine.start()
    await asyncio.sleep(2 * INTERVAL_S + 20)
    told = rig.view().checkpoint
    assert (told.trouble, told.message) == (CheckpointTrouble.NEWER, f"{REF} is newer")
    assert rig.checkpoints.log == []
    assert (count(rig, "Newer"), caplog.text.count("is newer")) == (3, 1)
    monkeypatch.undo()
    await asyncio.sleep(2 * INTERVAL_S)
    assert REF in rig.checkpoints.kept
    assert rig.view().checkpoint.trouble is None
    await rig.engine.stop()


@in_virtual_time
async def test_what_cannot_be_read_is_not_written_over_and_is_taken_up_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = wall_clock()
    rig = Rig(clock=clock)
    await lived(rig, 400, clock)
    await rig.engine.stop()
    kept = dict(rig.checkpoints.kept)
    again = Rig(checkpoints=rig.checkpoints, clock=clock)
    again.checkpoints.failing = DOWN
    again.take(raw_policy())
    await again.engine.start()
    await asyncio.sleep(2 * INTERVAL_S)
    assert again.checkpoints.kept == kept
    assert again.view().checkpoint.trouble is CheckpointTrouble.FAILED
    assert observed_s(again) == pytest.approx(2 * INTERVAL_S, abs=20)
    again.checkpoints.failing = None
    await asyncio.sleep(16)
    assert again.view().checkpoint.trouble is None
    assert observed_s(again) == pytest.approx(1_000, abs=40)
    await again.engine.stop()
    assert caplog.text.count(str(DOWN)) == 1


@in_virtual_time
async def test_a_failing_write_is_told_and_tried_again_within_a_minute() -> None:
    rig = Rig()
    rig.take(raw_policy())
    await rig.engine.start()
    await asyncio.sleep(INTERVAL_S - 1)
    rig.checkpoints.failing = DOWN
    await asyncio.sleep(17)
    told = rig.view().checkpoint
    assert (told.trouble, told.message) == (CheckpointTrouble.FAILED, str(DOWN))
    passes = len(rig.names())
    await asyncio.sleep(130)
    assert rig.checkpoints.log.count("write") == 3
    assert len(rig.names()) >= passes + 8
    rig.checkpoints.failing = None
    await asyncio.sleep(60)
    assert rig.view().checkpoint.trouble is None
    assert count(rig, "Failed") == 3
    await rig.engine.stop()


@in_virtual_time
async def test_a_fault_of_ours_ends_no_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    rig.take(raw_policy())
    await rig.engine.start()
    await asyncio.sleep(1)
    write = rig.checkpoints.write
    monkeypatch.setattr(rig.checkpoints, "write", None)
    await asyncio.sleep(INTERVAL_S)
    assert "a checkpoint failed, which is a fault of the operator" in caplog.text
    monkeypatch.setattr(rig.checkpoints, "write", write)
    await asyncio.sleep(INTERVAL_S)
    assert REF in rig.checkpoints.kept
    await rig.engine.stop()


# When it goes


async def with_kept(*refs: DaemonSetRef) -> Rig:
    """A rig whose policies are about these DaemonSets, with a checkpoint of each."""
    rig = Rig()
    for ref in refs:
        rig.take(raw_policy(ref.name, ref))
    await rig.engine.tick()
    await rig.engine._checkpoints.keep(rig.engine.policies.owners())
    assert set(rig.checkpoints.kept) == set(refs)
    return rig


@in_virtual_time
async def test_it_goes_with_the_last_policy() -> None:
    rig = await with_kept(REF, OTHER)
    rig.take(raw_policy("younger", created="2026-01-02T00:00:00Z"))
    rig.engine.forget(REF.name)
    await rig.engine.tick()
    assert set(rig.checkpoints.kept) == {REF, OTHER}
    rig.take(raw_policy("younger", deleting=True))
    await rig.engine.tick()
    assert set(rig.checkpoints.kept) == {OTHER}
    await rig.engine.tick()
    assert rig.checkpoints.log.count("delete") == 1


@in_virtual_time
async def test_it_goes_when_the_policy_is_about_another_daemon_set() -> None:
    rig = await with_kept(REF)
    rig.take(raw_policy(REF.name, OTHER))
    await rig.engine.tick()
    assert set(rig.checkpoints.kept) == set()
    rig.take(raw_policy(REF.name, REF))
    await rig.engine.tick()
    await rig.engine.stop()
    assert set(rig.checkpoints.kept) == {REF}


@in_virtual_time
async def test_that_of_a_former_daemon_set_goes_after_a_restart_too() -> None:
    rig = Rig(checkpoints=(await with_kept(OTHER)).checkpoints)
    rig.take(raw_policy(status={"daemonSet": str(OTHER)}))
    await rig.engine.tick()
    await rig.engine.tick()
    assert rig.checkpoints.kept == {}
    assert rig.checkpoints.log.count("delete") == 1


@in_virtual_time
async def test_as_long_as_a_policy_cannot_be_read_nothing_goes() -> None:
    rig = await with_kept(REF)
    rig.take(invalid_policy(REF.name))
    await rig.engine.tick()
    assert set(rig.checkpoints.kept) == {REF}


@pytest.mark.parametrize(("error", "tries"), [(DOWN, 3), (FORBIDDEN, 1)])
@in_virtual_time
async def test_a_removal_that_fails_is_tried_again_unless_it_is_forbidden(
    error: CallFailed, tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    rig = await with_kept(REF)
    rig.engine.forget(REF.name)
    rig.checkpoints.failing = error
    for _ in range(3):
        await rig.engine.tick()
    assert rig.checkpoints.log.count("delete") == tries
    assert (str(FORBIDDEN) in caplog.text) is (error is FORBIDDEN)
