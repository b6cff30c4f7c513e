"""The search: from units of demand to the best setting of the fleet and of each group.

    1  a first sample of units is played under a coarse grid, and then under the whole grid wherever
       some resample might find a better setting there
    2  the sample doubles until the interval of what the choice holds is narrow, or most of the
       budget of events is spent; settings that no resample would choose are played no further
    3  what lies between the settings of the grid is played in ever smaller cells, down to single
       addresses, wherever a better choice may lie, for the fleet first and then for each group

Where all units under the whole grid are within the budget, all of it is played before step 3. Where
the groups are too many to have a sample each within it, the smallest of them are judged together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from ippolicy.api import Bounds
from ippolicy.decide.cells import Cell, Wanted, beside, cells_of, promising, values_of
from ippolicy.decide.fleet import POOLED
from ippolicy.decide.floor import MEASURED
from ippolicy.decide.grid import (
    Candidate,
    Values,
    bound_between,
    candidates,
    coarse,
    step_of_minimum,
)
from ippolicy.decide.judge import Judge, Judged, late
from ippolicy.decide.objective import (
    CALLS_LIMIT,
    DELAYED_LIMIT,
    SURE_SHARE,
    TIE_SHARE,
    Pick,
    Scores,
)
from ippolicy.decide.question import Advice, Choice, Option, Question, RunnerUp
from ippolicy.decide.resample import LEAST
from ippolicy.decide.runners import Rivals
from ippolicy.decide.trials import EVENTS_OF_A_LANE, Replay, replay_fast
from ippolicy.decide.units import LAYERS, Unit
from ippolicy.ipamd import NodeShape, WarmTargets

BUDGET_EVENTS: Final = 20_000_000  # some six seconds of one core
FIRST_UNITS: Final = 24
NARROW: Final = 0.01  # half the interval of addresses held, as a share of them
CHANCE: Final = 0.01  # by so much a setting may hold more or less than one next to it would tell
FIRST_SHARE: Final = 0.75  # of the budget, for steps 1 and 2


def choose(
    moments: Sequence[Sequence[Unit]],
    question: Question,
    *,
    replay: Replay | None = None,
    budget_events: int = BUDGET_EVENTS,
) -> Choice | None:
    """The best setting for the demand of every one of `moments`, the first being that of now.

    A setting must keep the limits at each moment, and counts as holding the most that it does at
    any. `replay` stands in for the model. None where the first moment has no units.
    """
    if not moments or not moments[0]:
        return None
    tried = candidates(
        moments[0],
        question.present,
        question.bounds,
        anchor=question.anchor,
        may_write_prefix=question.may_write_prefix,
        in_force=question.targets_in_force,
        other_bounds=question.other_bounds,
    )
    replay = replay or partial(replay_fast, latency=question.latency)
    return _Search(
        [units for units in moments if units], question, tried, replay, budget_events
    ).run()


@dataclass(frozen=True, slots=True)
class _Look:
    """What is wanted for a group or (None) the fleet, among which values of the two targets, and
    how many events may have been played in the end."""

    wanted: Callable[[Judged, str | None], Wanted]
    values: tuple[Sequence[int], Sequence[int]]
    most_events: int


class _Search:
    def __init__(
        self,
        moments: Sequence[Sequence[Unit]],
        question: Question,
        tried: Sequence[Candidate],
        replay: Replay,
        budget_events: int,
    ) -> None:
        self._question = question
        self._budget_events = budget_events
        self._coarse = coarse(tried, question.other_bounds)
        self._grid = values_of(tried)
        self._own = _groups_of_their_own(moments, question.nodes, len(self._coarse), budget_events)
        self._judge = Judge(moments, question, tried, self._own, replay)
        self._share = 1.0

    def run(self) -> Choice:
        judge = self._judge
        every = np.arange(len(judge.tried))
        if self._affords(len(every), self._budget_events):
            judged = judge.play(1.0, every)
        else:
            self._share = self._first_share()
            judged = self._doubled(self._whole_grid(judge.play(self._share, self._coarse)))
        return self._choice(self._between(judged))

    # -- what is played -------------------------------------------------------------------------

    def _first_share(self) -> float:
        cost, settings = self._judge.cost, len(self._coarse)
        share = min(1.0, FIRST_UNITS / len(self._judge.fleets[0].trials.units))
        while cost(share, settings) > FIRST_SHARE * self._budget_events:
            if cost(share / 2, 1) == cost(share, 1):
                break  # a few units of each stratum are the least
            share /= 2
        return share

    def _whole_grid(self, judged: Judged) -> Judged:
        """Also the other settings of the grid where any resample might find one better."""

        def wanted(judged: Judged, name: str | None) -> Wanted:
            case = judged.cases[name]
            possible = case.within & self._judge.allowed(name, judged.columns)
            held = np.where(possible, case.held, np.inf)
            return Wanted(possible, case.held, held.min(axis=1, keepdims=True))

        cells = cells_of(self._judge.tried, judged.columns)
        look = _Look(wanted, self._grid, int(FIRST_SHARE * self._budget_events))
        for names in (tuple(judged.cases), (None,)):
            judged, cells = self._closer(judged, cells, names, look)
        return judged

    def _doubled(self, judged: Judged) -> Judged:
        """On ever more units."""
        while not self._narrow(judged):
            share = min(1.0, 2 * self._share)
            columns = self._judge.in_play(judged)
            # Half of them were played already.
            more = self._judge.cost(share, len(columns)) // 2
            if self._judge.spent + more > FIRST_SHARE * self._budget_events:
                break
            self._share = share
            judged = self._judge.play(share, columns)
        return judged

    def _between(self, judged: Judged) -> Judged:
        """Also what lies between, where it may be better than what would be chosen."""

        def wanted(judged: Judged, name: str | None) -> Wanted:
            case, best = judged.cases[name], self._judge.best(judged, name)
            possible = case.within[:1] & self._judge.allowed(name, judged.columns)
            possible &= case.sure >= min(SURE_SHARE, best.sure)
            held = case.held[[best.best]] * (1 + CHANCE)
            return Wanted(possible & best.met, case.held, held[:, None])

        step = step_of_minimum(self._question.present)
        warms, minimums = (range(values[-1] + 1) for values in self._grid)
        look = _Look(wanted, (warms, minimums[::step]), self._budget_events)
        nodes = self._question.nodes
        groups = sorted(name for name in judged.cases if name is not None)
        for name in (None, *sorted(groups, key=lambda group: -nodes.get(group, 0))):
            cells = cells_of(self._judge.tried, judged.columns)
            judged, _ = self._closer(judged, cells, [name], look)
            judged = self._neighbours(judged, name, step)
        return judged

    def _neighbours(self, judged: Judged, name: str | None, step: int) -> Judged:
        """Also what stands next to the best setting, until nothing there is better."""
        while True:
            best = self._judge.tried[judged.columns[self._judge.best(judged, name).best]].values
            near = beside(best, step) if best is not None else set()
            more = self._with(judged, near, self._budget_events)
            if more is None or more is judged:
                return judged
            judged = more

    def _closer(
        self,
        judged: Judged,
        cells: list[Cell],
        names: Sequence[str | None],
        look: _Look,
    ) -> tuple[Judged, list[Cell]]:
        """Also what lies in `cells` where it is wanted, in ever smaller ones; and those that there
        was no budget to look into."""
        while cells:
            settings = [self._judge.tried[column] for column in judged.columns]
            found = promising(cells, settings, [look.wanted(judged, name) for name in names])
            parts = [part for cell in found for part in cell.parts(*look.values)]
            more = self._with(judged, {c for part in parts for c in part.corners}, look.most_events)
            if more is None:
                break
            judged, cells = more, parts
        return judged, cells

    def _with(self, judged: Judged, settings: set[Values], most_events: int) -> Judged | None:
        """Also those settings; None where the events are too few for that."""
        new = settings - {self._judge.tried[column].values for column in judged.columns}
        if not new:
            return judged
        if not self._affords(len(new), most_events):
            return None
        columns = np.union1d(judged.columns, self._judge.numbers(new))
        return self._judge.play(self._share, columns)

    def _affords(self, settings: int, most_events: int) -> bool:
        return self._judge.spent + self._judge.cost(self._share, settings) <= most_events

    def _narrow(self, judged: Judged) -> bool:
        if self._judge.complete:
            return True
        scores, best = judged.scores[None][0], self._judge.best(judged, None).best
        low, high = _interval(scores, best)
        return high - low <= 2 * NARROW * float(scores.held[0, best])

    # -- what is made of it ---------------------------------------------------------------------

    def _choice(self, judged: Judged) -> Choice:
        fleet = self._judge.fleets[0]
        return Choice(
            fleet=self._advice(judged, None),
            groups={
                name: self._advice(judged, name)
                for name in judged.cases
                if name is not None and name != POOLED
            },
            units_played=len(fleet.sampled),
            units=len(fleet.trials.units),
            settings=len(self._judge.tried),
            events_played=self._judge.spent,
            pooled=len({unit.group for unit in fleet.trials.units} - self._own),
        )

    def _advice(self, judged: Judged, name: str | None) -> Advice:
        judge, numbers = self._judge, judged.columns
        case, scores = judged.cases[name], judged.scores[name]
        allowed, writable = judge.allowed(name, numbers), judge.writable(name, numbers)
        picked = judge.best(judged, name)
        free = judge.pick(judged, name, judge.not_trapped(name, numbers))
        rivals = Rivals(case, picked, scores, judge.limits(name), writable, allowed)

        def targets(number: int) -> WarmTargets:
            return judge.tried[int(numbers[number])].targets

        def option(number: int) -> Option:
            return Option(targets(number), **_figures(scores[0], number))

        return Advice(
            chosen=option(picked.best),
            present=Option(targets(judge.most_in_force(name)), **_figures(scores[0], 0)),
            lower=targets(picked.lower),
            upper=targets(picked.upper),
            uncapped=targets(free.best),
            binding=self._binding(rivals, free, targets(free.best), judge.bounds(name)),
            met=picked.met,
            sure=picked.sure,
            present_met=judge.present_met(judged, name),
            held_interval=_interval(scores[0], picked.best),
            runners_up=tuple(
                RunnerUp(targets(n), **_figures(scores[0], n), why=rivals.why(n))
                for n in rivals.numbers()
            ),
            present_sure=float(case.sure[0]),
        )

    def _binding(self, rivals: Rivals, free: Pick, uncapped: WarmTargets, bounds: Bounds) -> str:
        """What keeps less from being held."""
        case, picked = rivals.case, rivals.picked
        less = case.held < case.held[picked.best] * (1 - TIE_SHARE)
        leaner = rivals.writable & less
        if (leaner & ~rivals.allowed & case.within[0]).any():
            return MEASURED
        if not picked.met:
            leaner = np.zeros_like(leaner)
            leaner[picked.best] = True
        elif less[free.best]:
            return bound_between(uncapped, bounds)
        if not leaner.any():
            return "demand"
        waits = late(rivals.scores, rivals.objective)
        return DELAYED_LIMIT if waits[leaner].mean() >= 0.5 else CALLS_LIMIT


def _groups_of_their_own(
    moments: Sequence[Sequence[Unit]], nodes: Mapping[str, int], settings: int, budget_events: int
) -> frozenset[str]:
    """The largest groups, as many as can have a first sample each within the budget."""
    left = FIRST_SHARE * budget_events / settings
    costs: dict[str, float] = defaultdict(float)
    for units in moments:
        lanes: dict[tuple[str, NodeShape], list[int]] = defaultdict(list)
        for unit in units:
            lanes[unit.group, unit.shape].append(EVENTS_OF_A_LANE + unit.events)
        for (group, _), lane in lanes.items():
            costs[group] += min(LAYERS * LEAST, len(lane)) * sum(lane) / len(lane)
    if sum(costs.values()) <= left:
        return frozenset(costs)
    every = [EVENTS_OF_A_LANE + unit.events for units in moments for unit in units]
    left -= FIRST_UNITS * sum(every) / len(every) * len(moments)  # for the others
    own = set()
    for group in sorted(costs, key=lambda group: (-nodes[group], group)):
        left -= costs[group]
        if left < 0:
            break
        own.add(group)
    return frozenset(own)


def _figures(scores: Scores, number: int) -> dict[str, float]:
    """What a setting comes to, by the names of `Option`."""
    names = ("held", "assigned", "enis", "delayed_share", "calls_per_minute")
    return {name: float(getattr(scores, name)[0, number]) for name in names}


def _interval(scores: Scores, number: int) -> tuple[float, float]:
    low, high = np.quantile(scores.held[1:, number], (0.05, 0.95))
    return float(low), float(high)
