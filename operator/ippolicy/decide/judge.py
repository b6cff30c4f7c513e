"""How settings do on the demand of a fleet: played on a sample that grows, judged by the limits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from ippolicy.api import Bounds
from ippolicy.decide.fleet import POOLED, Fleet, pooled_nodes, together
from ippolicy.decide.floor import Floor, keeps
from ippolicy.decide.grid import Candidate, Stand, Values, candidate, may_write
from ippolicy.decide.objective import (
    FEW_CALLS_PER_MINUTE,
    Case,
    Mask,
    Objective,
    Pick,
    Scores,
    in_play,
    pick,
)
from ippolicy.decide.question import Question
from ippolicy.decide.trials import Indexes, Replay, Trials
from ippolicy.decide.units import Unit

_MARGIN: Final = 0.05
_PRESENT: Final[Mapping[int, float]] = MappingProxyType({0: 1.0})


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The settings of `columns`: how each group, and (`None`) the fleet, do under them at every
    moment."""

    columns: Indexes
    scores: Mapping[str | None, tuple[Scores, ...]]
    cases: Mapping[str | None, Case]


class Judge:
    """The settings `tried`, which may become more, on the demand of each moment.

    Groups that are not among `own` are judged as one.
    """

    def __init__(
        self,
        moments: Sequence[Sequence[Unit]],
        question: Question,
        tried: Sequence[Candidate],
        own: frozenset[str],
        replay: Replay,
    ) -> None:
        targets = [c.targets for c in tried]
        self.tried = list(tried)
        self.in_force = numbers_in_force(question, tried, own)
        mixtures = {name: each for name, each in self.in_force.items() if name is not None}
        self.fleets = [
            Fleet(Trials(units, targets, question.present, replay), question.nodes, own, mixtures)
            for units in moments
        ]
        self._question = question
        self._nodes = pooled_nodes(question.nodes, own)
        self._bounds = [question.bounds, *question.other_bounds]
        self._writable: list[Mask] = [np.zeros(0, dtype=bool) for _ in self._bounds]
        self._mark()

    # -- what is played -------------------------------------------------------------------------

    @property
    def spent(self) -> int:
        """The events that were played."""
        return sum(fleet.trials.events_played for fleet in self.fleets)

    @property
    def complete(self) -> bool:
        """Whether the sample is all there is."""
        return all(fleet.complete for fleet in self.fleets)

    def cost(self, share: float, settings: int) -> int:
        """Events that playing a sample of `share` under so many settings takes."""
        return sum(fleet.cost(share, settings) for fleet in self.fleets)

    def play(self, share: float, columns: Indexes) -> Judged:
        """Take `share` of the units as the sample, play it under the settings of `columns`, and
        judge these."""
        for each in self.fleets:
            each.play(share, columns)
        moments = [fleet.scores(columns) for fleet in self.fleets]
        groups: dict[str | None, tuple[Scores, ...]] = {
            group: tuple(moment[group] for moment in moments if group in moment)
            for group in moments[0]
        }
        fleet = tuple(together(list(moment.values())) for moment in moments)
        cases = {group: _case(scores, self.limits(group)) for group, scores in groups.items()}
        cases[None] = self._fleet_case(fleet, groups, self.allowed(None, columns))
        return Judged(columns, {**groups, None: fleet}, cases)

    def numbers(self, settings: Iterable[Values]) -> Indexes:
        """The numbers of settings of the grid, which are taken in where they are new."""
        question, wanted = self._question, sorted(settings)
        known = {c.values: number for number, c in enumerate(self.tried)}
        new = [candidate(v, question.present, question.bounds) for v in wanted if v not in known]
        known |= {c.values: len(self.tried) + number for number, c in enumerate(new)}
        self.tried += new
        for fleet in self.fleets:
            fleet.trials.add([c.targets for c in new])
        self._mark()
        return np.array([known[values] for values in wanted], dtype=np.int64)

    # -- what may be chosen ---------------------------------------------------------------------

    def limits(self, name: str | None) -> Objective:
        """The limits; for a group alone, of the calls its share by nodes, or fewer of its own."""
        objective, nodes = self._question.objective, self._nodes
        if name is None:
            return objective
        calls = objective.calls_per_minute * nodes[name] / sum(nodes.values())
        own = self._wanted(name)
        return Objective(own.delayed_share, min(calls, own.calls_per_minute))

    def bounds(self, name: str | None) -> Bounds:
        """The bounds of a group, or (None) those of all at once."""
        wish = self._question.wishes.get(name) if name is not None else None
        return self._question.bounds if wish is None else wish.bounds

    def writable(self, name: str | None, columns: Indexes) -> Mask:
        """Which settings of `columns` lie within the bounds."""
        mask: Mask = self._writable[self._bounds.index(self.bounds(name))][columns]
        return mask

    def not_trapped(self, name: str | None, columns: Indexes) -> Mask:
        """Which settings of `columns` are no trap, within the bounds or beyond."""
        points = np.array([self.tried[column].values is not None for column in columns])
        mask: Mask = self.writable(name, columns) | points
        return mask

    def allowed(self, name: str | None, columns: Indexes) -> Mask:
        """Which settings of `columns` may be written, and are no leaner than what was too lean."""
        above = self._allowed.get(name)
        mask: Mask = self.writable(name, columns) if above is None else above[columns]
        return mask

    def pick(self, judged: Judged, name: str | None, allowed: Mask) -> Pick:
        """The best of the `allowed` settings for a group, or (None) the fleet."""
        question = self._question
        fleets, groups = question.anchor, question.anchors
        # Bounds that leave no setting of the grid leave their own corners, which the grid has.
        return pick(
            judged.cases[name],
            [self.tried[column] for column in judged.columns],
            anchor=fleets if name is None else groups.get(name, fleets),
            allowed=allowed,
            in_force=self.in_force.get(name, _PRESENT),
        )

    def most_in_force(self, name: str | None) -> int:
        """The number of the setting that most nodes of a group, or (None) of all, run."""
        return next(iter(self.in_force.get(name, _PRESENT)))

    def present_met(self, judged: Judged, name: str | None) -> bool:
        """Whether what is in force keeps the limits and the bounds, and is no trap."""
        allowed = self.allowed(name, judged.columns)
        parts = self.in_force.get(name, _PRESENT)
        return bool(judged.cases[name].within[0, 0] and allowed[list(parts)].all())

    def best(self, judged: Judged, name: str | None) -> Pick:
        """The best setting of all that may be chosen."""
        return self.pick(judged, name, self.allowed(name, judged.columns))

    def in_play(self, judged: Judged) -> Indexes:
        """The settings that any resample might choose for the fleet or any group."""
        columns = judged.columns
        keep = columns <= max(self.in_force.get(None, _PRESENT))
        for name, case in judged.cases.items():
            keep |= in_play(case, self.allowed(name, columns), margin=_MARGIN)
        keep |= in_play(judged.cases[None], self.not_trapped(None, columns), margin=_MARGIN)
        kept: Indexes = columns[keep]
        return kept

    def _mark(self) -> None:
        """Say of the settings that are new which of them may be written."""
        question, floors = self._question, self._question.floors
        for number, bounds in enumerate(self._bounds):
            known = self._writable[number]
            new = self.tried[len(known) :]
            more = (
                c.writable
                if number == 0
                else c.stand is not Stand.MIXED and may_write(c.targets, question.present, bounds)
                for c in new
            )
            self._writable[number] = np.concatenate((known, np.fromiter(more, dtype=bool)))
        self._allowed: dict[str | None, Mask] = {
            name: self._above(floor, name)
            for name, floor in ((None, floors.fleet), *floors.groups.items())
            if floor is not None
        }

    def _wanted(self, name: str) -> Objective:
        """What is wanted of a group, whatever its share of the calls of all."""
        wish = self._question.wishes.get(name)
        return self._question.objective if wish is None else wish.objective

    def _above(self, floor: Floor, name: str | None) -> Mask:
        """The settings that a floor lets through; all where none is."""
        present, bounds = self._question.present, self.bounds(name)
        units = self.fleets[0].trials.units
        writable = self.writable(name, np.arange(len(self.tried)))
        slots = min((u.shape.slots for u in units if name in (None, u.group)), default=1)
        above = writable & np.array(
            [floor.allows(*keeps(c.targets, slots, present), bounds) for c in self.tried]
        )
        return above if above.any() else writable

    def _fleet_case(
        self,
        fleet: tuple[Scores, ...],
        groups: Mapping[str | None, tuple[Scores, ...]],
        allowed: Mask,
    ) -> Case:
        """The fleet keeps its limits, and so does each group that can: it starts pods in time, and
        makes no more calls than it may of its own."""
        case = _case(fleet, self._question.objective)
        served = np.ones(len(allowed), dtype=bool)
        for name, moments in groups.items():
            wanted = self._wanted(name or "")
            keeps_to = ~late(moments, wanted)
            if name in self._question.wishes:
                keeps_to &= _case(moments, wanted).calls <= wanted.calls_per_minute
            if (keeps_to & allowed).any():
                served &= keeps_to
        if not (served & case.within[0] & allowed).any():
            return case
        return replace(case, within=case.within & served)


