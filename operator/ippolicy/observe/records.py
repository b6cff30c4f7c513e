"""API objects read down to the few fields that matter, straight from their JSON.

Each `read_*` takes one object's JSON and gives a small immutable record; nonsense raises
one of `ippolicy.kube.UNREADABLE`. A record has `key`, `uid` and `resource_version` for the
reflector.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from ippolicy.api import EnvKey
from ippolicy.facts import Agent, Birth, DaemonSetFacts, LeftOut, NodeFacts, read_daemon_set
from ippolicy.facts.births import read_birth
from ippolicy.facts.daemonset import CONTAINER

GROUP_LABELS = (
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
)
TYPE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
OS_LABELS = ("kubernetes.io/os", "beta.kubernetes.io/os")
COMPUTE_LABEL = "eks.amazonaws.com/compute-type"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
REVISION_LABEL = "controller-revision-hash"
_LEFT_OUT = {
    "fargate": LeftOut.FARGATE,
    "auto": LeftOut.AUTO_MODE,
    "hybrid": LeftOut.HYBRID,
}
_LONGEST_COUNT = 6  # digits


class PodRecord(NamedTuple):
    """One pod on the pod network; `node` is empty until it is scheduled.

    `waiting` says that it is, and has no address yet.
    """

    key: str
    uid: str
    resource_version: str
    node: str
    waiting: bool


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node: its facts, and why it is left out, if its labels say so."""

    key: str
    uid: str
    resource_version: str
    facts: NodeFacts
    left_out: LeftOut | None


@dataclass(frozen=True, slots=True)
class AwsNodePod:
    """One aws-node pod. `address` is its host's, empty until the kubelet has reported it.

    `owner` is the DaemonSet that controls it, `revision` the hash of the template it runs,
    `started_at_s` None until it has started. `turned_at_s`, `birth` and `targets` are as in
    `Agent`.
    """

    key: str
    uid: str
    resource_version: str
    namespace: str
    name: str
    node: str
    address: str
    ready: bool
    terminating: bool
    owner: str
    revision: str
    created_at_s: float
    started_at_s: float | None
    turned_at_s: float = 0.0
    birth: Birth | None = None
    targets: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def agent(self) -> Agent:
        """What others are told of it."""
        return Agent(
            name=self.name,
            uid=self.uid,
            created_at_s=self.created_at_s,
            ready=self.ready,
            turned_at_s=self.turned_at_s,
            ending=self.terminating,
            birth=self.birth,
            targets=self.targets,
        )


@dataclass(frozen=True, slots=True)
class DaemonSetRecord:
    """One DaemonSet; `facts.read_at_s` is when this version of it came."""

    key: str
    uid: str
    resource_version: str
    facts: DaemonSetFacts


class _Owner(msgspec.Struct):
    kind: str
    name: str
    controller: bool | None = None


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def created_at_s(self) -> float:
        return self.creation_timestamp.timestamp() if self.creation_timestamp else 0.0


class _SlimMeta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _Taint(msgspec.Struct):
    key: str = ""


class _NodeSpec(msgspec.Struct):
    providerID: str = ""  # noqa: N815  (the API's own name)
    unschedulable: bool | None = None
    taints: list[_Taint] | None = None


class _Condition(msgspec.Struct):
    type: str
    status: str


class _PodCondition(_Condition):
    lastTransitionTime: datetime | None = None  # noqa: N815  (the API's own name)


class _Address(msgspec.Struct):
    type: str
    address: str


class _NodeStatus(msgspec.Struct):
    capacity: dict[str, str | int] | None = None
    addresses: list[_Address] | None = None
    conditions: list[_Condition] | None = None


class _Node(msgspec.Struct):
    metadata: _Meta
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


class _PodSpec(msgspec.Struct, rename="camel"):
    node_name: str = ""


class _SlimStatus(msgspec.Struct):
    podIP: str = ""  # noqa: N815  (the API's own name)


class _SlimPod(msgspec.Struct):
    metadata: _SlimMeta
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)
    status: _SlimStatus = msgspec.field(default_factory=_SlimStatus)


class _EnvVar(msgspec.Struct):
    name: str = ""
    value: str = ""
    valueFrom: dict[str, Any] | None = None  # noqa: N815  (the API's own name)


class _Container(msgspec.Struct):
    name: str = ""
    env: list[_EnvVar] | None = None


class _AgentSpec(_PodSpec, rename="camel"):
    containers: list[_Container] | None = None


class _PodStatus(msgspec.Struct):
    phase: str = ""
    hostIP: str = ""  # noqa: N815  (the API's own name)
    podIP: str = ""  # noqa: N815  (the API's own name)
    startTime: datetime | None = None  # noqa: N815  (the API's own name)
    conditions: list[_PodCondition] | None = None


class _Pod(msgspec.Struct):
    metadata: _Meta
    spec: _AgentSpec = msgspec.field(default_factory=_AgentSpec)
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


_NODE = msgspec.json.Decoder(_Node)
_SLIM_POD = msgspec.json.Decoder(_SlimPod)
_POD = msgspec.json.Decoder(_Pod)


