"""How sure is a result? Units are drawn again and again within their strata (bootstrap)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ippolicy.decide.trials import Floats, Indexes

RESAMPLES = 200
SEED = 7_411


def sample_order(strata: Sequence[Indexes], seed: int = SEED) -> list[Indexes]:
    """Each stratum shuffled, so that its first n are a fair sample for every n."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(stratum) for stratum in strata]


def sample(order: Sequence[Indexes], share: float) -> list[Indexes]:
    """The first `share` of each stratum, at least one unit of each."""
    return [stratum[: max(1, round(share * len(stratum)))] for stratum in order]


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