def numbers_in_force(
    question: Question, tried: Sequence[Candidate], own: Container[str]
) -> dict[str | None, dict[int, float]]:
    """For each group, and (None) the fleet: the numbers of the settings in force, with the share of
    its nodes that run them, most first; nothing where all run number 0.

    They are the first ones, so that they have the same places among the columns.
    """
    numbers = {c.targets: n for n, c in enumerate(tried) if c.stand is Stand.BESIDE}
    counts: dict[str | None, Counter[int]] = defaultdict(Counter)
    for group, runs in question.runs.items():
        for run in runs:
            for name in (None, group if group in own else POOLED):
                counts[name][numbers[run.targets]] += run.nodes
    return {
        name: {number: nodes / counted.total() for number, nodes in counted.most_common()}
        for name, counted in counts.items()
    }


def late(moments: tuple[Scores, ...], objective: Objective) -> Mask:
    """Which settings break the limit on delayed starts at any of the moments."""
    mask: Mask = ~np.all([scores.starts_in_time(objective)[0] for scores in moments], axis=0)
    return mask


def _case(moments: tuple[Scores, ...], objective: Objective) -> Case:
    held, assigned = (
        np.max([getattr(scores, name)[0] for scores in moments], axis=0)
        for name in ("held", "assigned")
    )
    return Case(
        held=held,
        idle=held - assigned,
        late=np.max([scores.delayed_share[0] for scores in moments], axis=0),
        within=np.all([scores.within(objective) for scores in moments], axis=0),
        calls=np.max([scores.calls_per_minute[0] for scores in moments], axis=0),
        few_calls=FEW_CALLS_PER_MINUTE * moments[0].nodes,
        excess=np.max([np.maximum(*scores.excess(objective)) for scores in moments], axis=0),
    )
