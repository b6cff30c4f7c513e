"""When a subnet runs out of addresses, if it does: early, likely and late.

To look h hours ahead, one looks about h hours back: no trend is trusted much farther than it was
seen. Some 150 futures are drawn out of what the trend leaves open:

    how far back    from a quarter of the distance to twice it, in equal steps of its logarithm
    how wrong       the usual miss at that distance times a quantile of Student's t with 4 degrees
                    of freedom (in its closed form, W. T. Shaw, J. Computational Finance 9(4), 2006)
    which dips      each future day has those of a past day, turned to another hour, and all larger
                    by one part in as many as days were seen, for the worst was hardly seen yet

and each is followed, with the rhythm of the day, until fewer addresses are free than are needed.
The time at which 2 % of the futures have run out is `early`, half of them `likely`, and 98 %
`late`. Where less than half run out within the horizon (four times what was watched, at most four
weeks), nothing is foreseen. The draws are the same each time, so a forecast is a function of the
history alone.

As long as no day was seen twice, a trend may be no more than the time of day, so half its own
movement counts as a miss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from ippolicy.decide.subnets.history import Floats, FreeHistory
from ippolicy.decide.subnets.trend import DAY_H, HOUR_S, Trend, trend_of

HORIZON_S: Final = 28 * 86_400.0
HORIZON_SHARE: Final = 4.0  # of what was watched
EARLY_SHARE: Final = 0.02
LATE_SHARE: Final = 0.98
_LOOKS: Final = np.exp(np.linspace(math.log(0.25), math.log(2.0), 5))
_DRAWS: Final = 31
_FUTURES: Final = len(_LOOKS) * _DRAWS
_UNKNOWN_DAY: Final = 0.5
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """Seconds until a subnet is exhausted; `late_s` is None where it may as well never be."""

    early_s: float
    likely_s: float
    late_s: float | None

    def after(self, passed_s: float) -> Exhaustion:
        """The same, told `passed_s` seconds later."""
        moments = (self.early_s, self.likely_s, math.inf if self.late_s is None else self.late_s)
        early_s, likely_s, late_s = (max(0.0, moment_s - passed_s) for moment_s in moments)
        return Exhaustion(early_s, likely_s, late_s if math.isfinite(late_s) else None)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is foreseen within `horizon_s` seconds: `exhaustion` is None if nothing is.

    `chance` is the share of the futures in which the subnet runs out by then, `watched_s` how long
    it was watched, and `per_day` how many more addresses (fewer, if negative) each day brings, by
    the trend of a day or of all that was watched.
    """

    exhaustion: Exhaustion | None
    chance: float
    horizon_s: float
    watched_s: float
    per_day: float


def forecast(history: FreeHistory, *, needed: int = 1) -> Forecast | None:
    """When fewer than `needed` addresses will be free, as of the last reading; None where less
    than 12 minutes were watched."""
    trend = trend_of(history.rungs(), history.last_at_s)
    return None if trend is None else foreseen(trend, history.last_free, needed)


def foreseen(trend: Trend, free: int, needed: int) -> Forecast:
    """When fewer than `needed` addresses will be free, now that `free` are."""
    watched_s = trend.watched_h * HOUR_S
    horizon_s = min(HORIZON_S, HORIZON_SHARE * watched_s)
    chance, found = (
        (1.0, Exhaustion(0.0, 0.0, 0.0)) if free < needed else _exhaustion(trend, horizon_s, needed)
    )
    look = min(int(np.searchsorted(trend.spans_h, DAY_H)), len(trend.slopes) - 1)
    return Forecast(found, chance, horizon_s, watched_s, float(trend.slopes[look]) * DAY_H)


def least_ahead(trend: Trend, within_s: float) -> float:
    """The fewest addresses that will likely (in the median) be free at any moment of the next
    `within_s` seconds."""
    return float(np.median(_futures(trend, _moments(within_s)).min(axis=1)))


