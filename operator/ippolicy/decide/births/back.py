"""Pods return to the values of their template, once nothing else is set for them any more."""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.api import IPPolicy
from ippolicy.decide.births.members import Members, lacking
from ippolicy.decide.births.restarts import Budget, begun
from ippolicy.decide.births.table import TEMPLATE, PolicyTable
from ippolicy.decide.environment import read_environment
from ippolicy.facts import Agent, Snapshot


@dataclass(frozen=True, slots=True)
class Back:
    """So many nodes are `outstanding`; the pods that are to go now are `due`."""

    outstanding: int = 0
    due: tuple[Agent, ...] = ()


def giving_back(policy: IPPolicy, snapshot: Snapshot) -> Back:
    """Whose aws-node is made anew now, within the budgets of the policy that goes."""
    daemon_set = snapshot.daemon_set
    if daemon_set is None:
        return Back()
    change, nothing = policy.spec.change, PolicyTable(policy.name)
    settings = read_environment(daemon_set.env).settings
    found = Members(snapshot, settings, min_saving=change.min_saving.fraction)
    members = {
        one.name: found.gaining(one, None)
        for group in found.under(nothing).values()
        for one in group
    }
    calls = float(policy.spec.objective.ec2_calls_per_minute_limit)
    groups = {one.node.group for one in members.values()}
    # Nobody remembers whose pod was told to go. One node may lack an aws-node for good.
    away = max(0, lacking(snapshot) - 1)
    budget = Budget(change.restarts, calls, away, in_need=groups)
    due = begun(nothing, members, budget, snapshot.taken_at_s)
    return Back(
        outstanding=sum(one.digest != TEMPLATE for one in members.values()),
        due=tuple(snapshot.agents[name] for name in sorted(due)),
    )
