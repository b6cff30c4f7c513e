"""What recommendations rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ippolicy.api import Bounds, IPPolicy, PolicySpec
from ippolicy.api.rules import camel_case
from ippolicy.decide.ec2 import budget_share
from ippolicy.decide.objective import Objective
from ippolicy.decide.question import Searched
from ippolicy.decide.running import Running
from ippolicy.facts import DaemonSetFacts, NodeTrace, Signals, Snapshot
from ippolicy.ipamd import PoolSettings


@dataclass(frozen=True, slots=True)
class Ask:
    """The inputs of a decision that recommendations look at; `running` is what is in force."""

    policy: IPPolicy
    snapshot: Snapshot
    daemon_set: DaemonSetFacts
    running: Running
    traces: Sequence[NodeTrace]
    signals: Signals
    searched: Searched | None
    by_replay: bool

    @property
    def settings(self) -> PoolSettings:
        """What the DaemonSet's template says."""
        return self.running.base

    @property
    def now_s(self) -> float:
        """The moment of the snapshot."""
        return self.snapshot.taken_at_s

    def limits(self, group: str | None) -> Objective:
        """The limits of a group, or (None) of all nodes together. Fewer EC2 calls are allowed than
        the policy says where EC2 is overloaded."""
        spec = self.policy.spec
        wanted = spec.objective if group is None else spec.objective_of(group)
        calls = wanted.ec2_calls_per_minute_limit * budget_share(self.signals.ec2)
        return Objective(wanted.delayed_starts_limit, calls)

    def bounds(self, group: str | None) -> Bounds:
        """The bounds of a group, or (None) those that one setting for all nodes must keep."""
        spec = self.policy.spec
        return spec.common_bounds if group is None else spec.bounds_of(group)


def disagreement(spec: PolicySpec, *, prefixes: bool) -> str:
    """Of which targets the bounds leave no value for all nodes alike, in one line; "" for none."""
    told = [
        f"spec.groups[].bounds.{camel_case(name)} of {', '.join(groups)}"
        for name in ("warm_ip_target", "minimum_ip_target", *["warm_prefix_target"] * prefixes)
        if (groups := spec.apart(name))
    ]
    return f"{' and '.join(told)} and spec.bounds have no value in common" if told else ""
