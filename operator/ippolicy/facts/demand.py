"""The demand of one node over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NodeTrace:
    """Demand of one node from `since_s` to `until_s`.

    `level` is the number of pods at `since_s`; `times_s` (float64, ascending, seconds since the
    epoch) and `changes` (int8, -1 or +1) have one item an event.
    """

    node: str
    group: str
    since_s: float
    until_s: float
    level: int
    times_s: NDArray[np.float64]
    changes: NDArray[np.int8]

    @property
    def span_s(self) -> float:
        """Seconds that this node was watched."""
        return max(0.0, self.until_s - self.since_s)
