"""Settings by the time of day, where a day has clear parts that repay the restarts between them.

A schedule cuts the day into parts and gives each the setting that is best in its hours, by the same
rules as a search. Each switch is charged with a restart of every aws-node: its EC2 calls, the pods
that start while it lasts, and the addresses that are held while it is under way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import ceil
from typing import Final

import numpy as np

from ippolicy.decide.grid import Candidate
from ippolicy.decide.hours import HOURS, QUARTER_S, Hours, Sums, case_of
from ippolicy.decide.objective import Mask, Objective, pick
from ippolicy.decide.resample import RESAMPLES
from ippolicy.decide.restart import CALLS_OF_A_RESTART, CALLS_OF_AN_ENI, RESTART_S
from ippolicy.decide.trials import Indexes, Replay, replay_fast
from ippolicy.decide.units import HOUR_S, Unit
from ippolicy.ipamd import PoolSettings, WarmTargets

_FEW_RESAMPLES: Final = 50
MOST_PARTS: Final = 3  # more are not tried: a day has a night, and at most one peak besides


@dataclass(frozen=True, slots=True)
class Part:
    """From `start_hour` (UTC) on, `targets` rule, under which all nodes hold `held` in the mean.

    `grows` says that this is more than the part before would hold in these hours. If not, the
    switch waits `wait_s` into them, for a quarter of an hour in which few pods start.
    `present_held` is what the setting in force would hold in them, `present_meets` whether it would
    keep the limits; `beside_present` tells these.
    """

    start_hour: int
    targets: WarmTargets
    held: float
    grows: bool
    wait_s: float
    present_held: float = 0.0
    present_meets: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """The settings of a day; one part means one setting throughout, with no switch.

    `held` is the mean over the day of the addresses on all nodes; shares and calls have the
    restarts of the switches in them. `single_held` is what the best single setting holds.
    """

    parts: tuple[Part, ...]
    held: float
    delayed_share: float
    calls_per_minute: float
    single_held: float


@dataclass(frozen=True, slots=True)
class DayQuestion:
    """What a schedule is for: the `nodes` of each group, at most `max_switches` a day, worth it
    only where they save `min_saving` (a share) of the addresses held.

    `base` holds the setting in force, which has no part in it. A rollout takes `rollout_s`, and is
    begun `lead_s` before a part that holds more. No part is so short that two switches are within
    `cooldown_s`.
    """

    base: PoolSettings
    objective: Objective
    nodes: Mapping[str, int]
    max_switches: int
    min_saving: float
    cooldown_s: float = 0.0
    lead_s: float = 0.0
    rollout_s: float = 0.0

    @property
    def least_part_s(self) -> float:
        """How long a part must be: the switch to it may be late, that from it early."""
        most_wait_s = HOUR_S - QUARTER_S
        return max(HOUR_S, self.cooldown_s + self.lead_s + self.rollout_s + most_wait_s)


def day_schedule(
    units: Sequence[Unit],
    settings: Sequence[WarmTargets],
    asked: DayQuestion,
    *,
    replay: Replay = replay_fast,
) -> Schedule | None:
    """The best schedule for the demand of `units`, of one part unless more repay their restarts.

    None where not every hour of the day was seen, or no setting keeps the limits.
    """
    hours = Hours(units, settings, asked.base, asked.nodes, replay)
    tried = [Candidate(targets, writable=True) for targets in settings]
    return schedule_of(hours, tried, np.arange(len(settings)), asked)


def schedule_of(
    hours: Hours, tried: Sequence[Candidate], columns: Indexes, asked: DayQuestion
) -> Schedule | None:
    """The best schedule of those settings of `columns` that are writable; see `day_schedule`."""
    if not hours.complete:
        return None
    whole = _Day.of(hours, tried, columns, asked)
    single, split = whole.single, whole.split
    if single is not None and split is not None:
        saves = split.held <= single.held * (1 - asked.min_saving)
        if not saves or not _repays_unseen(hours, tried, columns[whole.menu], asked):
            split = None
    best = split or single
    return None if best is None else whole.schedule(best, (single or best).held)


def beside_present(
    schedule: Schedule,
    units: Sequence[Unit],
    asked: DayQuestion,
    *,
    replay: Replay = replay_fast,
    share: float = 1.0,
) -> Schedule:
    """`schedule` with what the setting in force, that of `asked.base`, comes to in its parts, on a
    `share` of the units."""
    settings = [*(part.targets for part in schedule.parts), asked.base.targets]
    hours = Hours(units, settings, asked.base, asked.nodes, replay, share=share)
    sums = hours.sums(np.arange(len(settings)), asked.objective.delayed_share, resamples=0)
    starts = [part.start_hour for part in schedule.parts]
    cases = [
        case_of(sums, first, after, asked.objective, hours.nodes)
        for first, after in zip(starts, (*starts[1:], starts[0] + HOURS), strict=True)
    ]
    parts = tuple(
        replace(part, present_held=float(case.held[-1]), present_meets=bool(case.within[0, -1]))
        for part, case in zip(schedule.parts, cases, strict=True)
    )
    return replace(schedule, parts=parts)


def _repays_unseen(
    hours: Hours, tried: Sequence[Candidate], columns: Indexes, asked: DayQuestion
) -> bool:
    """Whether parts found in some days save enough on the others, with no more late starts than are
    allowed, or than the single setting found in the same days has there.

    Some hours always saw few starts by chance, and of all ways to cut a day the best is taken: what
    it saves on the days that it was found in proves nothing.
    """
    plans = []
    for fold in hours.folds:
        learned = _Day.of(hours, tried, columns, asked, among=~fold, resamples=_FEW_RESAMPLES)
        seen = _Day.of(hours, tried, columns, asked, among=fold, resamples=0)
        if (single := learned.single) is not None:
            split = learned.split or single
            plans.append((seen.charged(single.stretches), seen.charged(split.stretches)))
    if len(plans) < 2:
        return False
    held = [sum(plan.held for plan in column) for column in zip(*plans, strict=True)]
    late = [sum(plan.delayed_share for plan in column) for column in zip(*plans, strict=True)]
    allowed = max(asked.objective.delayed_share * len(plans), late[0]) * (1 + 1e-9)
    return late[1] <= allowed and bool(held[1] <= held[0] * (1 - asked.min_saving))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """From hour `first` up to `after`, the setting of column `best`."""

    first: int
    after: int
    best: int


@dataclass(frozen=True, slots=True)
class _Plan:
    stretches: tuple[_Stretch, ...]
    held: float
    delayed_share: float
    calls_per_minute: float


class _Day:
    """What `sums` say of a day: all of it by one setting, or in parts."""

    def __init__(
        self, hours: Hours, tried: Sequence[Candidate], sums: Sums, asked: DayQuestion
    ) -> None:
        self._hours = hours
        self._asked = asked
        self._tried = tried
        self._allowed = np.array([candidate.writable for candidate in tried])
        self._sums = sums
        self._found: dict[tuple[int, int], _Stretch | None] = {}

    @classmethod
    def of(
        cls,
        hours: Hours,
        tried: Sequence[Candidate],
        columns: Indexes,
        asked: DayQuestion,
        *,
        among: Mask | None = None,
        resamples: int = RESAMPLES,
    ) -> _Day:
        """The day that is `among` the hours, under the settings of `columns`."""
        share = asked.objective.delayed_share
        sums = hours.sums(columns, share, among=among, resamples=resamples)
        return cls(hours, [tried[column] for column in columns], sums, asked)

    @property
    def menu(self) -> Indexes:
        """The settings that are best in some hours, of those looked at so far."""
        return np.unique([found.best for found in self._found.values() if found is not None])

    @property
    def single(self) -> _Plan | None:
        """The best single setting."""
        return self._plan(((0, HOURS),))

    @property
    def split(self) -> _Plan | None:
        """The best of several parts."""
        most = min(self._asked.max_switches, MOST_PARTS)
        least_hours = ceil(self._asked.least_part_s / HOUR_S)
        plans = (self._plan(cut) for n in range(2, most + 1) for cut in _cuts(n, least_hours))
        return min((plan for plan in plans if plan is not None), key=_held, default=None)

    def _plan(self, cut: Sequence[tuple[int, int]]) -> _Plan | None:
        """Each part with the best setting there; None where one has none, or the day with its
        restarts is beyond a limit."""
        stretches = []
        for first, after in cut:
            stretch = self._stretch(first, after)
            if stretch is None:
                return None
            stretches.append(stretch)
        plan = self.charged(tuple(stretches))
        limit = self._asked.objective
        late = plan.delayed_share > limit.delayed_share * (1 + 1e-9)
        return None if late or plan.calls_per_minute > limit.calls_per_minute else plan

    def _stretch(self, first: int, after: int) -> _Stretch | None:
        if (first, after) not in self._found:
            case = case_of(self._sums, first, after, self._asked.objective, self._hours.nodes)
            anchor = WarmTargets(warm_ip=1, minimum_ip=self._hours.peak(first, after))
            picked = pick(case, self._tried, anchor=anchor, allowed=self._allowed)
            stretch = _Stretch(first, after, picked.best) if picked.met else None
            self._found[first, after] = stretch
        return self._found[first, after]

    def _sum(self, name: str, stretch: _Stretch, column: int | None = None) -> float:
        sums, number = getattr(self._sums, name), stretch.best if column is None else column
        return float(sums[stretch.after, number] - sums[stretch.first, number])

    def charged(self, stretches: tuple[_Stretch, ...]) -> _Plan:
        """The day of these parts, with a restart at the start of each where there are several."""
        total = {
            name: sum(self._sum(name, stretch) for stretch in stretches)
            for name in ("held", "starts", "delayed", "calls")
        }
        for before, stretch in _switches(stretches):
            hour_before = _Stretch(stretch.first + HOURS - 1, stretch.first + HOURS, before.best)
            first_hour = _Stretch(stretch.first, stretch.first + 1, before.best)
            total["delayed"] += self._starts_at(before, stretch) * RESTART_S / QUARTER_S
            total["calls"] += CALLS_OF_A_RESTART * self._hours.nodes
            total["calls"] += CALLS_OF_AN_ENI * self._sum("enis", hour_before)
            if self._grows(before, stretch):
                more = self._sum("held", hour_before, stretch.best) - self._sum("held", hour_before)
                total["held"] += max(0.0, more) * self._asked.lead_s / HOUR_S
            else:
                less = self._sum("held", first_hour) - self._sum("held", first_hour, stretch.best)
                # In the mean, a node is half of the rollout later.
                wait_s = self._wait_s(before, stretch) + self._asked.rollout_s / 2
                total["held"] += max(0.0, less) * wait_s / HOUR_S
        return _Plan(
            stretches=stretches,
            held=total["held"] / HOURS,
            delayed_share=total["delayed"] / total["starts"] if total["starts"] else 0.0,
            calls_per_minute=total["calls"] / (HOURS * 60),
        )

    def _wait_s(self, before: _Stretch, stretch: _Stretch) -> float:
        """How long a switch waits: for the first quarter of its hour with no more starts than in
        the mean."""
        if self._grows(before, stretch):
            return 0.0
        starts = self._hours.starts_by_quarter[stretch.first % HOURS]
        return QUARTER_S * int((starts <= starts.mean()).argmax())

    def _starts_at(self, before: _Stretch, stretch: _Stretch) -> float:
        """The starts in the quarter of an hour of a switch: for one that grows, the last before its
        hour."""
        grows, wait_s = self._grows(before, stretch), self._wait_s(before, stretch)
        hour, quarter = (stretch.first - 1, -1) if grows else (stretch.first, wait_s // QUARTER_S)
        return float(self._hours.starts_by_quarter[hour % HOURS, int(quarter)])

    def _grows(self, before: _Stretch, stretch: _Stretch) -> bool:
        return self._sum("held", stretch) > self._sum("held", stretch, before.best)

    def schedule(self, plan: _Plan, single_held: float) -> Schedule:
        """A plan in words for others."""
        befores = {stretch: before for before, stretch in _switches(plan.stretches)}
        return Schedule(
            parts=tuple(
                self._part(stretch, befores.get(stretch, stretch)) for stretch in plan.stretches
            ),
            held=plan.held,
            delayed_share=plan.delayed_share,
            calls_per_minute=plan.calls_per_minute,
            single_held=single_held,
        )

    def _part(self, stretch: _Stretch, before: _Stretch) -> Part:
        return Part(
            start_hour=stretch.first,
            targets=self._tried[stretch.best].targets,
            held=self._sum("held", stretch) / (stretch.after - stretch.first),
            grows=self._grows(before, stretch),
            wait_s=self._wait_s(before, stretch) if before is not stretch else 0.0,
        )


def _held(plan: _Plan) -> float:
    return plan.held


def _switches(stretches: Sequence[_Stretch]) -> Iterator[tuple[_Stretch, _Stretch]]:
    """(before, after) of each switch of a day; none where one setting rules throughout."""
    if len(stretches) > 1:
        yield from zip((stretches[-1], *stretches[:-1]), stretches, strict=True)


def _cuts(count: int, least_hours: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """All ways to cut a day, which is a circle, into `count` parts: (first hour, hour after)."""
    for starts in combinations(range(HOURS), count):
        cut = tuple(zip(starts, (*starts[1:], starts[0] + HOURS), strict=True))
        if all(after - first >= least_hours for first, after in cut):
            yield cut
