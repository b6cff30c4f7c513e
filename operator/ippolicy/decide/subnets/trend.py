"""What the free addresses of a subnet do: a rhythm, a trend at every distance, and how wrong it is.

    rhythm    for each hour of the day (of the week, once three weeks were seen) the median over
              days (weeks) of what that hour differs from its own day's (week's) median, the steady
              growth between days taken out first; the classical decomposition with medians
    shifts    a level that jumps at once and stays, beyond 8 median absolute deviations of all such
              differences, is a new deployment or our own change and not growth: what came before
              is moved along, unless there are more than two in the same direction, which is growth
              in steps
    lines     through the last 12 minutes, 24 minutes, ... up to all that was seen: each span is cut
              into 12 blocks, the median of each is taken, and a straight line is fitted to them by
              least squares in which the i-th block weighs i
    error     each of these lines, drawn at past moments, is held against what came one span later;
              the root mean square of the misses grows with the distance as a power of it, from 0
              (noise around a trend) to 1, which is fitted over all spans, 1/2 (a random walk)
              counting as known before
    shrinking a slope b over a span h whose forecasts miss by s is b max(0, 1 - (s / b h)^2): a
              movement no larger than the usual miss is none (the positive-part estimator of
              W. James and C. Stein, Fourth Berkeley Symposium, 1961)

Everything here is in hours and addresses; times are hours after now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ippolicy.decide.subnets.history import Floats, Rung

BLOCKS: Final = 12
DAY_H: Final = 24
WEEK_H: Final = 168
HOUR_S: Final = 3_600.0
_DAYS_FOR_RHYTHM: Final = 2
_WEEKS_FOR_RHYTHM: Final = 3
_SMOOTHED_H: Final = 9  # of a week too few are seen to tell a burst from a habit
_SHIFT_WINDOW: Final = 6  # buckets before and after
_SHIFT_STEP_H: Final = 1 / 6  # in finer ones, a burst of an hour would look like a shift
_SHIFT_DEVIATIONS: Final = 8.0
_ABRUPT_SHARE: Final = 0.75  # of a shift, that three buckets and the three before differ by
_STRADDLED: Final = 1.6  # buckets on either side
_MOST_SHIFTS: Final = 2  # in one direction
_ORIGINS: Final = 16  # past moments, for each span
_MOST_TRUST: Final = 8.0  # one span's misses count as those of so many spans apart
_LEAST_MISS: Final = 0.5  # addresses come whole
_WALK_POWER: Final = 0.5
_WALK_TRUST: Final = 2.0
_EXTENDED: Final = 1.8  # standard error of a line of 12 blocks at its span's distance, in residuals

_WEIGHTS: Final = np.arange(1.0, BLOCKS + 1) / np.arange(1.0, BLOCKS + 1).sum()
_CENTER: Final = float(_WEIGHTS @ (np.arange(BLOCKS) + 0.5))
_OFFSETS: Final = np.arange(BLOCKS) + 0.5 - _CENTER
_SLOPES: Final = _WEIGHTS * _OFFSETS / (_WEIGHTS @ _OFFSETS**2)


@dataclass(frozen=True, slots=True, eq=False)
class Rhythm:
    """What each hour of a day or week adds; `offsets` begins with the one right after `end_h`.

    Without offsets too little was seen to tell.
    """

    offsets: Floats
    end_h: float = 0.0

    @property
    def known(self) -> bool:
        """Whether at least the hours of the day are known."""
        return len(self.offsets) > 0

    def at(self, hours: Floats) -> Floats:
        """What the rhythm adds at `hours` after now (before now, if negative)."""
        if not self.known:
            return np.zeros_like(hours)
        period = len(self.offsets)
        centers = np.arange(-1, period + 1) + 0.5
        around = np.concatenate((self.offsets[-1:], self.offsets, self.offsets[:1]))
        return np.interp(np.mod(hours - self.end_h, period), centers, around)


@dataclass(frozen=True, slots=True, eq=False)
class Trend:
    """The lines, shortest span first: `levels` addresses now, and `slopes` more an hour, shrunk.

    `dips` [row, hour] is what single hours of the past lay below the trend (above, if positive): a
    row a day where the rhythm is known, its columns from the hour after `rhythm.end_h` on; else a
    row of one hour for each bucket. `watched_h` is the time seen.
    """

    rhythm: Rhythm
    spans_h: Floats
    levels: Floats
    slopes: Floats
    dips: Floats
    watched_h: float
    miss_scale: float
    miss_power: float

    def miss(self, hours: Floats) -> Floats:
        """Root mean square of what a line is wrong by at a distance of `hours`."""
        law: Floats = self.miss_scale * np.maximum(hours, self.spans_h[0]) ** self.miss_power
        return law


def trend_of(rungs: Sequence[Rung], now_s: float) -> Trend | None:
    """The trend as of `now_s`, from the rungs of a history; None where less than 12 minutes, or
    12 readings, were seen."""
    usable = [rung for rung in rungs if len(rung.mean) >= BLOCKS]
    if not usable:
        return None
    pieces = [_Piece.of(rung, now_s) for rung in usable]
    hourly = next((piece for piece in pieces if piece.step_h == 1.0), None)
    rhythm = _rhythm(hourly)
    pieces = [piece.without(rhythm) for piece in pieces]
    for number in range(len(pieces)):
        if pieces[number].step_h >= _SHIFT_STEP_H:
            shifts = pieces[number].shifts()
            pieces = [piece.shifted(shifts) for piece in pieces]
    lines = [line for number, piece in enumerate(pieces) for line in _lines(pieces, number)]
    scale, power = _miss_law(lines)
    spans_h = np.array([line.span_h for line in lines])
    slopes = np.array([line.slope for line in lines])
    missed = scale * spans_h**power
    moved = np.maximum(np.abs(slopes) * spans_h, 1e-9)
    return Trend(
        rhythm=rhythm,
        spans_h=spans_h,
        levels=np.array([line.level for line in lines]),
        slopes=slopes * np.maximum(0.0, 1.0 - (missed / moved) ** 2),
        dips=_dips(pieces, hourly is not None and rhythm.known),
        watched_h=max(rung.span_s for rung in rungs) / HOUR_S,
        miss_scale=scale,
        miss_power=power,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """One rung: means, and how far the least of each bucket lies below what the means explain."""

    step_h: float
    end_h: float
    mean: Floats
    dip: Floats

    @classmethod
    def of(cls, rung: Rung, now_s: float) -> _Piece:
        drift = np.zeros(len(rung.mean))
        drift[1:-1] = np.abs(rung.mean[2:] - rung.mean[:-2]) / 4  # half a bucket's own movement
        dip = np.minimum(rung.low - (rung.mean - drift), 0.0)
        return cls(rung.step_s / HOUR_S, (rung.end_s - now_s) / HOUR_S, rung.mean, dip)

    @property
    def hours(self) -> Floats:
        """The middle of each bucket."""
        return np.asarray(self.end_h - (np.arange(len(self.mean))[::-1] + 0.5) * self.step_h)

    def without(self, rhythm: Rhythm) -> _Piece:
        return _Piece(self.step_h, self.end_h, self.mean - rhythm.at(self.hours), self.dip)

    def shifted(self, shifts: Sequence[tuple[float, float]]) -> _Piece:
        """What came before each (hour, size) moved along with it."""
        mean, hours = self.mean.copy(), self.hours
        for at_h, size in shifts:
            mean[hours < at_h] += size
            # The buckets that it fell into lie between both levels, and tell of neither.
            away = np.abs(hours - at_h) / self.step_h
            if (away < _STRADDLED).any():
                mean[away < _STRADDLED] = np.median(mean[away < _SHIFT_WINDOW])
        return _Piece(self.step_h, self.end_h, mean, self.dip)

    def shifts(self) -> list[tuple[float, float]]:
        """Jumps of the level that stay: (hour, size)."""
        found = [
            (float(self.hours[first]) - self.step_h / 2, size) for first, size in _shifts(self.mean)
        ]
        kept = []
        for sign in (-1.0, 1.0):
            alike = [shift for shift in found if shift[1] * sign > 0]
            kept += alike if len(alike) <= _MOST_SHIFTS else []
        return kept


def _by_period(values: Floats, period: int) -> Floats:
    """Whole periods up to the end, [period, hour], the growth between them taken out."""
    count = len(values) // period
    rows = values[len(values) - count * period :].reshape(count, period)
    growth = float(np.median(rows[1:] - rows[:-1])) / period if count > 1 else 0.0
    return rows - growth * (np.arange(period) - (period - 1) / 2)


def _rhythm(hourly: _Piece | None) -> Rhythm:
    hours = 0 if hourly is None else len(hourly.mean)
    if hourly is None or hours < _DAYS_FOR_RHYTHM * DAY_H:
        return Rhythm(np.zeros(0))
    offsets = _usual(hourly.mean, DAY_H)
    if hours >= _WEEKS_FOR_RHYTHM * WEEK_H:
        days = np.tile(offsets, WEEK_H // DAY_H)
        apart = np.pad(_usual(hourly.mean, WEEK_H) - days, _SMOOTHED_H // 2, mode="wrap")
        offsets = days + np.median(sliding_window_view(apart, _SMOOTHED_H), axis=1)
    return Rhythm(offsets - offsets.mean(), hourly.end_h)


def _usual(values: Floats, period: int) -> Floats:
    """What each hour of a period usually differs from the median of its own."""
    rows = _by_period(values, period)
    usual: Floats = np.median(rows - np.median(rows, axis=1, keepdims=True), axis=0)
    return usual


def _dips(pieces: Sequence[_Piece], by_day: bool) -> Floats:
    if by_day:
        hourly = pieces[-1]
        rows = _by_period(hourly.mean, DAY_H)
        around: Floats = rows - np.median(rows, axis=1, keepdims=True)
        dips: Floats = around + hourly.dip[-rows.size :].reshape(rows.shape)
        return dips
    longest = max(pieces, key=lambda piece: piece.step_h * len(piece.mean))
    size = len(longest.mean) // BLOCKS
    blocks = np.median(longest.mean[-BLOCKS * size :].reshape(BLOCKS, size), axis=1)
    level, slope = _line(blocks)
    before = (np.arange(BLOCKS * size)[::-1] + 0.5) / size
    column: Floats = longest.mean[-BLOCKS * size :] - (level - slope * before)
    return (column + longest.dip[-BLOCKS * size :])[:, None]


def _shifts(values: Floats) -> list[tuple[int, float]]:
    """Where `values` jump for good: (index of the first at the new level, size)."""
    window = _SHIFT_WINDOW
    if len(values) < 4 * window:
        return []
    medians = np.median(sliding_window_view(values, window), axis=1)
    change = medians[window:] - medians[:-window]
    usual = float(np.median(change))
    away = change - usual
    limit = _SHIFT_DEVIATIONS * max(1.4826 * float(np.median(np.abs(away))), _LEAST_MISS)
    size, found = np.abs(away), []
    while size.max() > limit:
        place = int(size.argmax())
        wanted = float(away[place])
        size[max(0, place - 2 * window) : place + 2 * window + 1] = 0.0
        shift = _abrupt(values, place + window, wanted, usual / window)
        if shift is not None:
            found.append(shift)
    return found


def _abrupt(values: Floats, near: int, wanted: float, usual: float) -> tuple[int, float] | None:
    """The jump of about `wanted` at once around `near` that stays, if there is one."""
    first, last = max(3, near - _SHIFT_WINDOW), min(len(values) - 3, near + _SHIFT_WINDOW)
    medians = np.median(sliding_window_view(values[first - 3 : last + 3], 3), axis=1)
    nearby = np.sign(wanted) * (medians[3:] - medians[:-3])
    top = int(nearby.argmax())
    if nearby[top] < _ABRUPT_SHARE * abs(wanted):
        return None
    at, reach = first + top, 4 * _SHIFT_WINDOW
    after, before = values[at : at + reach], values[max(0, at - reach) : at]
    grown = usual * (len(after) + len(before)) / 2
    size = float(np.median(after) - np.median(before)) - grown
    return (at, size) if size * np.sign(wanted) >= abs(wanted) / 2 else None


@dataclass(frozen=True, slots=True)
class _Line:
    span_h: float
    level: float
    slope: float
    miss: float
    trust: float


def _line(blocks: Floats) -> tuple[Floats, Floats]:
    """Level at the end and slope a block of lines through `blocks` [..., 12]."""
    slope = blocks @ _SLOPES
    return blocks @ _WEIGHTS + slope * (BLOCKS - _CENTER), slope


def _lines(pieces: Sequence[_Piece], number: int) -> list[_Line]:
    """The lines of one rung: up to where the next one has blocks of its own, which sees farther."""
    piece = pieces[number]
    last = number + 1 == len(pieces)
    most = len(piece.mean) // BLOCKS
    sizes = [1 << power for power in range(most.bit_length())]
    if last and most not in sizes:
        sizes.append(most)
    until_h = np.inf if last else BLOCKS * pieces[number + 1].step_h
    return [_one_line(piece, size) for size in sizes if BLOCKS * size * piece.step_h < until_h]


def _one_line(piece: _Piece, size: int) -> _Line:
    values, span = piece.mean, BLOCKS * size
    blocks = np.median(values[-span:].reshape(BLOCKS, size), axis=1)
    level, slope = _line(blocks)
    fitted = level - slope * (BLOCKS - 0.5 - np.arange(BLOCKS))
    misses = [float(np.std(blocks - fitted)) * _EXTENDED]
    trust = 0.5
    room = len(values) - 2 * span
    if room >= 0:
        begins = np.arange(room, -1, -max(1, room // _ORIGINS))
        both = sliding_window_view(values, 2 * span)[begins].reshape(-1, 2 * BLOCKS, size)
        medians = np.median(both, axis=2)
        levels, slopes = _line(medians[:, :BLOCKS])
        misses = list(medians[:, -1] - (levels + slopes * (BLOCKS - 0.5)))
        trust = min(1.0 + room / span, _MOST_TRUST)
    slope_h = float(slope) / (size * piece.step_h)
    return _Line(
        span_h=span * piece.step_h,
        level=float(level) - slope_h * piece.end_h,
        slope=slope_h,
        miss=max(float(np.sqrt(np.mean(np.square(misses)))), _LEAST_MISS),
        trust=trust,
    )


def _miss_law(lines: Sequence[_Line]) -> tuple[float, float]:
    """Scale and power of the misses: miss = scale * hours ** power."""
    spans = np.log([line.span_h for line in lines])
    misses = np.log([line.miss for line in lines])
    trust = np.array([line.trust for line in lines])
    at, miss = np.average(spans, weights=trust), np.average(misses, weights=trust)
    apart = float(trust @ (spans - at) ** 2)
    tilt = float(trust @ ((spans - at) * (misses - miss)))
    power = (tilt + _WALK_TRUST * _WALK_POWER) / (apart + _WALK_TRUST)
    power = min(max(power, 0.0), 1.0)
    return float(np.exp(miss - power * at)), power
