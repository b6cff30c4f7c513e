"""What the demand of some nodes looks like, as two histograms that add up over nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ippolicy.facts import NodeTrace, watched_s

# One growth action a pass: 5 s between passes and about 2 s for EC2 to assign (vpc-cni 1.1, 10).
GROWTH_INTERVAL_S = 7.0


@dataclass(frozen=True, slots=True)
class DemandProfile:
    """Demand of a set of nodes.

    `level_s[n]` is the time in seconds that nodes spent with n pods. `burst_count[n]` counts the
    pod arrivals that needed n ready spare addresses: the addresses still cooling on their node plus
    the arrivals since the pool could last have grown, the pod itself included. Both count a trace
    by its weight. `observed_s` is the time in which any of the `nodes` nodes was watched.
    """

    level_s: NDArray[np.float64]
    burst_count: NDArray[np.float64]
    observed_s: float
    nodes: int

    @property
    def arrivals(self) -> int:
        """Pod arrivals seen."""
        return round(float(self.burst_count.sum()))


def profile(
    traces: Iterable[NodeTrace], *, cooldown_s: float, until_s: float = float("inf")
) -> DemandProfile:
    """The profile of `traces`, leaving out what came after `until_s`."""
    cut = (trace.between(trace.since_s, until_s) for trace in traces)
    watched = [trace for trace in cut if trace.span_s > 0]
    levels, bursts = np.zeros(1), np.zeros(1)
    for trace in watched:
        levels = _add(levels, trace.weight * _time_at_level(trace))
        bursts = _add(bursts, trace.weight * _bursts(trace, cooldown_s))
    nodes = len({trace.node for trace in watched})
    return DemandProfile(levels, bursts, watched_s(watched), nodes)


def quantile(histogram: NDArray[np.float64], share: float) -> int:
    """The smallest index below or at which at least `share` of the histogram's weight lies."""
    total = float(histogram.sum())
    if total <= 0:
        return 0
    # The small slack keeps a share of exactly 1.0 from running past the end by rounding.
    reached = np.cumsum(histogram) >= share * total * (1 - 1e-12)
    return int(np.argmax(reached))


def _time_at_level(trace: NodeTrace) -> NDArray[np.float64]:
    steps = np.cumsum(trace.changes, dtype=np.int64)
    levels = np.maximum(trace.level + np.concatenate(([0], steps)), 0)
    edges = np.concatenate(([trace.since_s], trace.times_s, [trace.until_s]))
    seconds = np.diff(np.clip(edges, trace.since_s, trace.until_s))
    return np.bincount(levels, weights=seconds).astype(np.float64)


def _bursts(trace: NodeTrace, cooldown_s: float) -> NDArray[np.float64]:
    arrivals, departures = trace.times_s[trace.changes > 0], trace.times_s[trace.changes < 0]
    cooling = np.searchsorted(departures, arrivals, side="right") - np.searchsorted(
        departures, arrivals - cooldown_s, side="left"
    )
    together = np.arange(1, len(arrivals) + 1) - np.searchsorted(
        arrivals, arrivals - GROWTH_INTERVAL_S, side="right"
    )
    return np.bincount(cooling + together, minlength=1).astype(np.float64)


def _add(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(one) < len(other):
        one, other = other, one
    total = one.copy()
    total[: len(other)] += other
    return total
