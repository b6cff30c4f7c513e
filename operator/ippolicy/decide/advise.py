"""Recommendations for the fleet and for each group: by replay, or by the plain rule of quantiles.

By replay, one search over the demand seen serves them all. Where no node of a group has limits that
EC2 knows, nothing can be replayed, and the rule stands in.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ippolicy.api import EnvKey, IPPolicy
from ippolicy.decide import rule
from ippolicy.decide.demand import profile
from ippolicy.decide.objective import SURE_SHARE, Objective
from ippolicy.decide.predict import predict, present_use
from ippolicy.decide.question import Advice, Choice, Question, Searched
from ippolicy.decide.search import choose
from ippolicy.decide.types import Evidence, GroupAdvice, Prediction, Recommendation
from ippolicy.decide.units import units_of
from ippolicy.facts import DaemonSetFacts, NodeFacts, NodeTrace, Snapshot
from ippolicy.facts.daemonset import FIELD_MANAGER
from ippolicy.ipamd import PoolSettings, WarmTargets

LATELY_SHARE: Final = 0.1
"""Where change.stabilization is less than this share of the demand seen, what it saw last cannot
sway the choice, and what demand asked for before is not looked at apart."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What recommendations rest on."""

    policy: IPPolicy
    snapshot: Snapshot
    daemon_set: DaemonSetFacts
    settings: PoolSettings
    traces: Sequence[NodeTrace]
    searched: Searched | None
    by_replay: bool

    @property
    def now_s(self) -> float:
        """The moment of the snapshot."""
        return self.snapshot.taken_at_s


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
    searched = _searched(ask)
    choice = searched.choice if searched else None
    nodes: dict[str, list[NodeFacts]] = defaultdict(list)
    for node in ask.snapshot.nodes:
        nodes[node.group].append(node)
    traces: dict[str, list[NodeTrace]] = defaultdict(list)
    for trace in ask.traces:
        traces[trace.group].append(trace)
    pods = ask.snapshot.pods_per_node
    own = choice.groups if choice else {}
    fleet = _recommend(
        ask, choice, choice.fleet if choice else None, ask.snapshot.nodes, ask.traces
    )
    groups = tuple(
        GroupAdvice(
            group=group,
            nodes=len(members),
            pods=sum(pods.get(node.name, 0) for node in members),
            recommendation=_recommend(ask, choice, own.get(group), members, traces[group]),
        )
        for group, members in sorted(nodes.items())
    )
    return Advised(fleet, groups, searched)


def _searched(ask: Ask) -> Searched | None:
    """The answer that still stands, or a new one; None where nothing is or can be replayed."""
    if not ask.by_replay:
        return None
    asked = _question(ask, {})
    if ask.searched is not None and ask.searched.answers(asked, ask.now_s):
        return ask.searched
    observed_s = _observed_s(ask.traces)
    stabilization_s = ask.policy.spec.change.stabilization.seconds
    moments = [ask.now_s]
    if stabilization_s > LATELY_SHARE * observed_s:
        moments.append(ask.now_s - stabilization_s)
    units = [
        units_of(ask.snapshot, ask.snapshot.nodes, ask.traces, until_s=moment_s)
        for moment_s in moments
    ]
    peaks: dict[str, int] = defaultdict(int)
    for unit in units[0]:
        peaks[unit.group] = max(peaks[unit.group], unit.peak)
    question = _question(ask, peaks)
    choice = choose(units, question)
    return None if choice is None else Searched(question, choice, ask.now_s, observed_s)


def _question(ask: Ask, peaks: Mapping[str, int]) -> Question:
    spec = ask.policy.spec
    holders = set(ask.daemon_set.owners.get(EnvKey.WARM_PREFIX_TARGET, ()))
    anchors = {group: WarmTargets(warm_ip=1, minimum_ip=peak) for group, peak in peaks.items()}
    return Question(
        present=ask.settings,
        bounds=spec.bounds,
        objective=Objective(
            spec.objective.delayed_starts_limit, float(spec.objective.ec2_calls_per_minute_limit)
        ),
        nodes=Counter(node.group for node in ask.snapshot.nodes),
        anchor=WarmTargets(warm_ip=1, minimum_ip=max(peaks.values(), default=0)),
        anchors=anchors,
        may_write_prefix=holders <= {FIELD_MANAGER}
        or EnvKey.WARM_PREFIX_TARGET in spec.apply.take_over,
    )


def _recommend(
    ask: Ask,
    choice: Choice | None,
    advice: Advice | None,
    nodes: Sequence[NodeFacts],
    traces: Sequence[NodeTrace],
) -> Recommendation:
    if choice is None or advice is None:
        return _by_rule(ask, nodes, traces)
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
        evidence=_evidence(ask, traces, len(nodes), advice, choice),
        meets=advice.met,
        present_meets=advice.present_met,
    )


def _evidence(
    ask: Ask,
    traces: Sequence[NodeTrace],
    nodes: int,
    advice: Advice | None = None,
    choice: Choice | None = None,
) -> Evidence:
    needed = ask.policy.spec.demand.min_evidence
    observed_s = _observed_s(traces)
    message = f"demand was watched for {observed_s:.0f} s of demand.minEvidence {needed}"
    sufficient = observed_s >= needed.seconds
    if sufficient and advice is not None and choice is not None:
        played = f"{choice.units_played} of {choice.units} node days"
        message += f"; {played} were replayed under {choice.settings} settings"
        if advice.met and advice.sure < SURE_SHARE:
            sufficient = False
            message += (
                f", and the limits are kept in {advice.sure:.0%} of the resamples, "
                f"{SURE_SHARE:.0%} are needed: more demand must be seen"
            )
    return Evidence(
        observed_s=observed_s,
        nodes=nodes,
        arrivals=sum(int((trace.changes > 0).sum()) for trace in traces),
        sufficient=sufficient,
        message=message,
    )


def _observed_s(traces: Sequence[NodeTrace]) -> float:
    """The longest time that any node was watched."""
    return max((trace.span_s for trace in traces), default=0.0)


def _by_rule(ask: Ask, nodes: Sequence[NodeFacts], traces: Sequence[NodeTrace]) -> Recommendation:
    """What quantiles of demand give, where nothing can be replayed."""
    policy, settings = ask.policy, ask.settings
    moments = (ask.now_s, ask.now_s - policy.spec.change.stabilization.seconds)
    chosen = rule.choose(
        [profile(traces, cooldown_s=settings.cooldown_s, until_s=moment) for moment in moments],
        present=settings.targets,
        bounds=policy.spec.bounds,
        delayed_share=policy.spec.objective.delayed_starts_limit,
    )
    present, lower = settings.targets, chosen.lower
    then: Prediction = predict(ask.snapshot, nodes, settings, chosen.targets)
    return Recommendation(
        targets=chosen.targets,
        lower=lower,
        upper=chosen.upper,
        uncapped=chosen.uncapped,
        binding=chosen.binding,
        present=present_use(ask.snapshot, nodes),
        predicted=then,
        evidence=_evidence(ask, traces, len(nodes)),
        present_meets=not present.counts_addresses
        or (present.warm_ip >= lower.warm_ip and present.minimum_ip >= lower.minimum_ip),
    )
