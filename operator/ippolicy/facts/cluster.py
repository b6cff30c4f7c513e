"""Nodes, pods, pools, and the snapshot that a decision is made on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ippolicy.facts.births import Agent
from ippolicy.facts.cni import CniFacts
from ippolicy.facts.daemonset import DaemonSetFacts
from ippolicy.facts.network import InstanceLimits, SubnetFacts
from ippolicy.facts.subnets import CidrReservation, InstanceUse, SubnetInventory


class LeftOut(StrEnum):
    """Why a node has no warm pool that the policy could tune."""

    FARGATE = "Fargate"
    AUTO_MODE = "AutoMode"
    HYBRID = "Hybrid"
    WINDOWS = "Windows"
    NO_AWS_NODE = "NoAWSNode"


class SourceName(StrEnum):
    """A source of facts, as conditions and metrics name it."""

    NODES = "nodes"
    PODS = "pods"
    AWS_NODE = "aws-node"
    DAEMON_SET = "daemonset"
    METRICS = "metrics"
    EC2_SUBNETS = "ec2-subnets"
    EC2_INSTANCE_TYPES = "ec2-instance-types"
    EC2_INSTANCES = "ec2-instances"
    EC2_INTERFACES = "ec2-interfaces"
    EC2_RESERVATIONS = "ec2-reservations"
    ENI_CONFIGS = "eniconfigs"
    CILIUM = "cilium"
    WINDOWS_IPAM = "windows-ipam"
    PROMETHEUS = "prometheus"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node that has a warm pool.

    `max_pods` is status.capacity.pods, `address` the InternalIP that aws-node's metrics port
    listens on, `group` the node group that shares demand and targets. `ready` is the Ready
    condition, True where the node has none; `labels` are those of the node object.
    """

    name: str
    instance_type: str
    instance_id: str
    zone: str
    group: str
    max_pods: int
    address: str
    unschedulable: bool
    created_at_s: float
    ready: bool = True
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class PodEvent:
    """Pods that came to (`change` > 0) or left (`change` < 0) the pod network of a node."""

    at_s: float
    node: str
    change: int


@dataclass(frozen=True, slots=True)
class PoolCounters:
    """Counters of one aws-node since it was first read, with its restarts taken out.

    `no_free_blocks` counts calls that EC2 refused with InsufficientCidrBlocks, `ec2_overloads`
    those that it refused for load. `answers` counts calls to AWS that succeeded and waits for a new
    ENI, by name; `answers_ms` is the time that they took in all.
    """

    add_requests: int = 0
    del_requests: int = 0
    no_available_addresses: int = 0
    ec2_calls: Mapping[str, int] = field(default_factory=dict)
    ec2_errors: Mapping[str, int] = field(default_factory=dict)
    no_free_blocks: int = 0
    ec2_overloads: Mapping[str, int] = field(default_factory=dict)
    answers: Mapping[str, int] = field(default_factory=dict)
    answers_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """The warm pool of one node, read from port 61678 of its aws-node.

    `held` counts secondary addresses attached to the node (16 for each prefix); the ENIs' own
    primary addresses are not in it, so a subnet gives `held + enis` to this node. `held_max` is
    what `enis_max` full ENIs would hold, 0 where the CNI does not tell.
    """

    node: str
    held: int
    assigned: int
    enis: int
    enis_max: int
    prefixes: int
    cni_version: str
    counters: PoolCounters
    read_at_s: float
    restarts: int = 0
    held_max: int = 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the listed aws-node pods were read lately; `stale` were missed three times."""

    listed: int
    read: int
    stale: int

    @property
    def share(self) -> float:
        """Share of the listed pods with a fresh reading; 0.0 when none is listed."""
        return self.read / self.listed if self.listed else 0.0

    @property
    def reachable(self) -> float:
        """Share of the listed pods that are not stale, new ones included; 1.0 when none is listed.

        Pods that have just restarted, and were not read yet, are no sign of anything wrong.
        """
        return 1.0 - self.stale / self.listed if self.listed else 1.0


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source does: when it last succeeded, and what is wrong now.

    `error` is None when the last try succeeded. `permission` names the right that is missing, if
    that is the cause.
    """

    succeeded_at_s: float | None
    error: str | None = None
    permission: str | None = None

    def age_s(self, now_s: float) -> float:
        """Seconds since the last success; infinite when there was none.

        One to come is of a clock that was put back since, by that much, and as old as that.
        """
        if self.succeeded_at_s is None:
            return float("inf")
        return abs(now_s - self.succeeded_at_s)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All facts about one DaemonSet's nodes at one moment.

    `pods_per_node` counts pods on the pod network that hold or want an address, for each name in
    `nodes`. `pools` has only the nodes with a reading that is not stale. `limits` is keyed by
    instance type; a type that EC2 does not know is in `unknown_types` instead.

    `inventories` and `reservations` are keyed by subnet id and lack the subnets that EC2 did not
    tell of, all of them where the right to ask is missing. `instances` has every EC2 instance of
    the cluster by its id, with a warm pool or without. `agents` maps node -> its aws-node pod, and
    `waiting` node -> pods on the pod network that are bound to it and have no address yet, for the
    nodes with any. `windows_ipam` has the targets and switches of Windows nodes in the CNI's
    ConfigMap, which aws-node does not read.
    """

    taken_at_s: float
    daemon_set: DaemonSetFacts | None
    nodes: tuple[NodeFacts, ...]
    left_out: Mapping[LeftOut, int]
    pods_per_node: Mapping[str, int]
    pools: Mapping[str, PoolFacts]
    coverage: Coverage
    limits: Mapping[str, InstanceLimits]
    unknown_types: frozenset[str]
    subnets: tuple[SubnetFacts, ...]
    sources: Mapping[SourceName, SourceState]
    inventories: Mapping[str, SubnetInventory] = field(default_factory=dict)
    reservations: Mapping[str, tuple[CidrReservation, ...]] = field(default_factory=dict)
    instances: Mapping[str, InstanceUse] = field(default_factory=dict)
    cni: CniFacts = field(default_factory=CniFacts)
    windows_ipam: Mapping[str, str] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
