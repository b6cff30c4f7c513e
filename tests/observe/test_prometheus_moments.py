"""Where within a step events are put, which no series tells."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import node
from ippolicy.facts import NodeTrace
from ippolicy.observe.prometheus_nodes import Roster
from ippolicy.observe.prometheus_traces import BURST_POD_S, rebuild
from scraped import Event, History, stretch

START_S = 1_700_000_000.0
STEP_S = 60.0
TIMES_S = [START_S + n * STEP_S for n in range(12)]
HERE = node(0, created_at_s=0.0)


def seen(arrivals: list[int], leavers: int = 0) -> NodeTrace:
    """The trace of a node on which so many pods come in each step, at its very beginning, and
    `leavers` leave in each."""
    events = []
    for at_s, count in zip(TIMES_S, arrivals, strict=False):
        events += [Event(at_s + 0.001, "arrive")] * count + [Event(at_s + 1, "leave")] * leavers
    truth = History(HERE.name, events, TIMES_S, assigned=leavers * len(arrivals))
    (trace,) = rebuild(stretch([truth], STEP_S), Roster([HERE])).traces
    return trace


def came(trace: NodeTrace) -> list[float]:
    """When pods came, in steps since the start."""
    return [float(at_s - START_S) / STEP_S for at_s in trace.times_s[trace.changes > 0]]


def test_what_comes_as_usual_is_spread_over_its_step() -> None:
    moments = came(seen([10] * 11))
    assert [int(moment) for moment in moments] == [n for n in range(11) for _ in range(10)]
    shares = np.array(moments) % 1
    assert shares.mean() == pytest.approx(0.5, abs=0.1)
    assert shares.std() == pytest.approx(12**-0.5, abs=0.05)


def test_a_burst_in_a_quiet_time_stays_a_burst() -> None:
    moments = came(seen([0, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0]))
    assert len(moments) == 20
    assert all(4 < moment <= 5 for moment in moments)
    assert max(moments) - min(moments) <= 20 * BURST_POD_S / STEP_S


def test_a_burst_across_two_steps_is_put_where_they_meet() -> None:
    moments = came(seen([0, 0, 0, 0, 12, 8, 0, 0, 0, 0, 0]))
    assert sum(moment <= 5 for moment in moments) == 12
    assert min(moments) >= 5 - 12 * BURST_POD_S / STEP_S
    assert max(moments) <= 5 + 8 * BURST_POD_S / STEP_S


def test_a_burst_too_large_for_its_step_fills_it() -> None:
    moments = came(seen([0, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0]))
    assert min(moments) < 4.1
    assert max(moments) > 4.9


def test_two_pods_in_a_quiet_time_are_no_burst() -> None:
    apart = [abs(one - other) for one, other in pairwise(came(seen([0, 0, 2] * 3)))]
    assert max(apart[::2]) > 2 * BURST_POD_S / STEP_S


@given(st.lists(st.integers(0, 30), min_size=1, max_size=11), st.integers(0, 5))
def test_every_event_stays_in_its_step_wherever_a_burst_is_put(
    arrivals: list[int], leavers: int
) -> None:
    trace = seen(arrivals, leavers)
    steps = np.ceil((trace.times_s - START_S) / STEP_S).astype(int) - 1
    assert np.bincount(steps[trace.changes > 0], minlength=11).tolist() == arrivals + [0] * (
        11 - len(arrivals)
    )
    assert (trace.level + np.cumsum(trace.changes) >= 0).all()
