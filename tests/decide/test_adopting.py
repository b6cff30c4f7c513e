"""What was seen before this process is taken up once, and unwatched time is never made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, node
from ippolicy.decide.demand import profile
from ippolicy.decide.history import DemandHistory
from ippolicy.facts import NodeTrace, PodEvent, watched_s

HOUR_S = 3_600.0


def started(at_s: float = NOW_S, *, window_s: float = 24 * HOUR_S) -> DemandHistory:
    return DemandHistory(window_s=window_s, started_at_s=at_s)


def seen(
    since_s: float,
    until_s: float,
    *,
    name: str = "node-0",
    level: int = 5,
    events: Sequence[tuple[float, int]] = (),
    group: str = "blue",
) -> NodeTrace:
    """A node watched between two times, which like those of events are seconds after NOW_S."""
    return NodeTrace(
        node=name,
        group=group,
        since_s=NOW_S + since_s,
        until_s=NOW_S + until_s,
        level=level,
        times_s=np.array([NOW_S + at_s for at_s, _ in events], dtype=np.float64),
        changes=np.array([change for _, change in events], dtype=np.int8),
    )


def told(trace: NodeTrace) -> tuple[object, ...]:
    """All of a trace, times as seconds after NOW_S, comparable."""
    return (
        trace.node,
        trace.group,
        round(trace.since_s - NOW_S, 3),
        round(trace.until_s - NOW_S, 3),
        trace.level,
        np.round(trace.times_s - NOW_S, 3).tolist(),
        trace.changes.tolist(),
    )


def everything(history: DemandHistory, now_s: float) -> list[tuple[object, ...]]:
    return sorted((told(trace) for trace in history.traces(now_s)), key=repr)


def test_what_ended_where_recording_began_goes_in_front_of_it() -> None:
    history = started()
    history.sync([node(0)], {"node-0": 6}, NOW_S)
    history.record(PodEvent(NOW_S + 5, "node-0", -1))
    history.adopt([seen(-100, 0, level=5, events=[(-40, 1)])])
    assert everything(history, NOW_S + 60) == [
        ("node-0", "blue", -100, 60, 5, [-40, 5], [1, -1]),
    ]


def test_time_that_nobody_watched_is_in_no_trace() -> None:
    history = started()
    history.sync([node(0)], {"node-0": 9}, NOW_S)
    history.adopt([seen(-400, -300, level=5)])
    traces = history.traces(NOW_S + 60)
    assert sorted(map(told, traces), key=repr) == [
        ("node-0", "blue", -400, -300, 5, [], []),
        ("node-0", "blue", 0, 60, 9, [], []),
    ]
    assert watched_s(traces) == 160


def test_a_gap_is_neither_demand_at_rest_nor_a_burst() -> None:
    history = started()
    history.sync([node(0)], {"node-0": 9}, NOW_S)
    history.adopt([seen(-400, -300, level=5)])
    demand = profile(history.traces(NOW_S + 60), cooldown_s=30)
    assert demand.arrivals == 0
    assert {n: s for n, s in enumerate(demand.level_s) if s} == {5: 100, 9: 60}
    assert (demand.observed_s, demand.nodes) == (160, 1)


def test_a_level_that_differs_where_two_sources_meet_is_no_burst() -> None:
    history = started()
    history.sync([node(0)], {"node-0": 6}, NOW_S)
    history.adopt([seen(-100, 0, level=5)])
    assert [trace.changes.tolist() for trace in history.traces(NOW_S + 60)] == [[], []]


def test_of_times_that_were_recorded_nothing_is_adopted() -> None:
    history = started()
    history.sync([node(0)], {"node-0": 6}, NOW_S)
    history.record(PodEvent(NOW_S + 5, "node-0", -1))
    history.adopt([seen(-100, 60, level=5, events=[(-40, 1), (4, -1), (50, 1)])])
    assert everything(history, NOW_S + 60) == [
        ("node-0", "blue", -100, 60, 5, [-40, 5], [1, -1]),
    ]


def test_a_node_that_is_gone_is_evidence_for_its_group() -> None:
    history = started()
    history.sync([node(0)], {"node-0": 6}, NOW_S)
    history.adopt([seen(-500, -100, name="node-9", group="green", events=[(-200, 1)])])
    assert ("node-9", "green", -500, -100, 5, [-200], [1]) in everything(history, NOW_S)
    history.trim(NOW_S + 24 * HOUR_S - 99)
    assert [trace.node for trace in history.traces(NOW_S)] == ["node-0"]


def test_a_node_adopted_before_it_is_seen_is_no_other_node_then() -> None:
    history = started()
    history.adopt([seen(-500, -100)])
    history.sync([node(0)], {"node-0": 6}, NOW_S)
    assert [trace.node for trace in history.traces(NOW_S + 60)] == ["node-0", "node-0"]
    assert profile(history.traces(NOW_S + 60), cooldown_s=30).nodes == 1


def test_what_is_older_than_the_window_is_not_adopted() -> None:
    history = started(window_s=HOUR_S)
    history.adopt(
        [
            seen(-9 * HOUR_S, -2 * HOUR_S),
            seen(-2 * HOUR_S, -600, level=5, events=[(-1.5 * HOUR_S, 1), (-1_200, -1)]),
        ]
    )
    assert everything(history, NOW_S) == [
        ("node-0", "blue", -HOUR_S, -600, 6, [-1_200], [-1]),
    ]


def test_a_hole_between_two_traces_is_filled_from_another_source() -> None:
    history = started()
    history.sync([node(0)], {"node-0": 6}, NOW_S)
    history.adopt([seen(-500, -300, level=5)])
    history.adopt([seen(-900, 0, level=4, events=[(-600, 1), (-100, 1)])])
    assert everything(history, NOW_S + 1) == [
        ("node-0", "blue", -900, 1, 4, [-600, -100], [1, 1]),
    ]


@given(order=st.permutations(range(4)), repeated=st.lists(st.integers(0, 3), max_size=4))
def test_slices_add_up_to_one_trace_in_any_order_and_count_once(
    order: list[int], repeated: list[int]
) -> None:
    whole = seen(-400, 0, level=5, events=[(-333.3, 1), (-200, -1), (-150, 1), (-0.1, 1)])
    slices = [whole.between(NOW_S - 400 + 100 * n, NOW_S - 300 + 100 * n) for n in range(4)]
    history = started()
    history.sync([node(0)], {"node-0": 7}, NOW_S)
    for number in (*order, *repeated):
        history.adopt([slices[number]])
    assert everything(history, NOW_S) == [told(whole)]


_EVENTS = st.lists(st.tuples(st.floats(0, 50), st.sampled_from([1, -1])), max_size=20)


def _recorded(number: int, since_s: float, level: int, steps: list[tuple[float, int]]) -> NodeTrace:
    at_s, events = since_s, []
    for wait_s, change in steps:
        at_s = round(at_s + wait_s, 1)
        events.append((at_s, change))
    return seen(since_s, at_s + 1, name=f"node-{number}", level=level, events=events)


@given(
    data=st.lists(
        st.tuples(st.integers(0, 3), st.floats(-3_000, -1_500), st.integers(20, 40), _EVENTS),
        max_size=8,
    )
)
def test_adopting_the_same_twice_changes_nothing(
    data: list[tuple[int, float, int, list[tuple[float, int]]]],
) -> None:
    traces = [_recorded(*one) for one in data]
    once, twice = started(), started()
    for history, times in ((once, 1), (twice, 2)):
        history.sync([node(0), node(1)], {"node-0": 3}, NOW_S - 1_700)
        for _ in range(times):
            history.adopt(traces)
    assert everything(once, NOW_S) == everything(twice, NOW_S)
    for name in {trace.node for trace in once.traces(NOW_S)}:
        spans = [(t.since_s, t.until_s) for t in once.traces(NOW_S) if t.node == name]
        assert sum(b - a for a, b in spans) == pytest.approx(
            watched_s([t for t in once.traces(NOW_S) if t.node == name])
        )


@given(starts=st.lists(st.floats(0, 900), min_size=1, max_size=6))
def test_times_keep_their_value_through_any_number_of_restarts(starts: list[float]) -> None:
    traces: Sequence[NodeTrace] = [seen(-900, -1, events=[(-800.3, 1), (-77.7, -1), (-1.1, 1)])]
    for start_s in starts:
        history = started(NOW_S + start_s)
        history.adopt(traces)
        traces = history.traces(NOW_S + start_s)
    assert [told(trace) for trace in traces] == [
        ("node-0", "blue", -900, -1, 5, [-800.3, -77.7, -1.1], [1, -1, 1])
    ]
