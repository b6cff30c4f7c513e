"""From policy, facts and history to one decision: pure, so that it can be replayed offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ippolicy.api import IPPolicy, Method
from ippolicy.decide import gates
from ippolicy.decide.advise import Advised
from ippolicy.decide.ask import Ask, disagreement
from ippolicy.decide.braked import Braked, advise_braked
from ippolicy.decide.drift import DriftStep, drift_step
from ippolicy.decide.environment import Environment, as_env, read_environment, rule_alike
from ippolicy.decide.gates import Limits, Stop
from ippolicy.decide.guards import Trip
from ippolicy.decide.method import way_gate
from ippolicy.decide.pacing import paced
from ippolicy.decide.predict import predict
from ippolicy.decide.proof import proof_of
from ippolicy.decide.question import Searched
from ippolicy.decide.running import running_of
from ippolicy.decide.subnets.brake import Braking, SubnetRoom, watching
from ippolicy.decide.subnets.wayout import DeadEnd
from ippolicy.decide.trust import Ladder
from ippolicy.decide.types import Decision, Reason, Recommendation, Recommendations, Verdict
from ippolicy.decide.undo import back_off_gate, proof_gate, undo
from ippolicy.facts import (
    ChangeKind,
    DaemonSetFacts,
    NodeTrace,
    Record,
    Signals,
    Snapshot,
    SourceName,
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a decision rests on.

    `by_replay` asks for the search over replayed demand instead of the rule of quantiles;
    `searched` is the search of the last decision, None for none. `signals` are late starts and how
    EC2 does. `rooms` are what the subnets have left, and `braked` the searches of the last decision
    for the steps of the brake. `trip` is the guard that finds the last change harmful.
    `elsewhere` says which other policy's rollout is under way, empty for none. `recommended` and
    `ladder` are those of the last decision; where recommendations are not followed over time, None
    stands for them, and the time that demand was watched alone makes them steady. On `dead_ends`,
    the subnets that no targets can save, nothing is decided: they are there to be told of.
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
    trip: Trip | None = None
    elsewhere: str = ""
    recommended: Recommendations | None = None
    ladder: Ladder | None = None
    dead_ends: tuple[DeadEnd, ...] = ()

    @property
    def now_s(self) -> float:
        """The moment of the decision: that of the snapshot."""
        return self.snapshot.taken_at_s


def decide(inputs: Inputs) -> Decision:
    """What to do now for the DaemonSet of this policy, and why."""
    ladder = _climb(inputs)
    decision = replace(_decide(inputs, ladder), ladder=ladder)
    at_birth = inputs.policy.spec.apply.method is Method.ADMISSION
    if inputs.trip is None or inputs.snapshot.cni.no_pools or at_birth:
        return decision
    return undo(decision, inputs.policy, inputs.record, inputs.trip)


def _climb(inputs: Inputs) -> Ladder:
    """How far facts are trusted; where nothing can be set there is nothing to be trusted for."""
    if inputs.snapshot.cni.no_pools:
        return Ladder()
    return gates.climb(inputs.ladder, inputs.snapshot, inputs.signals, inputs.limits)


def _decide(inputs: Inputs, ladder: Ladder) -> Decision:
    stop = _unusable(inputs)
    if stop is not None:
        return _hold(inputs, gates.off_gate(inputs.policy) or stop, watched=_watched(inputs))
    daemon_set = inputs.snapshot.daemon_set
    assert daemon_set is not None  # noqa: S101  (_unusable has looked)
    environment = read_environment(daemon_set.env)
    braked = advise_braked(
        Ask(
            policy=inputs.policy,
            snapshot=inputs.snapshot,
            daemon_set=daemon_set,
            running=running_of(inputs.snapshot, environment.settings),
            traces=inputs.traces,
            signals=inputs.signals,
            searched=inputs.searched,
            by_replay=inputs.by_replay,
        ),
        inputs.rooms,
        inputs.braked,
    )
    known = _noted(inputs, braked)
    at_birth = inputs.policy.spec.apply.method is Method.ADMISSION
    judge = _judge_births if at_birth else _judge
    decision = judge(inputs, ladder, environment, braked, known)
    return replace(decision, recommended=known)


def _noted(inputs: Inputs, braked: Braked) -> Recommendations | None:
    """What was recommended lately, this time included unless the brake made it."""
    if inputs.recommended is None or braked.braking.step:
        return inputs.recommended
    span_s = inputs.policy.spec.change.stabilization.seconds
    fleet = braked.advised.fleet
    return gates.noted(inputs.recommended, fleet, inputs.now_s, span_s=span_s)


def steadied(
    inputs: Inputs, fleet: Recommendation, known: Recommendations | None
) -> Recommendation:
    """What a change goes to: the recommendation, or the most generous of `known` to shrink to."""
    daemon_set, snapshot = inputs.snapshot.daemon_set, inputs.snapshot
    if known is None or daemon_set is None:
        return fleet
    settings = read_environment(daemon_set.env).settings
    return gates.most_generous(known, fleet, partial(predict, snapshot, snapshot.nodes, settings))


def _judge(
    inputs: Inputs,
    ladder: Ladder,
    environment: Environment,
    braked: Braked,
    known: Recommendations | None,
) -> Decision:
    daemon_set, advised = inputs.snapshot.daemon_set, braked.advised
    assert daemon_set is not None  # noqa: S101  (_unusable has looked)
    fleet = advised.fleet if braked.braking.step else steadied(inputs, advised.fleet, known)
    drift = drift_step(inputs.policy, inputs.record, daemon_set, inputs.now_s)
    stop = _stop(inputs, ladder, environment, braked, drift)
    if stop is None and drift is None and not braked.braking.step:
        stop = _not_worth(inputs, advised.fleet, fleet, known)
    if stop is not None:
        return _hold(inputs, stop, braked, environment.traps)
    env, nodes = as_env(fleet.targets), len(inputs.snapshot.nodes)
    pace = partial(paced, policy=inputs.policy, facts=daemon_set, record=inputs.record, nodes=nodes)
    if drift is not None:
        return pace(_reapply(inputs, drift, braked, environment.traps))
    proof = proof_of(inputs.policy, environment.settings, nodes, inputs.traces, fleet)
    backing_off = back_off_gate(inputs.record, proof.basis, env, inputs.now_s)
    if backing_off is not None and not braked.braking.step:
        return _hold(inputs, backing_off, braked, environment.traps)
    saves = fleet.predicted.usually_held < fleet.present.usually_held
    reason = Reason.SAVES_ADDRESSES if saves else Reason.STARTS_FASTER
    decision = Decision(
        verdict=Verdict.CHANGE,
        reason=Reason.SUBNET_PRESSURE if braked.braking.step else reason,
        message=_change_message(fleet, braked.braking),
        at_s=inputs.now_s,
        env=env,
        fleet=fleet,
        groups=advised.groups,
        traps=environment.traps,
        searched=advised.searched,
        braking=braked.braking,
        braked=braked.searched,
        proof=proof,
    )
    return pace(decision)


def _judge_births(
    inputs: Inputs,
    ladder: Ladder,
    environment: Environment,
    braked: Braked,
    known: Recommendations | None,
) -> Decision:
    """Whether pods may be born with the targets of their groups; the DaemonSet's env is let be."""
    advised, braking = braked.advised, braked.braking
    fleet = advised.fleet if braking.step else steadied(inputs, advised.fleet, known)
    stop = gates.birth_gate(
        inputs.policy,
        inputs.snapshot,
        fleet,
        limits=inputs.limits,
        ladder=ladder,
        signals=inputs.signals,
        braked=bool(braking.step),
    )
    if stop is not None:
        return _hold(inputs, stop, braked, environment.traps)
    return Decision(
        verdict=Verdict.CHANGE,
        reason=Reason.SUBNET_PRESSURE if braking.step else Reason.AT_BIRTH,
        message=f"new aws-node pods get the targets of their node groups, {len(advised.groups)} now"
        + (f"; {braking.text()}" if braking.step else ""),
        at_s=inputs.now_s,
        env={},
        fleet=fleet,
        groups=advised.groups,
        traps=environment.traps,
        searched=advised.searched,
        braking=braking,
        braked=braked.searched,
    )


