"""One step of targets by node group: from the table as it is to the table as it should be.

Level-triggered: what is to be done follows from the table, which is on the cluster, from the pods,
and from the decision of now. So whoever looks next goes on where the cluster is.

                       mode Off, Recommend,
                       paused, facts frozen    decision holds    decision goes
    a guard trips      nothing                 refused           refused
    restarts to undo   none                    go on             go on
    trials             stand still             stand still       begin, widen, end
    other restarts     none                    none              begin
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from ippolicy.api import EnvKey
from ippolicy.decide import gates
from ippolicy.decide.births import restarts, trials
from ippolicy.decide.births.cohorts import Cohort, harm
from ippolicy.decide.births.loans import lent
from ippolicy.decide.births.members import Member, Members, lacking
from ippolicy.decide.births.table import (
    Grounds,
    GroupTargets,
    PolicyTable,
    Stage,
    Trial,
)
from ippolicy.decide.births.wishes import Wish, Wishing, noted
from ippolicy.decide.decision import Inputs
from ippolicy.decide.environment import read_environment, shown
from ippolicy.decide.gates import Stop
from ippolicy.decide.guards import Trip
from ippolicy.decide.objective import SURE_SHARE
from ippolicy.decide.trust import Step as Trust
from ippolicy.decide.types import Decision, GroupAdvice, Reason, Recommendations, Verdict
from ippolicy.facts import DaemonSetFacts
from ippolicy.ipamd import WarmTargets

NO_NODE_FIT: Final = Stop(Reason.AT_BIRTH, "no node of it is fit to try other targets")


class Step(StrEnum):
    """What became of a trial."""

    BEGUN = "TrialBegun"
    WIDENED = "TrialWidened"
    PROMOTED = "TargetsPromoted"
    PROVEN = "TargetsProven"
    REFUSED = "TrialRefused"


@dataclass(frozen=True, slots=True)
class News:
    """A step of a group's trial, to be told and to be kept."""

    step: Step
    group: str
    targets: GroupTargets
    text: str
    before: GroupTargets | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What one step rests on.

    `cohorts` are the counts of each trial, `known` what was recommended to each group lately.
    Nothing is restarted within `spread_s` of a change of the table, so that all who answer the API
    server have read it, nor while the webhook is not `listening`.
    """

    inputs: Inputs
    decision: Decision
    table: PolicyTable
    cohorts: Mapping[str, Cohort] = field(default_factory=dict)
    known: Mapping[str, Recommendations] = field(default_factory=dict)
    spread_s: float = 0.0
    listening: bool = True


@dataclass(frozen=True, slots=True)
class Rolled:
    """The table as it should be, and what is new in it.

    `due` names the nodes whose aws-node is to be deleted, once the table is on the cluster;
    `stops` says of each group why it tries nothing new, and `held` why nothing is restarted.
    """

    table: PolicyTable
    news: tuple[News, ...]
    due: tuple[str, ...]
    members: Mapping[str, Member]
    known: Mapping[str, Recommendations]
    stops: Mapping[str, Stop]
    held: str = ""


def roll(asked: Asked) -> Rolled:
    """One step; pure."""
    return _Roll(asked).step()


class _Roll:
    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._policy, self._now_s = asked.inputs.policy, asked.inputs.now_s
        self._snapshot = asked.inputs.snapshot
        daemon_set = self._snapshot.daemon_set
        assert daemon_set is not None  # noqa: S101  (a decision that may be acted on has one)
        self._daemon_set: DaemonSetFacts = daemon_set
        self._settings = read_environment(daemon_set.env).settings
        self._change = self._policy.spec.change
        self._within_s = self._change.rollback.within.seconds
        frozen = asked.decision.ladder.step is Trust.FROZEN
        self._may_write = gates.wish_gate(self._policy) is None and not frozen
        self._goes = asked.decision.verdict is Verdict.CHANGE
        self._braked = asked.decision.reason is Reason.SUBNET_PRESSURE
        self._members = Members(
            self._snapshot,
            self._settings,
            min_saving=self._change.min_saving.fraction,
        )
        self._lacking = lacking(self._snapshot)
        self._nodes = {node.name for node in self._snapshot.nodes}
        self._news: list[News] = []
        self._stops: dict[str, Stop] = {}

    def step(self) -> Rolled:
        asked = self._asked
        known = self._noted()
        if not self._may_write:
            members = self._gaining(asked.table)
            return Rolled(asked.table, (), (), members, known, {}, "the operator may not write now")
        table = self._tried(asked.table, known)
        fleet = asked.decision.fleet
        if self._goes:
            targets = fleet.targets if fleet is not None else None
            table = lent(table, self._policy.spec, self._snapshot.nodes, targets)
        if _born_alike(table) != _born_alike(asked.table):
            table = replace(table, since_s=self._now_s)
        members = self._gaining(table)
        stand = restarts.standing(table, members, self._now_s, lacking=self._lacking)
        table = replace(table, restarts=stand)
        held = self._no_restarts(table, members)
        vain = restarts.unanswered(table, members)
        if not held:
            table = self._restarted(table, members, vain)
        due = tuple(sorted(restarts.due(table, members))) if not held else ()
        told = (held or _not_reached(vain)) if self._goes else ""
        return Rolled(table, tuple(self._news), due, members, known, self._stops, told)

    # -- trials -------------------------------------------------------------------------------

    def _noted(self) -> Mapping[str, Recommendations]:
        if self._braked or not self._asked.decision.groups:
            return self._asked.known
        return noted(self._asked.inputs, self._asked.known, self._asked.decision.groups)

    def _tried(self, table: PolicyTable, known: Mapping[str, Recommendations]) -> PolicyTable:
        """The table with every trial a step on."""
        members = self._members.under(table)
        advised = {one.group: one for one in self._asked.decision.groups}
        nodes = {group: [one.node for one in found] for group, found in members.items()}
        wishing = Wishing(self._asked.inputs, table, nodes, self._braked, known)
        for group in sorted(table.trials.keys() | advised.keys()):
            trial, there = table.trials.get(group), members.get(group, [])
            wish = wishing.wish(advised[group]) if self._goes and group in advised else Wish()
            if trial is not None and not _gives_way(trial, wish):
                table = self._went_on(table, group, trial, there, advised.get(group))
            elif self._goes:
                table = self._began(table, group, wish, there)
        return table

    def _went_on(
        self,
        table: PolicyTable,
        group: str,
        trial: Trial,
        members: Sequence[Member],
        advice: GroupAdvice | None,
    ) -> PolicyTable:
        own, cohort = table.groups.get(group), self._asked.cohorts.get(group, Cohort())
        if (trip := self._trip(group, trial, cohort, members, advice)) is not None:
            refused = trials.refuse(table.refused.get(group, ()), trial, trip, self._now_s)
            self._tell(Step.REFUSED, group, trial.targets, refused[-1].cause, own)
            return replace(
                table,
                trials=_without(table.trials, group),
                refused={**table.refused, group: refused},
            )
        if not self._goes:
            return table
        after = trials.advance(
            trial,
            self._gainers(members, trial.targets.targets),
            cohort,
            self._now_s,
            within_s=self._within_s,
            missed=[m.name for m in members if self._missed(table, m)],
            away=self._away(table),
        )
        if after is None:
            self._tell(Step.PROVEN, group, trial.targets, "it did no harm", own)
            return replace(
                table,
                groups={**table.groups, group: trial.targets},
                trials=_without(table.trials, group),
            )
        if after.stage is not trial.stage:
            step = Step.PROMOTED if after.stage is Stage.PROMOTED else Step.WIDENED
            self._tell(step, group, after.targets, _where(after, members), own)
        return replace(table, trials={**table.trials, group: after})

    def _began(
        self, table: PolicyTable, group: str, wish: Wish, members: Sequence[Member]
    ) -> PolicyTable:
        if wish.targets is None:
            if wish.stop is not None:
                self._stops[group] = wish.stop
            return table
        trial = trials.begin(
            wish.targets,
            self._gainers(members, wish.targets.targets),
            self._now_s,
            share=self._change.restarts.canary.fraction,
            grounds=Grounds(
                self._now_s, self._asked.decision.reason.value, self._before(members), wish.proof
            ),
            urgent=wish.urgent,
        )
        if trial is None:
            self._stops[group] = NO_NODE_FIT
            return table
        own = table.groups.get(group)
        self._tell(Step.BEGUN, group, trial.targets, _where(trial, members), own)
        return replace(table, trials={**table.trials, group: trial})

    def _before(self, members: Sequence[Member]) -> Mapping[str, str | None]:
        """What most pods of a group would have been born with."""
        wanted = {one.wanted_digest: one.wanted for one in members}
        ((most, _),) = Counter(one.wanted_digest for one in members).most_common(1)
        if (found := wanted[most]) is not None:
            return found.targets.env
        env = self._daemon_set.literal_env()
        return {key.value: env.get(key) for key in EnvKey}

    def _trip(
        self,
        group: str,
        trial: Trial,
        cohort: Cohort,
        members: Sequence[Member],
        advice: GroupAdvice | None,
    ) -> Trip | None:
        if not self._within_s:
            return None
        return harm(
            trial,
            cohort,
            members,
            limit=self._policy.spec.objective_of(group).delayed_starts_limit,
            expected=advice.recommendation.present.delayed_share if advice else None,
            braked=self._braked and trial.urgent,
        )

    def _missed(self, table: PolicyTable, member: Member) -> bool:
        restart = table.restarts.get(member.name)
        return restart is not None and restarts.missed(restart, member, self._now_s)

    def _gainers(self, members: Sequence[Member], targets: WarmTargets) -> list[Member]:
        return [self._members.gaining(one, targets) for one in members]

    # -- restarts -----------------------------------------------------------------------------

    def _gaining(self, table: PolicyTable) -> dict[str, Member]:
        """Each node with what it gains by going where the table has it."""
        return {
            one.name: self._members.gaining(
                one, one.wanted.targets.targets if one.wanted is not None else None
            )
            for found in self._members.under(table).values()
            for one in found
        }

    def _no_restarts(self, table: PolicyTable, members: Mapping[str, Member]) -> str:
        """Why nothing is restarted now, empty for no reason."""
        rollout, daemon_set = self._daemon_set.rollout, self._daemon_set
        away = sum(not one.settled for one in members.values())
        if not self._asked.listening:
            return "the webhook does not serve, so aws-node would be born as its template says"
        if self._now_s < table.since_s + self._asked.spread_s:
            return "the targets were published a moment ago"
        if (
            rollout.observed_generation < daemon_set.generation
            or rollout.desired - rollout.updated > away
        ):
            return f"{daemon_set.ref} is being rolled out by its owner"
        harmed = sum(
            restarts.wants_one(table, one) == restarts.UNDO and not one.settled
            for one in members.values()
        )
        if not replace(rollout, available=rollout.available + harmed).healthy:
            return f"{rollout.available} of {rollout.desired} aws-node pods are available"
        return ""

    def _restarted(
        self, table: PolicyTable, members: Mapping[str, Member], vain: Sequence[str]
    ) -> PolicyTable:
        fleet, objective = self._asked.decision.fleet, self._policy.spec.objective
        usual = (fleet.predicted.ec2_calls_per_minute or 0.0) if fleet is not None else 0.0
        budget = restarts.Budget(
            self._change.restarts,
            max(0.0, objective.ec2_calls_per_minute_limit - usual),
            min(len(self._away(table)), self._lacking),
            in_need={one.group for one in self._asked.decision.groups if self._in_need(one)},
            only_undo=not self._goes,
            only=vain,
        )
        began = restarts.begun(table, members, budget, self._now_s)
        return replace(table, restarts={**table.restarts, **began})

    def _away(self, table: PolicyTable) -> Collection[str]:
        """The nodes whose aws-node is made anew, and that the snapshot does not tell of."""
        return table.restarts.keys() - self._nodes

    def _in_need(self, advice: GroupAdvice) -> bool:
        """Whether nodes are restarted for more addresses, though that repays nothing: demand must
        hardly ever be served as it is, or late starts were measured."""
        recommended = advice.recommendation
        misses = gates.grows(recommended) and not recommended.present_meets
        sure = recommended.present_sure
        surely = bool(recommended.raised) or sure is None or sure <= 1.0 - SURE_SHARE
        return self._braked or (misses and surely)

    # -- words --------------------------------------------------------------------------------

    def _tell(
        self,
        step: Step,
        group: str,
        targets: GroupTargets,
        text: str,
        before: GroupTargets | None,
    ) -> None:
        env = shown(targets.targets, prefixes=self._settings.prefix_delegation)
        self._news.append(News(step, group, targets, f"{env}: {text}", before))


def _gives_way(trial: Trial, wish: Wish) -> bool:
    """Whether a group is in need of other targets than those that it tries at leisure."""
    if trial.urgent or not wish.urgent or wish.targets is None:
        return False
    return wish.targets.digest != trial.targets.digest


def _where(trial: Trial, members: Sequence[Member]) -> str:
    if trial.stage is Stage.PROMOTED:
        return f"new nodes of {len(members)} are born with it, others as it repays"
    return f"on {len(trial.nodes)} of {len(members)} nodes"


def _not_reached(vain: Sequence[str]) -> str:
    """What is said where these nodes were restarted in vain, empty for none."""
    if not vain:
        return ""
    return (
        f"aws-node came up without its targets on {len(vain)} nodes, {vain[0]} among them: the API "
        "server does not reach the webhook: let the control plane reach its port"
    )


def _without(trials_: Mapping[str, Trial], group: str) -> dict[str, Trial]:
    return {name: one for name, one in trials_.items() if name != group}


def _born_alike(table: PolicyTable) -> tuple[object, ...]:
    """All by which pods are born."""
    takers = {name: (one.targets, one.stage, one.nodes) for name, one in table.trials.items()}
    return dict(table.groups), dict(table.families), table.fleet, dict(table.loans), takers
