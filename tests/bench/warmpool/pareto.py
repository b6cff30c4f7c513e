"""Which settings are dominated: another is at least as good in everything and better in something.

Three things count, less being better in each: delayed starts beyond the floor, idle addresses, EC2
calls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

EQUAL_SHARE = 1e-9
"""Figures are equal that differ by rounding alone."""


def dominators(costs: Floats, of: Floats) -> Mask:
    """Which rows of `costs` [setting, figure] dominate the point `of` [figure]."""
    room = EQUAL_SHARE * np.maximum(np.abs(of), 1.0)
    mask: Mask = np.all(costs <= of + room, axis=1) & np.any(costs < of - room, axis=1)
    return mask


def front(costs: Floats) -> Mask:
    """Which rows of `costs` [setting, figure] no other one dominates."""
    mask: Mask = np.array([not dominators(costs, row).any() for row in costs])
    return mask


def surely_better(differences: Floats, half_widths: Floats) -> Mask:
    """Which settings are beyond doubt better, from mean paired differences [setting, figure].

    A setting is if it is at most equal in every figure, with the whole of each 95 % interval, and
    less in one.
    """
    highest = differences + half_widths
    mask: Mask = np.all(highest <= EQUAL_SHARE, axis=1)
    mask &= np.any(highest < -EQUAL_SHARE, axis=1)
    return mask
