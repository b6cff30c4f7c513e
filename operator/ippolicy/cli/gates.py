"""All that a change must pass, looked at apart: a decision tells only the first that is closed."""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.decide import gates
from ippolicy.decide.basis import basis_of
from ippolicy.decide.decision import Inputs, steadied
from ippolicy.decide.environment import as_env, read_environment
from ippolicy.decide.gates import Stop
from ippolicy.decide.types import Decision, Reason, Recommendation, Verdict
from ippolicy.decide.undo import back_off_gate, proof_gate


@dataclass(frozen=True, slots=True)
class Gate:
    """Something that may stand in the way of a change; `stop` says how it does, None for open."""

    name: str
    stop: str | None


def gates_of(inputs: Inputs, decision: Decision) -> list[Gate]:
    """The gates before the change that `decision` is about, in the order they are looked at."""
    daemon_set, fleet = inputs.snapshot.daemon_set, decision.fleet
    if daemon_set is None or fleet is None:
        return [Gate("facts", decision.message)]
    unreadable = read_environment(daemon_set.env).unreadable
    snapshot, growing = inputs.snapshot, gates.grows(fleet)
    braked = decision.braking is not None and decision.braking.step > 0
    trusted = gates.ladder_gate(decision.ladder, growing=growing, braked=braked)
    found = [
        _gate("mode, pause and method", gates.wish_gate(inputs.policy)),
        Gate("settings readable", unreadable[0] if unreadable else None),
        _gate("no rollout under way", gates.rollout_gate(daemon_set, inputs.record)),
        _gate("no rollout elsewhere", gates.elsewhere_gate(inputs.elsewhere)),
        _gate("nodes at rest", gates.nodes_gate(snapshot.nodes)),
        _gate("facts fresh and whole", gates.facts_gate(snapshot, inputs.limits, growing=growing)),
        _gate("facts trusted", trusted),
        *_worth(inputs, decision, fleet, braked=braked),
    ]
    told = {passed.stop for passed in found}
    if decision.verdict is Verdict.HOLD and decision.message not in told:
        found.append(Gate("anything to gain", decision.message))
    return found


def _worth(
    inputs: Inputs, decision: Decision, fleet: Recommendation, *, braked: bool
) -> list[Gate]:
    """What depends on the targets; with the brake on, its own gate stands for the others."""
    policy, record, now_s = inputs.policy, inputs.record, inputs.now_s
    when = gates.when_gate(policy, record, fleet, inputs.signals, now_s, braked=braked)
    if braked:
        return [_gate("brake", gates.brake_gate(fleet, record, now_s)), *_when(when)]
    evidence, known = fleet.evidence, decision.recommended
    most, span = steadied(inputs, fleet, known), policy.spec.change.stabilization
    unsteady = gates.steady_gate(known, fleet, most, span) if known is not None else None
    return [
        Gate("evidence", None if evidence.sufficient else evidence.message),
        _gate("predictions came true", proof_gate(record, fleet)),
        _gate("brake let go", gates.release_gate(fleet, record, now_s)),
        *_when(when),
        _gate("steady for long enough", unsteady),
        _gate(
            "worth its restarts", gates.worth_gate(policy, most, nodes=len(inputs.snapshot.nodes))
        ),
        _gate("not rolled back lately", _backing_off(inputs, most)),
    ]


def _backing_off(inputs: Inputs, fleet: Recommendation) -> Stop | None:
    daemon_set, nodes = inputs.snapshot.daemon_set, len(inputs.snapshot.nodes)
    assert daemon_set is not None  # noqa: S101  (nothing is recommended without one)
    settings = read_environment(daemon_set.env).settings
    basis = basis_of(inputs.policy, settings, nodes, inputs.traces)
    return back_off_gate(inputs.record, basis, as_env(fleet.targets), inputs.now_s)


def _when(stop: Stop | None) -> list[Gate]:
    closed = stop is not None and stop.reason is Reason.OUTSIDE_WINDOW
    return [
        _gate("change windows", stop if closed else None),
        _gate("pace of changes", None if closed else stop),
    ]


def _gate(name: str, stop: Stop | None) -> Gate:
    return Gate(name, stop.message if stop else None)
