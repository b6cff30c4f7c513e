"""From policy, facts and history to one decision: pure, so that it can be replayed offline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ippolicy.api import IPPolicy
from ippolicy.decide import gate, rule
from ippolicy.decide.demand import DemandProfile, profile
from ippolicy.decide.environment import Environment, as_env, read_environment
from ippolicy.decide.gate import Limits, Stop
from ippolicy.decide.history import NodeTrace
from ippolicy.decide.predict import predict, present_use
from ippolicy.decide.types import (
    Decision,
    Evidence,
    GroupAdvice,
    Reason,
    Recommendation,
    Verdict,
)
from ippolicy.facts import NodeFacts, Record, Snapshot, SourceName
from ippolicy.ipamd import WarmTargets


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a decision rests on."""

    policy: IPPolicy
    snapshot: Snapshot
    traces: Sequence[NodeTrace]
    record: Record | None
    limits: Limits

    @property
    def now_s(self) -> float:
        """The moment of the decision: that of the snapshot."""
        return self.snapshot.taken_at_s


def decide(inputs: Inputs) -> Decision:
    """What to do now for the DaemonSet of this policy, and why."""
    stop = _unusable(inputs)
    if stop is not None:
        return _hold(inputs, gate.off_gate(inputs.policy) or stop)
    daemon_set = inputs.snapshot.daemon_set
    assert daemon_set is not None  # noqa: S101  (_unusable has looked)
    environment = read_environment(daemon_set.env)
    fleet = _advise(inputs, environment, inputs.snapshot.nodes, inputs.traces)
    groups = _advise_groups(inputs, environment)
    stop = _stop(inputs, environment, fleet)
    if stop is not None:
        return _hold(inputs, stop, fleet, groups, environment.traps)
    saves = fleet.predicted.held < fleet.present.held
    return Decision(
        verdict=Verdict.CHANGE,
        reason=Reason.SAVES_ADDRESSES if saves else Reason.STARTS_FASTER,
        message=_change_message(fleet),
        at_s=inputs.now_s,
        env=as_env(fleet.targets),
        fleet=fleet,
        groups=groups,
        traps=environment.traps,
    )


def _unusable(inputs: Inputs) -> Stop | None:
    """Whether the facts do not even allow a recommendation."""
    daemon_set, ref = inputs.snapshot.daemon_set, inputs.policy.spec.daemon_set_ref
    if daemon_set is None and (unread := gate.unread(inputs.snapshot, SourceName.DAEMON_SET)):
        return unread
    if daemon_set is None:
        return Stop(
            Reason.NO_DAEMON_SET,
            f"DaemonSet {ref} not found: set spec.daemonSetRef to where aws-node runs, or mode Off",
        )
    if not daemon_set.has_container:
        return Stop(
            Reason.NO_CONTAINER,
            f"DaemonSet {ref} has no container aws-node: set spec.daemonSetRef to the "
            "DaemonSet of the Amazon VPC CNI",
        )
    if not inputs.snapshot.nodes:
        return gate.unread(inputs.snapshot, SourceName.NODES) or Stop(
            Reason.NO_NODES, f"no node with a warm pool was found{_left_out(inputs.snapshot)}"
        )
    return None


def _left_out(snapshot: Snapshot) -> str:
    named = ", ".join(f"{count} {kind}" for kind, count in sorted(snapshot.left_out.items()))
    return f" ({named} left out)" if named else ""


def _stop(inputs: Inputs, environment: Environment, fleet: Recommendation) -> Stop | None:
    """The first thing that stands in the way of a change, if anything does."""
    snapshot, daemon_set = inputs.snapshot, inputs.snapshot.daemon_set
    assert daemon_set is not None  # noqa: S101  (_unusable has looked)
    unreadable = environment.unreadable
    blocked = (
        gate.wish_gate(inputs.policy)
        or (Stop(Reason.ENV_UNREADABLE, unreadable[0]) if unreadable else None)
        or gate.rollout_gate(daemon_set, inputs.record)
        or gate.facts_gate(snapshot, inputs.limits)
    )
    if blocked is not None:
        return blocked
    if not fleet.evidence.sufficient:
        return Stop(Reason.LOW_CONFIDENCE, fleet.evidence.message)
    if _in_place(environment.settings.targets, fleet.targets):
        return Stop(Reason.TARGETS_IN_PLACE, "the targets in force are the recommended ones")
    shrinks = fleet.predicted.held <= fleet.present.held
    return gate.pace_gate(inputs.policy, inputs.record, inputs.now_s) or (
        gate.worth_gate(inputs.policy, fleet)
        if shrinks
        else _needless_growth(environment.settings.targets, fleet)
    )


