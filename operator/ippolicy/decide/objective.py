"""Which setting is best: the least addresses held within both limits.

    settings within the limits, surely    the one that holds least
    some, but not surely                  the same, said to be unsure
    none                                  the nearest to the limits, and the limit that is in the
                                          way is named

Surely means in `SURE_SHARE` of the resamples; a setting is at least as sure as any that it is no
worse than in idle addresses, late starts and calls, for what draws say against it is chance. One
that another dominates in these three is never taken, unless it is in force. Of settings that hold
the same but for `TIE_SHARE`, the one with fewer calls is taken (a call an hour and node more or
less is the same), then the one in force, on most nodes if several are, then the one nearest the
anchor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ippolicy.decide.grid import Candidate
from ippolicy.decide.trials import Floats
from ippolicy.ipamd import WarmTargets

SURE_SHARE: Final = 0.9
LEAN_SHARE: Final = 0.5  # what the lean reading asks of resamples
GENEROUS_SHARE: Final = 0.99
TIE_SHARE: Final = 0.002
FEW_CALLS_PER_MINUTE: Final = 0.02  # for each node
NEAR_SHARE: Final = 0.1  # settings this much farther from the limits than the nearest count as near
LEAST_DELAYED_LIMIT: Final = 0.0005  # what a limit of 0 % is measured in

_ROUNDING: Final = 1e-9
_FIRST: Final[Mapping[int, float]] = MappingProxyType({0: 1.0})

Mask = NDArray[np.bool_]

DELAYED_LIMIT: Final = "objective.maxDelayedStarts"
CALLS_LIMIT: Final = "objective.maxEC2CallsPerMinute"


@dataclass(frozen=True, slots=True)
class Objective:
    """The two limits: a share of starts, and mutating EC2 calls a minute of the nodes judged."""

    delayed_share: float
    calls_per_minute: float


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Arrays [resample, setting], the sample itself in row 0.

    `held`, `assigned` and `enis` are means over time, summed over the nodes; `starts` and `delayed`
    are pods a second. A delayed start of `slack` more or less is no evidence.
    """

    held: Floats
    assigned: Floats
    enis: Floats
    starts: Floats
    delayed: Floats
    calls_per_minute: Floats
    nodes: int
    slack: float = 0.0

    @property
    def delayed_share(self) -> Floats:
        """Share of starts that are delayed; 0 where nothing started."""
        return np.divide(
            self.delayed, self.starts, out=np.zeros_like(self.delayed), where=self.starts > 0
        )

    def plus(self, other: Scores) -> Scores:
        """Those of both sets of nodes together."""
        return Scores(
            held=self.held + other.held,
            assigned=self.assigned + other.assigned,
            enis=self.enis + other.enis,
            starts=self.starts + other.starts,
            delayed=self.delayed + other.delayed,
            calls_per_minute=self.calls_per_minute + other.calls_per_minute,
            nodes=self.nodes + other.nodes,
        )

    def within(self, objective: Objective) -> Mask:
        """Which settings keep both limits, in each resample."""
        return self.starts_in_time(objective) & (
            self.calls_per_minute <= objective.calls_per_minute
        )

    def starts_in_time(self, objective: Objective) -> Mask:
        """Which settings keep the limit on delayed starts, in each resample."""
        allowed = objective.delayed_share * self.starts + self.slack
        return self.delayed <= allowed * (1 + 1e-9)

    def excess(self, objective: Objective) -> tuple[Floats, Floats]:
        """How far beyond each limit settings are, as a share of it: delayed starts, calls."""
        limit = max(objective.delayed_share, LEAST_DELAYED_LIMIT)
        delayed = np.maximum(self.delayed_share[0] - objective.delayed_share, 0.0) / limit
        calls = self.calls_per_minute[0] / objective.calls_per_minute - 1.0
        return delayed, np.maximum(calls, 0.0)


