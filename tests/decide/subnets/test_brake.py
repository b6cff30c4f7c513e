"""As subnets run short, targets give back addresses, step by step, and nothing swings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import builders
from ippolicy.api import IPPolicy
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.gates import Limits
from ippolicy.decide.subnets.brake import (
    LEANEST_STEP,
    PACE_S,
    RELEASE_S,
    Braking,
    Idle,
    RoomAt,
    Shortage,
    SubnetRoom,
    braking,
    leanest,
    relaxed,
)
from ippolicy.decide.subnets.outlook import readings
from ippolicy.decide.types import Decision, Reason, Verdict
from ippolicy.ipamd import WarmTargets
from subnet_world import SHAPE, Operated, SubnetWorld

HOUR_S = 3_600.0
LEAN = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "0"}
NOW_S = 0.0
ROOMY = SubnetRoom("subnet-1", 251, (RoomAt(NOW_S, 200.0, 150.0),))
DRY = SubnetRoom("subnet-1", 251, (RoomAt(NOW_S, 100.0, 80.0),))


def policy(**brake: Any) -> IPPolicy:
    return builders.policy({"subnets": {"brake": brake}})


def brake_of(
    rooms: list[SubnetRoom], idle: list[float], lean: float, **brake: Any
) -> tuple[Braking, int]:
    """How hard the brake is on where steps keep so many addresses idle, and how many were asked."""
    asked = []

    def steps() -> Iterator[Idle]:
        for count in idle:
            asked.append(count)
            yield {NOW_S: {"subnet-1": count}}

    last = {NOW_S: {"subnet-1": lean}}
    return braking(rooms, steps(), last, policy(**brake).spec.subnets.brake), len(asked)


@pytest.mark.parametrize(
    ("idle", "lean", "step", "asked"),
    [
        ([40.0, 30.0, 20.0], 10.0, 0, 1),
        ([76.0, 70.0, 20.0], 10.0, 1, 2),  # 25.1 of 251 must be left: 100 - 70 = 30 are
        ([90.0, 80.0, 60.0], 10.0, 2, 3),
        ([90.0, 80.0, 78.0], 10.0, 3, 3),
        ([90.0, 90.0, 90.0], 90.0, 0, 1),  # nothing would be given back
        ([95.0, 94.0, 90.0], 90.0, 2, 3),  # and no more by the last step
    ],
)
def test_the_first_step_that_leaves_enough_is_taken(
    idle: list[float], lean: float, step: int, asked: int
) -> None:
    room = SubnetRoom("subnet-1", 251, (RoomAt(NOW_S, 100.0, None),))
    found, steps = brake_of([room], idle, lean)
    assert (found.step, steps) == (step, asked)


def test_a_moment_within_the_hour_counts_with_the_pods_of_then() -> None:
    room = SubnetRoom("subnet-1", 251, (RoomAt(-600.0, 60.0, None), RoomAt(NOW_S, 120.0, None)))
    then_and_now = {-600.0: {"subnet-1": 30.0}, NOW_S: {"subnet-1": 90.0}}
    brake = policy().spec.subnets.brake
    calm = braking([room], iter([then_and_now]), then_and_now, brake)
    assert calm.step == 0
    both = {-600.0: {"subnet-1": 40.0}, NOW_S: {"subnet-1": 10.0}}
    less = {-600.0: {"subnet-1": 20.0}, NOW_S: {"subnet-1": 10.0}}
    found = braking([room], iter([both, less]), less, brake)
    assert (found.step, found.pressures[0].left) == (1, 20.0)


def test_a_subnet_that_will_soon_be_empty_is_short_of_time() -> None:
    room = SubnetRoom("subnet-1", 251, (RoomAt(NOW_S, 200.0, 40.0),))
    found, _ = brake_of([room], [60.0, 45.0, 30.0], 10.0)
    assert found.step == 2
    assert [one.shortage for one in found.pressures] == [Shortage.TIME]
    assert found.pressures[0].relieved


def test_the_pressure_tells_the_subnet_and_what_is_left() -> None:
    found, _ = brake_of([DRY], [90.0, 90.0, 90.0], 85.0)
    pressure = found.pressures[0]
    assert (pressure.subnet_id, pressure.shortage) == ("subnet-1", Shortage.SHARE)
    assert (pressure.left, pressure.needed, pressure.relieved) == (10.0, 90.0, False)
    assert found.text() == (
        "subnet-1: 10 of 251 addresses are left after 90 idle ones: brake step 3 of 3"
    )


def test_a_brake_set_to_nothing_is_off() -> None:
    found, _ = brake_of([DRY], [90.0, 90.0, 90.0], 10.0, freeBelow="0%", exhaustedWithin="0s")
    assert found == Braking(0, ())


def test_a_subnet_of_which_nothing_is_taken_is_not_braked_for() -> None:
    strange = SubnetRoom("subnet-2", 251, (RoomAt(NOW_S, 5.0, 0.0),))
    found, asked = brake_of([ROOMY, strange], [40.0, 30.0, 20.0], 10.0)
    assert (found.step, asked) == (0, 1)
    assert [one.subnet_id for one in found.pressures] == ["subnet-2"]


def test_each_step_allows_more_late_starts_and_the_bounds_hold() -> None:
    given = builders.policy({"bounds": {"warmIPTarget": {"min": 3}, "minimumIPTarget": {"min": 7}}})
    limits = [relaxed(given, step).spec.objective.delayed_starts_limit for step in (0, 1, 2)]
    assert limits == pytest.approx([0.005, 0.02, 0.08])
    target = leanest(given, WarmTargets())
    assert (target.warm_ip, target.minimum_ip) == (3, 7)
    sloppy = builders.policy({"objective": {"maxDelayedStarts": "50%"}})
    assert relaxed(sloppy, 2).spec.objective.delayed_starts_limit == 1.0


# -- the decision ---------------------------------------------------------------------------------


def with_room(room: float, **inputs: Any) -> Decision:
    """What is decided for ten nodes, whose pods came in one burst, in a subnet of so much room."""
    world = SubnetWorld(usable=1_019, pods={f"node-{n}": 20 for n in range(10)})
    daemon_set = builders.daemon_set(inputs.pop("env", None))
    events = [(3_000.0 + n, 1) for n in range(20)] + [(4_000.0 + n, -1) for n in range(20)]
    pools = {f"node-{n}": builders.pool(n, held=inputs.get("held", 42), enis=2) for n in range(10)}
    inputs.pop("held", None)
    given = {"policy": builders.policy(), "record": None, **inputs}
    return decide(
        Inputs(
            snapshot=builders.snapshot(
                daemon_set=daemon_set, pools=pools, subnets=world.snapshot().subnets
            ),
            traces=[builders.trace(n, level=0, events=events) for n in range(10)],
            limits=Limits(),
            rooms=(SubnetRoom("subnet-eu-west-1a", 1_019, (RoomAt(builders.NOW_S, room, None),)),),
            **given,
        )
    )


def test_short_subnets_get_leaner_targets_ahead_of_stabilization() -> None:
    calm = with_room(1_000.0, policy=builders.policy({"change": {"stabilization": "24h"}}))
    assert calm.reason is Reason.STABILIZING
    braked = with_room(130.0, policy=builders.policy({"change": {"stabilization": "24h"}}))
    assert (braked.verdict, braked.reason) == (Verdict.CHANGE, Reason.SUBNET_PRESSURE)
    assert "subnet-eu-west-1a" in braked.message
    assert braked.fleet is not None
    assert braked.fleet.binding == "subnets.brake"
    assert braked.fleet.predicted.held < braked.fleet.present.held


def test_the_brake_goes_by_an_hour_and_not_by_changes_a_day() -> None:
    def at(ago_s: float) -> Decision:
        at_s = builders.NOW_S - ago_s
        made = [
            builders.change(id=str(n), intended_at_s=at_s - n, completed_at_s=at_s) for n in (1, 0)
        ]
        return with_room(
            130.0,
            policy=builders.policy({"change": {"maxPerDay": 1, "cooldown": "24h"}}),
            record=builders.record(*made),
        )

    assert at(PACE_S - 60).reason is Reason.COOLDOWN
    assert at(PACE_S + 60).verdict is Verdict.CHANGE


@pytest.mark.parametrize(("room", "step"), [(400.0, 0), (290.0, 1), (220.0, 2), (120.0, 3)])
def test_the_shorter_a_subnet_the_leaner_the_targets(room: float, step: int) -> None:
    decision = with_room(room)
    assert decision.braking is not None
    assert decision.braking.step == step
    warm = {0: 7, 1: 5, 2: 3, 3: 1}
    assert decision.env["WARM_IP_TARGET"] == str(warm[step])


def test_nothing_grows_while_subnets_are_short() -> None:
    lean = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "0"}
    calm, braked = (with_room(room, env=lean, held=21) for room in (400.0, 290.0))
    assert calm.reason is Reason.STARTS_FASTER
    assert (braked.verdict, braked.reason) == (Verdict.HOLD, Reason.BRAKED)


def test_nothing_grows_for_an_hour_after_the_brake_gave_back_addresses() -> None:
    lean = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "0"}

    def after(ago_s: float, reason: Reason) -> Decision:
        at_s = builders.NOW_S - ago_s
        made = builders.change(reason=reason, intended_at_s=at_s, completed_at_s=at_s, after=lean)
        free = builders.policy({"change": {"cooldown": "0s"}})
        return with_room(400.0, env=lean, held=21, policy=free, record=builders.record(made))

    soon = after(300.0, Reason.SUBNET_PRESSURE)
    assert (soon.verdict, soon.reason) == (Verdict.HOLD, Reason.BRAKED)
    assert soon.message == (
        "subnets were short of addresses 300 s ago: nothing is set that holds more of them for "
        "another 3300 s"
    )
    later = after(RELEASE_S, Reason.SUBNET_PRESSURE)
    assert (later.verdict, later.reason) == (Verdict.CHANGE, Reason.STARTS_FASTER)
    assert after(300.0, Reason.SAVES_ADDRESSES).verdict is Verdict.CHANGE


def test_what_was_measured_as_too_lean_does_not_hold_the_brake() -> None:
    decision = with_room(10.0)
    assert decision.braking is not None
    assert decision.braking.step == LEANEST_STEP
    assert decision.env == LEAN


# -- what is seen of the subnets ------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    pods=st.lists(st.integers(0, 50), min_size=1, max_size=8),
    env=st.sampled_from(
        [
            {"WARM_ENI_TARGET": "1"},
            {"WARM_ENI_TARGET": "2"},
            {"WARM_IP_TARGET": "1"},
            {"WARM_IP_TARGET": "8", "MINIMUM_IP_TARGET": "30"},
        ]
    ),
)
def test_the_room_does_not_depend_on_the_targets_in_force(
    pods: list[int], env: dict[str, str]
) -> None:
    named = {f"node-{n}": count for n, count in enumerate(pods)}

    def room(env: dict[str, str]) -> int:
        world = SubnetWorld(usable=1_019, pods=dict(named), env=env)
        found = readings(world.snapshot(), world.settings, None)
        return next(one.count for one in found if one.name.startswith("room/"))

    assert room(env) == room({"WARM_IP_TARGET": "2"}) == 1_019 - sum(pods)


def test_a_quota_makes_a_subnet_as_small_as_itself() -> None:
    world = SubnetWorld(pods={"node-0": 20, "node-1": 20})
    found = {one.name: one.count for one in readings(world.snapshot(), world.settings, 100)}
    assert found["room/subnet-eu-west-1a"] == 60
    assert found["subnet-eu-west-1a"] == world.free("eu-west-1a")
    operated = Operated(world, builders.policy({"subnets": {"quota": 100}}))
    operated.step()
    assert operated.outlook is not None
    assert operated.outlook.rooms[0].size == 100


# -- the closed loop ------------------------------------------------------------------------------


def joining(world: SubnetWorld, operated: Operated | None) -> float:
    """Hours until no further node fits: one with ten pods joins every ten minutes."""
    start_s = world.now_s
    while world.free("eu-west-1a") >= 0:
        world.pods[f"node-{len(world.pods)}"] = 10
        if operated is None:
            world.now_s += 600.0
        else:
            operated.step()
    return (world.now_s - start_s) / HOUR_S


def test_with_the_brake_pods_start_twice_as_long_until_the_subnet_is_empty() -> None:
    at_defaults = joining(SubnetWorld(), None)
    braked = Operated(SubnetWorld(), builders.policy({"demand": {"minEvidence": "10m"}}))
    assert joining(braked.world, braked) >= 2 * at_defaults


def bursting(world: SubnetWorld, number: int) -> dict[str, int]:
    """Pods that come and go together, for which the objective wants much to spare."""
    return dict.fromkeys(world.pods, 16 if number % 2 else 6)


def test_the_brake_holds_as_long_as_the_shortage_and_lets_go_an_hour_after_it() -> None:
    world = SubnetWorld(pods={f"node-{n}": 6 for n in range(5)}, others={"eu-west-1a": 120})
    operated = Operated(world, builders.policy({"demand": {"minEvidence": "10m"}}))
    held = [operated.step(pods=bursting(world, number)) for number in range(18)]
    steps = [one.braking.step for one in held if one.braking is not None]
    assert steps[0] == 0
    assert steps[6:] == [LEANEST_STEP] * 12  # its own change does not end it
    assert [change.reason for change in operated.changes][-1] == "SubnetPressure"
    assert world.env["WARM_IP_TARGET"] == "1"
    world.others = {}
    after = [operated.step(pods=bursting(world, number)) for number in range(9)]
    steps = [one.braking.step for one in after if one.braking is not None]
    assert steps[0] == LEANEST_STEP
    assert steps[-1] == 0
    assert sorted(steps, reverse=True) == steps
    assert int(world.env["WARM_IP_TARGET"]) > 1  # and what pods need is set again


@pytest.mark.parametrize("seed", range(2))
def test_nothing_swings_however_demand_moves(seed: int) -> None:
    random = np.random.default_rng(seed)
    world = SubnetWorld(pods={f"node-{n}": 12 for n in range(9)})
    operated = Operated(world, builders.policy({"demand": {"minEvidence": "10m"}}))
    for number in range(72):
        wave = 14 + 5 * np.sin(number / 72 * 2 * np.pi)
        counts = random.poisson(wave, len(world.pods)).clip(0, SHAPE.max_pods)
        operated.step(1_200.0, pods=dict(zip(world.pods, counts.tolist(), strict=True)))
    made_s = [change.intended_at_s for change in operated.changes]
    assert all(later - earlier >= HOUR_S for earlier, later in pairwise(made_s))
    assert len(made_s) <= 5  # in a day with one wave
    for change in operated.changes:
        assert 1 <= int(change.after["WARM_IP_TARGET"] or 0) <= 32
        assert 0 <= int(change.after["MINIMUM_IP_TARGET"] or 0) <= 110
