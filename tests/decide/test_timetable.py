"""The schedule of a day on the clock: switches in time, never too many, never to and fro."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from typing import Any

import pytest

from builders import change, trace, written
from ippolicy.decide import question, search, searching, timetable
from ippolicy.decide.bundle import dump, load
from ippolicy.decide.decision import decide
from ippolicy.decide.question import Searched
from ippolicy.decide.timetable import MARGIN_S, days_seen
from ippolicy.decide.types import DayPlan, Decision, Reason, Verdict
from ippolicy.decide.units import DAY_S, HOUR_S
from ippolicy.facts import InForce, LateStarts, Signals
from ippolicy.ipamd import WarmTargets
from virtual_days import MIDNIGHT_S, Fleet, around


@pytest.fixture(autouse=True)
def quick_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for one setting is not what is tested here: it is short, and made once a day."""
    monkeypatch.setattr(question, "FRESH_AT_MOST_S", DAY_S)
    monkeypatch.setattr(question, "FRESH_SHARE", 1.0)
    monkeypatch.setattr(searching, "choose", partial(search.choose, budget_events=1))


@cache
def known() -> Searched | None:
    """What a decision at the beginning of day 0 hands on: it counts where the same is asked."""
    return Fleet().decide(MIDNIGHT_S).searched


def plan_at(hours: float, fleet: Fleet | None = None) -> DayPlan | None:
    """The plan so many hours after day 0 began."""
    asked = fleet or Fleet(searched=known())
    made = asked.decide(MIDNIGHT_S + hours * HOUR_S).fleet
    assert made is not None
    return made.plan


def present(plan: DayPlan | None) -> DayPlan:
    assert plan is not None
    return plan


def test_a_week_has_two_switches_a_day_each_in_time() -> None:
    fleet = Fleet()
    made = [
        d for d in fleet.live(around((7.75, 20), days=7, every_s=420.0)) if d.verdict == "Change"
    ]
    assert len(made) == len(fleet.changes)
    at_s = [each.at_s - MIDNIGHT_S for each in made]
    for day in range(7):
        grown, shrunk = (at - day * DAY_S for at in at_s if at // DAY_S == day)
        assert 7 * HOUR_S < grown <= 8 * HOUR_S - 60  # a rollout of one node takes a minute
        assert 20 * HOUR_S <= shrunk <= 20 * HOUR_S + MARGIN_S
    for first, third in zip(at_s, at_s[2:], strict=False):
        assert third - first >= DAY_S
    minimums = [int(written(each)["MINIMUM_IP_TARGET"]) for each in made]
    assert minimums == [24, 4] * 7
    reasons = [each.reason for each in made]
    assert reasons == [Reason.STARTS_FASTER, Reason.SAVES_ADDRESSES] * 7


def test_the_part_in_force_is_said_with_what_the_day_saves() -> None:
    plan = present(plan_at(10.0))
    assert [part.start_hour for part in plan.schedule.parts] == [8, 20]
    assert plan.part.start_hour == 8
    assert plan.schedule.held < 0.7 * plan.schedule.single_held
    lead_s = 60 + MARGIN_S
    assert (plan.since_s - MIDNIGHT_S, plan.until_s - MIDNIGHT_S) == (
        8 * HOUR_S - lead_s,
        20 * HOUR_S,
    )
    # Both are due again within a day; each may be a little late.
    assert [at_s - MIDNIGHT_S - MARGIN_S for at_s in plan.switches_s] == [
        20 * HOUR_S,
        32 * HOUR_S - lead_s,
    ]


@pytest.mark.parametrize(
    ("hours", "start_hour"),
    [(0.0, 20), (7.7, 20), (7.75, 8), (19.99, 8), (20.0, 20), (23.99, 20)],
)
def test_each_moment_has_its_part(hours: float, start_hour: int) -> None:
    assert present(plan_at(hours)).part.start_hour == start_hour


def test_a_day_keeps_its_schedule_whatever_is_in_force_and_seen_meanwhile() -> None:
    def batches(day: int, hour: int) -> int:
        return 9 if day == 0 else 24 if 8 <= hour < 20 else 4

    schedules = []
    for env in ({"WARM_ENI_TARGET": "1"}, {"WARM_IP_TARGET": "3", "MINIMUM_IP_TARGET": "13"}):
        for hours in (1.0, 22.0):
            plan = present(plan_at(hours, Fleet(batches=batches, env=dict(env))))
            schedules.append([(part.start_hour, part.targets) for part in plan.schedule.parts])
    assert all(one == other for one, other in pairwise(schedules))
    first = Fleet().decide(MIDNIGHT_S + HOUR_S)
    assert first == Fleet().decide(MIDNIGHT_S + HOUR_S)


def test_a_rollout_of_many_nodes_is_begun_so_early_that_it_has_ended() -> None:
    plan = present(plan_at(10.0, Fleet(desired=200)))  # 20 at a time take ten minutes
    assert plan.since_s - MIDNIGHT_S == 8 * HOUR_S - 10 * 60 - MARGIN_S
    # One day is too short for both rollouts of 2,000 nodes one by one.
    assert plan_at(10.0, Fleet(desired=2_000, max_unavailable="1")) is None


@pytest.mark.parametrize(
    "fleet",
    [
        Fleet(batches=lambda *_: 10),
        Fleet(since_day=-2),
        Fleet(spec={"demand": {"window": "95h"}}),
        Fleet(spec={"change": {"maxPerDay": 1}}),
        Fleet(spec={"change": {"minSaving": "60%"}}),
        Fleet(spec={"change": {"cooldown": "20h"}}),
        Fleet(strategy="OnDelete"),
        Fleet(spec={"apply": {"method": "Admission"}}),
        Fleet(spec={"bounds": {"warmIPTarget": {"max": 1}, "minimumIPTarget": {"max": 2}}}),
        Fleet(
            signals=Signals(
                in_force=(InForce(MIDNIGHT_S, WarmTargets(warm_ip=1)),),
                late=(LateStarts(MIDNIGHT_S + 9 * HOUR_S, "node-0", "blue", 30),),
            )
        ),
    ],
    ids=[
        "an even day",
        "two days seen",
        "a window of two whole days",
        "one change a day",
        "too small a saving",
        "a cooldown longer than a part",
        "pods that nobody restarts",
        "pods that get targets at birth",
        "bounds that serve no batch",
        "late starts that were measured",
    ],
)
def test_one_setting_serves_where_a_schedule_would_not(fleet: Fleet) -> None:
    assert plan_at(10.0, fleet) is None


def test_groups_beyond_the_budget_have_no_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timetable, "BUDGET_EVENTS", 1)
    assert plan_at(10.0, Fleet()) is None


