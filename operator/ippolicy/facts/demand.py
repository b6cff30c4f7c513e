"""The demand of one node over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NodeTrace:
    """Demand of one node from `since_s` to `until_s`, watched throughout.

    A node that was not watched for a while has a trace for each time that it was: what happened
    between them is not known, so it is in neither.

    `level` is the number of pods at `since_s`; `times_s` (float64, ascending, seconds since the
    epoch) and `changes` (int8, -1 or +1) have one item an event. `weight` is above 1 where it was
    drawn from many: it then stands for so many nodes of its group.
    """

    node: str
    group: str
    since_s: float
    until_s: float
    level: int
    times_s: NDArray[np.float64]
    changes: NDArray[np.int8]
    weight: float = 1.0

    @property
    def span_s(self) -> float:
        """Seconds that this node was watched."""
        return max(0.0, self.until_s - self.since_s)

    @property
    def level_at_end(self) -> int:
        """The number of pods at `until_s`."""
        return self.level + int(self.changes.sum(dtype=np.int64))

    def between(self, since_s: float, until_s: float) -> NodeTrace:
        """The part of it from `since_s` on and before `until_s`; nothing is added outside it."""
        first, last = 0, len(self.times_s)
        if since_s > self.since_s:
            first = int(np.searchsorted(self.times_s, since_s))
        if until_s < self.until_s:
            last = int(np.searchsorted(self.times_s, until_s))
        return replace(
            self,
            since_s=max(since_s, self.since_s),
            until_s=min(until_s, self.until_s),
            level=max(0, self.level + int(self.changes[:first].sum(dtype=np.int64))),
            times_s=self.times_s[first:last],
            changes=self.changes[first:last],
        )


def watched_s(traces: Iterable[NodeTrace]) -> float:
    """Seconds in which any of the nodes was watched, each second counted once."""
    total_s, seen_until_s = 0.0, float("-inf")
    for since_s, until_s in sorted((trace.since_s, trace.until_s) for trace in traces):
        total_s += max(0.0, until_s - max(since_s, seen_until_s))
        seen_until_s = max(seen_until_s, until_s)
    return total_s
