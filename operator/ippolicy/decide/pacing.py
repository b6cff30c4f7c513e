"""How fast a rollout may go, so that its restarts keep the limit on EC2 calls. Pure.

A rollout restarts the pods that maxUnavailable allows at once, which takes a minute or so
(`restart.STEP_S`), and then the next ones: its EC2 calls come at the pace of these steps.
"""

from __future__ import annotations

from dataclasses import replace

from ippolicy.api import IPPolicy, Method
from ippolicy.decide.method import choose_way
from ippolicy.decide.restart import STEP_S, change_calls, pods_at_once
from ippolicy.decide.types import Decision, Pace
from ippolicy.facts import DaemonSetFacts, Record


def paced(
    decision: Decision, policy: IPPolicy, facts: DaemonSetFacts, record: Record | None, nodes: int
) -> Decision:
    """The decision to change with the pace of its rollout on `nodes` nodes, where that is too fast;
    its message says so."""
    pace = pace_of(decision, policy, facts, record, nodes)
    if pace is None:
        return decision
    return replace(decision, pace=pace, message=f"{decision.message}; {pace.text()}")


def pace_of(
    decision: Decision, policy: IPPolicy, facts: DaemonSetFacts, record: Record | None, nodes: int
) -> Pace | None:
    """The pace of the rollout where it makes more EC2 calls than are allowed, else None."""
    fleet, rollout = decision.fleet, facts.rollout
    if fleet is None or not nodes or rollout.strategy != "RollingUpdate":
        return None
    limit: float = policy.spec.objective.ec2_calls_per_minute_limit
    budget = limit if fleet.calls_limit is None else fleet.calls_limit
    calls = change_calls(nodes=nodes, enis=fleet.present.enis, enis_then=fleet.predicted.enis)
    each = calls / nodes * 60.0 / STEP_S
    at_once = min(pods_at_once(rollout), nodes)
    if each * at_once <= budget:
        return None
    lowered = max(1, int(budget / each))
    return Pace(
        calls_per_minute=each * at_once,
        budget=budget,
        max_unavailable=rollout.max_unavailable,
        lowered=lowered if lowered < at_once and _may_lower(policy, facts, record) else None,
    )


def _may_lower(policy: IPPolicy, facts: DaemonSetFacts, record: Record | None) -> bool:
    """Whether the policy allows it, and the DaemonSet is what is written to."""
    if not policy.spec.change.lower_max_unavailable:
        return False
    return choose_way(policy, facts, record).method is Method.DAEMON_SET
