"""Nodes, pods, aws-node pods and DaemonSets of the cluster, kept by reflectors."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import TypeAlias, TypeVar

from ippolicy.facts import (
    DaemonSetFacts,
    DaemonSetRef,
    InstanceUse,
    LeftOut,
    NodeFacts,
    PodEvent,
    SourceName,
    SourceState,
)
from ippolicy.observe.records import (
    AwsNodePod,
    DaemonSetRecord,
    NodeRecord,
    PodRecord,
    read_aws_node_pod,
    read_daemon_set_record,
    read_node,
    read_pod,
)
from ippolicy.observe.reflector import Kind, OnChange, Reflector, ReflectorCounters, Watched
from ippolicy.observe.settings import ObserveSettings
from ippolicy.observe.transport import Transport

T = TypeVar("T", bound=Watched)
AnyReflector: TypeAlias = (
    Reflector[NodeRecord]
    | Reflector[PodRecord]
    | Reflector[AwsNodePod]
    | Reflector[DaemonSetRecord]
)
_NOT_OVER = "status.phase!=Succeeded,status.phase!=Failed"
NODES = Kind("/api/v1/nodes", read_node)
PODS = Kind("/api/v1/pods", read_pod, {"fieldSelector": f"spec.hostNetwork=false,{_NOT_OVER}"})
LONGEST_COOLDOWN_S = 300.0
"""How long it is remembered that a pod left; the CNI's cooldown is 30 s unless told otherwise."""
CLUSTER_SOURCES = (SourceName.NODES, SourceName.PODS, SourceName.AWS_NODE, SourceName.DAEMON_SET)


@dataclass(frozen=True, slots=True)
class NodeView:
    """The nodes that have a warm pool under one DaemonSet, and how many have none, and why."""

    nodes: tuple[NodeFacts, ...]
    left_out: Mapping[LeftOut, int]


