"""What another setting dominates is never taken; what is as good as a sure one is not doubted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.decide.grid import Candidate
from ippolicy.decide.objective import Case, pick
from ippolicy.ipamd import WarmTargets

ANCHOR = WarmTargets(warm_ip=1, minimum_ip=30)
figures = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=8
)


def case(rows: list[tuple[float, float, float]], within: list[list[bool]] | None = None) -> Case:
    """Settings with these (idle addresses, late starts, calls); ten addresses have pods."""
    idle, late, calls = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    kept = np.ones((5, len(rows)), dtype=bool) if within is None else np.array(within)
    return Case(
        held=10 + idle,
        idle=idle,
        late=late,
        within=kept,
        calls=calls,
        few_calls=1.5,
        excess=np.zeros(len(rows)),
    )


def settings(count: int) -> list[Candidate]:
    return [
        Candidate(WarmTargets(warm_ip=1, minimum_ip=20 + number), writable=True)
        for number in range(count)
    ]


@given(figures)
def test_what_is_taken_is_dominated_by_nothing(rows: list[tuple[int, int, int]]) -> None:
    judged = case([(1_000 + idle / 1_000, late, calls) for idle, late, calls in rows])
    allowed = np.arange(len(rows)) > 0
    best = rows[pick(judged, settings(len(rows)), anchor=ANCHOR, allowed=allowed).best]
    for other in rows[1:]:
        assert other == best or any(o > b for o, b in zip(other, best, strict=True))


def test_the_setting_in_force_stays_where_it_is_as_good_but_for_a_trifle() -> None:
    judged = case([(10.001, 0.0, 1.0), (10.0, 0.0, 1.0), (10.001, 0.0, 1.0)])
    every = np.ones(3, dtype=bool)
    assert pick(judged, settings(3), anchor=ANCHOR, allowed=every).best == 0
    without = np.array([False, True, True])
    assert pick(judged, settings(3), anchor=ANCHOR, allowed=without).best == 1


def test_a_setting_is_at_least_as_sure_as_one_that_it_is_no_worse_than() -> None:
    doubted = [True, True, False, False, False]
    within = [[True, kept, True] for kept in doubted]
    better = case([(50.0, 0.0, 0.0), (8.0, 0.1, 1.0), (9.0, 0.1, 1.0)], within)
    every = np.ones(3, dtype=bool)
    picked = pick(better, settings(3), anchor=ANCHOR, allowed=every)
    assert (picked.best, picked.sure) == (1, 1.0)
    later = case([(50.0, 0.0, 0.0), (8.0, 0.2, 1.0), (9.0, 0.1, 1.0)], within)
    assert pick(later, settings(3), anchor=ANCHOR, allowed=every).best == 2
