"""How sure is a result? Units are drawn again and again within their strata (bootstrap)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ippolicy.decide.trials import Floats, Indexes
from ippolicy.decide.units import layers

RESAMPLES = 200
LEAST = 2  # of a stratum: one alone is drawn the same each time, as if it were sure
SEED = 7_411
_ROW_EVENTS = 20  # what a trace takes beside its events, in events
_LEAST_SPAN_S = 60.0  # a few seconds must not stand for days


def sample_order(strata: Sequence[Indexes], seed: int = SEED) -> list[Indexes]:
    """Each stratum shuffled, so that its first n are a fair sample for every n."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(stratum) for stratum in strata]


def sample(order: Sequence[Indexes], share: float) -> list[Indexes]:
    """The first `share` of each stratum, at least `LEAST` units of each that has so many."""
    return [stratum[: max(LEAST, round(share * len(stratum)))] for stratum in order]


class FairOrder:
    """Traces in such an order that the first n are a fair sample of all, for every n.

    It is spread over groups and levels as `layers` has them, and begins with one of each group. A
    trace counts by its weight and span. One that counts more for the events it takes is more likely
    to be among the first, and stands for fewer others there.

    Priority sampling (Duffield, Lund, Thorup: Priority sampling for estimation of arbitrary subset
    sums, 2007), in each stratum in equal steps instead of at random.
    """

    def __init__(
        self,
        groups: Sequence[str],
        levels: Sequence[float],
        weights: Sequence[float],
        spans_s: Sequence[float],
        events: Sequence[int],
    ) -> None:
        self.costs = np.array(events, float) + _ROW_EVENTS
        self._groups = np.unique(np.array(groups, object), return_inverse=True)[1].astype(int)
        self._masses = np.array(weights, float) * np.maximum(spans_s, _LEAST_SPAN_S)
        self._worth = self._masses / np.sqrt(self.costs)
        steps = np.empty(len(groups))
        for stratum in sample_order(layers(groups, levels)):
            steps[stratum] = (np.arange(len(stratum)) + 0.5) / len(stratum)
        self._priority = self._worth / steps
        ranked = np.argsort(-self._priority, kind="stable")
        _, firsts = np.unique(self._groups[ranked], return_index=True)
        self.order = np.concatenate([ranked[np.sort(firsts)], np.delete(ranked, np.sort(firsts))])

    def first(self, count: int) -> list[tuple[int, float]]:
        """The first `count`, by index, each with how many times itself it stands for.

        What is kept of a group counts as much as all of it.
        """
        kept, left = np.sort(self.order[:count]), self.order[count:]
        groups = self._groups[kept]
        whole = np.isin(groups, self._groups[left], invert=True)
        stands_for = self._priority[left].max(initial=0.0) / self._worth[kept]
        times = np.where(whole, 1.0, np.maximum(1.0, stands_for))
        mass = np.bincount(self._groups, self._masses)[groups]
        drawn = np.bincount(groups, times * self._masses[kept])[groups]
        # One that is kept for certain may count for more than its group; none counts less than one.
        times = np.maximum(1.0, times * mass / drawn)
        return list(zip(kept.tolist(), times.tolist(), strict=True))


def resampled_weights(
    drawn: Sequence[Indexes], sizes: Sequence[int], seed: int = SEED
) -> NDArray[np.float64]:
    """Weights [1 + RESAMPLES, unit] of the units of `drawn`, one stratum after another.

    Row 0 is the sample as it is: each unit stands for as many as its stratum (of `sizes`) has for
    each drawn. Every other row draws the units of each stratum anew.
    """
    rng = np.random.default_rng(seed)
    parts: list[Floats] = []
    for units, size in zip(drawn, sizes, strict=True):
        count = len(units)
        again = rng.multinomial(count, np.full(count, 1.0 / count), size=RESAMPLES)
        parts.append(np.vstack([np.ones(count), again]) * (size / count))
    return np.hstack(parts)
