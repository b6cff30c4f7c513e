"""Late starts that were measured raise what is chosen, for as long as they were lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, change, daemon_set, node, policy, pool, record, snapshot, trace
from ippolicy.api import Bounds
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.floor import Floor, Floors, TooLean, floors_of, too_lean
from ippolicy.decide.gates import Limits
from ippolicy.decide.types import Decision, Reason, Verdict
from ippolicy.facts import InForce, InstanceLimits, LateStarts, Ran, Signals
from ippolicy.ipamd import PoolSettings, WarmTargets

HOUR_S = 3_600.0
LEAN = WarmTargets(warm_ip=2, minimum_ip=20)
REPLACED = [(at_s, step) for at_s in range(300, 7_000, 600) for step in (-1, 1)]


def late(pods: int, ago_s: float = 60.0, group: str = "blue") -> LateStarts:
    return LateStarts(NOW_S - ago_s, "node-0", group, pods)


def under(*targets: tuple[float, WarmTargets], starts: Sequence[LateStarts] = ()) -> Signals:
    """Targets, with how long ago they were put in force, and late starts."""
    return Signals(tuple(InForce(NOW_S - ago_s, one) for ago_s, one in targets), tuple(starts))


# A hundred pods start on the node, evenly over two hours.
STARTS = [trace(0, level=0, events=[(60.0 + 70 * n, 1) for n in range(100)])]


@pytest.mark.parametrize(("pods", "limit", "found"), [(6, 0.05, False), (7, 0.05, True)])
def test_more_late_starts_than_allowed_but_for_one_are_too_many(
    pods: int, limit: float, *, found: bool
) -> None:
    signals = under((2 * HOUR_S, LEAN), starts=[late(pods)])
    lean = too_lean(signals, STARTS, limit=limit, now_s=NOW_S)
    expected = [TooLean(group, LEAN, 7, 100) for group in ("blue", None)]
    assert lean == (expected if found else [])


def test_late_starts_count_against_the_targets_that_they_came_under() -> None:
    generous = replace(LEAN, warm_ip=4)
    signals = under((7_200, LEAN), (3_600, generous), starts=[late(9, 3_601), late(1, 3_599)])
    (group, _) = too_lean(signals, STARTS, limit=0.05, now_s=NOW_S)
    assert (group.targets, group.late, group.starts) == (LEAN, 9, 51)


def test_a_node_with_targets_of_its_own_counts_for_those_alone() -> None:
    own = WarmTargets(warm_ip=1, minimum_ip=9)
    ran = (Ran("node-0", own, NOW_S - 5_400, NOW_S - 1_800), Ran("node-1", own, NOW_S - 3_600))
    starts = [late(4, 7_000), late(9, 3_601), late(1, 1_799)]
    signals = replace(under((7_200, LEAN), starts=starts), ran=ran)
    traces = [STARTS[0], replace(STARTS[0], node="node-1")]
    found = too_lean(signals, traces, limit=0.05, now_s=NOW_S)
    # So many started on node-0 in the hour that it ran so, and on node-1 in the last.
    assert found == [TooLean(group, own, 9, 52 + 49) for group in ("blue", None)]


def test_targets_of_a_node_s_own_are_told_apart_from_the_same_of_all() -> None:
    ran = (Ran("node-0", LEAN, NOW_S - 3_600),)
    signals = replace(under((7_200, LEAN), starts=[late(9, 3_700), late(9, 60)]), ran=ran)
    found = too_lean(signals, STARTS, limit=0.05, now_s=NOW_S)
    assert [(one.late, one.starts) for one in found if one.group is None] == [(9, 51), (9, 49)]


def test_after_a_day_late_starts_no_longer_count() -> None:
    signals = under((2 * HOUR_S, LEAN), starts=[late(50)])
    assert too_lean(signals, STARTS, limit=0.0, now_s=NOW_S)
    assert not too_lean(signals, STARTS, limit=0.0, now_s=NOW_S + 86_400)


def test_a_trace_that_stands_for_many_counts_as_many() -> None:
    signals = under((2 * HOUR_S, LEAN), starts=[late(7)])
    many = [replace(STARTS[0], weight=3.0)]
    assert not too_lean(signals, many, limit=0.05, now_s=NOW_S)


def test_a_floor_holds_for_its_group_and_for_the_fleet() -> None:
    found = [
        TooLean("blue", WarmTargets(warm_ip=3, minimum_ip=5), 9, 10),
        TooLean("green", WarmTargets(warm_ip=1, minimum_ip=20), 9, 10),
    ]
    assert floors_of(found, snapshot(), PoolSettings()) == Floors(
        Floor(3, 20), {"blue": Floor(3, 5), "green": Floor(1, 20)}
    )


@pytest.mark.parametrize(
    ("targets", "prefixes", "floor"),
    [
        (WarmTargets(warm_eni=2), False, Floor(2 * 9, 0)),
        (WarmTargets(warm_eni=2, warm_prefix=3), True, Floor(3 * 16, 0)),
        (WarmTargets(warm_ip=2, minimum_ip=7, warm_prefix=3), True, Floor(2, 7)),
    ],
)
def test_whole_enis_and_prefixes_count_as_the_addresses_they_keep(
    targets: WarmTargets, *, prefixes: bool, floor: Floor
) -> None:
    small = InstanceLimits("m5.large", enis=3, addresses_per_eni=10, nitro=True)
    facts = snapshot(2, nodes=(node(0), node(1, instance_type="m5.large")))
    facts = replace(facts, limits={**facts.limits, "m5.large": small})
    found = [TooLean(None, targets, 9, 10)]
    assert floors_of(found, facts, PoolSettings(prefix_delegation=prefixes)).fleet == floor


pairs = st.tuples(st.integers(1, 40), st.integers(0, 120))


@given(floor=pairs, warm=pairs, minimum=st.tuples(st.integers(0, 60), st.integers(0, 60)))
def test_what_a_floor_lets_through_is_more_generous_or_the_most_within_bounds(
    floor: tuple[int, int], warm: tuple[int, int], minimum: tuple[int, int]
) -> None:
    bounds = Bounds.model_validate(
        {
            "warmIPTarget": {"min": min(warm[0], 32), "max": max(warm[0], warm[1], 1)},
            "minimumIPTarget": {"min": min(minimum), "max": max(minimum)},
        }
    )
    low = Floor(*floor)
    raised = low.raised(WarmTargets(warm_ip=bounds.warm_ip_target.min), bounds)
    most = (bounds.warm_ip_target.max, bounds.minimum_ip_target.max)
    assert raised.warm_ip <= most[0]
    assert raised.minimum_ip <= most[1]
    if low.allows(raised.warm_ip, raised.minimum_ip, bounds):
        assert raised.warm_ip >= min(floor[0], most[0])
        assert raised.minimum_ip >= min(floor[1], most[1])
        assert (raised.warm_ip, raised.minimum_ip) != floor or floor == most
    else:
        assert (raised.warm_ip, raised.minimum_ip) == most


def made(signals: Signals, env: dict[str, str], *, by_replay: bool = True, **how: Any) -> Decision:
    """The decision on ten nodes of 20 pods that replace one each ten minutes."""
    held = {f"node-{n}": pool(n, held=21, enis=2) for n in range(10)}
    return decide(
        Inputs(
            policy=policy(how.pop("spec", {})),
            snapshot=snapshot(daemon_set=daemon_set(env), pools=held),
            traces=[trace(n, events=REPLACED) for n in range(10)],
            record=how.pop("changes", None),
            limits=Limits(),
            by_replay=by_replay,
            signals=signals,
            **how,
        )
    )


IN_FORCE = {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "20"}
LATE = under((2 * HOUR_S, LEAN), starts=[late(30)])


@pytest.mark.parametrize("by_replay", [True, False])
def test_late_starts_raise_targets_at_once(*, by_replay: bool) -> None:
    calm = made(Signals(), IN_FORCE, by_replay=by_replay)
    assert calm.verdict is Verdict.HOLD
    spec = {"change": {"stabilization": "24h"}}
    decision = made(LATE, IN_FORCE, by_replay=by_replay, spec=spec)
    assert (decision.verdict, decision.reason) == (Verdict.CHANGE, Reason.STARTS_FASTER)
    assert int(decision.env["WARM_IP_TARGET"]) >= 3
    assert int(decision.env["MINIMUM_IP_TARGET"]) >= 20
    fleet = decision.fleet
    assert fleet is not None
    assert not fleet.present_meets
    assert fleet.raised.startswith(
        "30 of 120 starts in group blue waited under WARM_IP_TARGET=2 MINIMUM_IP_TARGET=20"
    )
    assert fleet.raised in decision.message
    assert decision.groups[0].recommendation.raised == fleet.raised


@pytest.mark.parametrize("by_replay", [True, False])
def test_more_generous_targets_are_left_in_force_while_they_serve(*, by_replay: bool) -> None:
    raised = WarmTargets(warm_ip=3, minimum_ip=20)
    env = {"WARM_IP_TARGET": "3", "MINIMUM_IP_TARGET": "20"}
    since = ((2 * HOUR_S, LEAN), (600.0, raised))
    served = made(under(*since, starts=[late(30, 900)]), env, by_replay=by_replay)
    assert served.verdict is Verdict.HOLD
    again = made(under(*since, starts=[late(30, 900), late(9)]), env, by_replay=by_replay)
    assert int(again.env["WARM_IP_TARGET"]) >= 4


def test_a_floor_is_no_way_past_the_bounds_and_past_the_cooldown_only_where_it_is_urgent() -> None:
    bounded = made(LATE, IN_FORCE, spec={"bounds": {"warmIPTarget": {"max": 2}}})
    assert bounded.fleet is not None
    assert bounded.fleet.targets.warm_ip == 2
    assert bounded.fleet.targets.minimum_ip > 20
    lately = record(change(intended_at_s=NOW_S - 700, completed_at_s=NOW_S - 600))
    patient = made(LATE, IN_FORCE, changes=lately, spec={"change": {"urgent": "Never"}})
    assert patient.reason is Reason.COOLDOWN
    assert made(LATE, IN_FORCE, changes=lately).verdict is Verdict.CHANGE


def test_what_was_measured_is_named_as_what_binds() -> None:
    fleet = made(LATE, IN_FORCE).fleet
    assert fleet is not None
    assert fleet.binding == "late starts that were measured"
    leanest = fleet.runners_up[0]
    assert leanest.held < (fleet.predicted.mean_held or 0)
    assert leanest.why == "no more generous than what starts were late under"


def test_the_same_measurements_ask_the_same_question() -> None:
    first = made(LATE, IN_FORCE)
    worse = replace(LATE, late=(*LATE.late, late(3, 10)))
    again = made(worse, IN_FORCE, searched=first.searched)
    assert again.searched is first.searched
    assert made(Signals(), IN_FORCE, searched=first.searched).searched is not first.searched
