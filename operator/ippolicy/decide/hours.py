"""Every hour of the day by itself: what settings come to in it, over all the days seen.

Before an hour the pool has seen the hour before, and the peak of its day. Node days are drawn anew
as in a search, so that it can be said how sure a setting is for some hours of the day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ippolicy.decide.objective import FEW_CALLS_PER_MINUTE, Case, Mask, Objective
from ippolicy.decide.resample import RESAMPLES, resampled_weights, sample, sample_order
from ippolicy.decide.trials import Floats, Indexes, Played, Replay, Trials
from ippolicy.decide.units import DAY_S, HOUR_S, Unit, hours_of, layers
from ippolicy.ipamd import PoolSettings, WarmTargets

HOURS: Final = 24
QUARTER_S: Final = 900.0
QUARTERS: Final = 4  # of an hour
_FOLDS: Final = 4
_MEANS: Final = ("held", "assigned", "enis")
_COUNTS: Final = ("starts", "delayed", "calls")
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Arrays [..., hour, setting] of sums over the hours before each, all nodes together, of two
    days in a row, so that hours past midnight have numbers, too.

    Of the sample: addresses, those of pods and ENIs (means in an hour), starts, delayed starts,
    calls. With a first axis for the resamples, the sample itself first of all: `spare_late`, the
    delayed starts that the limit leaves, and `drawn_calls`. `groups` has, of each group,
    `spare_late` in the sample and what one start stands for.
    """

    held: Floats
    assigned: Floats
    enis: Floats
    starts: Floats
    delayed: Floats
    calls: Floats
    spare_late: Floats
    drawn_calls: Floats
    groups: tuple[tuple[Floats, float], ...]


def _over(sums: Floats, first: int, after: int) -> Floats:
    """The sum from hour `first` up to `after`, which is at most 24 hours past it."""
    total: Floats = sums[..., after, :] - sums[..., first, :]
    return total


class Hours:
    """The hours of `share` of the `units`, judged as the `nodes` that each group has now."""

    def __init__(
        self,
        units: Sequence[Unit],
        settings: Sequence[WarmTargets],
        base: PoolSettings,
        nodes: Mapping[str, int],
        replay: Replay,
        *,
        share: float = 1.0,
    ) -> None:
        strata = layers([(u.group, u.shape) for u in units], [u.mean_level for u in units])
        drawn = sample(sample_order(strata), share)
        weights = resampled_weights(drawn, [len(stratum) for stratum in strata])
        days = [units[number] for number in np.concatenate(drawn).tolist()]
        cut = [(hour, day, part) for day, unit in enumerate(days) for hour, part in hours_of(unit)]
        parts = [part for _, _, part in cut]
        self.nodes = sum(nodes[group] for group in {unit.group for unit in days})
        self._nodes_of = nodes
        self._hour = np.array([hour for hour, _, _ in cut], dtype=np.int64)
        self._fold = _folds(days)[[day for _, day, _ in cut]]
        self._span_s = np.array([part.until_s - part.since_s for part in parts])
        self._peaks = np.zeros(HOURS, dtype=np.int64)
        np.maximum.at(self._peaks, self._hour, [part.peak for part in parts])
        self._weights = weights[:, [day for _, day, _ in cut]] * np.array(
            [part.source.weight for part in parts]
        )
        self._rows_of: dict[str, list[int]] = defaultdict(list)
        for row, part in enumerate(parts):
            self._rows_of[part.group].append(row)
        self._trials = Trials(parts, settings, base, replay)
        self.starts_by_quarter = sum(
            (self._by_quarter(group, parts) for group in self._rows_of), np.zeros((HOURS, QUARTERS))
        )
        """Starts of pods in the quarters of each hour, of all nodes together: [hour, quarter]."""

    @property
    def complete(self) -> bool:
        """Whether every hour of the day was seen."""
        return set(self._hour.tolist()) == set(range(HOURS))

    def cost(self, settings: int) -> int:
        """Events that playing so many settings takes."""
        return self._trials.cost(np.arange(len(self._hour)), settings)

    @property
    def folds(self) -> list[Mask]:
        """Days, or where there is one alone the nodes, in some parts, as masks to leave each out;
        none where there are not two."""
        return [self._fold == fold for fold in np.unique(self._fold)] if self._fold.any() else []

    def sums(
        self,
        columns: Indexes,
        delayed_share: float,
        *,
        among: Mask | None = None,
        resamples: int = RESAMPLES,
    ) -> Sums:
        """What the settings of these numbers come to, `delayed_share` being the limit on delayed
        starts; plays those that were not played yet. Only what is `among` counts."""
        every = np.arange(len(self._hour))
        self._trials.play(every, columns)
        played = self._trials.results(every, columns)
        weights = self._weights[: 1 + resamples] * (1 if among is None else among)
        total = {name: np.zeros((1, HOURS, len(columns))) for name in _MEANS}
        total |= {name: np.zeros((len(weights), HOURS, len(columns))) for name in _COUNTS}
        groups = []
        for group, numbers in self._rows_of.items():
            rows, nodes = np.array(numbers), self._nodes_of[group]
            own = {
                name: nodes * self._by_hour(weights[: len(summed), rows], rows, played, name)
                for name, summed in total.items()
            }
            for name, values in own.items():
                total[name] += values
            spare = delayed_share * own["starts"][0] - own["delayed"][0]
            one_start = nodes * HOUR_S * HOURS / float(self._span_s[rows].sum())
            groups.append((_summed(spare), one_start))
        sample = {name: _summed(values[0]) for name, values in total.items()}
        return Sums(
            **sample,
            spare_late=_summed(delayed_share * total["starts"] - total["delayed"]),
            drawn_calls=_summed(total["calls"]),
            groups=tuple(groups),
        )

    def peak(self, first: int, after: int) -> int:
        """The most pods that a node had in these hours."""
        return int(np.take(self._peaks, range(first, after), mode="wrap").max())

    def _by_quarter(self, group: str, parts: Sequence[Unit]) -> Floats:
        starts, watched_s = np.zeros((HOURS, QUARTERS)), np.zeros((HOURS, 1))
        for row in self._rows_of[group]:
            weight = self._weights[0, row]
            starts[self._hour[row]] += weight * _starts_by_quarter(parts[row])
            watched_s[self._hour[row]] += weight * self._span_s[row]
        return self._nodes_of[group] * HOUR_S * starts / np.maximum(watched_s, 1.0)

    def _by_hour(self, weights: Floats, rows: Indexes, played: Played, name: str) -> Floats:
        """A node's mean, or its count in an hour, [resample, hour, setting]; 0 in hours that have
        no node."""
        values: Floats = getattr(played, name)[rows]
        by_hour = np.zeros((len(weights), HOURS, values.shape[1]))
        for hour in range(HOURS):
            here = self._hour[rows] == hour
            seconds = weights[:, here] * self._span_s[rows[here]]
            watched_s = seconds.sum(axis=1, keepdims=True)
            share = np.divide(
                seconds if name in _MEANS else weights[:, here] * HOUR_S,
                watched_s,
                out=np.zeros_like(seconds),
                where=watched_s > 0,
            )
            by_hour[:, hour] = share @ values[here]
        return by_hour


