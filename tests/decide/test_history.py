"""The demand history keeps what happened, within its window, and nothing else."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, node
from ippolicy.decide.history import DemandHistory
from ippolicy.facts import PodEvent


def history(window_s: float = 3_600.0) -> DemandHistory:
    return DemandHistory(window_s=window_s, started_at_s=NOW_S)


def test_a_node_begins_with_the_pods_it_has() -> None:
    seen = history()
    seen.sync([node(0)], {"node-0": 7}, NOW_S)
    (trace,) = seen.traces(NOW_S + 60)
    assert (trace.level, trace.span_s, trace.group, len(trace.times_s)) == (7, 60.0, "blue", 0)


def test_arrivals_and_departures_are_kept_with_their_times() -> None:
    seen = history()
    seen.sync([node(0)], {"node-0": 1}, NOW_S)
    seen.record(PodEvent(NOW_S + 5, "node-0", 1))
    seen.record(PodEvent(NOW_S + 9, "node-0", -2))
    (trace,) = seen.traces(NOW_S + 10)
    assert trace.changes.tolist() == [1, -1, -1]
    assert np.allclose(trace.times_s - NOW_S, [5, 9, 9])


def test_events_of_nodes_that_are_not_ours_are_not_kept() -> None:
    seen = history()
    seen.sync([], {}, NOW_S)
    seen.record(PodEvent(NOW_S + 5, "fargate-1", 1))
    assert len(seen) == 0


def test_a_level_that_disagrees_is_put_right() -> None:
    seen = history()
    seen.sync([node(0)], {"node-0": 5}, NOW_S)
    seen.sync([node(0)], {"node-0": 3}, NOW_S + 10)
    (trace,) = seen.traces(NOW_S + 20)
    assert trace.changes.tolist() == [-1, -1]


def test_a_node_that_is_gone_still_counts_until_the_window_has_passed() -> None:
    seen = history(window_s=100)
    seen.sync([node(0)], {"node-0": 5}, NOW_S)
    seen.sync([], {}, NOW_S + 50)
    seen.trim(NOW_S + 149)
    (trace,) = seen.traces(NOW_S + 149)
    assert trace.until_s == NOW_S + 50
    seen.trim(NOW_S + 151)
    assert seen.traces(NOW_S + 151) == ()


def test_pods_never_become_negative() -> None:
    seen = history()
    seen.sync([node(0)], {"node-0": 1}, NOW_S)
    seen.record(PodEvent(NOW_S + 1, "node-0", -3))
    (trace,) = seen.traces(NOW_S + 2)
    assert trace.changes.tolist() == [-1]


@given(
    steps=st.lists(st.tuples(st.floats(0, 50), st.sampled_from([1, -1])), max_size=60),
    window_s=st.floats(1, 500),
)
def test_trimming_never_changes_the_level_of_now(
    steps: list[tuple[float, int]], window_s: float
) -> None:
    seen, level, at_s = history(window_s), 10, NOW_S
    seen.sync([node(0)], {"node-0": level}, NOW_S)
    for wait_s, change in steps:
        at_s += wait_s
        if level + change >= 0:
            level += change
        seen.record(PodEvent(at_s, "node-0", change))
        seen.trim(at_s)
    (trace,) = seen.traces(at_s)
    assert trace.level + int(trace.changes.sum()) == level
    assert trace.span_s <= window_s + 0.2
    assert np.all(np.diff(trace.times_s) >= 0)


def test_a_day_of_events_takes_little_memory() -> None:
    nodes, events_each = 200, 2_400
    seen = history(window_s=86_400)
    tracemalloc.start()
    seen.sync([node(n) for n in range(nodes)], {}, NOW_S)
    for number in range(nodes):
        for event in range(events_each):
            seen.record(PodEvent(NOW_S + event * 36, f"node-{number}", 1 if event % 2 == 0 else -1))
    used_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    bytes_for_5000_nodes = used_bytes / nodes * 5_000
    assert bytes_for_5000_nodes < 200 * 2**20


def test_a_clock_that_was_ahead_leaves_no_burst_behind() -> None:
    seen = history()
    seen.sync([node(0)], {"node-0": 3}, NOW_S)
    seen.record(PodEvent(NOW_S + 5, "node-0", 1))
    seen.record(PodEvent(NOW_S + 3_600, "node-0", 1))
    seen.sync([node(0), node(1)], {"node-0": 5, "node-1": 2}, NOW_S + 3_600)
    seen.set_back(NOW_S + 30)
    seen.sync([node(0), node(1)], {"node-0": 5, "node-1": 2}, NOW_S + 30)
    for at_s in (40, 50):
        seen.record(PodEvent(NOW_S + at_s, "node-0", 1))
    found = {(t.node, t.since_s - NOW_S): t for t in seen.traces(NOW_S + 60)}
    assert set(found) == {("node-0", 0), ("node-0", 30), ("node-1", 30)}
    past, now = found["node-0", 0], found["node-0", 30]
    assert (past.level, past.level_at_end, past.until_s - NOW_S) == (3, 4, 30)
    assert (now.level, now.level_at_end) == (5, 7)
    assert np.allclose(now.times_s - NOW_S, [40, 50])


def test_a_clock_that_is_put_back_a_little_changes_nothing() -> None:
    seen = history()
    seen.sync([node(0)], {"node-0": 3}, NOW_S)
    seen.record(PodEvent(NOW_S + 5, "node-0", 1))
    seen.set_back(NOW_S + 6)
    (trace,) = seen.traces(NOW_S + 60)
    assert (trace.span_s, trace.level_at_end) == (60.0, 4)
