"""The search: from units of demand to the best setting of the fleet and of each group.

    1  a first sample of units is played under a coarse grid
    2  around what any resample might choose, the whole grid is played
    3  the sample doubles until the interval of what the choice holds is narrow, or the budget
       of events is spent; settings that no resample would choose are played no further

Where all units under the whole grid are within the budget, nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ippolicy.decide.fleet import Fleet, together
from ippolicy.decide.grid import Candidate, bound_between, candidates
from ippolicy.decide.objective import (
    CALLS_LIMIT,
    DELAYED_LIMIT,
    FEW_CALLS_PER_MINUTE,
    TIE_SHARE,
    Case,
    Mask,
    Objective,
    Pick,
    Scores,
    in_play,
    pick,
)
from ippolicy.decide.question import Advice, Choice, Option, Question
from ippolicy.decide.trials import Indexes, Replay, Trials, replay_fast
from ippolicy.decide.units import Unit
from ippolicy.ipamd import WarmTargets

BUDGET_EVENTS: Final = 24_000_000  # some five seconds of one core
FIRST_UNITS: Final = 24
NARROW: Final = 0.01  # half the interval of addresses held, as a share of them
_COARSE: Final = 2  # every second value of each target
_MARGIN: Final = 0.05
_RUNNERS_UP: Final = 5


def choose(
    moments: Sequence[Sequence[Unit]],
    question: Question,
    *,
    replay: Replay = replay_fast,
    budget_events: int = BUDGET_EVENTS,
) -> Choice | None:
    """The best setting for the demand of every one of `moments`, the first being that of now.

    A setting must keep the limits at each moment, and counts as holding the most that it does at
    any. None where the first has no units.
    """
    if not moments or not moments[0]:
        return None
    tried = candidates(
        moments[0],
        question.present,
        question.bounds,
        anchor=question.anchor,
        may_write_prefix=question.may_write_prefix,
    )
    return _Search([units for units in moments if units], question, tried, replay).run(
        budget_events
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """The settings of `columns`: how each group and the fleet do under them at every moment."""

    columns: Indexes
    fleet: tuple[Scores, ...]
    fleet_case: Case
    groups: Mapping[str, tuple[Scores, ...]]
    group_cases: Mapping[str, Case]


class _Search:
    def __init__(
        self,
        moments: Sequence[Sequence[Unit]],
        question: Question,
        tried: Sequence[Candidate],
        replay: Replay,
    ) -> None:
        targets = [candidate.targets for candidate in tried]
        self._question = question
        self._tried = tried
        self._fleets = [
            Fleet(Trials(units, targets, question.present, replay), question.nodes)
            for units in moments
        ]
        self._writable = np.array([candidate.writable for candidate in tried])
        # Beyond the bounds, whatever is no trap.
        self._any = self._writable | np.array([c.place is not None for c in tried])

    def run(self, budget_events: int) -> Choice:
        every = np.arange(len(self._tried))
        if self._cost(1.0, len(every)) <= budget_events:
            self._play(1.0, every)
            return self._choice(self._judge(every))
        share = min(1.0, FIRST_UNITS / len(self._fleets[0].trials.units))
        self._play(share, self._coarse())
        columns = self._around(self._in_play(self._judge(self._coarse())))
        self._play(share, columns)
        judged = self._judge(columns)
        while not self._narrow(judged):
            share = min(1.0, 2 * share)
            columns = self._in_play(judged)
            if self._spent() + self._cost(share / 2, len(columns)) > budget_events:
                break
            self._play(share, columns)
            judged = self._judge(columns)
        return self._choice(judged)

    # -- what is played -------------------------------------------------------------------------

    def _play(self, share: float, columns: Indexes) -> None:
        for fleet in self._fleets:
            fleet.play(share, columns)

    def _cost(self, share: float, columns: int) -> int:
        return sum(fleet.cost(share, columns) for fleet in self._fleets)

    def _spent(self) -> int:
        return sum(fleet.trials.events_played for fleet in self._fleets)

    def _coarse(self) -> Indexes:
        """Every second value of the grid, and all that stands beside it."""
        places = [candidate.place for candidate in self._tried]
        return np.array(
            [
                number
                for number, place in enumerate(places)
                if place is None or all(index % _COARSE == 0 for index in place)
            ],
            dtype=np.int64,
        )

    def _around(self, columns: Indexes) -> Indexes:
        """`columns` and the settings of the grid that lie around them."""
        centers = [place for c in columns if (place := self._tried[c].place) is not None]
        around = {
            (warm + right, minimum + up)
            for warm, minimum in centers
            for right in range(-_COARSE, _COARSE + 1)
            for up in range(-_COARSE, _COARSE + 1)
        }
        found = [number for number, c in enumerate(self._tried) if c.place in around]
        return np.union1d(columns, np.array(found, dtype=np.int64))

    # -- how it is judged -----------------------------------------------------------------------

    def _judge(self, columns: Indexes) -> _Judged:
        scores = [fleet.scores(columns) for fleet in self._fleets]
        groups = {
            group: tuple(moment[group] for moment in scores if group in moment)
            for group in scores[0]
        }
        fleet = tuple(together(list(moment.values())) for moment in scores)
        return _Judged(
            columns=columns,
            fleet=fleet,
            fleet_case=self._fleet_case(fleet, groups, self._writable[columns]),
            groups=groups,
            group_cases={
                group: _case(moments, self._share_of_limits(group))
                for group, moments in groups.items()
            },
        )

    def _share_of_limits(self, group: str) -> Objective:
        """The limits of a group alone: of the calls, its share by nodes."""
        objective, nodes = self._question.objective, self._question.nodes
        share = nodes[group] / sum(nodes.values())
        return Objective(objective.delayed_share, objective.calls_per_minute * share)

    def _fleet_case(
        self, fleet: tuple[Scores, ...], groups: Mapping[str, tuple[Scores, ...]], allowed: Mask
    ) -> Case:
        """The fleet keeps its limits, and so does each group that can."""
        objective = self._question.objective
        case = _case(fleet, objective)
        served = np.ones(len(allowed), dtype=bool)
        for moments in groups.values():
            in_time = np.all([scores.starts_in_time(objective)[0] for scores in moments], axis=0)
            if (in_time & allowed).any():
                served &= in_time
        if not (served & case.within[0] & allowed).any():
            return case
        return replace(case, within=case.within & served)

    def _in_play(self, judged: _Judged) -> Indexes:
        columns = judged.columns
        keep = columns == 0
        for case in (judged.fleet_case, *judged.group_cases.values()):
            keep |= in_play(case, self._writable[columns], margin=_MARGIN)
        keep |= in_play(judged.fleet_case, self._any[columns], margin=_MARGIN)
        kept: Indexes = columns[keep]
        return kept

    def _narrow(self, judged: _Judged) -> bool:
        if all(fleet.complete for fleet in self._fleets):
            return True
        picked = self._pick(judged, judged.fleet_case, self._question.anchor)
        low, high = _interval(judged.fleet[0], picked.best)
        return high - low <= 2 * NARROW * float(judged.fleet[0].held[0, picked.best])

    def _pick(
        self, judged: _Judged, case: Case, anchor: WarmTargets, *, capped: bool = True
    ) -> Pick:
        allowed = (self._writable if capped else self._any)[judged.columns]
        settings = [self._tried[column] for column in judged.columns]
        # Bounds that leave no setting of the grid leave their own corners, which the grid has.
        return pick(case, settings, anchor=anchor, allowed=allowed)

    # -- what is made of it ---------------------------------------------------------------------

    def _choice(self, judged: _Judged) -> Choice:
        question, fleet = self._question, self._fleets[0]
        return Choice(
            fleet=self._advice(judged, judged.fleet, judged.fleet_case, question.anchor),
            groups={
                group: self._advice(
                    judged,
                    judged.groups[group],
                    case,
                    question.anchors.get(group, question.anchor),
                )
                for group, case in judged.group_cases.items()
            },
            units_played=len(fleet.sampled),
            units=len(fleet.trials.units),
            settings=len(self._tried),
            events_played=self._spent(),
        )

    def _advice(
        self, judged: _Judged, scores: tuple[Scores, ...], case: Case, anchor: WarmTargets
    ) -> Advice:
        picked = self._pick(judged, case, anchor)
        free = self._pick(judged, case, anchor, capped=False)
        numbers = judged.columns

        def targets(number: int) -> WarmTargets:
            return self._tried[int(numbers[number])].targets

        def option(number: int) -> Option:
            return _option(targets(number), scores[0], number)

        allowed = self._writable[numbers]
        return Advice(
            chosen=option(picked.best),
            present=option(0),
            lower=targets(picked.lower),
            upper=targets(picked.upper),
            uncapped=targets(free.best),
            binding=self._binding(case, picked, free, scores, numbers),
            met=picked.met,
            sure=picked.sure,
            present_met=bool(case.within[0, 0] and self._writable[0]),
            held_interval=_interval(scores[0], picked.best),
            runners_up=tuple(map(option, _runners_up(case, picked, allowed))),
        )

    def _binding(
        self,
        case: Case,
        picked: Pick,
        free: Pick,
        scores: tuple[Scores, ...],
        columns: Indexes,
    ) -> str:
        """What keeps less from being held."""
        question = self._question
        objective = question.objective
        leaner = self._writable[columns] & (case.held < case.held[picked.best] * (1 - TIE_SHARE))
        if not picked.met:
            leaner = np.zeros_like(leaner)
            leaner[picked.best] = True
        elif case.held[free.best] < case.held[picked.best] * (1 - TIE_SHARE):
            return bound_between(self._tried[int(columns[free.best])].targets, question.bounds)
        if not leaner.any():
            return "demand"
        late = ~np.all([moment.starts_in_time(objective)[0] for moment in scores], axis=0)
        return DELAYED_LIMIT if late[leaner].mean() >= 0.5 else CALLS_LIMIT


def _case(moments: tuple[Scores, ...], objective: Objective) -> Case:
    return Case(
        held=np.max([scores.held[0] for scores in moments], axis=0),
        within=np.all([scores.within(objective) for scores in moments], axis=0),
        calls=np.max([scores.calls_per_minute[0] for scores in moments], axis=0),
        few_calls=FEW_CALLS_PER_MINUTE * moments[0].nodes,
        excess=np.max([np.maximum(*scores.excess(objective)) for scores in moments], axis=0),
    )


def _option(targets: WarmTargets, scores: Scores, number: int) -> Option:
    return Option(
        targets=targets,
        held=float(scores.held[0, number]),
        assigned=float(scores.assigned[0, number]),
        enis=float(scores.enis[0, number]),
        delayed_share=float(scores.delayed_share[0, number]),
        calls_per_minute=float(scores.calls_per_minute[0, number]),
    )


def _interval(scores: Scores, number: int) -> tuple[float, float]:
    low, high = np.quantile(scores.held[1:, number], (0.05, 0.95))
    return float(low), float(high)


def _runners_up(case: Case, picked: Pick, allowed: Mask) -> list[int]:
    """The next best: within the limits by what they hold, then the others by their excess."""
    excess = np.where(case.within[0], 0.0, case.excess)
    order = np.lexsort((case.held, excess))
    return [int(n) for n in order if allowed[n] and n != picked.best][:_RUNNERS_UP]