class Cluster:
    """Live stores of what the Kubernetes API knows.

    `on_pod_event` is told of each pod that came to or left a node after the first list; the pods
    of the first list are the level to start from. `on_node` is told of each node by its name, with
    its facts or, when it is gone, None.
    """

    def __init__(
        self,
        api: Transport,
        settings: ObserveSettings,
        on_pod_event: Callable[[PodEvent], None],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random,
    ) -> None:
        self._api = api
        self._settings = settings
        self._on_pod_event = on_pod_event
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self.counters = {name: ReflectorCounters() for name in CLUSTER_SOURCES}
        self._nodes = self._reflector(SourceName.NODES, NODES, self._node_changed)
        self._pods = self._reflector(SourceName.PODS, PODS, self._pod_changed)
        self._namespaces: dict[str, _Namespace] = {}
        self._tasks: dict[object, asyncio.Task[None]] = {}
        self._pods_per_node: Counter[str] = Counter()
        self._waiting_per_node: Counter[str] = Counter()
        self._departures: deque[tuple[float, str]] = deque()
        self._without_aws_node_since_s: dict[str, float] = {}
        self._running = False
        self.on_node: Callable[[str, NodeFacts | None], None] = _ignore_node

    def start(self) -> None:
        """Begin to list and watch."""
        self._running = True
        for reflector in (self._nodes, self._pods):
            self._tasks[reflector] = asyncio.create_task(reflector.run())
        for namespace in self._namespaces.values():
            self._run_namespace(namespace)

    async def stop(self) -> None:
        """Stop watching; the stores stay readable."""
        self._running = False
        tasks, self._tasks = tuple(self._tasks.values()), {}
        await _cancel(tasks)

    async def set_namespaces(self, wanted: Iterable[str]) -> None:
        """Watch aws-node pods and DaemonSets in exactly these namespaces."""
        wanted = frozenset(wanted)
        gone = [self._namespaces.pop(name) for name in set(self._namespaces) - wanted]
        for name in sorted(wanted - set(self._namespaces)):
            self._namespaces[name] = self._namespace(name)
            if self._running:
                self._run_namespace(self._namespaces[name])
        await _cancel(
            tuple(
                task
                for namespace in gone
                for reflector in namespace.reflectors
                if (task := self._tasks.pop(reflector, None)) is not None
            )
        )

    async def nodes_listed(self) -> None:
        """Wait for the first list of nodes."""
        await self._nodes.synced.wait()

    def crashed(self) -> str | None:
        """What broke a reflector for good, as one line; None when all run."""
        for task in self._tasks.values():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                return f"{type(error).__name__}: {error}"
        return None

    def node_view(self, ref: DaemonSetRef, now_s: float) -> NodeView:
        """Nodes for the DaemonSet `ref`; without an aws-node pod of it they are left out.

        New nodes, and those whose aws-node is being replaced, get `aws_node_grace_s`.
        """
        namespace = self._namespaces.get(ref.namespace)
        listed = namespace is not None and namespace.aws_node.synced.is_set()
        served = {pod.node for pod in self.aws_node_pods(ref)}
        nodes: list[NodeFacts] = []
        left_out: Counter[LeftOut] = Counter()
        for record in self._nodes.store.values():
            if record.left_out is not None:
                left_out[record.left_out] += 1
            elif listed and record.key not in served and not self._in_grace(record.key, now_s):
                left_out[LeftOut.NO_AWS_NODE] += 1
            else:
                nodes.append(record.facts)
        return NodeView(tuple(nodes), dict(left_out))

    def nodes(self) -> Iterator[NodeFacts]:
        """Facts of every node."""
        return (record.facts for record in self._nodes.store.values())

    def nodes_with_pools(self) -> Iterator[NodeFacts]:
        """Facts of every node whose labels do not leave it out."""
        return (r.facts for r in self._nodes.store.values() if r.left_out is None)

    def pods_on(self, nodes: Iterable[NodeFacts]) -> dict[str, int]:
        """Pods on the pod network of each of `nodes`, zero included."""
        return {node.name: self._pods_per_node[node.name] for node in nodes}

    def waiting_on(self, nodes: Iterable[NodeFacts]) -> dict[str, int]:
        """Pods bound to `nodes` that have no address yet, for the nodes with any."""
        waiting = self._waiting_per_node
        return {node.name: waiting[node.name] for node in nodes if node.name in waiting}

    def instances(self, now_s: float, cooldown_s: float) -> dict[str, InstanceUse]:
        """Every EC2 instance of the cluster by its id, whatever runs on it, with its pods on the
        pod network and those that left it less than `cooldown_s` ago."""
        cooling = Counter(node for at_s, node in self._departures if now_s - at_s < cooldown_s)
        return {
            record.facts.instance_id: InstanceUse(key, self._pods_per_node[key], cooling[key])
            for key, record in self._nodes.store.items()
            if record.facts.instance_id
        }

    def aws_node_pods(self, ref: DaemonSetRef | None = None) -> list[AwsNodePod]:
        """One aws-node pod a node: the newest that is not on its way out, if there is one.

        Only those that the DaemonSet `ref` controls; all when it is None.
        """
        chosen: dict[str, AwsNodePod] = {}
        for name, namespace in self._namespaces.items():
            if ref is not None and ref.namespace != name:
                continue
            for pod in namespace.aws_node.store.values():
                if not pod.node or (ref is not None and pod.owner not in {"", ref.name}):
                    continue
                held = chosen.get(pod.node)
                if held is None or _rank(pod) > _rank(held):
                    chosen[pod.node] = pod
        return [self._addressed(pod) for pod in chosen.values()]

    def daemon_set(self, ref: DaemonSetRef) -> DaemonSetFacts | None:
        """The DaemonSet `ref` as of the last word of its watch; None when it is not there."""
        namespace = self._namespaces.get(ref.namespace)
        record = namespace.daemon_sets.store.get(str(ref)) if namespace is not None else None
        if namespace is None or record is None:
            return None
        read_at_s = namespace.daemon_sets.state.succeeded_at_s
        return replace(record.facts, read_at_s=read_at_s or record.facts.read_at_s)

    def states(self, now_s: float, namespace: str | None = None) -> dict[SourceName, SourceState]:
        """How each source does; of one namespace only, or of all together."""
        return {
            name: merge_states((r.state for r in reflectors), now_s)
            for name, reflectors in self._reflectors(namespace).items()
        }

    def unsynced(self) -> list[SourceName]:
        """Sources whose first list is not complete."""
        return [
            name
            for name, reflectors in self._reflectors().items()
            if not all(r.synced.is_set() for r in reflectors)
        ]

    def _reflectors(
        self, namespace: str | None = None
    ) -> dict[SourceName, tuple[AnyReflector, ...]]:
        """The reflectors behind each source."""
        parts = [n for name, n in self._namespaces.items() if namespace in {None, name}]
        return {
            SourceName.NODES: (self._nodes,),
            SourceName.PODS: (self._pods,),
            SourceName.AWS_NODE: tuple(part.aws_node for part in parts),
            SourceName.DAEMON_SET: tuple(part.daemon_sets for part in parts),
        }

    def _reflector(self, source: SourceName, kind: Kind[T], on_change: OnChange[T]) -> Reflector[T]:
        return Reflector(
            self._api,
            kind,
            self._settings,
            on_change,
            counters=self.counters[source],
            clock=self._clock,
            sleep=self._sleep,
            random=self._random,
        )

    def _namespace(self, name: str) -> _Namespace:
        pods = Kind(
            f"/api/v1/namespaces/{name}/pods",
            read_aws_node_pod,
            {"labelSelector": "k8s-app=aws-node", "fieldSelector": _NOT_OVER},
        )
        daemon_sets = Kind(
            f"/apis/apps/v1/namespaces/{name}/daemonsets",
            lambda raw: read_daemon_set_record(raw, at_s=self._clock()),
        )
        return _Namespace(
            self._reflector(SourceName.AWS_NODE, pods, self._aws_node_changed),
            self._reflector(SourceName.DAEMON_SET, daemon_sets, _ignore),
        )

    def _run_namespace(self, namespace: _Namespace) -> None:
        for reflector in namespace.reflectors:
            self._tasks[reflector] = asyncio.create_task(reflector.run())

    def _addressed(self, pod: AwsNodePod) -> AwsNodePod:
        """A pod that is ready but tells no address of its own shares its node's."""
        node = self._nodes.store.get(pod.node)
        if pod.address or not pod.ready or node is None:
            return pod
        return replace(pod, address=node.facts.address)

    def _node_changed(self, old: NodeRecord | None, new: NodeRecord | None, at_s: float) -> None:
        if new is None and old is not None:
            self._without_aws_node_since_s.pop(old.key, None)
        elif new is not None and old is None and self._nodes.synced.is_set():
            self._without_aws_node_since_s[new.key] = at_s
        if changed := new or old:
            self.on_node(changed.key, new.facts if new is not None else None)

    def _aws_node_changed(
        self, old: AwsNodePod | None, new: AwsNodePod | None, at_s: float
    ) -> None:
        if new is None and old is not None and old.node in self._nodes.store:
            self._without_aws_node_since_s[old.node] = at_s

    def _in_grace(self, node: str, now_s: float) -> bool:
        since_s = self._without_aws_node_since_s.get(node)
        return since_s is not None and now_s - since_s < self._settings.aws_node_grace_s

    def _pod_changed(self, old: PodRecord | None, new: PodRecord | None, at_s: float) -> None:
        for pod, change in ((old, -1), (new, 1)):
            if pod is not None and pod.waiting:
                _count(self._waiting_per_node, pod.node, change)
        before = old.node if old is not None else ""
        after = new.node if new is not None else ""
        if before == after:
            return
        for node, change in ((before, -1), (after, 1)):
            if node:
                _count(self._pods_per_node, node, change)
                if self._pods.synced.is_set():
                    if change < 0:
                        self._note_departure(node, at_s)
                    self._on_pod_event(PodEvent(at_s, node, change))

    def _note_departure(self, node: str, at_s: float) -> None:
        self._departures.append((at_s, node))
        while at_s - self._departures[0][0] > LONGEST_COOLDOWN_S:
            self._departures.popleft()


