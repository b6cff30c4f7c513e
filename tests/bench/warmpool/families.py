"""The four families of demand: the pods of one node over days, as (arrival, life) in seconds.

    family          arrivals                                       life of a pod
    --------------  ---------------------------------------------  --------------------------
    steady          one in every 10 minutes                        2 h to 8 h
    diurnal         each second with probability                   5 min to 65 min
                    0.0005 + 0.016 s^3,
                    s = 1/2 + 1/2 cos(2 pi (hour - 15) / 24)
    hourly-batch    24 pods at each full hour from 8 to 19, 6 at   2 min to 520 s
                    the others, spread over 20 s;
                    3 more from minute 10 to 50                    5 min to 35 min
    bursty-rollout  one in every 15 minutes;                       1 h to 3 h
                    three times a day 20 to 39 pods within 60 s    10 min to 70 min

Moments and lives are uniform whole seconds, the lower end included. Hour 0 is UTC midnight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Pods = NDArray[np.int64]
"""Rows (arrival second, life in seconds), sorted."""

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
MINUTE_S: Final = 60


def pods_of(family: str, seed: int, days: int) -> Pods:
    """The pods of one node of `family` over `days` days; the same seed gives the same pods."""
    rng = np.random.default_rng((seed, *family.encode()))
    pods = FAMILIES[family](rng, days)
    return pods[np.lexsort((pods[:, 1], pods[:, 0]))]


def _steady(rng: np.random.Generator, days: int) -> Pods:
    return _one_in_each(rng, days, 10 * MINUTE_S, life_s=(2 * HOUR_S, 8 * HOUR_S))


def _diurnal(rng: np.random.Generator, days: int) -> Pods:
    seconds = np.arange(days * DAY_S)
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * (seconds / HOUR_S - 15) / 24)
    arrivals = seconds[rng.random(len(seconds)) < 0.0005 + 0.016 * wave**3]
    return _with_lives(rng, arrivals, (5 * MINUTE_S, 65 * MINUTE_S))


def _hourly_batch(rng: np.random.Generator, days: int) -> Pods:
    parts = []
    for hour in range(days * 24):
        size = 24 if 8 <= hour % 24 < 20 else 6
        batch = hour * HOUR_S + rng.integers(0, 20, size)
        others = hour * HOUR_S + rng.integers(10 * MINUTE_S, 50 * MINUTE_S, 3)
        parts.append(_with_lives(rng, batch, (120, 520)))
        parts.append(_with_lives(rng, others, (5 * MINUTE_S, 35 * MINUTE_S)))
    return np.concatenate(parts)


def _bursty_rollout(rng: np.random.Generator, days: int) -> Pods:
    parts = [_one_in_each(rng, days, 15 * MINUTE_S, life_s=(HOUR_S, 3 * HOUR_S))]
    for day in range(days):
        for starts_s in rng.integers(0, DAY_S, 3):
            spread = rng.integers(0, MINUTE_S, rng.integers(20, 40))
            rollout = day * DAY_S + starts_s + spread
            parts.append(_with_lives(rng, rollout, (10 * MINUTE_S, 70 * MINUTE_S)))
    return np.concatenate(parts)


def _one_in_each(
    rng: np.random.Generator, days: int, slot_s: int, *, life_s: tuple[int, int]
) -> Pods:
    slots = np.arange(0, days * DAY_S, slot_s)
    return _with_lives(rng, slots + rng.integers(0, slot_s, len(slots)), life_s)


def _with_lives(rng: np.random.Generator, arrivals: Pods, life_s: tuple[int, int]) -> Pods:
    return np.column_stack([arrivals, rng.integers(*life_s, len(arrivals))])


FAMILIES: Final[Mapping[str, Callable[[np.random.Generator, int], Pods]]] = {
    "steady": _steady,
    "diurnal": _diurnal,
    "hourly-batch": _hourly_batch,
    "bursty-rollout": _bursty_rollout,
}
