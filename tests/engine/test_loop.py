"""When passes are made, and what one pass finds, decides and does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine_fakes import NO_STATS, OTHER, REF, Rig, invalid_policy, raw_policy
from ippolicy.act.outcome import OutcomeKind
from ippolicy.act.rollout import RolloutPhase
from ippolicy.decide.decision import Inputs
from ippolicy.decide.types import Decision, Reason
from ippolicy.errors import RecordUnreadable
from ippolicy.facts import (
    ChangePhase,
    PodEvent,
    RolloutFacts,
    SourceName,
    SourceState,
    SubnetSelection,
)
from views import a_change, a_daemon_set, a_decision, a_record, a_snapshot
from virtual_loop import START_S, in_virtual_time

OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
PAUSED = {"annotations": {"ippolicy.dev/paused": "true"}}
CHANGE = a_decision(Reason.SAVES_ADDRESSES)


class Decisions:
    """Decides as a test orders, and keeps what it was asked."""

    def __init__(self) -> None:
        self.inputs: list[Inputs] = []
        self.decision: Decision = a_decision()
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self, inputs: Inputs) -> Decision:
        self.inputs.append(inputs)
        self.meanwhile()
        return self.decision


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> Decisions:
    made = Decisions()
    monkeypatch.setattr("ippolicy.engine.deciding.decide", made)
    return made


def passes(rig: Rig) -> list[float]:
    """When there were passes, in seconds since the start."""
    return [at_s - START_S for at_s in rig.publisher.at_s]


# When


@in_virtual_time
async def test_a_pass_is_made_every_interval(decisions: Decisions) -> None:
    rig = Rig(interval="15s")
    rig.take(raw_policy())
    await rig.engine.start()
    assert rig.observer.log == ["started"]
    await asyncio.sleep(46)
    assert passes(rig) == [0, 15, 30, 45]
    await rig.engine.stop()
    assert rig.observer.log == ["started", "stopped"]
    await asyncio.sleep(30)
    assert len(passes(rig)) == 4


@in_virtual_time
async def test_what_is_new_about_a_policy_is_looked_at_at_once(decisions: Decisions) -> None:
    rig = Rig(interval="15s")
    rig.take(raw_policy())
    await rig.engine.start()
    await asyncio.sleep(4)
    rig.take(raw_policy(status={"totals": {"nodes": 3}}))
    await asyncio.sleep(1)
    assert passes(rig) == [0]
    rig.take(raw_policy(mode="Recommend"))
    await asyncio.sleep(1)
    rig.take(raw_policy(mode="Recommend", metadata=PAUSED))
    await asyncio.sleep(16)
    await rig.engine.stop()
    assert passes(rig) == [0, 5, 6, 21]
    assert rig.view().policy.paused


@in_virtual_time
async def test_what_comes_during_a_pass_is_looked_at_right_after(decisions: Decisions) -> None:
    rig = Rig(interval="15s")
    rig.take(raw_policy("a"))
    rig.publisher.meanwhile = lambda _: rig.take(raw_policy("b", OTHER))
    await rig.engine.start()
    await asyncio.sleep(1)
    await rig.engine.stop()
    assert rig.names() == ["a", "a", "b"]


@in_virtual_time
async def test_a_policy_that_is_gone_is_forgotten_everywhere(decisions: Decisions) -> None:
    rig = Rig(interval="15s")
    rig.take(raw_policy("a"), raw_policy("b", OTHER))
    await rig.engine.start()
    await asyncio.sleep(1)
    rig.engine.forget("a")
    await asyncio.sleep(1)
    await rig.engine.stop()
    assert rig.names() == ["a", "b", "b"]
    assert rig.publisher.forgotten == ["a"]
    assert rig.observer.refs[-1] == {OTHER}


@in_virtual_time
async def test_the_first_look_waits_until_every_source_was_heard_of(decisions: Decisions) -> None:
    rig = Rig(scrape_interval="30s", scrape_timeout="5s")
    rig.observer.ready = False
    rig.take(raw_policy())
    await rig.engine.start()
    await asyncio.sleep(7)
    assert passes(rig) == []
    assert rig.observer.refs[-1] == {REF}
    rig.observer.ready = True
    await asyncio.sleep(1)
    await rig.engine.stop()
    assert len(passes(rig)) == 1


@in_virtual_time
async def test_the_first_look_waits_for_a_policy_to_look_for(decisions: Decisions) -> None:
    rig = Rig(scrape_interval="30s", scrape_timeout="5s")
    await rig.engine.start()
    await asyncio.sleep(7)
    rig.take(raw_policy())
    await asyncio.sleep(1)
    await rig.engine.stop()
    assert len(passes(rig)) == 1
    assert 7 <= passes(rig)[0] <= 7.3


@in_virtual_time
async def test_the_first_look_waits_no_longer_than_every_source_has_had_its_turn(
    decisions: Decisions,
) -> None:
    rig = Rig(scrape_interval="30s", scrape_timeout="5s")
    rig.observer.ready = False
    rig.take(raw_policy())
    await rig.engine.start()
    await asyncio.sleep(36)
    await rig.engine.stop()
    assert passes(rig) == [35]


@in_virtual_time
async def test_a_loop_that_waits_for_its_first_look_is_alive(decisions: Decisions) -> None:
    rig = Rig(scrape_interval="10m")
    rig.observer.ready = False
    await rig.engine.start()
    await asyncio.sleep(300)
    assert rig.engine.last_pass_s >= START_S + 299
    await rig.engine.stop()


@in_virtual_time
async def test_a_pass_that_fails_is_told_and_counted_and_the_loop_goes_on(
    decisions: Decisions, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(interval="15s")
    rig.take(raw_policy())
    await rig.engine.start()
    await asyncio.sleep(1)

    def fail() -> None:
        raise ZeroDivisionError("by nought")

    decisions.meanwhile = fail
    with caplog.at_level(logging.ERROR, "ippolicy"):
        await asyncio.sleep(30)
    assert rig.engine.last_pass_s == START_S
    assert "a pass failed, which is a fault of the operator: by nought" in caplog.text
    counted = 'api_errors_total{kind="engine",operation="pass",reason="ZeroDivisionError"} 2.0'
    assert counted in rig.publisher.exporter.render().decode()
    decisions.meanwhile = lambda: None
    await asyncio.sleep(15)
    assert rig.engine.last_pass_s == START_S + 45
    await rig.engine.stop()
    assert passes(rig) == [0, 45]
    assert "ippolicy_loop_duration_seconds_count 4.0" in rig.publisher.exporter.render().decode()


@in_virtual_time
async def test_a_policy_whose_pass_fails_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail_for_the_first(inputs: Inputs) -> Decision:
        if inputs.policy.name == "a":
            raise ZeroDivisionError("by nought")
        return a_decision()

    monkeypatch.setattr("ippolicy.engine.deciding.decide", fail_for_the_first)
    rig = Rig()
    rig.take(raw_policy("a", REF))
    rig.take(raw_policy("b", OTHER))
    with pytest.raises(ZeroDivisionError):
        await rig.engine.tick()
    assert rig.view("b").decision is not None
    assert rig.engine.last_pass_s == START_S


@in_virtual_time
async def test_an_engine_that_never_ran_can_be_stopped(decisions: Decisions) -> None:
    await Rig().engine.stop()


# What is looked at


@in_virtual_time
async def test_what_the_policies_name_is_observed(decisions: Decisions) -> None:
    rig = Rig()
    selector = {"ids": ["subnet-01234567"], "tags": {"role": "private"}}
    rig.take(
        raw_policy("a"),
        raw_policy("b", OTHER, subnets={"selector": selector}),
        raw_policy("c", OTHER, deleting=True),
        invalid_policy(),
    )
    await rig.engine.tick()
    picked = SubnetSelection(("subnet-01234567",), (("role", "private"),))
    assert rig.observer.refs == [{REF, OTHER}]
    assert rig.observer.selections == {SubnetSelection(), picked}
    assert rig.observer.asked == [(REF, SubnetSelection()), (OTHER, picked)]


@in_virtual_time
async def test_a_decision_is_made_on_facts_record_demand_and_limits(decisions: Decisions) -> None:
    rig = Rig(min_coverage="70%", facts_max_age="1m")
    rig.actor.records[REF] = a_record(a_change())
    rig.take(raw_policy(demand={"window": "2h"}))
    await rig.engine.tick()
    (inputs,) = decisions.inputs
    assert inputs.policy.name == "default"
    assert inputs.snapshot.taken_at_s == START_S
    assert inputs.record == rig.actor.records[REF]
    assert (inputs.limits.min_coverage, inputs.limits.facts_max_age_s) == (0.7, 60.0)
    assert {trace.level for trace in inputs.traces} == {20}
    assert len(inputs.traces) == 10
    view = rig.view()
    assert (view.decision, view.record) == (decisions.decision, inputs.record)
    assert (view.outcome, view.rival, view.rollout, view.left_behind) == (None, None, None, None)
    assert view.min_coverage == 0.7


@in_virtual_time
async def test_what_was_searched_is_given_to_the_next_decision_about_the_daemon_set(
    decisions: Decisions,
) -> None:
    rig = Rig()
    rig.take(raw_policy("a"), raw_policy("b", OTHER))
    searched: Any = object()
    decisions.decision = replace(a_decision(), searched=searched)
    await rig.engine.tick()
    decisions.decision = a_decision()
    await rig.engine.tick()
    await rig.engine.tick()
    assert [inputs.searched for inputs in decisions.inputs] == [None, None, *[searched] * 4]


@in_virtual_time
async def test_pods_that_come_and_go_are_demand_within_the_window(decisions: Decisions) -> None:
    rig = Rig()
    rig.take(raw_policy(demand={"window": "1m", "minEvidence": "1s"}))
    await rig.engine.tick()
    for after_s, change in ((10, 1), (30, -1), (20, 1)):
        await asyncio.sleep(after_s)
        rig.observer.on_pod_event(PodEvent(START_S + asyncio_time(), "node-3", change))
    rig.observer.facts = lambda _: with_pods(21)
    await asyncio.sleep(15)
    await rig.engine.tick()
    trace = next(t for t in decisions.inputs[-1].traces if t.node == "node-3")
    assert list(trace.times_s - START_S) == [40, 60]
    assert (list(trace.changes), trace.level) == ([-1, 1], 21)
    assert (trace.since_s, trace.until_s) == (START_S + 15, START_S + 75)


@pytest.mark.parametrize("source", [SourceName.NODES, SourceName.PODS])
@in_virtual_time
async def test_pods_of_a_list_that_is_not_complete_are_no_demand(
    decisions: Decisions, source: SourceName
) -> None:
    rig = Rig()
    sources = {**a_snapshot().sources, source: SourceState(None)}
    rig.observer.facts = lambda _: a_snapshot(sources=sources)
    rig.take(raw_policy())
    await rig.engine.tick()
    assert decisions.inputs[-1].traces == ()
    rig.observer.facts = lambda _: a_snapshot()
    await rig.engine.tick()
    assert len(decisions.inputs[-1].traces) == 10


@in_virtual_time
async def test_demand_that_no_policy_asks_for_is_kept_but_bounded(decisions: Decisions) -> None:
    rig = Rig()
    policy = raw_policy(demand={"window": "1m", "minEvidence": "1s"})
    rig.take(policy)
    await rig.engine.tick()
    rig.engine.forget("default")
    for _ in range(100):
        await asyncio.sleep(10)
        rig.observer.on_pod_event(PodEvent(START_S + asyncio_time(), "node-3", 1))
        await rig.engine.tick()
    kept = rig.engine._histories[REF]
    assert max(len(recorder.ticks) for recorder in kept._live.values()) == 7
    rig.observer.facts = lambda _: with_pods(120)
    rig.take(policy)
    await rig.engine.tick()
    trace = next(t for t in decisions.inputs[-1].traces if t.node == "node-3")
    assert len(trace.times_s) == 7


@in_virtual_time
async def test_what_observing_has_cost_is_counted_after_each_pass(decisions: Decisions) -> None:
    rig = Rig()
    rig.take(raw_policy())
    rig.observer.counted = replace(NO_STATS, calls={("ec2", "DescribeSubnets"): 3})
    await rig.engine.tick()
    await rig.engine.tick()
    text = rig.publisher.exporter.render().decode()
    assert 'ippolicy_api_calls_total{kind="ec2",operation="DescribeSubnets"} 3.0' in text


# What is done


@in_virtual_time
async def test_a_decision_to_change_is_carried_out_on_the_facts_it_was_made_on(
    decisions: Decisions,
) -> None:
    rig = Rig()
    decisions.decision = CHANGE
    rig.take(raw_policy(status={"daemonSet": str(REF)}))
    await rig.engine.tick()
    (done,) = rig.actor.carried_out
    assert done == {
        "policy": rig.view().policy,
        "ref": REF,
        "decision": CHANGE,
        "decided_on": a_daemon_set(),
        "now_s": START_S,
    }
    assert rig.view().outcome == rig.actor.outcome
    assert rig.publisher.shown == [{"daemonSet": str(REF)}]


@pytest.mark.parametrize(
    ("decision", "facts"),
    [(a_decision(), a_snapshot()), (CHANGE, a_snapshot(daemon_set=None))],
)
@in_virtual_time
async def test_nothing_is_carried_out_without_a_change_or_a_daemon_set(
    decisions: Decisions, decision: Decision, facts: Any
) -> None:
    rig = Rig()
    decisions.decision = decision
    rig.observer.facts = lambda _: facts
    rig.take(raw_policy())
    await rig.engine.tick()
    assert rig.actor.carried_out == []
    assert rig.view().outcome is None
    assert rig.view().decision == decision


@in_virtual_time
async def test_the_younger_of_two_policies_names_the_older_and_does_nothing(
    decisions: Decisions,
) -> None:
    rig = Rig()
    decisions.decision = CHANGE
    rig.take(raw_policy("young", created=NEW), raw_policy("old", created=OLD))
    await rig.engine.tick()
    assert [done["policy"].name for done in rig.actor.carried_out] == ["old"]
    young = rig.view("young")
    assert (young.rival, young.decision, young.outcome) == ("old", None, None)


@in_virtual_time
async def test_without_its_record_nothing_is_decided(decisions: Decisions) -> None:
    rig = Rig()
    rig.actor.failing[REF] = RecordUnreadable("the record cannot be read: delete it")
    rig.take(raw_policy())
    await rig.engine.tick()
    view = rig.view()
    assert (view.decision, decisions.inputs) == (None, [])
    assert view.outcome is not None
    assert (view.outcome.kind, view.outcome.error) == (OutcomeKind.FAILED, "RecordUnreadable")


@in_virtual_time
async def test_without_a_daemon_set_its_record_is_not_asked_for(decisions: Decisions) -> None:
    rig = Rig()
    rig.actor.failing[REF] = RecordUnreadable("the record cannot be read: delete it")
    rig.observer.facts = lambda _: a_snapshot(daemon_set=None)
    rig.take(raw_policy())
    await rig.engine.tick()
    assert decisions.inputs[0].record is None
    assert (rig.view().decision, rig.view().outcome) == (decisions.decision, None)


@in_virtual_time
async def test_a_rollout_is_followed_until_it_is_through(decisions: Decisions) -> None:
    rig = Rig(rollout_stuck_after="10m")
    rollout = RolloutFacts(4, 10, 10, 3, 9, 9, "RollingUpdate", "10%")
    rig.observer.facts = lambda _: a_snapshot(daemon_set=a_daemon_set(rollout=rollout))
    rig.actor.records[REF] = a_record(a_change(ChangePhase.ROLLING, generation=4))
    rig.take(raw_policy())

    async def phase(after_s: float) -> RolloutPhase | None:
        await asyncio.sleep(after_s)
        await rig.engine.tick()
        state = rig.view().rollout
        return state.phase if state is not None else None

    assert await phase(0) is RolloutPhase.ROLLING
    assert await phase(300) is RolloutPhase.ROLLING
    assert await phase(299) is RolloutPhase.ROLLING
    assert await phase(1) is RolloutPhase.STUCK
    rollout = replace(rollout, updated=4)
    assert await phase(0) is RolloutPhase.ROLLING
    rig.actor.records[REF] = a_record(a_change(ChangePhase.COMPLETE))
    assert await phase(0) is None
    rig.actor.records[REF] = a_record(a_change(ChangePhase.ROLLING, generation=4))
    assert await phase(700) is RolloutPhase.ROLLING
    rig.observer.facts = lambda _: a_snapshot(daemon_set=None)
    assert await phase(0) is None


@in_virtual_time
async def test_nothing_is_written_for_a_policy_that_could_go_without_its_originals(
    decisions: Decisions,
) -> None:
    decisions.decision = CHANGE
    rig = Rig()
    rig.take(raw_policy(metadata={"finalizers": []}))
    await rig.engine.tick()
    assert rig.actor.carried_out == []
    outcome = rig.view().outcome
    assert outcome is not None
    assert outcome.message == "policy default has no finalizer yet: next pass"
    rig.take(raw_policy())
    await rig.engine.tick()
    assert len(rig.actor.carried_out) == 1


# What changes meanwhile


@pytest.mark.parametrize(
    "now",
    [
        raw_policy(metadata=PAUSED),
        raw_policy(mode="Off"),
        raw_policy(deleting=True),
        raw_policy(ref=OTHER),
        invalid_policy("default"),
        None,
    ],
)
@in_virtual_time
async def test_a_policy_that_changed_while_it_was_decided_on_writes_nothing(
    decisions: Decisions, now: dict[str, Any] | None
) -> None:
    rig = Rig()
    decisions.decision = CHANGE
    rig.take(raw_policy())
    decisions.meanwhile = lambda: (
        rig.engine.policies.remove("default") if now is None else change(rig, now)
    )
    await rig.engine.tick()
    assert rig.actor.carried_out == []
    outcome = rig.view().outcome
    assert outcome is not None
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FACTS_CHANGED, True)
    assert outcome.message == "policy default changed meanwhile: decide again"


@in_virtual_time
async def test_an_older_rival_that_comes_while_it_is_decided_stops_the_write(
    decisions: Decisions,
) -> None:
    rig = Rig()
    decisions.decision = CHANGE
    rig.take(raw_policy("young", created=NEW))
    decisions.meanwhile = lambda: change(rig, raw_policy("old", created=OLD))
    await rig.engine.tick()
    assert rig.actor.carried_out == []


@in_virtual_time
async def test_a_policy_that_changed_while_others_were_served_is_served_as_it_is_now(
    decisions: Decisions,
) -> None:
    rig = Rig()
    decisions.decision = CHANGE
    rig.take(raw_policy("a"), raw_policy("b", OTHER))
    paused = raw_policy("b", OTHER, metadata=PAUSED)
    rig.publisher.meanwhile = lambda name: change(rig, paused) if name == "a" else None
    await rig.engine.tick()
    assert rig.names() == ["a", "b"]
    assert rig.view("b").policy.paused


@in_virtual_time
async def test_a_policy_that_is_deleted_while_others_are_served_writes_no_more(
    decisions: Decisions,
) -> None:
    rig = Rig()
    decisions.decision = CHANGE
    rig.take(raw_policy("a"), raw_policy("b", OTHER))
    rig.actor.records[OTHER] = replace(a_record(a_change()), policy_uid="uid-b")
    gone = raw_policy("b", OTHER, deleting=True)
    async with rig.engine._writing:
        passing = asyncio.create_task(rig.engine.tick())
        await asyncio.sleep(0.1)
        retiring = asyncio.create_task(rig.engine.retire(gone, since_s=START_S))
        await asyncio.sleep(0.1)
    await passing
    assert await retiring is None
    assert [done["ref"] for done in rig.actor.carried_out] == [REF]
    assert rig.actor.undone == [("restore", OTHER)]
    assert rig.names() == ["a"]


# Objects that cannot be read


@in_virtual_time
async def test_an_invalid_policy_is_refused_by_name_and_the_others_are_served(
    decisions: Decisions,
) -> None:
    rig = Rig()
    status = {"daemonSet": str(REF)}
    rig.take(invalid_policy("a", status=status), raw_policy("b"))
    await rig.engine.tick()
    assert rig.names() == ["b"]
    ((name, problem, shown),) = rig.publisher.refused
    assert (name, shown) == ("a", status)
    assert "spec.mode" in problem


@in_virtual_time
async def test_an_invalid_policy_that_goes_during_a_pass_is_no_fault(decisions: Decisions) -> None:
    rig = Rig()
    rig.take(invalid_policy("a"), invalid_policy("b"))
    rig.publisher.meanwhile = lambda _: rig.engine.forget("b")
    await rig.engine.tick()
    assert [name for name, *_ in rig.publisher.refused] == ["a"]


def change(rig: Rig, raw: dict[str, Any]) -> None:
    """Show a policy to the engine from whatever thread."""
    rig.engine.policies.put(raw)


def asyncio_time() -> float:
    """Seconds on the running loop's clock."""
    return asyncio.get_running_loop().time()


def with_pods(pods: int) -> Any:
    """Ten nodes, of which node-3 has this many pods."""
    facts = a_snapshot()
    return replace(facts, pods_per_node={**facts.pods_per_node, "node-3": pods})