@dataclass(frozen=True, slots=True)
class _Namespace:
    aws_node: Reflector[AwsNodePod]
    daemon_sets: Reflector[DaemonSetRecord]

    @property
    def reflectors(self) -> tuple[Reflector[AwsNodePod], Reflector[DaemonSetRecord]]:
        return self.aws_node, self.daemon_sets


def merge_states(states: Iterable[SourceState], now_s: float) -> SourceState:
    """One state for several parts of a source: the oldest success and the first error.

    No parts is a source with nothing to tell, fresh at `now_s`.
    """
    parts = tuple(states)
    if not parts:
        return SourceState(succeeded_at_s=now_s)
    failed = next((part for part in parts if part.error is not None), SourceState(None))
    ages = [part.succeeded_at_s for part in parts if part.succeeded_at_s is not None]
    oldest = min(ages) if len(ages) == len(parts) else None
    return SourceState(oldest, failed.error, failed.permission)


def _count(per_node: Counter[str], node: str, change: int) -> None:
    per_node[node] += change
    if not per_node[node]:
        del per_node[node]


def _rank(pod: AwsNodePod) -> tuple[bool, float]:
    return not pod.terminating, pod.created_at_s


def _ignore(old: object, new: object, at_s: float) -> None:
    """DaemonSets are read from the store when they are needed."""


def _ignore_node(name: str, facts: NodeFacts | None) -> None:
    """Nobody asked to be told."""


async def _cancel(tasks: tuple[asyncio.Task[None], ...]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
