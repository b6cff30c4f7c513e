"""Settings by the time of day, where a day has clear parts that repay the restarts between them.

Every hour of the day is replayed by itself under each setting, the pool at rest when it begins. A
schedule cuts the day into parts and gives each the setting that holds least there. Each switch is
charged with a restart of every aws-node: its EC2 calls, and the pods that start while it lasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from ippolicy.decide.gate import CALLS_OF_A_RESTART, CALLS_OF_AN_ENI, RESTART_S
from ippolicy.decide.objective import Objective
from ippolicy.decide.trials import Floats, Replay, Trials, replay_fast
from ippolicy.decide.units import HOUR_S, Unit, hours_of
from ippolicy.ipamd import PoolSettings, WarmTargets

HOURS: Final = 24
MOST_PARTS: Final = 3  # more are not tried: a day has a night, and at most one peak besides


@dataclass(frozen=True, slots=True)
class Part:
    """From `start_hour` (UTC) on, `targets` rule."""

    start_hour: int
    targets: WarmTargets


@dataclass(frozen=True, slots=True)
class Schedule:
    """The settings of a day; one part means one setting throughout, with no switch.

    `held` is the mean over the day of the addresses on all nodes; shares and calls have the
    restarts of the switches in them.
    """

    parts: tuple[Part, ...]
    held: float
    delayed_share: float
    calls_per_minute: float


@dataclass(frozen=True, slots=True)
class DayQuestion:
    """What a schedule is for: `nodes` nodes, at most `max_switches` a day, each worth it only where
    `min_saving` (a share) of the addresses held are saved by all together."""

    base: PoolSettings
    objective: Objective
    nodes: int
    max_switches: int
    min_saving: float


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
    hours = _Hours.of(units, settings, asked, replay)
    if hours is None:
        return None
    single = hours.best(((0, HOURS),))
    most = min(asked.max_switches, MOST_PARTS)
    several = (hours.best(parts) for count in range(2, most + 1) for parts in _cuts(count))
    split = min((s for s in several if s is not None), key=lambda s: s.held, default=None)
    if single is None or split is None:
        return single or split
    return split if split.held <= single.held * (1 - asked.min_saving) else single


def _cuts(count: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """All ways to cut a day, which is a circle, into `count` parts: (first hour, hour after)."""
    for starts in combinations(range(HOURS), count):
        yield tuple(zip(starts, (*starts[1:], starts[0] + HOURS), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class _Hours:
    """Arrays [hour, setting], a node's mean in that hour: addresses, ENIs, pods, calls."""

    settings: Sequence[WarmTargets]
    asked: DayQuestion
    held: Floats
    enis: Floats
    starts: Floats
    delayed: Floats
    calls: Floats

    @classmethod
    def of(
        cls,
        units: Sequence[Unit],
        settings: Sequence[WarmTargets],
        asked: DayQuestion,
        replay: Replay,
    ) -> _Hours | None:
        cut = [part for unit in units for part in hours_of(unit)]
        if {hour for hour, _ in cut} != set(range(HOURS)):
            return None
        parts = [part for _, part in cut]
        trials = Trials(parts, settings, asked.base, replay)
        rows, columns = np.arange(len(parts)), np.arange(len(settings))
        trials.play(rows, columns)
        played = trials.results(rows, columns)
        span_s = np.array([part.until_s - part.since_s for part in parts])
        member = np.array([hour for hour, _ in cut]) == np.arange(HOURS)[:, None]
        seconds = member * span_s
        per_node_hour = member * (HOUR_S / seconds.sum(axis=1))[:, None]
        over_time = seconds / seconds.sum(axis=1)[:, None]
        return cls(
            settings=settings,
            asked=asked,
            held=over_time @ played.held,
            enis=over_time @ played.enis,
            starts=per_node_hour @ played.starts,
            delayed=per_node_hour @ played.delayed,
            calls=per_node_hour @ played.calls,
        )

    def best(self, parts: Sequence[tuple[int, int]]) -> Schedule | None:
        """Each part with the least held that keeps both limits there; None where one has none."""
        limit, nodes = self.asked.objective, self.asked.nodes
        chosen: list[tuple[Part, int, list[int]]] = []
        for first, after in parts:
            hours = [hour % HOURS for hour in range(first, after)]
            allowed = limit.delayed_share * self.starts[hours].sum(axis=0) * (1 + 1e-9)
            budget = limit.calls_per_minute * 60 * len(hours) / nodes
            kept = (self.delayed[hours].sum(axis=0) <= allowed) & (
                self.calls[hours].sum(axis=0) <= budget
            )
            if not kept.any():
                return None
            held = np.where(kept, self.held[hours].sum(axis=0), np.inf)
            number = int(held.argmin())
            chosen.append((Part(hours[0], self.settings[number]), number, hours))
        return self._within_limits(self._charged(chosen))

    def _charged(self, chosen: Sequence[tuple[Part, int, list[int]]]) -> Schedule:
        """The day of these parts, with a restart at the start of each where there are several."""
        nodes, held, starts, delayed, calls = self.asked.nodes, 0.0, 0.0, 0.0, 0.0
        for _, number, hours in chosen:
            held += float(self.held[hours, number].sum())
            starts += float(self.starts[hours, number].sum())
            delayed += float(self.delayed[hours, number].sum())
            calls += float(self.calls[hours, number].sum())
            if len(chosen) > 1:
                delayed += float(self.starts[hours[0], number]) * RESTART_S / HOUR_S
                enis = float(self.enis[hours[0] - 1, number])
                calls += CALLS_OF_A_RESTART + CALLS_OF_AN_ENI * enis
        return Schedule(
            parts=tuple(part for part, _, _ in chosen),
            held=held / HOURS * nodes,
            delayed_share=delayed / starts if starts else 0.0,
            calls_per_minute=calls * nodes / (HOURS * 60),
        )

    def _within_limits(self, schedule: Schedule) -> Schedule | None:
        limit = self.asked.objective
        late = schedule.delayed_share > limit.delayed_share * (1 + 1e-9)
        return None if late or schedule.calls_per_minute > limit.calls_per_minute else schedule
