"""From policy, facts and history to one decision: pure, so that it can be replayed offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ippolicy.api import IPPolicy
from ippolicy.decide import gate
from ippolicy.decide.advise import Advised
from ippolicy.decide.ask import Ask
from ippolicy.decide.braked import Braked, advise_braked
from ippolicy.decide.environment import Environment, as_env, read_environment, rule_alike
from ippolicy.decide.gate import Limits, Stop
from ippolicy.decide.question import Searched
from ippolicy.decide.subnets.brake import SubnetRoom
from ippolicy.decide.types import Decision, Reason, Recommendation, Verdict
from ippolicy.facts import NodeTrace, Record, Signals, Snapshot, SourceName


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a decision rests on.

    `by_replay` asks for the search over replayed demand instead of the rule of quantiles;
    `searched` is the search of the last decision, None for none. `signals` are late starts and how
    EC2 does. `rooms` are what the subnets have left, and `braked` the searches of the last decision
    for the steps of the brake.
    """

    policy: IPPolicy
    snapshot: Snapshot
    traces: Sequence[NodeTrace]
    record: Record | None
    limits: Limits
    searched: Searched | None = None
    by_replay: bool = False
    signals: Signals = field(default_factory=Signals)
    rooms: tuple[SubnetRoom, ...] = ()
    braked: tuple[Searched | None, ...] = ()

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
    braked = advise_braked(
        Ask(
            policy=inputs.policy,
            snapshot=inputs.snapshot,
            daemon_set=daemon_set,
            settings=environment.settings,
            traces=inputs.traces,
            signals=inputs.signals,
            searched=inputs.searched,
            by_replay=inputs.by_replay,
        ),
        inputs.rooms,
        inputs.braked,
    )
    advised, fleet = braked.advised, braked.advised.fleet
    stop = _stop(inputs, environment, braked)
    if stop is not None:
        return _hold(inputs, stop, braked, environment.traps)
    saves = fleet.predicted.usually_held < fleet.present.usually_held
    reason = Reason.SAVES_ADDRESSES if saves else Reason.STARTS_FASTER
    return Decision(
        verdict=Verdict.CHANGE,
        reason=Reason.SUBNET_PRESSURE if braked.braking.step else reason,
        message=_change_message(braked),
        at_s=inputs.now_s,
        env=as_env(fleet.targets),
        fleet=fleet,
        groups=advised.groups,
        traps=environment.traps,
        searched=advised.searched,
        braking=braked.braking,
        braked=braked.searched,
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


def _stop(inputs: Inputs, environment: Environment, braked: Braked) -> Stop | None:
    """The first thing that stands in the way of a change, if anything does."""
    fleet = braked.advised.fleet
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
    settings = environment.settings
    if rule_alike(settings.targets, fleet.targets, prefixes=settings.prefix_delegation):
        return Stop(Reason.TARGETS_IN_PLACE, "the targets in force are the recommended ones")
    if braked.braking.step:
        return gate.brake_gate(fleet, inputs.record, inputs.now_s)
    return (
        gate.pace_gate(inputs.policy, inputs.record, inputs.now_s, fleet.plan)
        or _needless_growth(fleet)
        or gate.worth_gate(inputs.policy, fleet, nodes=len(snapshot.nodes))
    )


def _needless_growth(fleet: Recommendation) -> Stop | None:
    """Holding more addresses needs a cause: the targets in force miss the objective."""
    more = fleet.predicted.usually_held - fleet.present.usually_held
    if more <= 0 or not fleet.present_meets:
        return None
    return Stop(
        Reason.SAVING_TOO_SMALL,
        f"it would hold {more:.0f} more addresses, and the present targets serve demand",
    )


def _hold(
    inputs: Inputs, stop: Stop, braked: Braked | None = None, traps: tuple[str, ...] = ()
) -> Decision:
    advised: Advised | None = braked.advised if braked else None
    return Decision(
        verdict=Verdict.HOLD,
        reason=stop.reason,
        message=stop.message,
        at_s=inputs.now_s,
        env={},
        fleet=advised.fleet if advised else None,
        groups=advised.groups if advised else (),
        traps=traps,
        searched=advised.searched if advised else inputs.searched,
        braking=braked.braking if braked else None,
        braked=braked.searched if braked else inputs.braked,
    )


def _change_message(braked: Braked) -> str:
    fleet = braked.advised.fleet
    env = " ".join(f"{key}={value}" for key, value in as_env(fleet.targets).items())
    hour = f", from {fleet.plan.part.start_hour:02}:00 UTC on" if fleet.plan is not None else ""
    causes = (fleet.raised, braked.braking.text() if braked.braking.step else "")
    cause = "".join(f"; {text}" for text in causes if text)
    return (
        f"{env}: {fleet.present.held} addresses held now, {fleet.predicted.held} expected{hour}"
        f"{cause}"
    )
