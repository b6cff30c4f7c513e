"""Demand is read from traces as it happened."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, trace
from ippolicy.decide.demand import profile, quantile


def test_time_at_each_level_adds_up_to_the_time_watched() -> None:
    events = [(10, 1), (40, -1), (50, -1)]
    seen = profile([trace(level=2, span_s=100, events=events)], cooldown_s=30)
    assert seen.level_s.tolist() == [0, 50, 20, 30]
    assert (seen.observed_s, seen.nodes, seen.arrivals) == (100, 1, 1)


def test_a_lone_arrival_needs_one_address() -> None:
    seen = profile([trace(events=[(10, 1), (60, 1)])], cooldown_s=30)
    assert seen.burst_count.tolist() == [0, 2]


def test_a_replaced_pod_needs_the_cooling_address_and_its_own() -> None:
    seen = profile([trace(events=[(10, -1), (11, 1)])], cooldown_s=30)
    assert seen.burst_count.tolist() == [0, 0, 1]


def test_an_address_that_has_cooled_is_not_counted() -> None:
    seen = profile([trace(events=[(10, -1), (41, 1)])], cooldown_s=30)
    assert seen.burst_count.tolist() == [0, 1]


def test_arrivals_within_one_growth_interval_add_up() -> None:
    seen = profile([trace(events=[(10, 1), (12, 1), (16, 1), (30, 1)])], cooldown_s=30)
    assert seen.burst_count.tolist() == [0, 2, 1, 1]


def test_what_came_after_the_moment_asked_for_is_left_out() -> None:
    traces = [trace(level=0, span_s=100, events=[(10, 1), (90, 1)])]
    seen = profile(traces, cooldown_s=30, until_s=NOW_S - 50)
    assert seen.level_s.tolist() == [10, 40]
    assert (seen.arrivals, seen.observed_s) == (1, 50)


def test_no_trace_gives_an_empty_profile() -> None:
    seen = profile([], cooldown_s=30)
    assert (seen.nodes, seen.arrivals, seen.observed_s) == (0, 0, 0)
    assert quantile(seen.level_s, 0.99) == 0


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.5, 1), (0.9, 1), (0.91, 5), (1.0, 5)])
def test_a_quantile_is_the_least_value_that_covers_the_share(share: float, expected: int) -> None:
    histogram = np.array([40.0, 50.0, 0.0, 0.0, 0.0, 10.0])
    assert quantile(histogram, share) == expected


@given(weights=st.lists(st.floats(0, 1e9), min_size=1, max_size=30), share=st.floats(0, 1))
def test_a_quantile_covers_its_share(weights: list[float], share: float) -> None:
    histogram = np.array(weights)
    value = quantile(histogram, share)
    assert 0 <= value < len(weights)
    covered = histogram[: value + 1].sum()
    assert covered >= share * histogram.sum() * (1 - 1e-9)


@given(
    events=st.lists(st.tuples(st.floats(0, 7_000), st.sampled_from([1, -1])), max_size=40),
    nodes=st.integers(1, 3),
)
def test_profiles_of_several_nodes_add_up(events: list[tuple[float, int]], nodes: int) -> None:
    one = profile([trace(0, level=60, events=events)], cooldown_s=30)
    many = profile([trace(n, level=60, events=events) for n in range(nodes)], cooldown_s=30)
    assert many.nodes == nodes
    assert np.allclose(many.level_s, one.level_s * nodes)
    assert many.burst_count.tolist() == (one.burst_count * nodes).tolist()