def _unusable(inputs: Inputs) -> Stop | None:
    """Whether the facts do not even allow a recommendation."""
    daemon_set, ref = inputs.snapshot.daemon_set, inputs.policy.spec.daemon_set_ref
    if no_pools := inputs.snapshot.cni.no_pools:
        return Stop(Reason.NO_WARM_POOLS, no_pools)
    if daemon_set is None and (unread := gates.unread(inputs.snapshot, SourceName.DAEMON_SET)):
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
        return gates.unread(inputs.snapshot, SourceName.NODES) or Stop(
            Reason.NO_NODES, f"no node with a warm pool was found{_left_out(inputs.snapshot)}"
        )
    return None


def _watched(inputs: Inputs) -> Braking | None:
    """What is short where there are no targets to tune for good."""
    if not inputs.snapshot.cni.no_pools:
        return None
    return watching(inputs.rooms, inputs.policy.spec.subnets.brake)


def _left_out(snapshot: Snapshot) -> str:
    named = ", ".join(f"{count} {kind}" for kind, count in sorted(snapshot.left_out.items()))
    return f" ({named} left out)" if named else ""


def _stop(
    inputs: Inputs,
    ladder: Ladder,
    environment: Environment,
    braked: Braked,
    drift: DriftStep | None,
) -> Stop | None:
    """The first thing that stands in the way of any change now, if anything does."""
    fleet, braking = braked.advised.fleet, bool(braked.braking.step)
    snapshot, daemon_set = inputs.snapshot, inputs.snapshot.daemon_set
    assert daemon_set is not None  # noqa: S101  (_unusable has looked)
    unreadable = () if drift is not None and drift.env else environment.unreadable
    blocked = (
        gates.wish_gate(inputs.policy)
        or (Stop(Reason.ENV_UNREADABLE, unreadable[0]) if unreadable else None)
        or _no_common_value(inputs.policy, environment)
        or gates.rollout_gate(daemon_set, inputs.record)
        or gates.facts_gate(snapshot, inputs.limits, growing=gates.grows(fleet))
    )
    if blocked is not None:
        return blocked
    start = partial(_no_start, inputs, ladder, growing=gates.grows(fleet), braked=braking)
    settings = environment.settings
    if drift is not None and not (
        fleet.evidence.sufficient
        and rule_alike(settings.targets, fleet.targets, prefixes=settings.prefix_delegation)
    ):
        return start() if drift.env else Stop(drift.reason, drift.message)
    if not fleet.evidence.sufficient:
        return Stop(Reason.LOW_CONFIDENCE, fleet.evidence.message)
    if rule_alike(settings.targets, fleet.targets, prefixes=settings.prefix_delegation):
        return Stop(Reason.TARGETS_IN_PLACE, "the targets in force are the recommended ones")
    return start() or _not_now(inputs, daemon_set, fleet, braked=braking)


