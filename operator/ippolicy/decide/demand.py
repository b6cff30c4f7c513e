"""What the demand of some nodes looks like, as two histograms that add up over nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ippolicy.facts import NodeTrace

# One growth action a pass: 5 s between passes and about 2 s for EC2 to assign (vpc-cni 1.1, 10).
GROWTH_INTERVAL_S = 7.0

_Histogram = TypeVar("_Histogram", NDArray[np.float64], NDArray[np.int64])


@dataclass(frozen=True, slots=True)
class DemandProfile:
    """Demand of a set of nodes.

    `level_s[n]` is the time in seconds that nodes spent with n pods. `burst_count[n]` counts the
    pod arrivals that needed n ready spare addresses: the addresses still cooling on their node plus
    the arrivals since the pool could last have grown, the pod itself included. `observed_s` is the
    longest time any of the nodes was watched.
    """

    level_s: NDArray[np.float64]
    burst_count: NDArray[np.int64]
    observed_s: float
    nodes: int

    @property
    def arrivals(self) -> int:
        """Pod arrivals seen."""
        return int(self.burst_count.sum())


def profile(
    traces: Iterable[NodeTrace], *, cooldown_s: float, until_s: float = float("inf")
) -> DemandProfile:
    """The profile of `traces`, leaving out what came after `until_s`."""
    levels, bursts, observed_s, nodes = np.zeros(1), np.zeros(1, dtype=np.int64), 0.0, 0
    for trace in traces:
        end_s = min(trace.until_s, until_s)
        if end_s <= trace.since_s:
            continue
        seen = int(np.searchsorted(trace.times_s, end_s, side="right"))
        times_s, changes = trace.times_s[:seen], trace.changes[:seen]
        levels = _add(levels, _time_at_level(trace, times_s, changes, end_s))
        bursts = _add(bursts, _bursts(times_s, changes, cooldown_s))
        observed_s = max(observed_s, end_s - trace.since_s)
        nodes += 1
    return DemandProfile(levels, bursts, observed_s, nodes)


def quantile(histogram: NDArray[np.float64] | NDArray[np.int64], share: float) -> int:
    """The smallest index below or at which at least `share` of the histogram's weight lies."""
    total = float(histogram.sum())
    if total <= 0:
        return 0
    # The small slack keeps a share of exactly 1.0 from running past the end by rounding.
    reached = np.cumsum(histogram) >= share * total * (1 - 1e-12)
    return int(np.argmax(reached))


def _time_at_level(
    trace: NodeTrace, times_s: NDArray[np.float64], changes: NDArray[np.int8], end_s: float
) -> NDArray[np.float64]:
    steps = np.cumsum(changes, dtype=np.int64)
    levels = np.maximum(trace.level + np.concatenate(([0], steps)), 0)
    edges = np.clip(np.concatenate(([trace.since_s], times_s, [end_s])), trace.since_s, end_s)
    return np.bincount(levels, weights=np.diff(edges)).astype(np.float64)


def _bursts(
    times_s: NDArray[np.float64], changes: NDArray[np.int8], cooldown_s: float
) -> NDArray[np.int64]:
    arrivals, departures = times_s[changes > 0], times_s[changes < 0]
    cooling = np.searchsorted(departures, arrivals, side="right") - np.searchsorted(
        departures, arrivals - cooldown_s, side="left"
    )
    together = np.arange(1, len(arrivals) + 1) - np.searchsorted(
        arrivals, arrivals - GROWTH_INTERVAL_S, side="right"
    )
    return np.bincount(cooling + together, minlength=1)


def _add(one: _Histogram, other: _Histogram) -> _Histogram:
    if len(one) < len(other):
        one, other = other, one
    total = one.copy()
    total[: len(other)] += other
    return total