def _exhaustion(trend: Trend, horizon_s: float, needed: int) -> tuple[float, Exhaustion | None]:
    hours, least = _moments(horizon_s), needed - 0.5
    if (_floor(trend, hours) >= least).all():
        return 0.0, None
    below = _futures(trend, hours) < least
    first = below.argmax(axis=1)
    hit = below[np.arange(_FUTURES), first]
    chance = float(hit.mean())
    if chance < 0.5:
        return chance, None
    before = np.concatenate(([0.0], hours))
    begins = np.sort(np.where(hit, before[first], np.inf)) * HOUR_S
    ends = np.sort(np.where(hit, hours[first], np.inf)) * HOUR_S
    middle = _FUTURES // 2
    late_s = float(ends[math.ceil(LATE_SHARE * _FUTURES) - 1])
    return chance, Exhaustion(
        early_s=float(begins[int(EARLY_SHARE * _FUTURES)]),
        likely_s=float(begins[middle] + ends[middle]) / 2,
        late_s=late_s if math.isfinite(late_s) else None,
    )


def _grid(horizon_h: float) -> Floats:
    """Moments ahead: minutes at first, then a 48th of the distance, at most an hour."""
    moments, at_h = [], 0.0
    while at_h < horizon_h:
        at_h += min(1.0, max(1 / 60, at_h / 48))
        moments.append(at_h)
    return np.array(moments)


_GRID_H: Final = _grid(HORIZON_S / HOUR_S)


def _moments(within_s: float) -> Floats:
    return _GRID_H[: np.searchsorted(_GRID_H, within_s / HOUR_S) + 1]


def _futures(trend: Trend, hours: Floats) -> Floats:
    """[future, hour]: free addresses, as they may be."""
    lines, miss = _lines_ahead(trend, hours), _miss_ahead(trend, hours)
    quantiles = _student((np.arange(_DRAWS) + 0.5) / _DRAWS)
    futures = (lines[:, None, :] + quantiles[:, None] * miss).reshape(_FUTURES, len(hours))
    futures += _dips_ahead(trend, hours)
    return futures


def _floor(trend: Trend, hours: Floats) -> Floats:
    """What no future falls below: found at once, it spares most subnets their futures."""
    worst = _student(np.array([0.5 / _DRAWS])) * _miss_ahead(trend, hours)
    floor: Floats = _lines_ahead(trend, hours).min(axis=0) + worst + 2 * min(trend.dips.min(), 0.0)
    return floor


def _lines_ahead(trend: Trend, hours: Floats) -> Floats:
    """[look, hour]: the line seen by looking so many times the distance back, and the rhythm."""
    looks, spans = np.log(_LOOKS)[:, None] + np.log(hours), np.log(trend.spans_h)
    levels, slopes = np.interp(looks, spans, trend.levels), np.interp(looks, spans, trend.slopes)
    ahead: Floats = levels + slopes * hours + trend.rhythm.at(hours)
    return ahead


def _miss_ahead(trend: Trend, hours: Floats) -> Floats:
    miss = trend.miss(hours)
    if trend.rhythm.known:
        return miss
    slopes = np.interp(np.log(hours), np.log(trend.spans_h), trend.slopes)
    doubted: Floats = np.hypot(miss, _UNKNOWN_DAY * slopes * hours)
    return doubted


def _dips_ahead(trend: Trend, hours: Floats) -> Floats:
    """[future, hour]: what is drawn from the days of the past."""
    rows, period = trend.dips.shape
    # A row for each hour that a day may be turned to, so that each is drawn in one piece.
    turned = np.concatenate([np.roll(trend.dips, turn, axis=1) for turn in range(period)])
    hour = np.floor(hours - trend.rhythm.end_h).astype(np.int64)
    days = int(hour[-1]) // period + 1
    drawn = np.random.default_rng(_SEED).integers(0, len(turned), (_FUTURES, days))
    hourly = turned[drawn].reshape(_FUTURES, days * period)
    dips: Floats = hourly[:, hour] * (1 + 1 / rows)
    return dips


def _student(shares: Floats) -> Floats:
    """Quantiles of Student's t with 4 degrees of freedom, scaled to a variance of 1."""
    alpha = 4 * shares * (1 - shares)
    root = np.cos(np.arccos(np.sqrt(alpha)) / 3) / np.sqrt(alpha)
    quantiles: Floats = np.sign(shares - 0.5) * np.sqrt(2 * np.maximum(root - 1, 0.0))
    return quantiles