def _needless_growth(present: WarmTargets, fleet: Recommendation) -> Stop | None:
    """Holding more addresses needs a cause: the present values are below what even a lean reading
    of demand asks for."""
    lower = fleet.lower
    if present.counts_addresses and (
        present.warm_ip < lower.warm_ip or present.minimum_ip < lower.minimum_ip
    ):
        return None
    return Stop(
        Reason.SAVING_TOO_SMALL,
        f"it would hold {fleet.predicted.held - fleet.present.held} more addresses, and the "
        "present targets serve demand",
    )


def _in_place(present: WarmTargets, wanted: WarmTargets) -> bool:
    return (present.warm_ip, present.minimum_ip) == (wanted.warm_ip, wanted.minimum_ip)


def _advise_groups(inputs: Inputs, environment: Environment) -> tuple[GroupAdvice, ...]:
    nodes: dict[str, list[NodeFacts]] = defaultdict(list)
    for node in inputs.snapshot.nodes:
        nodes[node.group].append(node)
    traces: dict[str, list[NodeTrace]] = defaultdict(list)
    for trace in inputs.traces:
        traces[trace.group].append(trace)
    pods = inputs.snapshot.pods_per_node
    return tuple(
        GroupAdvice(
            group=group,
            nodes=len(members),
            pods=sum(pods.get(node.name, 0) for node in members),
            recommendation=_advise(inputs, environment, members, traces[group]),
        )
        for group, members in sorted(nodes.items())
    )


def _advise(
    inputs: Inputs,
    environment: Environment,
    nodes: Sequence[NodeFacts],
    traces: Sequence[NodeTrace],
) -> Recommendation:
    """The recommendation for some nodes.

    Fewer addresses are advised only once demand has asked for no more over all of
    change.stabilization: what demand asked for at the start of it counts too, worked out anew
    from what was known then, never from what was recommended before.
    """
    policy, settings = inputs.policy, environment.settings
    moments = (inputs.now_s, inputs.now_s - policy.spec.change.stabilization.seconds)
    now, *before = (
        profile(traces, cooldown_s=settings.cooldown_s, until_s=moment_s) for moment_s in moments
    )
    chosen = rule.choose(
        (now, *before),
        present=settings.targets,
        bounds=policy.spec.bounds,
        delayed_share=policy.spec.objective.delayed_starts_limit,
    )
    return Recommendation(
        targets=chosen.targets,
        lower=chosen.lower,
        upper=chosen.upper,
        uncapped=chosen.uncapped,
        binding=chosen.binding,
        present=present_use(inputs.snapshot, nodes),
        predicted=predict(inputs.snapshot, nodes, settings, chosen.targets),
        evidence=_evidence(policy, now, len(nodes)),
    )


def _evidence(policy: IPPolicy, demand: DemandProfile, nodes: int) -> Evidence:
    needed = policy.spec.demand.min_evidence
    return Evidence(
        observed_s=demand.observed_s,
        nodes=nodes,
        arrivals=demand.arrivals,
        sufficient=demand.observed_s >= needed.seconds,
        message=f"demand was watched for {demand.observed_s:.0f} s of demand.minEvidence {needed}",
    )


def _hold(
    inputs: Inputs,
    stop: Stop,
    fleet: Recommendation | None = None,
    groups: tuple[GroupAdvice, ...] = (),
    traps: tuple[str, ...] = (),
) -> Decision:
    return Decision(
        verdict=Verdict.HOLD,
        reason=stop.reason,
        message=stop.message,
        at_s=inputs.now_s,
        env={},
        fleet=fleet,
        groups=groups,
        traps=traps,
    )


def _change_message(fleet: Recommendation) -> str:
    targets = fleet.targets
    return (
        f"WARM_IP_TARGET={targets.warm_ip} MINIMUM_IP_TARGET={targets.minimum_ip}: "
        f"{fleet.present.held} addresses held now, {fleet.predicted.held} expected"
    )
