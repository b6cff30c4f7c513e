"""Made-up traces of the free addresses of a subnet, each with what became of it in the end.

A trace is what 14 days (or another span) of readings every five minutes show, and its truth what
the 28 days after them would have shown. A family names what is in it, joined by "+":

    trend     grows so that it runs out in the next hours to days, in a straight line
    walk      a random walk with some drift           stairs    steps up at random moments
    ramp      flat, but for growth in the last hours
    daily     a wave over the day                     bursts    three a day, of 10 to 70 minutes
    shift     the level jumps once, up or down        steady    nothing of all these

All have noise. Sizes are those of a /24, a /22 and a /20.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ippolicy.decide.subnets.history import FreeHistory

Floats = NDArray[np.float64]

START_S = 1_790_000_000.0
STEP_S = 300.0
DAY_S = 86_400.0
AHEAD_DAYS = 28.0
SIZES = (251, 1_019, 4_091)


@dataclass(frozen=True, slots=True, eq=False)
class FreeTrace:
    """Readings up to now, and in how many seconds from now none is free (infinite: not in the 28
    days that follow)."""

    size: int
    times_s: Floats
    free: NDArray[np.int64]
    runs_out_s: float

    def history(self) -> FreeHistory:
        """The history that the readings make."""
        history = FreeHistory()
        for at_s, free in zip(self.times_s.tolist(), self.free.tolist(), strict=True):
            history.add(at_s, free)
        return history


def free_trace(family: str, seed: int, *, days: float = 14.0) -> FreeTrace | None:
    """A trace of `family`; None where addresses ran out before now already."""
    random = np.random.default_rng([zlib.crc32(family.encode()), seed])
    size = int(random.choice(SIZES))
    count = int((days + AHEAD_DAYS) * DAY_S / STEP_S)
    at_days = np.arange(count) * STEP_S / DAY_S - days
    used = size * (
        _level(family, at_days, days, random)
        + _noise(count, random)
        + ("daily" in family) * _daily(at_days, random)
        + ("bursts" in family) * _bursts(count, days, random)
    )
    free = np.clip(size - np.round(used), 0, size).astype(np.int64)
    now = int(days * DAY_S / STEP_S)
    if (free[:now] == 0).any():
        return None
    empty = np.flatnonzero(free[now:] == 0)
    runs_out_s = float(empty[0]) * STEP_S if len(empty) else np.inf
    return FreeTrace(size, START_S + np.arange(now) * STEP_S, free[:now], runs_out_s)


def _level(family: str, at_days: Floats, days: float, random: np.random.Generator) -> Floats:
    """Use as a share of the size, but for what comes and goes."""
    if "trend" in family:
        left = random.uniform(0.15, 0.5)
        in_days = np.exp(random.uniform(np.log(0.15 * min(1.0, days)), np.log(min(7.0, 2 * days))))
        slope = min(left / in_days, (0.9 - left) / days)
        level = 1.0 - left + slope * at_days
    elif "ramp" in family:
        age = np.exp(random.uniform(np.log(0.5), np.log(12.0))) / 24
        grown = random.uniform(0.1, 0.25)
        start = 1.0 - grown * (1.0 + random.uniform(0.3, 1.5))
        level = start + np.maximum(0.0, at_days + age) * grown / age
    elif "walk" in family:
        steps = random.normal(
            0.0, random.uniform(0.01, 0.05) * np.sqrt(STEP_S / DAY_S), len(at_days)
        )
        level = _ending_at(np.cumsum(steps), at_days, random) + random.uniform(0, 0.03) * at_days
    elif "stairs" in family:
        jumps = random.poisson(random.uniform(0.5, 3.0) * STEP_S / DAY_S, len(at_days)) * 0.03
        level = _ending_at(np.cumsum(jumps), at_days, random)
    else:
        level = np.full(len(at_days), random.uniform(0.3, 0.55))
    if "shift" in family:
        ago = np.exp(random.uniform(np.log(0.1), np.log(0.9 * days)))
        height = random.choice((-1.0, 1.0)) * random.uniform(0.1, 0.25)
        level = level + np.where(at_days >= -ago, 0.0, -height)
    return np.maximum(level, 0.05)


def _ending_at(path: Floats, at_days: Floats, random: np.random.Generator) -> Floats:
    now = int(np.searchsorted(at_days, 0.0))
    ending: Floats = path - path[now] + random.uniform(0.55, 0.85)
    return ending


def _noise(count: int, random: np.random.Generator) -> Floats:
    rough = random.normal(0.0, random.uniform(0.002, 0.02), count)
    return np.convolve(rough, np.ones(6) / 4, "same")


def _daily(at_days: Floats, random: np.random.Generator) -> Floats:
    height, peak, sharp = random.uniform(0.05, 0.2), random.uniform(0, 1), random.choice((1, 3))
    wave = (0.5 + 0.5 * np.cos(2 * np.pi * (at_days - peak))) ** sharp
    shape: Floats = 2 * height * (wave - wave.mean())
    return shape


def _bursts(count: int, days: float, random: np.random.Generator) -> Floats:
    bursts = np.zeros(count)
    for _ in range(random.poisson(3 * (days + AHEAD_DAYS))):
        start, lasts = int(random.uniform(0, count)), int(random.uniform(600, 4_200) / STEP_S)
        bursts[start : start + lasts + 1] += random.uniform(0.03, 0.12)
    return bursts
