"""The rules and bounds to compare with, and the arithmetic of the report, on made-up cases."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from warmpool import pareto
from warmpool.clairvoyant import MOST_CHARGED_S, least_distance, least_idle
from warmpool.families import Pods
from warmpool.intervals import estimate, student_quantile
from warmpool.newsvendor import base_stock

# -- newsvendor -----------------------------------------------------------------------------------


def pods(*arrivals: int, life_s: int = 1_000) -> Pods:
    return np.array([(at, life_s) for at in arrivals], dtype=np.int64)


@pytest.mark.parametrize(
    ("delayed_share", "warm"),
    [(0.0, 4), (0.05, 4), (0.1, 3), (0.2, 2), (0.3, 1), (0.99, 1)],
)
def test_a_newsvendor_stocks_the_quantile_of_demand_within_the_lead_time(
    delayed_share: float, warm: int
) -> None:
    # Six alone, then four within 25 s: these see demands of 1, 2, 3 and 4.
    trace = pods(0, 100, 200, 300, 400, 500, 1_000, 1_008, 1_016, 1_024)
    assert base_stock(trace, delayed_share, until_s=2_000).warm_ip == warm


def test_a_newsvendor_learns_only_from_what_came_before() -> None:
    trace = pods(0, 100, 200, 200, 200)
    assert base_stock(trace, 0.0, until_s=150).warm_ip == 1
    assert base_stock(trace, 0.0, until_s=201).warm_ip == 3


def test_pods_that_are_a_lead_time_apart_do_not_add_up() -> None:
    assert base_stock(pods(0, 26, 52), 0.0, until_s=99).warm_ip == 1
    assert base_stock(pods(0, 25, 50), 0.0, until_s=99).warm_ip == 2


# -- clairvoyant ----------------------------------------------------------------------------------


def by_trying_all(events: list[int], apart_s: int) -> float:
    """The same by trying every set of actions."""
    seconds = range(events[0] - apart_s, events[-1] + 1)
    best = np.inf
    for chosen in product((False, True), repeat=len(seconds)):
        actions = [s for s, taken in zip(seconds, chosen, strict=True) if taken]
        apart = all(b - a >= apart_s for a, b in pairwise(actions))
        if not apart or not actions or actions[0] > events[0]:
            continue
        waits = [min(MOST_CHARGED_S, e - max(a for a in actions if a <= e)) for e in events]
        best = min(best, sum(waits))
    return best


@given(st.lists(st.integers(0, 11), min_size=1, max_size=6).map(sorted), st.integers(2, 4))
def test_the_least_distance_is_that_of_the_best_of_all_plans(
    events: list[int], apart_s: int
) -> None:
    assert least_distance(events, apart_s) == by_trying_all(events, apart_s)


def test_one_who_knows_the_trace_has_each_lone_address_just_in_time() -> None:
    assert least_distance([0, 100, 200], 7) == 0
    # Four within 3 s share one call, at the first: they wait 0, 1, 2 and 3 s.
    assert least_distance([50, 51, 52, 53], 7) == 6
    # Calls 7 s apart: at 50 and 57, or at 48 and 55.
    assert least_distance([50, 55], 7) == 2


def test_the_bound_counts_waits_for_pods_and_addresses_left_by_them() -> None:
    # Arrivals 3 s apart wait 3 s in sum; ends 10 s apart linger 10 s, as shrinks are 30 s apart.
    trace = np.array([(100, 1_000), (103, 1_007)], dtype=np.int64)
    assert least_idle(trace, capacity=56, from_s=0, until_s=10_000) == pytest.approx(13 / 10_000)
    assert least_idle(trace, capacity=56, from_s=0, until_s=500) == pytest.approx(3 / 500)
    # On a node of one address the second is the node's size.
    assert least_idle(trace, capacity=1, from_s=0, until_s=10_000) == 0.0


# -- the front ------------------------------------------------------------------------------------

POINTS = np.array(
    [
        [0.0, 10.0, 100.0],
        [1.0, 5.0, 100.0],
        [1.0, 5.0, 90.0],
        [2.0, 5.0, 90.0],
        [0.5, 7.0, 300.0],
        [1.0, 5.0, 90.0],
    ]
)


def test_the_front_is_what_nothing_dominates() -> None:
    assert np.flatnonzero(pareto.front(POINTS)).tolist() == [0, 2, 4, 5]
    assert np.flatnonzero(pareto.dominators(POINTS, POINTS[1])).tolist() == [2, 5]
    assert np.flatnonzero(pareto.dominators(POINTS, POINTS[3])).tolist() == [2, 5]


def test_what_differs_by_rounding_is_equal() -> None:
    of = np.array([0.1 + 0.2, 5.0, 1e6])
    assert not pareto.dominators(np.array([[0.3, 5.0, 1e6]]), of).any()


def test_better_beyond_doubt_takes_whole_intervals_in_every_figure() -> None:
    differences = np.array([[-1.0, -1.0, 0.0], [-1.0, -1.0, 0.0], [-1.0, 0.5, -9.0], [0, 0, 0]])
    half_widths = np.array([[0.5, 1.0, 0.0], [0.5, 1.5, 0.0], [0.1, 0.1, 0.1], [0, 0, 0]])
    assert pareto.surely_better(differences, half_widths).tolist() == [True, False, False, False]


# -- intervals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (9, 2.262), (19, 2.093), (10_000, 1.960)],
)
def test_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert student_quantile(degrees) == pytest.approx(quantile, rel=0.01)


def test_an_estimate_is_the_mean_with_its_interval() -> None:
    found = estimate(np.array([1.0, 2.0, 3.0]))
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert estimate(np.array([7.0])).half_width == 0.0
