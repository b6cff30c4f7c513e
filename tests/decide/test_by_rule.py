"""The plain rule decides by quantiles of demand, unless replay is asked for."""

from __future__ import annotations

from dataclasses import replace

from builders import daemon_set, node, policy, pool, snapshot, trace
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.gates import Limits
from ippolicy.decide.types import Decision, Reason, Verdict
from ippolicy.facts import NodeTrace, Snapshot

REPLACED = [(at_s, step) for at_s in range(300, 7_000, 600) for step in (-1, 1)]
WITHIN = {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "20"}


def made(facts: Snapshot | None = None, traces: list[NodeTrace] | None = None) -> Decision:
    """The rule's decision on the first story, with what a test changes about it."""
    seen = [trace(n, events=REPLACED) for n in range(10)] if traces is None else traces
    return decide(
        Inputs(
            policy=policy({"bounds": {"minimumIPTarget": {"max": 200}}}),
            snapshot=facts or snapshot(),
            traces=seen,
            record=None,
            limits=Limits(),
        )
    )


def test_the_first_story_finds_the_values_that_were_found_by_hand() -> None:
    decision = made()
    assert (decision.verdict, decision.reason) == (Verdict.CHANGE, Reason.SAVES_ADDRESSES)
    assert decision.env == WITHIN
    assert decision.fleet is not None
    assert (decision.fleet.present.held, decision.fleet.predicted.held) == (420, 220)


def test_values_that_are_there_already_are_not_written_again() -> None:
    held = {f"node-{n}": pool(n, held=22) for n in range(10)}
    decision = made(snapshot(daemon_set=daemon_set(WITHIN), pools=held))
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, Reason.TARGETS_IN_PLACE)


def test_targets_below_what_even_a_lean_reading_asks_for_are_raised() -> None:
    lean = daemon_set({"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "20"})
    held = {f"node-{n}": pool(n, held=21) for n in range(10)}
    decision = made(snapshot(daemon_set=lean, pools=held))
    assert (decision.verdict, decision.reason) == (Verdict.CHANGE, Reason.STARTS_FASTER)


def test_targets_that_serve_demand_are_not_raised() -> None:
    growing = [trace(0, events=[*((s, 1) for s in range(60, 7_000, 60)), *REPLACED[:2]])]
    facts = snapshot(1, pools={"node-0": pool(0, held=21)})
    env = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "130"}
    decision = made(replace(facts, daemon_set=daemon_set(env)), growing)
    assert decision.reason is Reason.SAVING_TOO_SMALL


def test_limits_that_ec2_does_not_tell_come_from_ipamd_itself() -> None:
    pools = {f"node-{n}": pool(n, held_max=56) for n in range(10)}
    decision = made(snapshot(limits={}, pools=pools))
    assert decision.fleet is not None
    assert decision.fleet.predicted.held == 220


def test_each_group_has_its_own_advice() -> None:
    nodes = (node(0), node(1, group="green"))
    pools = {"node-0": pool(0), "node-1": pool(1, held=28, assigned=3, enis=2)}
    facts = snapshot(2, nodes=nodes, pods_per_node={"node-0": 20, "node-1": 3}, pools=pools)
    blue, green = made(facts, [trace(0), trace(1, level=3, group="green")]).groups
    assert (blue.nodes, blue.pods, blue.recommendation.targets.minimum_ip) == (1, 20, 20)
    assert (green.nodes, green.pods, green.recommendation.targets.minimum_ip) == (1, 3, 3)


def test_the_bound_that_set_a_value_is_named() -> None:
    traces = [trace(n, events=REPLACED) for n in range(10)]
    bounds = {"warmIPTarget": {"min": 4}, "minimumIPTarget": {"max": 10}}
    for given, named in (
        (bounds, "bounds.warmIPTarget.min"),
        ({"minimumIPTarget": {"max": 10}}, "bounds.minimumIPTarget.max"),
        ({}, "demand"),
    ):
        inputs = Inputs(
            policy=policy({"bounds": given}),
            snapshot=snapshot(),
            traces=traces,
            record=None,
            limits=Limits(),
        )
        fleet = decide(inputs).fleet
        assert fleet is not None
        assert fleet.binding == named


def test_a_node_that_was_not_read_counts_in_neither_figure() -> None:
    pools = {f"node-{n}": pool(n) for n in range(9)}
    fleet = made(snapshot(pools=pools)).fleet
    assert fleet is not None
    assert (fleet.present.held, fleet.predicted.held) == (378, 198)


def test_demand_before_a_node_was_watched_is_not_made_up() -> None:
    younger = [trace(0, span_s=600), *(trace(n, events=REPLACED) for n in range(1, 10))]
    assert made(traces=younger).env == WITHIN
