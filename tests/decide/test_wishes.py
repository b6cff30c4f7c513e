"""Groups with an objective and bounds of their own: chosen by those, and heeded by one for all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, agent, node, policy, snapshot, trace, written
from decided import story
from ippolicy.api import Bounds
from ippolicy.decide.basis import basis_of
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.floor import TooLean, too_lean
from ippolicy.decide.objective import CALLS_LIMIT
from ippolicy.decide.rule import bounded
from ippolicy.decide.subnets.brake import RoomAt, SubnetRoom, leanest, relaxed
from ippolicy.decide.types import Decision, Reason, Recommendation, Verdict
from ippolicy.facts import Birth, InForce, LateStarts, Signals, SubnetFacts
from ippolicy.ipamd import PoolSettings, WarmTargets

BURSTS = [
    event
    for start_s in range(600, 7_000, 1_200)
    for n in range(6)
    for event in ((start_s + n, 1), (start_s + 300.0 + n, -1))
]
GREEN = {"name": "green", "nodeSelector": {"pool": "green"}}
BOTH = pytest.mark.parametrize("by_replay", [True, False])


def asked(spec: dict[str, Any] | None = None, /, green: Any = None, **changes: Any) -> Inputs:
    """Five nodes of group `blue` and five of `green`, bursts on all; `green` is as asked."""
    groups = [] if green is None else [{**GREEN, **green}]
    return story(
        {"groups": groups, **(spec or {})},
        snapshot=snapshot(
            nodes=tuple(node(n, group="blue" if n < 5 else "green") for n in range(10))
        ),
        traces=[
            trace(n, level=10, events=BURSTS, group="blue" if n < 5 else "green") for n in range(10)
        ],
        **changes,
    )


def of(decision: Decision, name: str | None) -> Recommendation:
    if name is None:
        assert decision.fleet is not None
        return decision.fleet
    (found,) = (one.recommendation for one in decision.groups if one.group == name)
    return found


@BOTH
def test_bounds_of_a_group_are_hard_for_it_and_nothing_to_the_others(*, by_replay: bool) -> None:
    bounds = {"warmIPTarget": {"min": 6, "max": 7}, "minimumIPTarget": {"min": 20, "max": 21}}
    decision = decide(asked(green={"bounds": bounds}, by_replay=by_replay))
    plain = decide(asked(by_replay=by_replay))
    for one in (of(decision, "green").targets, of(decision, None).targets):
        assert 6 <= one.warm_ip <= 7
        assert 20 <= one.minimum_ip <= 21
    for one in (of(decision, "green").lower, of(decision, "green").upper):
        assert 6 <= one.warm_ip <= 7
    assert of(decision, "blue").targets == of(plain, "blue").targets
    assert of(plain, "blue").targets.minimum_ip < 20


@BOTH
def test_a_bound_that_a_group_leaves_out_is_the_policy_s(*, by_replay: bool) -> None:
    spec = {"bounds": {"minimumIPTarget": {"min": 20, "max": 21}}}
    green = {"bounds": {"warmIPTarget": {"min": 5, "max": 5}}}
    decision = decide(asked(spec, green=green, by_replay=by_replay))
    assert of(decision, "green").targets.warm_ip == 5
    for name in ("green", "blue", None):
        assert 20 <= of(decision, name).targets.minimum_ip <= 21


def test_a_group_is_chosen_for_by_its_own_share_of_delayed_starts() -> None:
    lax = {"objective": {"maxDelayedStarts": "50%", "maxEC2CallsPerMinute": 10_000}}
    decision = decide(asked(lax, green={"objective": {"maxDelayedStarts": "0%"}}))
    green, blue = of(decision, "green"), of(decision, "blue")
    assert green.predicted.delayed_share == 0.0
    assert (blue.predicted.delayed_share or 0.0) > 0.0
    assert green.predicted.usually_held > blue.predicted.usually_held
    assert of(decision, None).targets == green.targets  # one for all serves the strictest
    assert of(decide(asked(lax)), "green").targets == blue.targets


def test_the_rule_goes_by_the_objective_of_a_group_too() -> None:
    lax = {"objective": {"maxDelayedStarts": "50%"}}
    strict = {"objective": {"maxDelayedStarts": "0%"}}
    decision = decide(asked(lax, green=strict, by_replay=False))
    green, blue = of(decision, "green").targets, of(decision, "blue").targets
    assert (green.warm_ip, green.minimum_ip) > (blue.warm_ip, blue.minimum_ip)
    assert of(decision, None).targets == green


@pytest.mark.parametrize(
    ("objective", "delayed", "calls"),
    [
        (None, 0.1, 7),
        ({}, 0.1, 7),
        ({"goal": "FastStart"}, 0.001, 30),
        ({"maxDelayedStarts": "1%"}, 0.01, 7),
        ({"maxEC2CallsPerMinute": 3}, 0.1, 3),
        ({"goal": "FastStart", "maxDelayedStarts": "1%"}, 0.01, 30),
    ],
)
def test_what_an_objective_of_a_group_leaves_out_is_its_goal_s_or_the_policy_s(
    objective: dict[str, Any] | None, delayed: float, calls: int
) -> None:
    own = {} if objective is None else {"objective": objective}
    spec = {"objective": {"maxDelayedStarts": "10%", "maxEC2CallsPerMinute": 7}}
    found = policy({**spec, "groups": [{**GREEN, **own}]}).spec.objective_of("green")
    assert (found.delayed_starts_limit, found.ec2_calls_per_minute_limit) == (delayed, calls)


def test_a_group_makes_no_more_calls_than_it_may_of_its_own() -> None:
    lax = {"objective": {"maxDelayedStarts": "100%", "maxEC2CallsPerMinute": 10_000}}
    free = decide(asked(lax))
    usual = of(free, "green").predicted.ec2_calls_per_minute or 0.0
    assert usual > 1
    decision = decide(asked(lax, green={"objective": {"maxEC2CallsPerMinute": 1}}))
    green = of(decision, "green")
    assert (green.predicted.ec2_calls_per_minute or 0.0) <= 1
    assert green.binding == CALLS_LIMIT
    assert of(decision, "blue").targets == of(free, "blue").targets
    assert of(decision, None).targets == green.targets


def test_a_group_has_no_more_calls_than_its_part_of_the_policy_s_limit() -> None:
    strict = {"objective": {"maxDelayedStarts": "50%", "maxEC2CallsPerMinute": 2}}
    decision = decide(asked(strict, green={"objective": {"maxEC2CallsPerMinute": 500}}))
    assert (of(decision, "green").predicted.ec2_calls_per_minute or 0.0) <= 1
    assert of(decision, "green").targets == of(decide(asked(strict)), "green").targets


APART = {"bounds": {"warmIPTarget": {"min": 9, "max": 32}}}
NARROW = {"bounds": {"warmIPTarget": {"min": 1, "max": 8}}}


def test_one_setting_for_all_is_not_set_where_no_value_keeps_the_bounds_of_all() -> None:
    decision = decide(asked({**NARROW, "apply": {"method": "DaemonSet"}}, green=APART))
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, Reason.BOUNDS_DISAGREE)
    assert decision.message == (
        "spec.groups[].bounds.warmIPTarget of green and spec.bounds have no value in common, and "
        "apply.method DaemonSet sets one for all nodes: set apply.method Admission, or widen them"
    )
    assert of(decision, None).binding.startswith("spec.groups[].bounds.warmIPTarget of green")
    assert of(decision, None).targets.warm_ip <= 8


def test_targets_by_group_need_no_value_in_common() -> None:
    decision = decide(asked({**NARROW, "apply": {"method": "Admission"}}, green=APART))
    assert (decision.verdict, decision.reason) == (Verdict.CHANGE, Reason.AT_BIRTH)
    assert of(decision, "green").targets.warm_ip >= 9
    assert of(decision, "blue").targets.warm_ip <= 8


def test_bounds_of_prefixes_count_only_where_prefixes_are_given() -> None:
    prefixes = {"bounds": {"warmPrefixTarget": {"min": 6, "max": 8}}}
    assert decide(asked(green=prefixes)).reason is not Reason.BOUNDS_DISAGREE


def test_what_is_written_for_all_keeps_the_bounds_that_all_share() -> None:
    spec = {"bounds": {"warmIPTarget": {"min": 1, "max": 12}}}
    green = {"bounds": {"warmIPTarget": {"min": 9, "max": 30}}}
    env = written(decide(asked(spec, green=green)))
    assert 9 <= int(env["WARM_IP_TARGET"]) <= 12


def test_targets_in_force_beyond_the_bounds_of_a_group_do_not_meet_what_is_wanted() -> None:
    birth = Birth("default", "green", "1", "digest")
    env = {"WARM_IP_TARGET": "9", "MINIMUM_IP_TARGET": "30"}
    pods = {f"node-{n}": agent(n, birth=birth, targets=env) for n in range(10)}
    inputs = asked(green={"bounds": {"warmIPTarget": {"min": 1, "max": 8}}})
    inputs = replace(inputs, snapshot=replace(inputs.snapshot, agents=pods))
    decision = decide(inputs)
    assert of(decision, "blue").present_meets
    assert not of(decision, "green").present_meets


def test_other_wishes_are_another_question() -> None:
    first = decide(asked(green={"objective": {"maxDelayedStarts": "1%"}}))
    same = asked(green={"objective": {"maxDelayedStarts": "1%"}}, searched=first.searched)
    assert decide(same).searched is first.searched
    other = asked(green={"objective": {"maxDelayedStarts": "2%"}}, searched=first.searched)
    assert decide(other).searched is not first.searched


def test_groups_that_want_what_the_policy_wants_change_nothing() -> None:
    assert decide(asked(green={})) == decide(asked())


def test_late_starts_are_held_against_the_share_that_their_group_allows() -> None:
    lean = WarmTargets(warm_ip=2, minimum_ip=20)
    late = tuple(
        LateStarts(NOW_S - 60, f"node-{n}", group, 7) for n, group in ((0, "blue"), (5, "green"))
    )
    signals = Signals((InForce(NOW_S - 7_200, lean),), late)
    traces = [
        trace(n, events=[(60.0 + 70 * k, 1) for k in range(100)], group=group)
        for n, group in ((0, "blue"), (5, "green"))
    ]
    found = too_lean(signals, traces, limit=0.1, now_s=NOW_S, limits={"green": 0.05})
    assert found == [TooLean("green", lean, 7, 100)]


def test_the_brake_keeps_the_bounds_of_each_group_and_lets_its_starts_wait_as_well() -> None:
    green = {"objective": {"maxDelayedStarts": "1%"}, "bounds": {"warmIPTarget": {"min": 5}}}
    wished = asked(green=green).policy
    assert relaxed(wished, 1).spec.objective_of("green").delayed_starts_limit == 0.04
    assert relaxed(wished, 1).spec.objective_of("blue").delayed_starts_limit == 0.02
    assert leanest(wished, WarmTargets()).warm_ip == 5  # one for all keeps the bounds of all


def test_with_the_brake_on_each_group_keeps_its_bounds() -> None:
    subnet = SubnetFacts("subnet-1", "eu-west-1a", "10.0.0.0/22", 1_024, 1, NOW_S)
    room = SubnetRoom("subnet-1", 1_019, (RoomAt(NOW_S, 1.0, None),))
    green = {"bounds": {"warmIPTarget": {"max": 4}, "minimumIPTarget": {"min": 13, "max": 14}}}
    blue = {
        "name": "blue",
        "nodeSelector": {"pool": "blue"},
        "bounds": {"warmIPTarget": {"min": 5, "max": 9}, "minimumIPTarget": {"max": 3}},
    }
    spec = {
        "groups": [{**GREEN, **green}, blue],
        "apply": {"method": "Admission"},
        "objective": {"maxDelayedStarts": "0%"},
    }
    inputs = asked(spec, rooms=(room,))
    inputs = replace(inputs, snapshot=replace(inputs.snapshot, subnets=(subnet,)))
    decision = decide(inputs)
    assert decision.braking is not None
    assert decision.braking.step
    targets = [of(decision, name).targets for name in ("green", "blue", None)]
    assert targets[0].warm_ip <= 4
    assert targets[0].minimum_ip == 13
    assert targets[1].warm_ip == 5
    assert targets[1].minimum_ip <= 3
    assert targets[2].warm_ip < 5  # which is within the policy's bounds alone


def test_a_decision_rests_on_the_wishes_of_groups() -> None:
    settings = PoolSettings()
    plain, named, wished = (
        basis_of(asked(green=green).policy, settings, 10, [])
        for green in (None, {}, {"objective": {"maxDelayedStarts": "1%"}})
    )
    assert plain == named != wished


limits = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(sorted)


@given(
    targets=st.builds(
        WarmTargets,
        warm_eni=st.integers(0, 3),
        warm_ip=st.integers(0, 50),
        minimum_ip=st.integers(0, 50),
        warm_prefix=st.integers(0, 5),
    ),
    warm=limits,
    minimum=limits,
)
def test_targets_are_brought_within_bounds_by_the_least_step(
    targets: WarmTargets, warm: list[int], minimum: list[int]
) -> None:
    bounds = Bounds.model_validate(
        {
            "warmIPTarget": {"min": warm[0], "max": warm[1]},
            "minimumIPTarget": {"min": minimum[0], "max": minimum[1]},
        }
    )
    found = bounded(targets, bounds)
    assert found.warm_eni == targets.warm_eni
    assert bounded(found, bounds) == found
    if not targets.counts_addresses:
        assert not found.counts_addresses
        return
    assert warm[0] <= found.warm_ip <= warm[1]
    assert minimum[0] <= found.minimum_ip <= minimum[1]
    if warm[0] <= targets.warm_ip <= warm[1]:
        assert found.warm_ip == targets.warm_ip