def _no_common_value(policy: IPPolicy, environment: Environment) -> Stop | None:
    """Whether no setting for all nodes would keep the bounds of every group."""
    told = disagreement(policy.spec, prefixes=environment.settings.prefix_delegation)
    if not told:
        return None
    return Stop(
        Reason.BOUNDS_DISAGREE,
        f"{told}, and apply.method {policy.spec.apply.method} sets one for all nodes: set "
        "apply.method Admission, or widen them",
    )


def _not_now(
    inputs: Inputs, daemon_set: DaemonSetFacts, fleet: Recommendation, *, braked: bool
) -> Stop | None:
    """Whether other targets are to be set, but not in this way, or not at this time."""
    policy, record, now_s = inputs.policy, inputs.record, inputs.now_s
    way = way_gate(policy, daemon_set, record, as_env(fleet.targets))
    when = partial(gates.when_gate, policy, record, fleet, inputs.signals, now_s, braked=braked)
    if braked:
        return way or gates.brake_gate(fleet, record, now_s) or when()
    released = gates.release_gate(fleet, record, now_s)
    return way or proof_gate(record, fleet) or released or when() or _needless_growth(fleet)


def _no_start(inputs: Inputs, ladder: Ladder, *, growing: bool, braked: bool) -> Stop | None:
    """What no rollout may be started amid."""
    return (
        gates.elsewhere_gate(inputs.elsewhere)
        or gates.nodes_gate(inputs.snapshot.nodes)
        or gates.ladder_gate(ladder, growing=growing, braked=braked)
    )


def _not_worth(
    inputs: Inputs,
    advice: Recommendation,
    fleet: Recommendation,
    known: Recommendations | None,
) -> Stop | None:
    """Whether a change to `fleet` is not steady yet, or does not repay its restarts."""
    span = inputs.policy.spec.change.stabilization
    unsteady = gates.steady_gate(known, advice, fleet, span) if known is not None else None
    return unsteady or gates.worth_gate(inputs.policy, fleet, nodes=len(inputs.snapshot.nodes))


def _needless_growth(fleet: Recommendation) -> Stop | None:
    """Holding more addresses needs a cause: the targets in force miss the objective."""
    more = fleet.predicted.usually_held - fleet.present.usually_held
    if more <= 0 or not fleet.present_meets:
        return None
    return Stop(
        Reason.SAVING_TOO_SMALL,
        f"it would hold {more:.0f} more addresses, and the present targets serve demand",
    )


def _reapply(inputs: Inputs, drift: DriftStep, braked: Braked, traps: tuple[str, ...]) -> Decision:
    """The decision to set again what somebody else had changed."""
    held = _hold(inputs, Stop(drift.reason, drift.message), braked, traps)
    return replace(held, verdict=Verdict.CHANGE, env=drift.env, kind=ChangeKind.REAPPLY, proof=None)


def _hold(
    inputs: Inputs,
    stop: Stop,
    braked: Braked | None = None,
    traps: tuple[str, ...] = (),
    *,
    watched: Braking | None = None,
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
        braking=braked.braking if braked else watched,
        braked=braked.searched if braked else inputs.braked,
    )


def _change_message(fleet: Recommendation, braking: Braking) -> str:
    env = " ".join(f"{key}={value}" for key, value in as_env(fleet.targets).items())
    hour = f", from {fleet.plan.part.start_hour:02}:00 UTC on" if fleet.plan is not None else ""
    causes = (fleet.raised, braking.text() if braking.step else "")
    cause = "".join(f"; {text}" for text in causes if text)
    return (
        f"{env}: {fleet.present.held} addresses held now, {fleet.predicted.held} expected{hour}"
        f"{cause}"
    )
