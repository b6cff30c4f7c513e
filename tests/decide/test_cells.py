"""Between the settings of a grid, only what may be better is looked at."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.decide.cells import Cell, Wanted, beside, cells_of, promising, values_of
from ippolicy.decide.grid import Candidate
from ippolicy.ipamd import WarmTargets


def setting(warm: int, minimum: int) -> Candidate:
    return Candidate(WarmTargets(warm_ip=warm, minimum_ip=minimum), writable=True)


GRID = [setting(w, m) for w in (1, 3, 8) for m in (0, 10)]


def test_a_grid_has_a_cell_between_each_two_values_of_both() -> None:
    tried = [Candidate(WarmTargets(), writable=True), *GRID]
    every = np.arange(len(tried))
    assert values_of(tried) == ([1, 3, 8], [0, 10])
    assert cells_of(tried, every) == [Cell((1, 0), (3, 10)), Cell((3, 0), (8, 10))]
    # Where a corner was not played there is no cell.
    assert cells_of(tried, every[:-1]) == [Cell((1, 0), (3, 10))]


@given(
    low=st.tuples(st.integers(1, 20), st.integers(0, 40)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 30)),
    step=st.sampled_from([1, 16]),
)
def test_parts_of_parts_come_down_to_every_setting_of_a_cell(
    low: tuple[int, int], size: tuple[int, int], step: int
) -> None:
    low = (low[0], low[1] * step)
    high = (low[0] + size[0], low[1] + size[1] * step)
    cells, seen = [Cell(low, high)], set[tuple[int, int]]()
    while cells:
        seen |= {corner for cell in cells for corner in cell.corners}
        cells = [p for c in cells for p in c.parts(range(99), range(0, 2_000, step))]
    assert seen == {
        (w, m) for w in range(low[0], high[0] + 1) for m in range(low[1], high[1] + 1, step)
    }


def test_a_cell_is_of_use_only_if_its_upper_corner_is_possible_and_its_lower_one_holds_less() -> (
    None
):
    held = np.array([1.0, 11.0, 3.0, 13.0, 8.0, 18.0])
    cells = cells_of(GRID, np.arange(len(GRID)))

    def found(possible: list[int], best: float) -> list[Cell]:
        mask = np.isin(np.arange(len(GRID)), possible)[None, :]
        return promising(cells, GRID, [Wanted(mask, held, np.array([[best]]))])

    small, large = cells
    assert found([3, 5], 4.0) == [small, large]
    assert found([3, 5], 3.0) == [small]
    assert found([5], 4.0) == [large]
    assert found([0, 1, 2, 4], 99.0) == []


def test_next_to_a_setting_nothing_is_below_the_least() -> None:
    assert beside((1, 0), 16) == {(w, m) for w in (1, 2) for m in (0, 16)}
    assert len(beside((5, 20), 1)) == 9