def case_of(sums: Sums, first: int, after: int, objective: Objective, nodes: int) -> Case:
    """The hours from `first` up to `after`, as a search judges settings.

    Each group must keep the limit on delayed starts in which some setting keeps it, but for one
    start, which is no evidence.
    """
    minutes = 60 * (after - first)
    within = _over(sums.spare_late, first, after) >= -_ROUNDING
    within &= _over(sums.drawn_calls, first, after) <= objective.calls_per_minute * minutes
    for spare_late, one_start in sums.groups:
        in_time = _over(spare_late, first, after) >= -one_start - _ROUNDING
        if in_time.any():
            within &= in_time
    held, assigned, starts, delayed, calls = (
        _over(each, first, after)
        for each in (sums.held, sums.assigned, sums.starts, sums.delayed, sums.calls)
    )
    return Case(
        held=held / (after - first),
        idle=(held - assigned) / (after - first),
        late=np.divide(delayed, starts, out=np.zeros_like(delayed), where=starts > 0),
        within=within,
        calls=calls / minutes,
        few_calls=FEW_CALLS_PER_MINUTE * nodes,
        excess=np.zeros(len(held)),
    )


def _folds(days: Sequence[Unit]) -> Indexes:
    """For each node day the part that it falls into: by day, or of one day alone by node."""
    by_day = np.unique([day.since_s // DAY_S for day in days], return_inverse=True)[1]
    if not by_day.any():
        by_day = np.arange(len(days))
    folds: Indexes = by_day.astype(np.int64) % _FOLDS
    return folds


def _starts_by_quarter(part: Unit) -> Floats:
    """Starts of pods in each quarter of the hour that it lies in."""
    own = slice(part.first, part.last)
    starts_s = part.source.times_s[own][part.source.changes[own] > 0] % HOUR_S
    counts: Floats = np.bincount(
        (starts_s // QUARTER_S).astype(np.int64), minlength=QUARTERS
    ).astype(np.float64)
    return counts


def _summed(by_hour: Floats) -> Floats:
    """Sums over the hours before each, of two days in a row."""
    two_days = np.concatenate((by_hour, by_hour), axis=-2)
    sums: Floats = np.cumsum(two_days, axis=-2)
    return np.concatenate((np.zeros_like(sums[..., :1, :]), sums), axis=-2)
