"""What is counted between snapshots, and what the model makes of the demand there was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, daemon_set, node, pool, snapshot, trace
from ippolicy.decide.environment import read_environment
from ippolicy.decide.hindsight import Look, in_hindsight
from ippolicy.decide.measure import KEPT_S, MOST_GAP_S, SLOT_S, STARTING_S, Counts, Meter
from ippolicy.decide.running import Running
from ippolicy.facts import PoolCounters, Signals, Snapshot
from ippolicy.ipamd import PoolSettings, WarmTargets

START_S = NOW_S - NOW_S % SLOT_S


def seen(at_s: float, counters: Mapping[str, Any] | None = None, **other: Any) -> Snapshot:
    """Two nodes at `START_S + at_s`; `counters` are those of the first."""
    now_s = START_S + at_s
    first = pool(0, read_at_s=now_s, counters=PoolCounters(**(counters or {})), **other)
    return snapshot(
        2, taken_at_s=now_s, pools={"node-0": first, "node-1": pool(1, read_at_s=now_s)}
    )


def counted(*snapshots: Snapshot) -> Counts:
    """All that was counted in the snapshots together."""
    meter = Meter()
    for each in snapshots:
        meter.note(each)
    return meter.between(0.0, 9e9)


def test_addresses_held_are_the_mean_over_the_time_watched() -> None:
    found = counted(seen(0), seen(60, held=42), seen(120, held=22))
    assert found.watched_s == 120
    assert found.held == pytest.approx((84 + 64) / 2)
    assert found.pods == 40


def test_nodes_that_were_not_read_count_as_the_others() -> None:
    half = snapshot(2, taken_at_s=START_S + 60, pools={"node-0": pool(0, held=30)})
    assert counted(seen(0), half).held == 60
    nothing = snapshot(2, taken_at_s=START_S + 60, pools={})
    assert counted(seen(0), nothing) == Counts()


def test_starts_late_starts_calls_and_errors_are_those_since_the_reading_before() -> None:
    later = {
        "add_requests": 30,
        "no_available_addresses": 4,
        "ec2_calls": {"AssignPrivateIpAddresses": 6, "DescribeNetworkInterfaces": 9},
        "ec2_errors": {"DeleteNetworkInterface": 2, "AssignPrivateIpAddresses": 0},
    }
    found = counted(seen(0), seen(40), seen(60, later))
    assert (found.starts, found.late, found.incidents) == (26, 4, 1)
    assert (found.failed_adds, found.calls, found.errors) == (4, 6, 2)
    assert found.late_share == pytest.approx(4 / 26)
    assert found.calls_per_minute == pytest.approx(6)


def test_a_pod_that_waits_on_is_late_once_however_often_it_is_tried() -> None:
    def tried(at_s: float, times: int, assigned: int) -> Snapshot:
        counters = {"add_requests": 20 + times, "no_available_addresses": times}
        facts = seen(at_s, counters, assigned=assigned)
        return replace(facts, pods_per_node={"node-0": 22, "node-1": 20})

    first = [tried(0, 0, 20), tried(40, 0, 20), tried(60, 6, 20), tried(80, 12, 20)]
    found = counted(*first)
    assert (found.late, found.incidents, found.failed_adds) == (2, 1, 12)
    served = tried(100, 16, 22)
    assert counted(*first, served).late == 2
    assert counted(*first, served, tried(120, 19, 22)).late == 3


def test_a_node_counts_only_once_its_pool_had_time_to_fill() -> None:
    late = {"add_requests": 9, "no_available_addresses": 9}
    assert counted(seen(0), seen(20, late)).late == 0
    restarted = seen(100, restarts=1)
    young = seen(100 + STARTING_S - 5, late, restarts=1)
    assert counted(seen(0), seen(60), restarted, young).late == 0
    assert counted(seen(0), seen(60), seen(100, late)).late > 0


def test_without_starts_there_is_no_share() -> None:
    assert counted(seen(0), seen(60)).late_share is None
    assert (Counts().held, Counts().pods, Counts().calls_per_minute) == (0, 0, 0)


def test_what_is_asked_for_between_two_moments_is_to_the_nearest_slot() -> None:
    meter = Meter()
    for minute in range(11):
        meter.note(seen(60 * minute))
    assert meter.between(START_S + 120, START_S + 300).watched_s == 180
    assert meter.between(START_S + 601 + SLOT_S, 9e9) == Counts()


@pytest.mark.parametrize("gap_s", [MOST_GAP_S, 3_600.0, 0.0, -60.0, -3_600.0])
def test_a_clock_that_jumps_counts_nothing_for_the_jump(gap_s: float) -> None:
    meter = Meter()
    for at_s in (0.0, 60.0, 60.0 + gap_s, 120.0 + gap_s):
        meter.note(seen(at_s))
    assert meter.between(0.0, 9e9).watched_s <= 120


@given(st.lists(st.floats(-7_200, 7_200), max_size=40))
def test_whatever_the_clock_does_no_more_is_counted_than_went_by(steps: list[float]) -> None:
    meter, at_s, gone_s = Meter(), 0.0, 0.0
    meter.note(seen(at_s))
    for step in steps:
        at_s += step
        gone_s += step if 0 < step < MOST_GAP_S else 0.0
        meter.note(seen(at_s))
    found = meter.between(0.0, 9e9)
    assert found.watched_s <= gone_s + 1e-3
    assert found.held == pytest.approx(84) or not found.watched_s


def test_what_is_older_than_a_day_is_forgotten() -> None:
    meter = Meter()
    meter.note(seen(0))
    meter.note(seen(60))
    meter.note(seen(60 + KEPT_S + 60))
    meter.note(seen(60 + KEPT_S + 120))
    assert meter.between(0.0, 9e9).watched_s == 60


# -- in hindsight -----------------------------------------------------------------------------

DEFAULTS, LEAN = WarmTargets(warm_eni=1), WarmTargets(warm_ip=1, minimum_ip=20)
SETTINGS: PoolSettings = read_environment(daemon_set().env).settings
STEADY = [trace(number, level=20) for number in range(10)]


def look(**changes: Any) -> Look:
    return Look(**{"snapshot": snapshot(), "traces": STEADY, "signals": Signals(), **changes})


def test_at_rest_the_model_says_what_a_node_settles_at() -> None:
    defaults, lean = in_hindsight(look(), NOW_S - 3_600, SETTINGS, [DEFAULTS, LEAN])
    assert lean.held == pytest.approx(10 * 21, rel=0.01)
    assert defaults.held == pytest.approx(10 * 42, rel=0.01)
    assert lean.held_low < lean.held < lean.held_high
    assert lean.delayed_share == 0.0
    assert lean.ec2_calls_per_minute == pytest.approx(0.0, abs=0.5)


def test_only_the_demand_since_then_counts() -> None:
    grown = [trace(n, level=5, events=[(3_600 + i, 1) for i in range(15)]) for n in range(10)]
    (all_of_it,) = in_hindsight(look(traces=grown), NOW_S - 7_200, SETTINGS, [LEAN])
    (late,) = in_hindsight(look(traces=grown), NOW_S - 3_000, SETTINGS, [LEAN])
    assert late.held > all_of_it.held


def test_a_node_that_was_there_for_half_of_the_time_counts_half() -> None:
    short = [trace(0, level=20), trace(1, level=20, span_s=1_800)]
    two = snapshot(2, nodes=(node(0), node(1)))
    (found,) = in_hindsight(look(snapshot=two, traces=short), NOW_S - 3_600, SETTINGS, [LEAN])
    assert found.held == pytest.approx(1.5 * 21, rel=0.02)


def test_nothing_is_said_of_demand_that_nobody_watched() -> None:
    assert in_hindsight(look(traces=[]), NOW_S - 3_600, SETTINGS, [LEAN]) == ()


def test_what_is_in_force_is_replayed_on_each_node_as_it_runs_there() -> None:
    running = Running(SETTINGS, {f"node-{n}": LEAN for n in range(4)})
    mixed, lean = in_hindsight(look(), NOW_S - 3_600, SETTINGS, [running, LEAN])
    assert mixed.held == pytest.approx(4 * 21 + 6 * 42, rel=0.01)
    assert lean.held == pytest.approx(10 * 21, rel=0.01)


def test_of_a_large_fleet_a_fair_sample_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ippolicy.decide.hindsight.MOST_EVENTS", 800)
    many = [trace(number, level=20) for number in range(40)]
    (found,) = in_hindsight(
        look(snapshot=snapshot(40), traces=many), NOW_S - 3_600, SETTINGS, [LEAN]
    )
    assert found.held == pytest.approx(40 * 21, rel=0.02)


def test_after_a_clock_was_put_back_nodes_are_counted_on() -> None:
    meter = Meter()
    calls = iter(range(10, 100, 10))
    for at_s in (3_600, 3_660, 0, 60, 120):
        meter.note(seen(at_s, {"ec2_calls": {"AssignPrivateIpAddresses": next(calls)}}))
    assert meter.between(START_S + 60, START_S + 200).calls == 10
