"""What is known of the outside world, as plain immutable data.

`observe` makes these, `decide` reads them, `act` checks them again right before it writes,
`account` shows them. Nothing here does I/O, and nothing here has an opinion.

Times are seconds since the epoch (`*_at_s`), spans are seconds (`*_s`).
"""

from __future__ import annotations

from ippolicy.facts.cluster import (
    Coverage,
    LeftOut,
    NodeFacts,
    PodEvent,
    PoolCounters,
    PoolFacts,
    Snapshot,
    SourceName,
    SourceState,
)
from ippolicy.facts.daemonset import (
    DaemonSetFacts,
    DaemonSetRef,
    EnvEntry,
    RolloutFacts,
    read_daemon_set,
)
from ippolicy.facts.demand import NodeTrace
from ippolicy.facts.network import InstanceLimits, SubnetFacts, SubnetSelection
from ippolicy.facts.record import Change, ChangePhase, Record

__all__ = [
    "Change",
    "ChangePhase",
    "Coverage",
    "DaemonSetFacts",
    "DaemonSetRef",
    "EnvEntry",
    "InstanceLimits",
    "LeftOut",
    "NodeFacts",
    "NodeTrace",
    "PodEvent",
    "PoolCounters",
    "PoolFacts",
    "Record",
    "RolloutFacts",
    "Snapshot",
    "SourceName",
    "SourceState",
    "SubnetFacts",
    "SubnetSelection",
    "read_daemon_set",
]
