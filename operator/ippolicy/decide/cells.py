"""The settings between those of a grid, looked for where they may be better.

With more WARM_IP and more MINIMUM fewer starts wait, and more is held. So whatever lies in a cell
waits no less than its upper corner and holds no less than its lower one: it is of no use where the
upper corner is beyond a limit, nor where the lower one holds more than the best setting known.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ippolicy.decide.grid import Candidate, Values
from ippolicy.decide.objective import Mask
from ippolicy.decide.trials import Floats, Indexes


@dataclass(frozen=True, slots=True)
class Cell:
    """The settings from `lower` to `upper`, in both values."""

    lower: Values
    upper: Values

    @property
    def corners(self) -> tuple[Values, ...]:
        """The four settings that bound it."""
        (warm, minimum), (more_warm, more_minimum) = self.lower, self.upper
        return self.lower, (warm, more_minimum), (more_warm, minimum), self.upper

    def parts(self, warms: Sequence[int], minimums: Sequence[int]) -> list[Cell]:
        """Its quarters or halves, cut at the middle one of the values that lie between; none where
        none do. Values ascend."""
        cut_warms = _cut(self.lower[0], self.upper[0], warms)
        cut_minimums = _cut(self.lower[1], self.upper[1], minimums)
        if len(cut_warms) + len(cut_minimums) == 4:
            return []
        return _product(cut_warms, cut_minimums)


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What makes a cell worth a look: its upper corner is `possible` [reading, setting], and its
    lower one, by `held` [setting], holds less than `best` [reading, 1] of the same reading."""

    possible: Mask
    held: Floats
    best: Floats


def cells_of(tried: Sequence[Candidate], columns: Indexes) -> list[Cell]:
    """The cells of the grid that the settings of `columns` are."""
    warms, minimums = values_of([tried[column] for column in columns])
    points = {tried[column].values for column in columns}
    return [cell for cell in _product(warms, minimums) if points.issuperset(cell.corners)]


def values_of(tried: Sequence[Candidate]) -> tuple[list[int], list[int]]:
    """The values of WARM_IP_TARGET and of MINIMUM_IP_TARGET in a grid, ascending."""
    points = {place for c in tried if (place := c.place) is not None}
    return sorted({warm for warm, _ in points}), sorted({minimum for _, minimum in points})


def promising(
    cells: Sequence[Cell], settings: Sequence[Candidate], wanted: Sequence[Wanted]
) -> list[Cell]:
    """The cells in which something may lie that any of `wanted` asks for, whose arrays have an item
    for each of `settings`."""
    at = {setting.values: number for number, setting in enumerate(settings)}
    lower = [at[cell.lower] for cell in cells]
    upper = [at[cell.upper] for cell in cells]
    keep = np.zeros(len(cells), dtype=bool)
    for each in wanted:
        keep |= (each.possible[:, upper] & (each.held[lower] < each.best)).any(axis=0)
    return [cell for cell, kept in zip(cells, keep.tolist(), strict=True) if kept]


def beside(values: Values, step: int) -> set[Values]:
    """The settings next to one, whether or not they are in the grid; MINIMUM_IP goes by `step`."""
    warm, minimum = values
    around = {(warm + w, minimum + m) for w in (-1, 0, 1) for m in (-step, 0, step)}
    return {(w, m) for w, m in around if w >= 1 and m >= 0}


def _product(warms: Sequence[int], minimums: Sequence[int]) -> list[Cell]:
    return [
        Cell((warm, minimum), (more_warm, more_minimum))
        for warm, more_warm in pairwise(warms)
        for minimum, more_minimum in pairwise(minimums)
    ]


def _cut(low: int, high: int, values: Sequence[int]) -> tuple[int, ...]:
    between = values[bisect_right(values, low) : bisect_left(values, high)]
    return (low, between[len(between) // 2], high) if between else (low, high)
