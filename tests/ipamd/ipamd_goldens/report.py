"""What checking comes to, and when a difference is more than chance."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import comb
from typing import Any

Row = dict[str, Any]

CHANCE = 0.001
"""A difference that the real ipamd's own randomness would bring less often than this is one."""


@dataclass(slots=True)
class Report:
    """Rows looked at, and what is wrong with those that do not match."""

    rows: int = 0
    mismatches: list[str] = field(default_factory=list)

    def add(self, row: str, differences: list[str]) -> None:
        """Count one row; it mismatches if there are any differences."""
        self.rows += 1
        if differences:
            self.mismatches.append(f"{row}: {'; '.join(differences)}")

    def __str__(self) -> str:
        return f"{self.rows} rows, {len(self.mismatches)} mismatches"


def differs_from_constant(outside: int, ours: int, theirs: int) -> bool:
    """Whether `outside` of `ours` runs that differ are too many, if none of `theirs` did.

    Were both samples of one process, all that differ would be among ours by pure chance.
    """
    return comb(ours, outside) / comb(ours + theirs, outside) < CHANCE


def differs_from_range(outside: int, ours: int, theirs: int) -> bool:
    """Whether `outside` of `ours` runs beyond the range of `theirs` are too many.

    The number of new values outside the range of a sample has a known law that does not depend on
    what is sampled (ties only make it smaller).
    """
    if theirs < 2:
        return outside > 0
    total = comb(ours + theirs, ours)
    beyond = ((k + 1) * comb(ours - k + theirs - 2, ours - k) for k in range(outside, ours + 1))
    return outside > 0 and sum(beyond) / total < CHANCE
