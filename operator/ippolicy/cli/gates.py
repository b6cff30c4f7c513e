"""All that a change must pass, looked at apart: a decision tells only the first that is closed."""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.decide import gate
from ippolicy.decide.decision import Inputs
from ippolicy.decide.environment import read_environment
from ippolicy.decide.gate import Stop
from ippolicy.decide.types import Decision, Recommendation, Verdict


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
    gates = [
        _gate("mode, pause and method", gate.wish_gate(inputs.policy)),
        Gate("settings readable", unreadable[0] if unreadable else None),
        _gate("no rollout under way", gate.rollout_gate(daemon_set, inputs.record)),
        _gate("facts fresh and whole", gate.facts_gate(inputs.snapshot, inputs.limits)),
        *_worth(inputs, decision, fleet),
    ]
    told = {passed.stop for passed in gates}
    if decision.verdict is Verdict.HOLD and decision.message not in told:
        gates.append(Gate("anything to gain", decision.message))
    return gates


def _worth(inputs: Inputs, decision: Decision, fleet: Recommendation) -> list[Gate]:
    """What depends on the targets; with the brake on, its own gate stands for the others."""
    policy, record, now_s = inputs.policy, inputs.record, inputs.now_s
    if decision.braking is not None and decision.braking.step:
        return [_gate("brake", gate.brake_gate(fleet, record, now_s))]
    evidence, nodes = fleet.evidence, len(inputs.snapshot.nodes)
    return [
        Gate("evidence", None if evidence.sufficient else evidence.message),
        _gate("pace of changes", gate.pace_gate(policy, record, now_s, fleet.plan)),
        _gate("worth its restarts", gate.worth_gate(policy, fleet, nodes=nodes)),
    ]


def _gate(name: str, stop: Stop | None) -> Gate:
    return Gate(name, stop.message if stop else None)
