"""The recommendation with the brake on: a leaner one, where subnets are short of addresses.

Each step asks for advice anew, with more delayed starts allowed; the last takes the leanest targets
that the bounds allow. Where a step's advice holds no less than that of the step before, it goes a
third of the way to the leanest instead. What was measured as too lean counts for nothing then: pods
that start late are better off than pods without an address.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ippolicy.decide.advise import Advised, advise
from ippolicy.decide.ask import Ask
from ippolicy.decide.floor import keeps, slots_of
from ippolicy.decide.predict import predict
from ippolicy.decide.question import Searched
from ippolicy.decide.rule import bounded
from ippolicy.decide.subnets.brake import (
    LEANEST_STEP,
    Braking,
    Idle,
    SubnetRoom,
    braking,
    leanest,
    relaxed,
)
from ippolicy.decide.subnets.placement import idle_with, shares
from ippolicy.decide.types import Recommendation
from ippolicy.facts import NodeFacts, NodeTrace
from ippolicy.ipamd import WarmTargets

BINDING: Final = "subnets.brake"


@dataclass(frozen=True, slots=True)
class Braked:
    """The advice, how hard the brake is on, and the search of each step that was asked for."""

    advised: Advised
    braking: Braking
    searched: tuple[Searched | None, ...]


def advise_braked(
    ask: Ask, rooms: Sequence[SubnetRoom], searched: Sequence[Searched | None]
) -> Braked:
    """Advice that heeds the `rooms` of the subnets; `searched` are the searches of the last
    decision for the steps from 1 on."""
    moments = {at.at_s for room in rooms for at in room.moments}
    lean = leanest(ask.policy, ask.settings.targets)
    steps = _Steps(ask, searched, moments, lean)
    brake = ask.policy.spec.subnets.brake
    found = braking(rooms, steps.idle(), steps.idle_of(lean), brake)
    advised = steps.fixed(lean) if found.step == LEANEST_STEP else steps.advised[found.step]
    if found.step:
        base = steps.advised[0].fleet
        fleet = replace(
            advised.fleet, binding=BINDING, uncapped=base.uncapped, evidence=base.evidence
        )
        advised = Advised(fleet, advised.groups, steps.advised[0].searched)
    return Braked(advised, found, tuple(step.searched for step in steps.advised[1:]))


class _Steps:
    """The advice of each step before the last, as far as it was asked for."""

    def __init__(
        self,
        ask: Ask,
        searched: Sequence[Searched | None],
        moments: Iterable[float],
        lean: WarmTargets,
    ) -> None:
        self.advised: list[Advised] = []
        self._ask = ask
        self._lean = lean
        self._searched = searched
        self._placed = shares(ask.snapshot)
        self._pods = {at_s: _pods_at(ask.traces, at_s) for at_s in moments}

    def idle(self) -> Iterator[Idle]:
        """What the targets of each step in turn keep idle."""
        for step in range(LEANEST_STEP):
            advised = advise(self._ask_at(step))
            if step and _held(advised) >= _held(self.advised[-1]):
                advised = replace(self.fixed(self._toward(step)), searched=advised.searched)
            self.advised.append(advised)
            yield self.idle_of(advised.fleet.targets)

    def idle_of(self, targets: WarmTargets) -> Idle:
        """What `targets` would have kept idle at each moment, with the pods of then."""
        ask = self._ask
        return {
            at_s: idle_with(ask.snapshot, self._placed, ask.settings, targets, pods)
            for at_s, pods in self._pods.items()
        }

    def fixed(self, targets: WarmTargets) -> Advised:
        """`targets` for all, or the nearest within a group's bounds, whatever demand says."""
        base, nodes = self.advised[0], self._ask.snapshot.nodes
        groups = tuple(
            replace(
                group,
                recommendation=self._with(
                    group.recommendation,
                    bounded(targets, self._ask.bounds(group.group)),
                    [n for n in nodes if n.group == group.group],
                ),
            )
            for group in base.groups
        )
        return Advised(self._with(base.fleet, targets, nodes), groups, base.searched)

    def _toward(self, step: int) -> WarmTargets:
        """So many thirds of the way from the objective's targets to the leanest."""
        ask, lean = self._ask, self._lean
        slots = slots_of(ask.snapshot, None)
        spare, minimum = keeps(self.advised[0].fleet.targets, slots, ask.settings)
        left = 1 - step / LEANEST_STEP
        return replace(
            lean,
            warm_ip=lean.warm_ip + math.floor(max(0, spare - lean.warm_ip) * left),
            minimum_ip=lean.minimum_ip + math.floor(max(0, minimum - lean.minimum_ip) * left),
        )

    def _with(
        self, advice: Recommendation, targets: WarmTargets, nodes: Sequence[NodeFacts]
    ) -> Recommendation:
        predicted = predict(self._ask.snapshot, nodes, self._ask.settings, targets)
        return replace(
            advice,
            targets=targets,
            lower=targets,
            predicted=predicted,
            meets=targets == advice.targets and advice.meets,
            binding=BINDING,
            plan=None,
            held_interval=None,
        )

    def _ask_at(self, step: int) -> Ask:
        if step == 0:
            return self._ask
        return replace(
            self._ask,
            policy=relaxed(self._ask.policy, step),
            searched=self._searched[step - 1] if step <= len(self._searched) else None,
            signals=replace(self._ask.signals, late=()),
        )


def _held(advised: Advised) -> float:
    return advised.fleet.predicted.usually_held


def _pods_at(traces: Sequence[NodeTrace], at_s: float) -> dict[str, int]:
    """The pods of the nodes that were watched then."""
    return {
        trace.node: max(0, trace.level + int(trace.changes[:count].sum(dtype=np.int64)))
        for trace in traces
        if trace.since_s <= at_s
        for count in (int(np.searchsorted(trace.times_s, at_s, side="right")),)
    }
