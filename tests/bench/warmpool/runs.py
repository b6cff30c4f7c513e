"""One family and one seed: all policies on the same trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ippolicy.decide import objective
from ippolicy.decide.fleet import Fleet
from ippolicy.decide.profiles import Schedule
from ippolicy.decide.timetable import MARGIN_S
from ippolicy.decide.trials import Trials
from ippolicy.decide.units import Unit
from ippolicy.ipamd import PoolSettings, WarmTargets
from warmpool import learning, pareto, statics
from warmpool.clairvoyant import least_idle
from warmpool.families import DAY_S, Pods, pods_of
from warmpool.newsvendor import base_stock
from warmpool.restarts import Switch, play_switched
from warmpool.statics import Scores, play_statics
from warmpool.terms import DAYS, DEFAULT, GRID, LEARN_S, NODE, SPAN_S, Score, name_of

DEFAULT_POLICY: Final = "default"
CHOICE: Final = "choice"
NO_LATER: Final = "choice, default's delays"
PROFILES: Final = "choice by time of day"
NEWSVENDOR: Final = "newsvendor"
POLICIES: Final = (DEFAULT_POLICY, CHOICE, NO_LATER, PROFILES, NEWSVENDOR)


@dataclass(frozen=True, slots=True, eq=False)
class SeedRun:
    """What the policies came to on the trace of one seed.

    `grid` has a score for each setting of `GRID`, `policies` one a policy, and `settings` says what
    each policy was. `least_idle` is the clairvoyant bound. `dominated_by` has, for each choice of
    one setting, the settings of the grid that dominate it on the learning days, as the search sees
    them.
    """

    seed: int
    grid: Scores
    policies: Mapping[str, Score]
    settings: Mapping[str, str]
    least_idle: float
    dominated_by: Mapping[str, Sequence[str]]


def run_seed(family: str, seed: int) -> SeedRun:
    """Learn on the first days of a trace of `family`, play it under every policy."""
    pods = pods_of(family, seed, DAYS)
    units = learning.demand_of(pods)
    limits = learning.balanced()
    advice = learning.advice_for(units, limits)
    no_later = learning.advice_for(units, learning.no_later_than_default(advice))
    schedule = learning.schedule_for(units, limits)
    fixed = {
        DEFAULT_POLICY: DEFAULT,
        CHOICE: advice.chosen.targets,
        NO_LATER: no_later.chosen.targets,
        NEWSVENDOR: base_stock(pods, limits.delayed_share, until_s=LEARN_S),
    }
    if schedule is None or len(schedule.parts) == 1:
        fixed[PROFILES] = fixed[CHOICE]
    scores = play_statics(pods, (*GRID, *fixed.values()), seed=seed)
    policies = {name: scores.of(len(GRID) + number) for number, name in enumerate(fixed)}
    settings = {name: name_of(targets) for name, targets in fixed.items()}
    if schedule is not None and len(schedule.parts) > 1:
        policies[PROFILES] = _scheduled(pods, schedule, scores.floor_pct, seed)
        settings[PROFILES] = _words(schedule)
    return SeedRun(
        seed=seed,
        grid=scores.first(len(GRID)),
        policies=policies,
        settings=settings,
        least_idle=least_idle(
            pods, capacity=NODE.eni_limit * NODE.slots, from_s=LEARN_S, until_s=SPAN_S
        ),
        dominated_by=_dominated(units, {name: fixed[name] for name in (CHOICE, NO_LATER)}),
    )


def _scheduled(pods: Pods, schedule: Schedule, floor_pct: float, seed: int) -> Score:
    """Each switch somewhen in the quarter of an hour by which the timetable lets it be late."""
    late_s = np.random.default_rng(seed)
    due = [(learning.due_s(part), part.targets) for part in schedule.parts]
    switches = [
        Switch(round(day * DAY_S + at_s + late_s.uniform(0, MARGIN_S)), targets)
        for day in range(DAYS + 1)
        for at_s, targets in due
    ]
    first = due[-1][1]
    return play_switched(pods, first, switches, floor_pct=floor_pct, seed=seed)


def _words(schedule: Schedule) -> str:
    return ", ".join(f"{part.start_hour:02}h {name_of(part.targets)}" for part in schedule.parts)


def _dominated(
    units: Sequence[Unit], choices: Mapping[str, WarmTargets]
) -> dict[str, tuple[str, ...]]:
    """Which settings of the whole grid dominate each choice on the very evidence of the search."""
    chosen = list(choices.values())
    trials = Trials(units, [*chosen, *GRID], PoolSettings())
    group = units[0].group
    fleet = Fleet(trials, {group: 1}, {group})
    first = np.arange(len(chosen))
    fleet.play(1.0, first)
    most_idle = _costs(fleet.scores(first)[group])[:, 1].max()
    level = float(np.mean([unit.mean_level for unit in units]))
    may = [n for n, targets in enumerate(GRID) if least_idle_of(targets, level) <= most_idle]
    columns = np.append(first, len(chosen) + np.array(may))
    fleet.play(1.0, columns)
    costs = _costs(fleet.scores(columns)[group])
    return {
        name: tuple(
            name_of(GRID[may[number]])
            for number in np.flatnonzero(pareto.dominators(costs[len(chosen) :], costs[place]))
        )
        for place, name in enumerate(choices)
    }


def least_idle_of(targets: WarmTargets, level: float) -> float:
    """What a setting holds idle at least, with `level` pods in the mean: what is above cannot
    dominate, and need not be played.

    ipamd keeps WARM_IP addresses available and MINIMUM_IP in all, but for the seconds after pods
    come; a fifth less, and one address, makes up for these.
    """
    return 0.8 * max(targets.warm_ip, targets.minimum_ip - level) - 1.0


def _costs(seen: objective.Scores) -> statics.Floats:
    """Delayed starts, idle addresses and calls: [setting, figure]."""
    return np.column_stack(
        [seen.delayed[0], seen.held[0] - seen.assigned[0], seen.calls_per_minute[0]]
    )
