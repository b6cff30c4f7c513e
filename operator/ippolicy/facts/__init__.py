"""What is known of the outside world, as plain immutable data.

`observe` makes these, `decide` reads them, `act` checks them again right before it writes,
`account` shows them. Nothing here does I/O, and nothing here has an opinion.

Times are seconds since the epoch (`*_at_s`), spans are seconds (`*_s`).
"""

from __future__ import annotations

from ippolicy.facts.births import Agent, Birth
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
from ippolicy.facts.cni import Cni, CniFacts
from ippolicy.facts.daemonset import (
    DaemonSetFacts,
    DaemonSetRef,
    EnvEntry,
    Hand,
    RolloutFacts,
    read_daemon_set,
)
from ippolicy.facts.demand import NodeTrace, watched_s
from ippolicy.facts.managers import ManagerKind, manager_kind
from ippolicy.facts.network import InstanceLimits, SubnetFacts, SubnetSelection, SubnetUse
from ippolicy.facts.record import (
    BackOff,
    Change,
    ChangeKind,
    ChangePhase,
    Forecast,
    Ledger,
    Measured,
    Record,
    Writer,
)
from ippolicy.facts.signals import ApiFacts, InForce, LateStarts, Ran, Signals
from ippolicy.facts.subnets import (
    CidrReservation,
    Holder,
    InstanceUse,
    InterfaceFacts,
    PrefixRoom,
    SubnetInventory,
    SubnetSplit,
)

__all__ = [
    "Agent",
    "ApiFacts",
    "BackOff",
    "Birth",
    "Change",
    "ChangeKind",
    "ChangePhase",
    "CidrReservation",
    "Cni",
    "CniFacts",
    "Coverage",
    "DaemonSetFacts",
    "DaemonSetRef",
    "EnvEntry",
    "Forecast",
    "Hand",
    "Holder",
    "InForce",
    "InstanceLimits",
    "InstanceUse",
    "InterfaceFacts",
    "LateStarts",
    "Ledger",
    "LeftOut",
    "ManagerKind",
    "Measured",
    "NodeFacts",
    "NodeTrace",
    "PodEvent",
    "PoolCounters",
    "PoolFacts",
    "PrefixRoom",
    "Ran",
    "Record",
    "RolloutFacts",
    "Signals",
    "Snapshot",
    "SourceName",
    "SourceState",
    "SubnetFacts",
    "SubnetInventory",
    "SubnetSelection",
    "SubnetSplit",
    "SubnetUse",
    "Writer",
    "manager_kind",
    "read_daemon_set",
    "watched_s",
]
