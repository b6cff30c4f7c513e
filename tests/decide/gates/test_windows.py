"""A window is open for its duration from each time of its schedule on, on real clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.api import Window
from ippolicy.decide.gates.windows import is_open, next_opening_s, window_gate
from ippolicy.decide.types import Reason

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")
# Days around the changes of clocks of these zones in 2026, and some without any.
DAYS = [date(2026, 3, 7), date(2026, 3, 28), date(2026, 4, 4), date(2026, 6, 10)]
DAYS += [date(2026, 10, 3), date(2026, 10, 24), date(2026, 10, 31), date(2026, 12, 30)]


def window(cron: str, duration: str = "4h", zone: str = "UTC") -> Window:
    return Window.model_validate({"cron": cron, "duration": duration, "timeZone": zone})


def at(text: str, zone: str = "UTC", *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


NIGHTS = window("0 2 * * 1-5", zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "opened"),
    [
        ("2026-11-23 01:59:59", False),
        ("2026-11-23 02:00:00", True),
        ("2026-11-23 05:59:59", True),
        ("2026-11-23 06:00:00", False),
        ("2026-11-22 03:00:00", False),  # a Sunday
    ],
)
def test_a_window_opens_at_its_time_and_closes_after_its_duration(
    now: str, *, opened: bool
) -> None:
    assert is_open(NIGHTS, at(now, "Europe/Berlin")) is opened


def test_a_closed_window_says_when_the_next_of_all_opens() -> None:
    stop = window_gate([NIGHTS, window("0 12 1 * *")], at("2026-11-27 12:00", "Europe/Berlin"))
    assert stop is not None
    assert stop.reason is Reason.OUTSIDE_WINDOW
    assert stop.message == (
        "no window of change.windows is open: the next opens 2026-11-30 02:00 Europe/Berlin "
        "(0 2 * * 1-5 Europe/Berlin for 4h)"
    )


def test_one_open_window_of_many_is_enough() -> None:
    now_s = at("2026-11-22 12:30")
    assert window_gate([NIGHTS, window("0 12 * * *", "1h")], now_s) is None


def test_without_windows_any_time_is_right() -> None:
    assert window_gate([], at("2026-11-22 12:30")) is None


def test_a_time_that_the_clocks_skip_opens_right_after_the_gap() -> None:
    # On 2026-03-29 Berlin goes from 02:00 to 03:00.
    gap = window("30 2 * * *", "1h", "Europe/Berlin")
    opens_s = next_opening_s(gap, at("2026-03-29 00:00", "Europe/Berlin"))
    assert opens_s == at("2026-03-29 03:00", "Europe/Berlin") == at("2026-03-29 01:00")
    assert not is_open(gap, opens_s - 1)
    assert is_open(gap, opens_s)
    assert not is_open(gap, opens_s + 3_600)


def test_a_time_that_comes_twice_opens_at_the_first_alone() -> None:
    # On 2026-10-25 Berlin has 02:00 to 03:00 twice.
    twice = window("30 2 * * *", "15m", "Europe/Berlin")
    first_s = at("2026-10-25 00:30")
    assert next_opening_s(twice, first_s - 1) == first_s
    assert is_open(twice, first_s)
    second_s = at("2026-10-25 02:30", "Europe/Berlin", fold=1)
    assert second_s == first_s + 3_600
    assert not is_open(twice, second_s)
    assert next_opening_s(twice, first_s) == at("2026-10-26 02:30", "Europe/Berlin")


def test_a_window_lasts_its_duration_whatever_the_clocks_do() -> None:
    over = window("0 1 * * *", "4h", "Europe/Berlin")
    for opens_s in (at("2026-03-29 00:00"), at("2026-10-24 23:00")):
        assert is_open(over, opens_s + 4 * 3_600 - 1)
        assert not is_open(over, opens_s + 4 * 3_600)


def starts(
    minutes: list[int], hours: list[int], days: list[int], zone: str, day: date
) -> set[float]:
    """The times from ten days before `day` to ten after it, by looking at each."""
    found = set()
    for offset in range(-10, 11):
        on = day + timedelta(days=offset)
        if on.isoweekday() % 7 not in days:
            continue
        for hour in hours:
            for minute in minutes:
                local = datetime.combine(on, time(hour, minute), ZoneInfo(zone))
                while local.astimezone(UTC).astimezone(ZoneInfo(zone)) != local:
                    local += timedelta(minutes=1)  # on clocks: it is in a gap
                found.add(local.timestamp())
    return found


def some(least: int, most: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(least, most), min_size=1, max_size=3, unique=True)


@given(
    minutes=some(0, 59),
    hours=some(0, 23),
    days=some(0, 6),
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(DAYS),
    into_s=st.floats(0, 3 * 86_400),
    duration_m=st.integers(1, 2_880),
)
def test_it_is_open_if_it_opened_within_its_duration(**case: Any) -> None:
    minutes, hours, days, zone = (case[name] for name in ("minutes", "hours", "days", "zone"))
    lists = (",".join(map(str, one)) for one in (minutes, hours, days))
    minute, hour, weekday = lists
    one = window(f"{minute} {hour} * * {weekday}", f"{case['duration_m']}m", zone)
    expected = starts(minutes, hours, days, zone, case["day"])
    now_s = datetime(*case["day"].timetuple()[:3], tzinfo=UTC).timestamp() + case["into_s"]
    since_s = now_s - case["duration_m"] * 60
    assert is_open(one, now_s) is any(since_s < start <= now_s for start in expected)
    assert next_opening_s(one, now_s) == min(start for start in expected if start > now_s)


@given(st.sampled_from(ZONES), st.sampled_from(DAYS), st.floats(0, 3 * 86_400))
def test_one_that_opens_each_minute_is_always_open(zone: str, day: date, into_s: float) -> None:
    now_s = datetime(*day.timetuple()[:3], tzinfo=UTC).timestamp() + into_s
    always = window("* * * * *", "1m", zone)
    assert is_open(always, now_s)
    assert now_s < next_opening_s(always, now_s) <= now_s + 60
