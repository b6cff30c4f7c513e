"""What is wrong, fault by fault: each with a reason, its cause and its fix.

Order is rank: the first fault gives the condition Degraded its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ippolicy.account.notes import OPTIONAL, untunable
from ippolicy.account.view import View
from ippolicy.account.words import one_line, span
from ippolicy.act.checkpoints import CheckpointTrouble
from ippolicy.act.outcome import OutcomeKind
from ippolicy.act.rollout import RolloutPhase
from ippolicy.api import Mode
from ippolicy.decide.environment import read_environment
from ippolicy.decide.trust import Step
from ippolicy.decide.types import Reason
from ippolicy.facts import SourceName, SourceState

_CLUSTER_SOURCES = (
    SourceName.NODES,
    SourceName.PODS,
    SourceName.AWS_NODE,
    SourceName.DAEMON_SET,
    SourceName.ENI_CONFIGS,
    SourceName.CILIUM,
    SourceName.WINDOWS_IPAM,
)
_MOST_NAMED = 5
ROLLOUT_FAULTS = {
    RolloutPhase.STUCK: "RolloutStuck",
    RolloutPhase.BLOCKED: "RolloutBlocked",
    RolloutPhase.UNHEALTHY: "RolloutUnhealthy",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; `message` is one line with its cause and its fix."""

    reason: str
    message: str


def faults(view: View) -> tuple[Fault, ...]:
    """Everything that is wrong with what this pass saw and did, the gravest first."""
    return tuple(
        fault
        for find in (
            _writing,
            _cni,
            _daemon_set,
            _env,
            _traps,
            _rollout,
            _sources,
            _coverage,
            _types,
            _checkpoint,
            _ladder,
        )
        for fault in find(view)
    )


def _writing(view: View) -> Iterator[Fault]:
    outcome = view.outcome
    if outcome is not None and outcome.kind is OutcomeKind.FAILED:
        unreadable = outcome.error == "RecordUnreadable"
        yield Fault("RecordUnreadable" if unreadable else "WriteFailed", outcome.message)


def _cni(view: View) -> Iterator[Fault]:
    note = untunable(view)
    if note is not None and view.policy.spec.mode is not Mode.OFF:
        yield Fault(note.reason, note.message)


def _daemon_set(view: View) -> Iterator[Fault]:
    decision = view.decision
    if decision is None or untunable(view) is not None:
        return
    if decision.reason in (Reason.NO_DAEMON_SET, Reason.NO_CONTAINER, Reason.NO_NODES):
        yield Fault(decision.reason.value, decision.message)


def _env(view: View) -> Iterator[Fault]:
    daemon_set = view.snapshot.daemon_set
    if daemon_set is not None:
        for problem in read_environment(daemon_set.env).unreadable:
            yield Fault("EnvUnreadable", one_line(problem))


def _traps(view: View) -> Iterator[Fault]:
    if view.decision is not None:
        for trap in view.decision.traps:
            yield Fault("TrapInForce", trap)


def _rollout(view: View) -> Iterator[Fault]:
    rollout = view.rollout
    if view.change_under_way is not None and rollout is not None:
        # With OnDelete it waits for restarts that the user has kept to himself.
        if rollout.phase in ROLLOUT_FAULTS and rollout.phase is not RolloutPhase.BLOCKED:
            yield Fault(ROLLOUT_FAULTS[rollout.phase], rollout.message)
    elif view.decision is not None and view.decision.reason is Reason.DAEMON_SET_UNHEALTHY:
        yield Fault("DaemonSetUnhealthy", view.decision.message)


def _sources(view: View) -> Iterator[Fault]:
    for name in SourceName:
        state = view.snapshot.sources.get(name)
        if state is None or state.error is None:
            continue
        if state.permission is None or name not in OPTIONAL:
            yield _source_fault(name, state, view.now_s)


def _source_fault(name: SourceName, state: SourceState, now_s: float) -> Fault:
    age_s = state.age_s(now_s)
    last = "never read" if age_s == float("inf") else f"last read {span(age_s)} ago"
    error = one_line(state.error or "", 300)
    if name in _CLUSTER_SOURCES:
        fix = f"; allow {state.permission} to the operator's service account"
        message = f"{name}: {error}{fix if state.permission else ''} ({last})"
        return Fault("ClusterUnavailable", message)
    if state.permission is not None:
        message = f"{name}: no permission: allow {state.permission} in the operator's IAM role"
        return Fault("EC2PermissionMissing", f"{message} ({last})")
    if name is SourceName.METRICS:
        return Fault("MetricsUnavailable", f"{name}: {error} ({last})")
    if name is SourceName.PROMETHEUS:
        return Fault("PrometheusUnavailable", f"{name}: {error} ({last})")
    return Fault("EC2Unavailable", f"{name}: {error} ({last})")


def _coverage(view: View) -> Iterator[Fault]:
    coverage, decision = view.snapshot.coverage, view.decision
    if decision is not None and decision.reason is Reason.ROLLOUT_IN_PROGRESS:
        return  # pods that were just replaced are read within seconds, and none is written on
    if coverage.reachable < view.min_coverage:
        yield Fault(
            "CoverageLow",
            f"metrics of {coverage.read} of {coverage.listed} aws-node pods could be read, of"
            f" {view.min_coverage:.0%} needed, and {coverage.stale} are stale: open port 61678 of"
            " the nodes to the operator (security group, NetworkPolicy), and see that"
            " DISABLE_METRICS is not set",
        )


def _types(view: View) -> Iterator[Fault]:
    unknown = view.snapshot.unknown_types
    if not unknown:
        return
    nodes = Counter(n.instance_type for n in view.snapshot.nodes if n.instance_type in unknown)
    named = ", ".join(
        f"{kind} ({nodes[kind]} nodes)"
        for kind in sorted(unknown, key=lambda kind: (-nodes[kind], kind))[:_MOST_NAMED]
    )
    more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
    yield Fault(
        "UnknownInstanceType",
        f"EC2 does not know instance type {named}{more}, so their limits are taken from their own"
        " ipamd: check the label node.kubernetes.io/instance-type and AWS_REGION",
    )


def _ladder(view: View) -> Iterator[Fault]:
    """What is written no more; what it is for is a fault of its own where it still goes on."""
    ladder = view.ladder
    if ladder is not None and ladder.step:
        what = "only growth" if ladder.step is Step.GROW_ONLY else "nothing"
        yield Fault(
            ladder.step.word,
            f"{what} is written until it is over for a while: {'; '.join(ladder.causes)}",
        )


def _checkpoint(view: View) -> Iterator[Fault]:
    trouble = view.checkpoint.trouble
    if trouble in (CheckpointTrouble.FAILED, CheckpointTrouble.NEWER):
        yield Fault(trouble.value, view.checkpoint.message)
