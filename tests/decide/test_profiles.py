"""A day is cut into parts only where that repays the restarts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW_S, node, snapshot, trace
from ippolicy.decide.objective import Objective
from ippolicy.decide.profiles import DayQuestion, day_schedule
from ippolicy.decide.units import DAY_S, Unit, hours_of, units_of
from ippolicy.ipamd import PoolSettings, WarmTargets

MIDNIGHT_S = NOW_S - NOW_S % DAY_S
SETTINGS = [WarmTargets(warm_ip=1, minimum_ip=m) for m in (0, 5, 10, 15, 20, 25, 30)]
ASKED = DayQuestion(
    PoolSettings(), Objective(0.05, 60.0), nodes={"blue": 10}, max_switches=2, min_saving=0.05
)


def a_day(
    batch: Callable[[int], int], nodes: int = 2, *, minutes: Sequence[int] = (30,)
) -> list[Unit]:
    """Days in which `batch(hour)` pods start at these minutes of each hour, for five minutes."""
    events = [
        (hour * 3_600 + minute * 60 + second, change)
        for hour in range(24)
        for minute in minutes
        for pod in range(batch(hour))
        for second, change in ((pod % 3, 1), (300 + pod % 3, -1))
    ]
    since_s = MIDNIGHT_S - DAY_S
    made = [trace(n, level=0, span_s=DAY_S, events=events) for n in range(nodes)]
    shift_s = since_s - made[0].since_s
    moved = [
        replace(t, since_s=since_s, until_s=MIDNIGHT_S, times_s=t.times_s + shift_s) for t in made
    ]
    members = tuple(node(n) for n in range(nodes))
    return units_of(snapshot(nodes=members), members, moved, until_s=MIDNIGHT_S)


def busy_by_day(hour: int) -> int:
    """Large batches from 8 to 20, small ones at night."""
    return 24 if 8 <= hour < 20 else 4


def test_a_day_with_clear_parts_is_cut_where_they_meet() -> None:
    schedule = day_schedule(a_day(busy_by_day), SETTINGS, ASKED)
    assert schedule is not None
    assert [part.start_hour for part in schedule.parts] == [8, 20]
    by_day, by_night = (part.targets.minimum_ip for part in schedule.parts)
    assert (by_day, by_night) == (25, 5)
    single = day_schedule(a_day(busy_by_day), SETTINGS, replace(ASKED, max_switches=1))
    assert single is not None
    assert schedule.held < 0.8 * single.held


def test_an_even_day_has_one_setting() -> None:
    schedule = day_schedule(a_day(lambda _: 10), SETTINGS, ASKED)
    assert schedule is not None
    assert [part.start_hour for part in schedule.parts] == [0]
    assert schedule.parts[0].targets.minimum_ip == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"max_switches": 1},
        {"min_saving": 0.9},
        {"objective": Objective(0.05, 0.05)},  # two restarts of ten nodes take more calls
    ],
)
def test_switches_that_are_not_allowed_or_not_repaid_are_not_made(
    changes: dict[str, Any],
) -> None:
    schedule = day_schedule(a_day(busy_by_day), SETTINGS, replace(ASKED, **changes))
    assert schedule is None or len(schedule.parts) == 1


def test_restarts_are_charged() -> None:
    schedule = day_schedule(a_day(busy_by_day, minutes=(5, 20, 35, 50)), SETTINGS, ASKED)
    assert schedule is not None
    # Twice a day two calls a node, and two for each of its ENIs; 4 pods start in the last quarter
    # before 8 and 4 in the first after 20, some of them in the 10 s of the restart.
    assert schedule.calls_per_minute >= 2 * 10 * 4 / 1_440
    pods = 4 * 12 * (24 + 4)
    assert schedule.delayed_share == pytest.approx((4 + 4) * 10 / 900 / pods)


@pytest.mark.parametrize(
    ("minutes", "wait_s"), [((0,), 900.0), ((0, 20), 1_800.0), ((5, 20, 35, 50), 0.0)]
)
def test_a_switch_to_less_waits_for_a_quarter_of_an_hour_with_few_starts(
    minutes: Sequence[int], wait_s: float
) -> None:
    schedule = day_schedule(a_day(busy_by_day, minutes=minutes), SETTINGS, ASKED)
    assert schedule is not None
    by_day, by_night = schedule.parts
    assert (by_day.grows, by_day.wait_s) == (True, 0.0)
    assert (by_night.grows, by_night.wait_s) == (False, wait_s)


def test_parts_that_are_not_found_again_on_other_days_are_not_made() -> None:
    busy = range(3, 24, 3)

    def one_busy_hour(number: int) -> list[Unit]:
        return a_day(lambda hour: 24 if hour == busy[number] else 2, nodes=1)

    alike = [unit for _ in busy for unit in one_busy_hour(2)]
    split = day_schedule(alike, SETTINGS, ASKED)
    assert split is not None
    assert len(split.parts) == 2
    unlike = [unit for number in range(len(busy)) for unit in one_busy_hour(number)]
    single = day_schedule(unlike, SETTINGS, ASKED)
    assert single is not None
    assert len(single.parts) == 1


def test_one_day_of_one_node_proves_no_parts() -> None:
    schedule = day_schedule(a_day(busy_by_day, nodes=1), SETTINGS, ASKED)
    assert schedule is not None
    assert len(schedule.parts) == 1


def test_less_than_a_day_makes_no_schedule() -> None:
    part = [part for hour, part in hours_of(a_day(busy_by_day)[0]) if hour < 23]
    assert len(part) == 23
    assert day_schedule(part, SETTINGS, ASKED) is None
