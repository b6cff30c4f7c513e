"""Recommendations for the fleet and for each group: by replay, or by the plain rule of quantiles.

By replay, one search over the demand seen serves them all. Where no node of a group has limits that
EC2 knows, nothing can be replayed, and the rule stands in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ippolicy.api import Method
from ippolicy.decide import rule
from ippolicy.decide.ask import Ask, disagreement
from ippolicy.decide.demand import profile
from ippolicy.decide.environment import shown
from ippolicy.decide.evidence import evidence_of
from ippolicy.decide.floor import (
    MEASURED,
    Floor,
    Floors,
    TooLean,
    floors_of,
    keeps,
    slots_of,
    too_lean,
)
from ippolicy.decide.predict import predict, present_use
from ippolicy.decide.question import Advice, Choice, Searched
from ippolicy.decide.restart import rollout_s
from ippolicy.decide.searching import searched_for
from ippolicy.decide.timetable import DayAsk, day_searched, plan_of
from ippolicy.decide.types import GroupAdvice, Recommendation
from ippolicy.facts import NodeFacts, NodeTrace
from ippolicy.ipamd import WarmTargets


@dataclass(frozen=True, slots=True)
class Advised:
    """The recommendations, and the search that they come from."""

    fleet: Recommendation
    groups: tuple[GroupAdvice, ...]
    searched: Searched | None


def advise(ask: Ask) -> Advised:
    """Recommendations for all nodes together and for each group.

    Fewer addresses are advised only once demand has asked for no more over all of
    change.stabilization: what demand asked for at the start of it counts too, worked out anew
    from what was known then, never from what was recommended before.
    """
    lean = too_lean(
        ask.signals,
        ask.traces,
        limit=ask.limits(None).delayed_share,
        now_s=ask.now_s,
        limits={
            group.name: ask.limits(group.name).delayed_share for group in ask.policy.spec.groups
        },
    )
    floors = floors_of(lean, ask.snapshot, ask.settings)
    searched = searched_for(ask, floors) if ask.by_replay else None
    choice = searched.choice if searched else None
    nodes: dict[str, list[NodeFacts]] = defaultdict(list)
    for node in ask.snapshot.nodes:
        nodes[node.group].append(node)
    traces: dict[str, list[NodeTrace]] = defaultdict(list)
    for trace in ask.traces:
        traces[trace.group].append(trace)
    pods = ask.snapshot.pods_per_node
    room = _Room(ask, choice, floors, lean)
    fleet = room.recommend(None, ask.snapshot.nodes, ask.traces)
    if searched is not None:
        fleet, searched = _by_time_of_day(ask, fleet, searched)
    if apart := disagreement(ask.policy.spec, prefixes=ask.settings.prefix_delegation):
        fleet = replace(fleet, binding=apart)
    groups = tuple(
        GroupAdvice(
            group=group,
            nodes=len(members),
            pods=sum(pods.get(node.name, 0) for node in members),
            recommendation=room.recommend(group, members, traces[group]),
        )
        for group, members in sorted(nodes.items())
    )
    return Advised(fleet, groups, searched)


def _by_time_of_day(
    ask: Ask, fleet: Recommendation, searched: Searched
) -> tuple[Recommendation, Searched]:
    """The recommendation for this part of the day, where a schedule of several is worth it."""
    spec = ask.policy.spec
    asked = DayAsk(
        snapshot=ask.snapshot,
        daemon_set=ask.daemon_set,
        traces=ask.traces,
        question=searched.question,
        day=searched.day,
        window_s=spec.demand.window.seconds,
        max_per_day=1 if _waits_for_its_hour(ask) else spec.change.max_per_day,
        min_saving=spec.change.min_saving.fraction,
        cooldown_s=spec.change.cooldown.seconds,
    )
    day = day_searched(asked)
    if day is not searched.day:
        searched = replace(searched, day=day)
    plan = plan_of(asked, day) if day is not None else None
    if plan is None:
        return fleet, searched
    targets = plan.part.targets
    then = predict(ask.snapshot, ask.snapshot.nodes, ask.settings, targets)
    schedule = plan.schedule
    return replace(
        fleet,
        targets=targets,
        present=replace(fleet.present, mean_held=plan.part.present_held),
        predicted=replace(
            then,
            mean_held=plan.part.held,
            delayed_share=schedule.delayed_share,
            ec2_calls_per_minute=schedule.calls_per_minute,
        ),
        meets=True,
        present_meets=plan.part.present_meets,
        plan=plan,
        held_interval=None,
    ), searched


def _waits_for_its_hour(ask: Ask) -> bool:
    """Whether a switch that is due cannot be made: it would have to wait for a window, or for nodes
    to be made anew."""
    return bool(ask.policy.spec.change.windows) or ask.policy.spec.apply.method is Method.ADMISSION


def _as_generous(targets: WarmTargets, lower: WarmTargets) -> bool:
    """Whether targets ask for what demand does at least; whole ENIs and prefixes are not judged."""
    return not targets.counts_addresses or (
        targets.warm_ip >= lower.warm_ip and targets.minimum_ip >= lower.minimum_ip
    )


@dataclass(frozen=True, slots=True)
class _Room:
    """What recommendations are made of: `choice` is None where nothing was replayed."""

    ask: Ask
    choice: Choice | None
    floors: Floors
    lean: Sequence[TooLean]

    def recommend(
        self, group: str | None, nodes: Sequence[NodeFacts], traces: Sequence[NodeTrace]
    ) -> Recommendation:
        """For the nodes of a group, or (None) for all."""
        choice = self.choice
        if choice is None:
            advice = None
        else:
            advice = choice.fleet if group is None else choice.groups.get(group)
        found = (
            self._by_rule(group, nodes, traces)
            if advice is None
            else self._by_replay(advice, nodes, traces)
        )
        return replace(
            found,
            rollout_s=rollout_s(self.ask.daemon_set.rollout),
            raised=self._raised(group),
        )

    def _by_replay(
        self, advice: Advice, nodes: Sequence[NodeFacts], traces: Sequence[NodeTrace]
    ) -> Recommendation:
        ask = self.ask
        now = present_use(ask.snapshot, nodes)
        then = predict(ask.snapshot, nodes, ask.settings, advice.chosen.targets)
        return Recommendation(
            targets=advice.chosen.targets,
            lower=advice.lower,
            upper=advice.upper,
            uncapped=advice.uncapped,
            binding=advice.binding,
            present=replace(
                now,
                mean_held=advice.present.held,
                delayed_share=advice.present.delayed_share,
                ec2_calls_per_minute=advice.present.calls_per_minute,
            ),
            predicted=replace(
                then,
                mean_held=advice.chosen.held,
                delayed_share=advice.chosen.delayed_share,
                ec2_calls_per_minute=advice.chosen.calls_per_minute,
            ),
            evidence=evidence_of(
                traces,
                needed=ask.policy.spec.demand.min_evidence,
                nodes=len(nodes),
                advice=advice,
                choice=self.choice,
            ),
            meets=advice.met,
            present_meets=advice.present_met,
            calls_limit=ask.limits(None).calls_per_minute,
            runners_up=advice.runners_up,
            held_interval=advice.held_interval,
            present_sure=advice.present_sure,
        )

    def _by_rule(
        self, group: str | None, nodes: Sequence[NodeFacts], traces: Sequence[NodeTrace]
    ) -> Recommendation:
        """What quantiles of demand give, where nothing can be replayed."""
        ask = self.ask
        policy, settings, bounds = ask.policy, ask.settings, ask.bounds(group)
        moments = (ask.now_s, ask.now_s - policy.spec.change.stabilization.seconds)
        chosen = rule.choose(
            [profile(traces, cooldown_s=settings.cooldown_s, until_s=moment) for moment in moments],
            present=settings.targets,
            bounds=bounds,
            delayed_share=self._delayed_share(group),
        )
        lower, targets, binding = chosen.lower, chosen.targets, chosen.binding
        floor = self.floors.fleet if group is None else self.floors.groups.get(group)
        if floor is not None:
            targets = floor.raised(targets, bounds)
            binding = binding if targets == chosen.targets else MEASURED
        return Recommendation(
            targets=targets,
            lower=lower,
            upper=chosen.upper,
            uncapped=chosen.uncapped,
            binding=binding,
            present=present_use(ask.snapshot, nodes),
            predicted=predict(ask.snapshot, nodes, settings, targets),
            evidence=evidence_of(traces, needed=policy.spec.demand.min_evidence, nodes=len(nodes)),
            present_meets=all(
                _as_generous(run.targets, lower) and not self._too_lean(run.targets, floor, group)
                for run in ask.running.among(nodes)
            ),
        )

    def _too_lean(self, targets: WarmTargets, floor: Floor | None, group: str | None) -> bool:
        """Whether a floor forbids targets that are in force."""
        ask = self.ask
        kept = keeps(targets, slots_of(ask.snapshot, group), ask.settings)
        return floor is not None and not floor.allows(*kept, ask.bounds(group))

    def _delayed_share(self, group: str | None) -> float:
        """The share of starts that may wait in a group, or (None) in the strictest of all."""
        names = (one.name for one in self.ask.policy.spec.groups) if group is None else ()
        return min(self.ask.limits(name).delayed_share for name in (group, *names))

    def _raised(self, group: str | None) -> str:
        """What was measured of a group, or (None) of any, that forbids leaner targets."""
        ask = self.ask
        told = [one for one in self.lean if group in (None, one.group)]
        if not told:
            return ""
        worst = max(told, key=lambda one: (one.late / one.starts, one.group or ""))
        under = shown(worst.targets, prefixes=ask.settings.prefix_delegation)
        where = f" in group {worst.group}" if worst.group is not None else ""
        return (
            f"{worst.late} of {worst.starts} starts{where} waited under {under} in the last day, "
            f"the limit is {ask.limits(worst.group).delayed_share:.2%}: targets must be "
            "more generous until a day has passed without"
        )
