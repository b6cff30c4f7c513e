"""The gates in the decisions that they are made for, with what is handed from one to the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW_S, daemon_set, node, policy, pool, snapshot, trace
from ippolicy.decide.bundle import dump, load
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.gates import Limits
from ippolicy.decide.trust import Step
from ippolicy.decide.types import Decision, Reason, Recommendations, Verdict
from ippolicy.facts import Coverage, LateStarts, Signals, Snapshot

SHUT = [{"cron": "0 0 1 1 *", "duration": "1m"}]
LEAN = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "2"}
BURSTS = [
    (float(at_s + second), step)
    for at_s in range(600, 7_000, 1_200)
    for step, second in [*((1, n) for n in range(5)), *((-1, 600 + n) for n in range(5))]
]
LATE = Signals(late=tuple(LateStarts(NOW_S - 60, f"node-{n}", "blue", 3) for n in range(10)))


def inputs(
    facts: Snapshot | None = None, spec: dict[str, Any] | None = None, **other: Any
) -> Inputs:
    """The first story at the CNI's defaults, in which 420 addresses would become fewer."""
    first = Inputs(
        policy=policy(spec),
        snapshot=facts or snapshot(),
        traces=[trace(n) for n in range(10)],
        record=None,
        limits=Limits(),
    )
    return replace(first, **other)


def growing(spec: dict[str, Any] | None = None, **other: Any) -> Inputs:
    """Targets in force that are too lean, under which starts were late."""
    pools = {f"node-{n}": pool(n, held=22, enis=2) for n in range(10)}
    lean = snapshot(daemon_set=daemon_set(LEAN), pools=pools)
    bursts = [trace(n, events=BURSTS) for n in range(10)]
    return inputs(lean, spec, **{"signals": LATE, "traces": bursts, **other})


def next_to(one: Inputs, decision: Decision, after_s: float) -> Inputs:
    """The same facts a while later, with what the decision hands on."""
    now_s = NOW_S + after_s
    sources = {
        name: replace(state, succeeded_at_s=now_s) for name, state in one.snapshot.sources.items()
    }
    return replace(
        one,
        snapshot=replace(one.snapshot, taken_at_s=now_s, sources=sources),
        recommended=decision.recommended,
        ladder=decision.ladder,
    )


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (inputs(), None),
        (inputs(spec={"change": {"windows": SHUT}}), Reason.OUTSIDE_WINDOW),
        (inputs(spec={"change": {"windows": SHUT, "urgent": "Any"}}), Reason.OUTSIDE_WINDOW),
        (inputs(elsewhere="DaemonSet a/b of policy c is rolling out"), Reason.OTHER_ROLLOUT),
        (
            inputs(snapshot(nodes=tuple(node(n, ready=n > 1) for n in range(10)))),
            Reason.NODES_ROLLING,
        ),
        (inputs(snapshot(coverage=Coverage(10, 6, 4))), Reason.COVERAGE_LOW),
        (growing(), None),
        (growing({"change": {"windows": SHUT}}), None),
        (growing({"change": {"windows": SHUT, "urgent": "Never"}}), Reason.OUTSIDE_WINDOW),
        (growing({"change": {"windows": SHUT}}, signals=Signals()), Reason.OUTSIDE_WINDOW),
    ],
)
def test_what_stands_in_the_way_is_the_reason(one: Inputs, reason: Reason | None) -> None:
    decision = decide(one)
    assert (decision.verdict is Verdict.CHANGE) is (reason is None)
    assert reason in {None, decision.reason}


def test_growth_needs_less_coverage_than_shrinking() -> None:
    few = replace(growing().snapshot, coverage=Coverage(10, 6, 4))
    decision = decide(growing(snapshot=few))
    assert decision.ladder.step is Step.GROW_ONLY
    assert decision.verdict is Verdict.CHANGE


def test_facts_that_were_bad_a_moment_ago_hold_a_shrink_for_a_while() -> None:
    well = decide(inputs())
    bad = decide(next_to(inputs(snapshot(coverage=Coverage(10, 6, 4))), well, 15))
    assert bad.reason is Reason.COVERAGE_LOW
    again = decide(next_to(inputs(), bad, 30))
    assert again.reason is Reason.GROW_ONLY
    assert "4 of 10 aws-node pods cannot be read" in again.message
    assert decide(next_to(inputs(), again, 200)).verdict is Verdict.CHANGE


def test_a_shrink_waits_until_recommendations_are_known_for_the_stabilization() -> None:
    one = inputs(recommended=Recommendations(NOW_S))
    for next_s in (590, 1_180, 1_770, 1_800):
        decision = decide(one)
        assert decision.reason is Reason.STABILIZING
        one = next_to(one, decision, next_s)
    assert decide(one).verdict is Verdict.CHANGE


def test_a_change_shrinks_to_the_most_generous_recommendation_and_hands_on_its_own() -> None:
    lean = decide(inputs(recommended=Recommendations(NOW_S)))
    assert lean.fleet is not None
    assert lean.recommended is not None
    (own,) = lean.recommended.seen
    more = replace(own, targets=replace(own.targets, minimum_ip=own.targets.minimum_ip + 8))
    known = Recommendations(NOW_S - 3_600, (replace(more, last_at_s=NOW_S - 60),))
    decision = decide(inputs(recommended=known))
    assert decision.verdict is Verdict.CHANGE
    assert decision.env["MINIMUM_IP_TARGET"] == str(more.targets.minimum_ip)
    assert decision.fleet is not None
    assert decision.fleet.binding == "change.stabilization"
    # What was set has no part in what is remembered: the recommendation has.
    assert decision.recommended is not None
    assert decision.recommended.seen[-1].targets == lean.fleet.targets
    assert decision.recommended.seen[0].last_at_s == NOW_S - 60


def test_a_bundle_holds_what_is_handed_from_one_decision_to_the_next() -> None:
    spec = {"change": {"windows": [{"cron": "0 2 * * 1-5", "duration": "4h"}], "urgent": "Any"}}
    first = inputs(snapshot(coverage=Coverage(10, 6, 4)), spec, recommended=Recommendations(NOW_S))
    one = next_to(inputs(spec=spec), decide(first), 30)
    again = load(dump(one))
    assert (again.recommended, again.ladder) == (one.recommended, one.ladder)
    assert again.policy.spec.change.windows == one.policy.spec.change.windows
    assert decide(again) == decide(one)