def read_pod(raw: bytes) -> PodRecord:
    """Where a workload pod is, and whether it waits for an address."""
    pod = _SLIM_POD.decode(raw)
    meta = pod.metadata
    # 20,000 pods name the same few thousand nodes: keep each name once.
    node = sys.intern(pod.spec.node_name)
    return PodRecord(
        key=f"{meta.namespace}/{meta.name}",
        uid=meta.uid,
        resource_version=meta.resource_version,
        node=node,
        waiting=bool(node) and not pod.status.podIP,
    )


def read_node(raw: bytes) -> NodeRecord:
    """A node's shape and group, and whether it can have a warm pool at all."""
    node = _NODE.decode(raw)
    meta, labels = node.metadata, node.metadata.labels or {}
    instance_type = _first(labels, TYPE_LABELS)
    facts = NodeFacts(
        name=meta.name,
        instance_type=instance_type,
        instance_id=_instance_id(node.spec.providerID),
        zone=_first(labels, ZONE_LABELS),
        group=_first(labels, GROUP_LABELS) or instance_type or "unknown",
        max_pods=_max_pods(node.status.capacity),
        address=_internal_address(node.status.addresses or ()),
        unschedulable=bool(node.spec.unschedulable)
        or any(taint.key == UNSCHEDULABLE_TAINT for taint in node.spec.taints or ()),
        created_at_s=meta.created_at_s,
        ready=all(c.status == "True" for c in node.status.conditions or () if c.type == "Ready"),
        labels=labels,
    )
    left_out = _left_out(meta.name, labels)
    return NodeRecord(meta.key, meta.uid, meta.resource_version, facts, left_out)


def read_aws_node_pod(raw: bytes) -> AwsNodePod:
    """One aws-node pod: where it can be read, which template it runs, and with which targets."""
    pod = _POD.decode(raw)
    meta, status = pod.metadata, pod.status
    owner = next((o for o in meta.owner_references or () if o.controller is not False), None)
    return AwsNodePod(
        key=meta.key,
        uid=meta.uid,
        resource_version=meta.resource_version,
        namespace=meta.namespace,
        name=meta.name,
        node=pod.spec.node_name,
        address=status.hostIP or status.podIP,
        ready=_ready(status),
        terminating=meta.deletion_timestamp is not None,
        owner=owner.name if owner is not None and owner.kind == "DaemonSet" else "",
        revision=(meta.labels or {}).get(REVISION_LABEL, ""),
        created_at_s=meta.created_at_s,
        started_at_s=status.startTime.timestamp() if status.startTime else None,
        turned_at_s=_turned_at_s(status),
        birth=read_birth(meta.labels or {}),
        targets=_targets(pod.spec.containers or ()),
    )


def _targets(containers: Iterable[_Container]) -> dict[str, str]:
    """The warm targets that aws-node was given as literal values; of twice the same, the last."""
    given = next((one.env or () for one in containers if one.name == CONTAINER), ())
    last = {entry.name: entry for entry in given if entry.name in EnvKey.__members__}
    # 5,000 pods have few values among them: keep each text once.
    return {
        sys.intern(key): sys.intern(entry.value)
        for key, entry in last.items()
        if entry.valueFrom is None
    }


def _ready(status: _PodStatus) -> bool:
    """As the Ready condition says; a pod without one is taken for ready once it runs."""
    said = [c.status for c in status.conditions or () if c.type == "Ready"]
    return "True" in said if said else status.phase == "Running"


def _turned_at_s(status: _PodStatus) -> float:
    turned = [c.lastTransitionTime for c in status.conditions or () if c.type == "Ready"]
    return next((one.timestamp() for one in turned if one is not None), 0.0)


def read_daemon_set_record(raw: bytes, *, at_s: float) -> DaemonSetRecord:
    """A DaemonSet with its env, owners and rollout."""
    decoded: Any = msgspec.json.decode(raw)
    try:
        facts = read_daemon_set(decoded, read_at_s=at_s)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise msgspec.DecodeError(f"not a DaemonSet: {error!r}") from error
    return DaemonSetRecord(str(facts.ref), facts.uid, facts.resource_version, facts)


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _instance_id(provider_id: str) -> str:
    """`i-0abc` of `aws:///eu-west-1a/i-0abc`; empty for what is no EC2 instance."""
    last = provider_id.rsplit("/", 1)[-1]
    return last if provider_id.startswith("aws:") and last.startswith("i-") else ""


def _max_pods(capacity: Mapping[str, str | int] | None) -> int:
    """status.capacity.pods; 0 while the kubelet has not reported it, or where it can be no number
    of pods."""
    pods = (capacity or {}).get("pods", 0)
    if isinstance(pods, str):
        pods = int(pods) if pods.isdecimal() and len(pods) <= _LONGEST_COUNT else 0
    return pods if 0 <= pods < 10**_LONGEST_COUNT else 0


def _internal_address(addresses: tuple[()] | list[_Address]) -> str:
    return next((a.address for a in addresses if a.type == "InternalIP"), "")


def _left_out(name: str, labels: Mapping[str, str]) -> LeftOut | None:
    compute = _LEFT_OUT.get(labels.get(COMPUTE_LABEL, ""))
    if compute is not None:
        return compute
    if name.startswith("fargate-"):
        return LeftOut.FARGATE
    if _first(labels, OS_LABELS) == "windows":
        return LeftOut.WINDOWS
    return None
