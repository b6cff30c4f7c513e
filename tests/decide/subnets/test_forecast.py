"""Exhaustion is foreseen in time, with an interval that holds, and not where nothing runs out."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from free_traces import DAY_S, START_S, STEP_S, free_trace
from ippolicy.decide.subnets.forecast import Exhaustion, Forecast, forecast, least_ahead
from ippolicy.decide.subnets.history import FreeHistory
from ippolicy.decide.subnets.trend import trend_of

HOUR_S = 3_600.0
RUNNING_OUT = ("trend", "trend+daily", "trend+bursts", "trend+daily+bursts", "trend+shift")
STEADY = ("steady", "daily", "bursts", "daily+bursts", "shift")
RUNS = 200


def watched(free: list[int], *, every_s: float = 60.0) -> FreeHistory:
    history = FreeHistory()
    for number, count in enumerate(free):
        history.add(START_S + number * every_s, count)
    return history


def told(history: FreeHistory, *, needed: int = 1) -> Forecast:
    found = forecast(history, needed=needed)
    assert found is not None
    return found


def test_the_interval_covers_the_truth_in_nine_of_ten_of_200_runs() -> None:
    covered = []
    for seed in range(RUNS):
        trace = free_trace(RUNNING_OUT[seed % len(RUNNING_OUT)], seed)
        if trace is None or trace.runs_out_s > 21 * DAY_S:
            continue
        found = told(trace.history()).exhaustion
        late_s = math.inf if found is None or found.late_s is None else found.late_s
        covered.append(found is not None and found.early_s <= trace.runs_out_s <= late_s)
    assert len(covered) >= 0.9 * RUNS
    assert np.mean(covered) >= 0.9


@pytest.mark.parametrize("family", STEADY)
def test_steady_use_gives_nothing_foreseen(family: str) -> None:
    traces = [trace for seed in range(30) if (trace := free_trace(family, seed)) is not None]
    alarms = [told(trace.history()).exhaustion for trace in traces]
    assert sum(alarm is not None for alarm in alarms) <= 1


def test_an_interval_is_no_wider_than_it_must_be() -> None:
    trace = free_trace("trend+daily", 1)
    assert trace is not None
    found = told(trace.history()).exhaustion
    assert found is not None
    assert found.late_s is not None
    assert found.late_s - found.early_s <= 0.5 * trace.runs_out_s


def test_a_drain_that_began_with_the_watch_is_seen_within_the_hour() -> None:
    history = watched([200 - 2 * minute for minute in range(40)])
    found = told(history).exhaustion
    assert found is not None
    assert found.early_s <= 60 * HOUR_S / 60 <= (found.late_s or math.inf)
    assert found.likely_s == pytest.approx(HOUR_S, rel=0.3)


def test_a_drain_after_quiet_weeks_is_seen() -> None:
    random = np.random.default_rng(5)
    quiet = 500 + random.integers(-4, 5, int(14 * DAY_S / STEP_S))
    drain = 500 - np.arange(24) * 12  # two hours, until 224 are left
    found = told(watched([*quiet.tolist(), *drain.tolist()], every_s=STEP_S)).exhaustion
    assert found is not None
    assert HOUR_S < found.likely_s < 4 * HOUR_S


def test_addresses_given_back_at_once_are_no_trend() -> None:
    random = np.random.default_rng(6)
    before = 130 - np.linspace(0, 100, 2_000) + random.normal(0, 1, 2_000)
    after = 160 + random.normal(0, 1, 60)  # five hours ago, a change gave 130 back
    found = told(watched(np.round([*before, *after]).astype(int).tolist(), every_s=STEP_S))
    assert found.exhaustion is not None  # the slow drain goes on from there
    per_day = 100 / (2_000 * STEP_S / DAY_S)
    assert found.exhaustion.likely_s == pytest.approx(160 / per_day * DAY_S, rel=0.25)


def test_a_weekly_rhythm_is_known_after_three_weeks() -> None:
    random = np.random.default_rng(7)
    at_days = np.arange(int(24 * DAY_S / STEP_S)) * STEP_S / DAY_S
    used = 120 + 80 * (at_days % 7 < 5) + random.normal(0, 1, len(at_days))
    monday = at_days < 21.3  # in the night to Monday use has just jumped up by a third of the size
    history = watched(np.round(251 - used[monday]).astype(int).tolist(), every_s=STEP_S)
    assert told(history).exhaustion is None


def test_an_exhausted_subnet_is_exhausted_now() -> None:
    found = told(watched([50 - minute for minute in range(51)]))
    assert found.exhaustion == Exhaustion(0.0, 0.0, 0.0)
    assert found.chance == 1.0


def test_more_needed_is_missed_sooner() -> None:
    history = watched([200 - minute for minute in range(90)])
    few, many = (told(history, needed=needed).exhaustion for needed in (1, 50))
    assert few is not None
    assert many is not None
    assert many.likely_s < few.likely_s


def test_too_short_a_watch_says_nothing() -> None:
    assert forecast(FreeHistory()) is None
    assert forecast(watched([100] * 12)) is None


def test_the_horizon_is_four_times_the_watch_and_at_most_four_weeks() -> None:
    assert told(watched([100] * 61)).horizon_s == pytest.approx(4 * HOUR_S)
    assert told(watched([100] * 4_000, every_s=STEP_S)).horizon_s == 28 * DAY_S


def test_what_is_likely_to_be_left_follows_the_drain() -> None:
    history = watched([200 - minute for minute in range(60)])
    trend = trend_of(history.rungs(), history.last_at_s)
    assert trend is not None
    assert least_ahead(trend, HOUR_S) == pytest.approx(80, abs=15)


def test_what_was_foreseen_an_hour_ago_is_found_again() -> None:
    # In buckets that had ended by then, nothing of what came later shows.
    then, at_s = watched([200] * 120), START_S + 118 * 60.0
    later = watched([200] * 120 + [200 - minute for minute in range(60)])
    trends = [trend_of(history.rungs(until_s=at_s), at_s) for history in (then, later)]
    assert trends[0] is not None
    assert trends[1] is not None
    assert least_ahead(trends[0], HOUR_S) == least_ahead(trends[1], HOUR_S)


def test_200_subnets_of_two_weeks_take_a_few_seconds_at_most() -> None:
    traces = [free_trace("daily+bursts", seed) for seed in range(5)]
    histories = [trace.history() for trace in traces if trace is not None]
    started_s = time.process_time()
    for number in range(40):
        forecast(histories[number % len(histories)])
    assert (time.process_time() - started_s) / 40 * 200 < 5.0


@settings(max_examples=60, deadline=None)
@given(
    free=st.lists(st.integers(0, 16_379), min_size=1, max_size=200),
    every_s=st.sampled_from([20.0, 60.0, 300.0, 3_600.0, 40_000.0]),
    needed=st.integers(0, 64),
)
def test_any_readings_give_moments_in_order(free: list[int], every_s: float, needed: int) -> None:
    found = forecast(watched(free, every_s=every_s), needed=needed)
    if found is None:
        return
    assert 0.0 <= found.chance <= 1.0
    assert math.isfinite(found.per_day)
    assert (found.exhaustion is not None) == (found.chance >= 0.5)
    if found.exhaustion is not None:
        late_s = math.inf if found.exhaustion.late_s is None else found.exhaustion.late_s
        assert 0.0 <= found.exhaustion.early_s <= found.exhaustion.likely_s <= late_s
