"""The operator at work on a cluster, day by day: one setting for all nodes, or one a group.

At each midnight it looks at the demand of the last days and chooses by its own search, with a
policy that says nothing but how many days those are.

    fleet      where the product's gate lets a change of the one setting pass (it repays, or the
               limits ask for it), the DaemonSet restarts aws-node on every node
    by group   new nodes are born with what is chosen for their group. One that runs with another
               setting is restarted where that repays before it goes, or where its own setting
               delays more starts than the limit allows and the new one does not

Both are in place on all nodes when the scored days begin: to adopt either takes a restart of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final

import numpy as np

from builders import rollout
from ippolicy.decide.births.gains import gain_address_s, remaining_life_s
from ippolicy.decide.fleet import together
from ippolicy.decide.gates import worth_gate
from ippolicy.decide.objective import SURE_SHARE, Scores
from ippolicy.decide.question import Advice
from ippolicy.decide.restart import STEP_S, change_calls, pods_at_once, rollout_s
from ippolicy.decide.types import Prediction, Recommendation
from ippolicy.ipamd import WarmTargets
from warmpool import learning
from warmpool.cluster_view import View
from warmpool.clusters import DAYS, WATCHED_DAYS, Life
from warmpool.families import DAY_S
from warmpool.restarts import Switch
from warmpool.terms import DEFAULT

RESTARTS_FROM_S: Final = 600
"""How long after midnight a change begins: not in the minute in which batches start."""


@dataclass(frozen=True, slots=True)
class Course:
    """What one node ran with: from its birth on, and after each restart."""

    first: WarmTargets
    switches: tuple[Switch, ...] = ()


@dataclass(slots=True)
class Operated:
    """What a method did: the course of each node by its number, and how often targets changed.

    `by_need` of the restarts were for the limit on delayed starts, which counts all of a rollout
    that was.
    """

    courses: dict[int, Course] = field(default_factory=dict)
    changes: int = 0
    by_need: int = 0

    @property
    def restarts(self) -> int:
        """Of aws-node, on any node."""
        return sum(len(course.switches) for course in self.courses.values())

    def now(self, life: Life) -> WarmTargets:
        """What a node runs with."""
        course = self.courses[life.number]
        return course.switches[-1].targets if course.switches else course.first

    def restart(self, life: Life, targets: WarmTargets, at_s: float, *, needed: bool) -> None:
        """Restart a node, if it is still there then."""
        if life.lives_at(at_s):
            course = self.courses[life.number]
            switches = (*course.switches, Switch(round(at_s), targets))
            self.courses[life.number] = replace(course, switches=switches)
            self.by_need += needed


def operate(lives: Sequence[Life]) -> tuple[Operated, Operated]:
    """What the operator does with one setting for the fleet, and what with one a group."""
    fleet, groups = Operated(), Operated()
    setting, births = DEFAULT, {life.pool.name: DEFAULT for life in lives}
    for day in range(WATCHED_DAYS, DAYS):
        view = View.at(lives, day * DAY_S)
        starts = day == WATCHED_DAYS
        setting = _change_fleet(view, fleet, setting, starts=starts)
        births = _change_groups(view, groups, births, starts=starts)
        for life in lives:
            born_today = view.now_s < life.born_s < view.now_s + DAY_S
            if born_today or (starts and life.lives_at(view.now_s)):
                fleet.courses[life.number] = Course(setting)
                groups.courses[life.number] = Course(births[life.pool.name])
    return fleet, groups


# -- one setting for all ------------------------------------------------------------------------


def _change_fleet(view: View, done: Operated, present: WarmTargets, *, starts: bool) -> WarmTargets:
    """The setting of the DaemonSet from now on, with the restarts that a change takes."""
    advice = view.choice.fleet
    wanted = advice.chosen.targets
    if wanted == present or not view.evidence(None, advice).sufficient:
        return present
    if starts:
        return wanted
    asked = _recommendation(view, advice, present)
    if worth_gate(learning.POLICY, asked, nodes=len(view.alive)) is not None:
        return present
    done.changes += 1
    at_once = pods_at_once(rollout(desired=len(view.alive)))
    for number, life in enumerate(view.alive):
        at_s = view.now_s + RESTARTS_FROM_S + STEP_S * (number // at_once)
        done.restart(life, wanted, at_s, needed=not asked.present_meets)
    return wanted


def _recommendation(view: View, advice: Advice, present: WarmTargets) -> Recommendation:
    groups = view.scores([present, advice.chosen.targets])
    limits = learning.balanced()
    in_time = np.array([scores.starts_in_time(limits)[0] for scores in groups.values()])
    whole = together(list(groups.values()))
    now, then = (_prediction(whole, number) for number in (0, 1))
    return Recommendation(
        targets=advice.chosen.targets,
        lower=advice.lower,
        upper=advice.upper,
        uncapped=advice.uncapped,
        binding=advice.binding,
        present=now,
        predicted=then,
        evidence=view.evidence(None, advice),
        meets=advice.met,
        # A group that no setting serves asks for none.
        present_meets=bool(whole.within(limits)[0, 0] and (in_time[:, 0] | ~in_time[:, 1]).all()),
        rollout_s=rollout_s(rollout(desired=len(view.alive))),
    )


def _prediction(scores: Scores, number: int) -> Prediction:
    held, assigned, enis = (
        float(getattr(scores, name)[0, number]) for name in ("held", "assigned", "enis")
    )
    return Prediction(
        held=round(held),
        warm=round(held - assigned),
        enis=round(enis),
        mean_held=held,
        delayed_share=float(scores.delayed_share[0, number]),
        ec2_calls_per_minute=float(scores.calls_per_minute[0, number]),
    )


# -- one setting a group ------------------------------------------------------------------------


def _change_groups(
    view: View, done: Operated, present: Mapping[str, WarmTargets], *, starts: bool
) -> dict[str, WarmTargets]:
    """What pods are born with from now on, with the restarts that repay."""
    births = dict(present)
    for group, advice in view.choice.groups.items():
        if view.evidence(group, advice).sufficient:
            done.changes += not starts and births[group] != advice.chosen.targets
            births[group] = advice.chosen.targets
    if not starts:
        wanted = [
            one for group, then in births.items() for one in _repaying(view, done, group, then)
        ]
        wanted.sort(key=lambda one: (not one.needed, -one.gain))
        for number, one in enumerate(wanted):
            at_s = view.now_s + RESTARTS_FROM_S + STEP_S * number
            done.restart(one.life, births[one.life.pool.name], at_s, needed=one.needed)
    return births


@dataclass(frozen=True, slots=True)
class _Restart:
    """A node, and the address-seconds that its restart saves."""

    life: Life
    gain: float
    needed: bool


def _repaying(view: View, done: Operated, group: str, then: WarmTargets) -> Iterator[_Restart]:
    """The nodes of a group that should not run on as they do."""
    members = view.of_group(group)
    others = sorted({done.now(life) for life in members} - {then}, key=repr)
    if not others:
        return
    scores = view.scores([then, *others])[group]
    in_time = scores.starts_in_time(learning.balanced())
    kept = in_time[1:].mean(axis=0)
    held, enis = scores.held[0] / scores.nodes, scores.enis[0] / scores.nodes
    left_s = remaining_life_s([view.now_s - life.born_s for life in members])
    for life in members:
        if done.now(life) == then:
            continue
        number = 1 + others.index(done.now(life))
        gain = gain_address_s(
            held=float(held[number]),
            held_then=float(held[0]),
            remaining_s=left_s,
            restart_calls=change_calls(nodes=1, enis=ceil(enis[number]), enis_then=ceil(enis[0])),
            min_saving=learning.SPEC.change.min_saving.fraction,
        )
        needed = bool(in_time[0, 0] and kept[number] <= 1 - SURE_SHARE)
        if needed or (gain > 0 and in_time[0, 0]):
            yield _Restart(life, gain, needed)
