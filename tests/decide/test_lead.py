"""What comes before a stretch is played and not counted: a pool has the ENIs of bursts gone by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders import NOW_S, node, snapshot, trace
from ippolicy.decide.trials import Trials
from ippolicy.decide.units import DAY_S, HOUR_S, Unit, hours_of, units_of
from ippolicy.facts import NodeTrace
from ippolicy.ipamd import PoolSettings, WarmTargets


def units(seen: NodeTrace, *, new: bool = False) -> list[Unit]:
    """The units of a node that was there long before it was watched, or is new."""
    members = (node(0, created_at_s=seen.since_s if new else 0.0),)
    return units_of(snapshot(nodes=members), members, [seen], until_s=NOW_S)


def stair(span_s: float) -> NodeTrace:
    """One more pod each hour, from 1 on."""
    events = [(hour * HOUR_S + 60, 1) for hour in range(int(span_s // HOUR_S))]
    return trace(0, level=0, span_s=span_s, events=events)


def test_the_day_before_leads() -> None:
    first, second = units(stair(2 * DAY_S))
    assert (second.lead_s, second.level) == (DAY_S, 24)
    whole, part = second.trace(), second.source
    assert (whole.level, whole.span_s) == (0, 2 * DAY_S)
    assert whole.times_s.tolist() == (part.times_s - part.since_s).tolist()
    assert first.lead_s == DAY_S


def test_where_nothing_was_watched_before_a_stretch_leads_to_itself() -> None:
    (only,) = units(stair(5.5 * HOUR_S))
    led = only.trace()
    assert (only.lead_s, led.span_s) == (5 * HOUR_S, 10.5 * HOUR_S)
    # Its last five hours begin with one pod and end with five; then it begins anew, with none.
    assert led.level == 1
    assert led.changes.tolist() == [1] * 4 + [-1] * 5 + [1] * 5
    jump_s = led.times_s[led.changes < 0]
    assert all(HOUR_S * 5 - 1 <= at_s < HOUR_S * 5 for at_s in jump_s.tolist())


def test_a_new_node_and_a_short_stretch_have_no_lead() -> None:
    assert units(stair(5 * HOUR_S), new=True)[0].lead_s == 0.0
    assert units(trace(0, span_s=HOUR_S - 1))[0].lead_s == 0.0


def test_an_hour_has_seen_the_hour_before_and_the_peak_of_its_day() -> None:
    hours = [part for _, part in hours_of(units(stair(DAY_S))[0])]
    third = hours[2]
    assert (third.level, third.lead_s, third.crowd) == (2, HOUR_S, 22)
    led = third.trace()
    assert led.level == 1 + 22
    assert led.changes.tolist() == [-1] * 22 + [1, 1]
    assert led.times_s.tolist() == [0.0] * 22 + [60.0, HOUR_S + 60.0]


def burst_each_day(days: int) -> NodeTrace:
    """Two pods, and thirty more for twenty minutes at noon of each day."""
    events = [
        (day * DAY_S + 43_200.0 + pod + after_s, change)
        for day in range(days)
        for pod in range(30)
        for after_s, change in ((0.0, 1), (1_200.0, -1))
    ]
    return trace(0, level=2, span_s=days * DAY_S, events=events)


@pytest.mark.parametrize("hourly", [False, True])
def test_bursts_find_the_enis_of_those_before_them(hourly: bool) -> None:
    seen = units(burst_each_day(4))[1:]
    if hourly:
        seen = [part for day in seen for _, part in hours_of(day)]
    unled = [replace(unit, lead_s=0.0, crowd=0) for unit in seen]
    targets = [WarmTargets(warm_ip=10, minimum_ip=18)]
    late = []
    for members in (seen, unled):
        trials = Trials(members, targets, PoolSettings())
        rows = np.arange(len(members))
        trials.play(rows, np.array([0]))
        played = trials.results(rows, np.array([0]))
        assert played.starts.sum() == 90
        late.append(played.delayed.sum())
    # Whoever starts each day at rest must wait 20 s for a new ENI in each burst.
    assert late[0] < 0.7 * late[1]