def test_every_hour_must_have_been_seen_on_enough_days() -> None:
    seen = replace(trace(), since_s=MIDNIGHT_S - 2 * DAY_S, until_s=MIDNIGHT_S + DAY_S)
    assert days_seen([seen], MIDNIGHT_S - 3 * DAY_S, MIDNIGHT_S) == 2
    gone = seen.between(0.0, MIDNIGHT_S - 2_000)
    assert days_seen([gone], MIDNIGHT_S - 3 * DAY_S, MIDNIGHT_S) == 1
    nearly = seen.between(0.0, MIDNIGHT_S - 1_700)
    assert days_seen([nearly], MIDNIGHT_S - 3 * DAY_S, MIDNIGHT_S) == 2
    assert days_seen([], MIDNIGHT_S - 3 * DAY_S, MIDNIGHT_S) == 0


BY_DAY = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "24"}
BY_NIGHT = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "4"}


def after(fleet: Fleet, hours: float, *made_hours: float) -> Decision:
    """The decision after changes that were made at these hours."""
    fleet.searched = known()
    fleet.changes = [
        change(
            id=str(number),
            intended_at_s=MIDNIGHT_S + at * HOUR_S,
            completed_at_s=MIDNIGHT_S + at * HOUR_S + 60,
        )
        for number, at in enumerate(made_hours)
    ]
    return fleet.decide(MIDNIGHT_S + hours * HOUR_S)


def test_a_larger_part_that_is_due_does_not_wait_for_the_cooldown() -> None:
    grown = after(Fleet(env=dict(BY_NIGHT)), 7.75, 7.5)
    assert (grown.verdict, grown.env) == (Verdict.CHANGE, BY_DAY)
    other = after(Fleet(env={"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "3"}), 7.75, 7.5)
    assert other.reason is Reason.COOLDOWN
    assert after(Fleet(env=dict(BY_DAY)), 20.1, 19.9).reason is Reason.COOLDOWN


def test_nothing_passes_the_changes_of_a_day() -> None:
    late = after(Fleet(env=dict(BY_NIGHT)), 7.75, -10.0, 2.0)
    assert late.reason is Reason.DAILY_LIMIT


@pytest.mark.parametrize(
    ("hours", "made_hours", "reason"),
    [
        (20.1, (), Reason.SAVES_ADDRESSES),
        (20.1, (7.75,), Reason.SAVES_ADDRESSES),
        (20.1, (12.0,), Reason.DAILY_LIMIT),  # the next morning would have none
        (23.0, (), Reason.DAILY_LIMIT),  # the next evening would have none
        (26.5, (), Reason.SAVING_TOO_SMALL),  # too little is left of the night
    ],
)
def test_a_smaller_part_is_entered_only_if_the_switches_after_it_can_be_made(
    hours: float, made_hours: tuple[float, ...], reason: Reason
) -> None:
    assert after(Fleet(env=dict(BY_DAY)), hours, *made_hours).reason is reason


def test_targets_that_are_nearly_those_of_the_part_stay() -> None:
    spec = {"change": {"maxPerDay": 4}}
    nearly = Fleet(env={"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "25"}, spec=spec)
    assert after(nearly, 10.0).reason is Reason.SAVING_TOO_SMALL
    assert after(Fleet(env=dict(BY_DAY), spec=spec), 10.0).reason is Reason.TARGETS_IN_PLACE


def test_bounds_hold_for_every_part() -> None:
    spec: dict[str, Any] = {
        "bounds": {"minimumIPTarget": {"min": 7, "max": 30}, "warmIPTarget": {"min": 2, "max": 3}}
    }
    plan = present(plan_at(10.0, Fleet(spec=spec)))
    for part in plan.schedule.parts:
        assert part.targets.minimum_ip >= 7
        assert part.targets.warm_ip >= 2


def test_a_bundle_with_a_schedule_is_decided_alike() -> None:
    fleet = Fleet()
    fleet.decide(MIDNIGHT_S + HOUR_S)
    asked = fleet.inputs(MIDNIGHT_S + 1.1 * HOUR_S)
    assert asked.searched is not None
    assert asked.searched.day is not None
    assert decide(load(dump(asked))) == decide(asked)
