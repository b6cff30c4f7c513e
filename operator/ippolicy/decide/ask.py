"""What recommendations rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ippolicy.api import IPPolicy
from ippolicy.decide.ec2 import budget_share
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

    @property
    def calls_limit(self) -> float:
        """The EC2 calls a minute that may be made: less than the policy allows where EC2 is
        overloaded."""
        limit = self.policy.spec.objective.ec2_calls_per_minute_limit
        return limit * budget_share(self.signals.ec2)
