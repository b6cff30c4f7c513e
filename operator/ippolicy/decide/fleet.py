"""The demand of a fleet at one moment: its units, sampled, and what settings do to its groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from typing import Final

import numpy as np

from ippolicy.decide.objective import Scores
from ippolicy.decide.resample import resampled_weights, sample, sample_order
from ippolicy.decide.trials import Floats, Indexes, Played, Trials
from ippolicy.decide.units import HOUR_S, Unit, layers

POOLED: Final = "\0 all other groups"  # no name of a group has a NUL


class Fleet:
    """A growing sample of the units of `trials`, judged as the `nodes` that each group has now.

    Groups that are not among `own` are judged as one, named `POOLED`. Where `mixtures` has a group,
    number 0 is the mixture of the settings of those numbers, each by its share of the nodes.
    """

    def __init__(
        self,
        trials: Trials,
        nodes: Mapping[str, int],
        own: Container[str],
        mixtures: Mapping[str, Mapping[int, float]] | None = None,
    ) -> None:
        self.trials = trials
        self._mixtures = mixtures or {}
        self._nodes = pooled_nodes(nodes, own)
        names = [unit.group if unit.group in own else POOLED for unit in trials.units]
        self._names = np.array(names)
        # Shapes are told apart in a group alone: those of all others may be as many as the groups.
        kinds = [
            (name, None if name == POOLED else unit.shape)
            for name, unit in zip(names, trials.units, strict=True)
        ]
        found = layers(kinds, [unit.mean_level for unit in trials.units])
        self._sizes = [len(layer) for layer in found]
        self._order = sample_order(found)
        self._weights = np.array([unit.source.weight for unit in trials.units])
        self._drawn = sample(self._order, 0.0)

    @property
    def sampled(self) -> Indexes:
        """The units of the sample, one stratum after another."""
        return np.concatenate(self._drawn)

    @property
    def complete(self) -> bool:
        """Whether the sample is all there is."""
        return sum(map(len, self._drawn)) == len(self.trials.units)

    def cost(self, share: float, columns: int) -> int:
        """Events that playing a sample of `share` under so many settings takes."""
        return self.trials.cost(np.concatenate(sample(self._order, share)), columns)

    def play(self, share: float, columns: Indexes) -> None:
        """Take `share` of the units as the sample, and play it."""
        self._drawn = sample(self._order, share)
        self.trials.play(self.sampled, columns)

    def scores(self, columns: Indexes) -> dict[str, Scores]:
        """Scores of each group under `columns`, which the sample was played under."""
        rows = self.sampled
        weights = resampled_weights(self._drawn, self._sizes) * self._weights[rows]
        groups = self._names[rows]
        return {
            group: self._scores(rows[groups == group], weights[:, groups == group], columns, group)
            for group in sorted(set(groups.tolist()))
        }

    def _scores(self, rows: Indexes, weights: Floats, columns: Indexes, group: str) -> Scores:
        units = [self.trials.units[row] for row in rows]
        span_s = np.array([unit.until_s - unit.since_s for unit in units])
        played = self.trials.results(rows, columns)
        if mixture := self._mixtures.get(group):
            _mix(played, columns, mixture)
        # Each resample stands for the nodes that the group has now, however long each was watched.
        per_second = weights * (self._nodes[group] / (weights @ span_s))[:, None]
        over_time = per_second * span_s
        return Scores(
            held=over_time @ played.held,
            assigned=over_time @ played.assigned,
            enis=over_time @ played.enis,
            starts=per_second @ played.starts,
            delayed=per_second @ played.delayed,
            calls_per_minute=60.0 * per_second @ played.calls * _watched_share(units),
            nodes=self._nodes[group],
            slack=float(per_second[0].max()),
        )


def _mix(played: Played, columns: Indexes, mixture: Mapping[int, float]) -> None:
    """Put the mixture in the place of number 0, which is the first of the ascending `columns`."""
    parts, shares = np.searchsorted(columns, list(mixture)), np.array(list(mixture.values()))
    for name in Played.__slots__:
        array: Floats = getattr(played, name)
        array[:, 0] = array[:, parts] @ shares


def pooled_nodes(nodes: Mapping[str, int], own: Container[str]) -> dict[str, int]:
    """The nodes of each group of `own`, and of all others together."""
    counts: dict[str, int] = defaultdict(int)
    for group, count in nodes.items():
        counts[group if group in own else POOLED] += count
    return counts


def _watched_share(units: Sequence[Unit]) -> float:
    """The share of an hour that was watched: a node's first fill is no rate of so few seconds."""
    watched_s = max(unit.until_s for unit in units) - min(unit.since_s for unit in units)
    return min(1.0, watched_s / HOUR_S)


def together(groups: Sequence[Scores]) -> Scores:
    """Scores of all groups as one fleet."""
    total, *others = groups
    for scores in others:
        total = total.plus(scores)
    # Over the whole fleet, every delayed start counts.
    return Scores(*(getattr(total, name) for name in Scores.__slots__ if name != "slack"))
