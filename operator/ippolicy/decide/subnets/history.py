"""The free addresses of a subnet over time, in bounded memory.

Readings are kept on three rungs, each a row of buckets of one length with the mean and the least
of the readings in them. A full history takes some 5 KiB and goes back five weeks.

    rung       bucket     reaches back
    -------    -------    ------------
    minutes     1 min     3 hours
    tens       10 min     2 days
    hours       1 hour    35 days
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ippolicy.errors import CorruptCheckpoint, NewerCheckpoint

Floats = NDArray[np.float64]

RUNGS: Final = ((60.0, 180), (600.0, 288), (3_600.0, 840))
"""Length of a bucket in seconds, and how many are kept."""
MOST_BUCKETS: Final = max(keep for _, keep in RUNGS)
_VERSION: Final = 1
_CALM_MINUTES: Final = 5
_LATEST_S: Final = 2.0**36  # the year 4147; later times are nonsense
_MOST_FREE: Final = 1 << 24  # a /8, larger than any subnet


@dataclass(frozen=True, slots=True, eq=False)
class Rung:
    """Whole buckets of `step_s` seconds, the last of which ends at `end_s`.

    `mean` and `low` have the mean and the least number of free addresses in each, oldest first.
    Buckets without a reading lie on a straight line between their neighbours.
    """

    step_s: float
    end_s: float
    mean: Floats
    low: Floats

    @property
    def span_s(self) -> float:
        """Seconds from the first bucket to the end of the last."""
        return self.step_s * len(self.mean)

    def to_data(self, keep: int) -> dict[str, Any]:
        """The last `keep` buckets as plain data."""
        rows = {"mean": self.mean[-keep:], "low": self.low[-keep:]}
        return {"endSeconds": self.end_s} | {
            name: np.diff(np.round(row).astype(np.int64), prepend=0).tolist()
            for name, row in rows.items()
        }

    def until(self, at_s: float) -> Rung | None:
        """The buckets that had ended at `at_s`; None for none."""
        after = max(0, math.ceil((self.end_s - at_s) / self.step_s)) if at_s < self.end_s else 0
        if after >= len(self.mean):
            return None
        kept = len(self.mean) - after
        end_s = self.end_s - after * self.step_s
        return Rung(self.step_s, end_s, self.mean[:kept], self.low[:kept])


class _Buckets:
    """One rung as it grows. `count`, `total` and `least` are of the bucket that is still open."""

    __slots__ = ("count", "keep", "least", "low", "mean", "number", "step_s", "total")

    def __init__(self, step_s: float, keep: int) -> None:
        self.step_s, self.keep = step_s, keep
        self.mean, self.low = array("f"), array("f")
        self.number = self.count = 0
        self.total = self.least = 0.0

    def add(self, at_s: float, free: float) -> None:
        number = math.floor(at_s / self.step_s)
        if number != self.number:
            self._turn_to(number)
        self.least = min(self.least, free) if self.count else free
        self.count, self.total = self.count + 1, self.total + free

    def rung(self) -> Rung | None:
        """The closed buckets; None where there are none."""
        if not self.mean:
            return None
        return Rung(
            self.step_s,
            self.number * self.step_s,
            _without_gaps(self.mean),
            _without_gaps(self.low),
        )

    def _turn_to(self, number: int) -> None:
        """Close the open bucket, and leave a gap for those without a reading up to `number`."""
        if self.count:
            self.mean.append(self.total / self.count)
            self.low.append(self.least)
            self.number += 1
        missed = number - self.number
        if missed >= self.keep:
            del self.mean[:], self.low[:]
        elif self.mean:
            self.mean.extend([math.nan] * missed)
            self.low.extend([math.nan] * missed)
            del self.mean[: -self.keep], self.low[: -self.keep]
        self.number, self.count, self.total = number, 0, 0.0


class FreeHistory:
    """How many addresses were free in one subnet, or in all of one zone."""

    __slots__ = ("_buckets", "last_at_s", "last_free")

    def __init__(self) -> None:
        self._buckets = [_Buckets(step_s, keep) for step_s, keep in RUNGS]
        self.last_at_s = -math.inf
        self.last_free = 0

    def add(self, at_s: float, free: int) -> None:
        """Note a reading; one that is not newer than the last says nothing new."""
        if at_s <= self.last_at_s:
            return
        self.last_at_s, self.last_free = at_s, free
        for buckets in self._buckets:
            buckets.add(at_s, free)

    def rungs(self, *, until_s: float = math.inf) -> tuple[Rung, ...]:
        """What was noted up to `until_s`, finest first; rungs without a whole bucket left out."""
        rungs = (rung for b in self._buckets if (rung := b.rung()) is not None)
        return tuple(rung for whole in rungs if (rung := whole.until(until_s)) is not None)

    def calm_at(self, at_s: float) -> float | None:
        """What there was at `at_s`, in the median of the five minutes up to it: readings of EC2 and
        of nodes that do not belong together make it jump for one. None where nothing was seen.

        The first minutes have nothing but the last reading.
        """
        minutes = self._buckets[0].rung()
        seen = None if minutes is None else minutes.until(at_s)
        if seen is not None:
            return float(np.median(seen.mean[-_CALM_MINUTES:]))
        return float(self.last_free) if at_s >= self.last_at_s - RUNGS[0][0] else None

    def to_data(self, *, finest_s: float = 0.0, keep: int = MOST_BUCKETS) -> dict[str, Any]:
        """The history as plain data for JSON, whole numbers of addresses, each but the first as the
        difference to the one before; readings of the open buckets are not in it.

        Left out are rungs finer than `finest_s`, and all but the last `keep` buckets of each.
        """
        rows = []
        for buckets in self._buckets:
            rung = buckets.rung() if buckets.step_s >= finest_s else None
            rows.append(None if rung is None else rung.to_data(keep))
        return {"version": _VERSION, "rungs": rows}

    @classmethod
    def from_data(cls, data: Any) -> FreeHistory:
        """The history that `to_data` gave.

        Raises:
            CorruptCheckpoint: `data` is nothing of the kind.
            NewerCheckpoint: it is of a version that is not known here.
        """
        history = cls()
        try:
            if (version := data["version"]) > _VERSION:
                raise NewerCheckpoint(f"a history of version {version}, known here is {_VERSION}")
            for buckets, row in zip(history._buckets, data["rungs"], strict=True):
                if row is not None:
                    history._restore(buckets, row)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CorruptCheckpoint(
                f"no history of free addresses ({type(error).__name__}: {error})"
            ) from error
        return history

    def _restore(self, buckets: _Buckets, row: Mapping[str, Any]) -> None:
        end_s, mean, low = float(row["endSeconds"]), *(np.cumsum(row[k]) for k in ("mean", "low"))
        if not 0 < len(mean) == len(low) <= buckets.keep:
            raise ValueError(f"{len(mean)} means and {len(low)} lows")
        if not (min(mean.min(), low.min()) >= 0 and max(mean.max(), low.max()) <= _MOST_FREE):
            raise ValueError("a count out of range")
        if not 0 <= end_s <= _LATEST_S:
            raise ValueError("a time out of range")
        buckets.mean, buckets.low = array("f", mean.tolist()), array("f", low.tolist())
        buckets.number = round(end_s / buckets.step_s)
        # Until something is read, the last bucket ends with what is known.
        if end_s > self.last_at_s:
            self.last_at_s, self.last_free = end_s, int(mean[-1])


@dataclass(frozen=True, slots=True)
class Reading:
    """`count` addresses of what `name` names, read at `at_s`."""

    name: str
    at_s: float
    count: int


class Histories:
    """The histories of what is read of subnets, zones and rooms, by name."""

    def __init__(self, histories: Mapping[str, FreeHistory] | None = None) -> None:
        self._histories = dict(histories or {})

    def note(self, readings: Iterable[Reading]) -> None:
        """Note what was read, and forget what is no longer read of; no readings at all are none to
        learn from."""
        kept: dict[str, FreeHistory] = {}
        for reading in readings:
            history = self._histories.get(reading.name) or FreeHistory()
            history.add(reading.at_s, reading.count)
            kept[reading.name] = history
        if kept:
            self._histories = kept

    def get(self, name: str) -> FreeHistory | None:
        """The history of `name`, if there is one."""
        return self._histories.get(name)

    def to_data(self, *, finest_s: float = 0.0, keep: int = MOST_BUCKETS) -> dict[str, Any]:
        """All of them as plain data for JSON; see `FreeHistory.to_data`."""
        return {
            name: history.to_data(finest_s=finest_s, keep=keep)
            for name, history in self._histories.items()
        }

    @classmethod
    def from_data(cls, data: Any) -> Histories:
        """The histories that `to_data` gave.

        Raises:
            CorruptCheckpoint: `data` is nothing of the kind.
            NewerCheckpoint: it is of a version that is not known here.
        """
        if not isinstance(data, Mapping):
            raise CorruptCheckpoint("no histories of free addresses")
        return cls({str(name): FreeHistory.from_data(row) for name, row in data.items()})


def _without_gaps(values: array[float]) -> Floats:
    row = np.array(values, dtype=np.float64)
    missing = np.isnan(row)
    if missing.any():
        places = np.arange(len(row))
        row[missing] = np.interp(places[missing], places[~missing], row[~missing])
    return row