@dataclass(frozen=True, eq=False)
class Case:
    """What is judged: `held` [setting] to be least, `within` [resample, setting] the limits kept.

    `calls` [setting] break ties, unless they differ by no more than `few_calls`; `excess` [setting]
    is how far beyond the limits each one is. `idle` and `late` [setting] are addresses that no pod
    has and the share of starts that are delayed.
    """

    held: Floats
    idle: Floats
    late: Floats
    within: Mask
    calls: Floats
    few_calls: float
    excess: Floats

    @cached_property
    def no_worse(self) -> Mask:
        """[one, other]: the first is at most the other in idle addresses, late starts and calls."""
        figures = np.stack((self.idle, self.late, self.calls))
        mask: Mask = np.all(figures[:, :, None] <= figures[:, None, :] + _ROUNDING, axis=0)
        return mask

    @cached_property
    def sure(self) -> Floats:
        """Share of resamples in which each setting keeps the limits, or one that is no better."""
        share: Floats = self.within[1:].mean(axis=0)
        at_least: Floats = np.where(self.no_worse, share, 0.0).max(axis=1)
        return at_least

    def front(self, among: Mask) -> Mask:
        """Those of `among` that no other of them dominates."""
        better = self.no_worse & ~self.no_worse.T & among[:, None]
        mask: Mask = among & ~better.any(axis=0)
        return mask


@dataclass(frozen=True, slots=True)
class Pick:
    """The number of the setting taken, with those of a lean and a generous reading of demand.

    `met` says whether it keeps both limits, `sure` in what share of the resamples it does.
    """

    best: int
    lower: int
    upper: int
    met: bool
    sure: float


def pick(
    case: Case,
    settings: Sequence[Candidate],
    *,
    anchor: WarmTargets,
    allowed: Mask,
    in_force: Mapping[int, float] = _FIRST,
) -> Pick:
    """The best of the `allowed` settings; `in_force` has the numbers of those in force, with the
    share of nodes that run them."""
    order = _Order(case, settings, anchor, in_force)
    plain = allowed & case.within[0]
    if not plain.any():
        excess = np.where(allowed, case.excess, np.inf)
        near = excess <= excess.min() * (1 + NEAR_SHARE) + 1e-12
        nearest = order.first(near)
        return Pick(nearest, nearest, nearest, met=False, sure=float(case.sure[nearest]))
    tiers = [plain & (case.sure >= share) for share in (LEAN_SHARE, SURE_SHARE, GENEROUS_SHARE)]
    surest = plain & (case.sure >= case.sure[plain].max())
    lower, best, upper = (order.first(tier if tier.any() else surest) for tier in tiers)
    return Pick(best, lower, upper, met=True, sure=float(case.sure[best]))


def in_play(case: Case, allowed: Mask, *, margin: float) -> Mask:
    """Settings that some resample might choose: within the limits there, and not `margin` (a
    share) above the least held of those. Where nothing keeps the limits, all stay."""
    within = case.within & allowed
    held = np.where(within, case.held, np.inf)
    least = held.min(axis=1)
    if not np.isfinite(least[0]):
        return allowed
    mask: Mask = (held <= least[:, None] * (1 + margin) + 1e-9).any(axis=0) & allowed
    return mask & np.isfinite(case.held)


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    case: Case
    settings: Sequence[Candidate]
    anchor: WarmTargets
    in_force: Mapping[int, float]

    def first(self, among: Mask) -> int:
        """The number of the best of `among`, which are not none."""
        best = self.case.front(among)
        least = self.case.held[best].min()
        stays = list(self.in_force)
        best[stays] = among[stays]
        tied = best & (self.case.held <= least * (1 + TIE_SHARE) + 1e-9)
        fewest = self.case.calls[tied].min()
        tied &= self.case.calls <= fewest + self.case.few_calls
        return min(np.flatnonzero(tied).tolist(), key=self._rank)

    def _rank(self, number: int) -> tuple[float, int, int, int]:
        targets, anchor = self.settings[number].targets, self.anchor
        away = abs(targets.minimum_ip - anchor.minimum_ip)
        warm = targets.warm_ip if targets.counts_addresses else 0
        return -self.in_force.get(number, 0.0), away, warm, number
