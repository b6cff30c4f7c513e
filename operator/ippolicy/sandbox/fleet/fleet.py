"""The fleet: nodes that live in EC2 and in a cluster, driven over the Kubernetes API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from ippolicy.errors import SandboxError
from ippolicy.sandbox.clock import PATIENCE_S, SandboxClock
from ippolicy.sandbox.ec2 import AWS_NODE, Ec2StandIn
from ippolicy.sandbox.fleet.awsnode import Timings
from ippolicy.sandbox.fleet.endpoints import (
    METRICS_PORT,
    MetricsEndpoints,
    MetricsFault,
    free_addresses,
)
from ippolicy.sandbox.fleet.kubeclient import KubeClient, Object
from ippolicy.sandbox.fleet.node import SimulatedNode
from ippolicy.sandbox.fleet.objects import NodeIdentity, NodeSpec, lease_object, pod_path
from ippolicy.sandbox.fleet.report import FleetReport
from ippolicy.sandbox.fleet.starts import StartLog
from ippolicy.sandbox.fleet.tasks import Tasks
from ippolicy.sandbox.fleet.watching import follow

HEARTBEAT_S: Final = 10.0
POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What a fleet may be told.

    `heartbeats` renew the nodes' leases, as a control plane wants it that watches over nodes.
    """

    cluster: str = "sandbox"
    metrics_port: int = METRICS_PORT
    timings: Timings = field(default_factory=Timings)
    heartbeats: bool = False
    seed: int = 0


class Fleet:
    """Simulated nodes of one cluster. Use it in `async with`; all methods on one event loop.

    `kubeconfig` says where the cluster is; nothing but its HTTP API is used, so that a real
    control plane serves as well as the embedded one.

    Attributes:
        starts: how the pods' starts went.
    """

    def __init__(
        self,
        kubeconfig: Path,
        ec2: Ec2StandIn,
        clock: SandboxClock,
        options: FleetOptions | None = None,
    ) -> None:
        self.options = options or FleetOptions()
        self.starts = StartLog()
        self._ec2 = ec2
        self._clock = clock
        self._client = KubeClient(kubeconfig, user_agent="ippolicy-sandbox-fleet")
        self._endpoints = MetricsEndpoints(self.options.metrics_port)
        self._addresses = free_addresses(self.options.metrics_port)
        self._random = Random(self.options.seed)
        self._nodes: dict[str, SimulatedNode] = {}
        self._pods: dict[str, str] = {}
        self._tasks = Tasks()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        await self._endpoints.start()
        self._tasks.start(
            follow(
                self._client, "/api/v1/pods", on_list=self._listed_pods, on_event=self._pod_changed
            )
        )
        self._tasks.start(
            follow(
                self._client,
                "/api/v1/nodes",
                on_list=self._listed_nodes,
                on_event=self._node_changed,
            )
        )
        if self.options.heartbeats:
            self._tasks.start(self._beat())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._tasks.close()
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        await self._endpoints.stop()
        await self._client.__aexit__(kind, error, trace)

    # -- nodes --------------------------------------------------------------------------------

    async def add_nodes(self, specs: Iterable[NodeSpec]) -> list[str]:
        """Launch an instance for each spec and register its Node; gives the names.

        Raises SandboxError where EC2 has no address left, or a metrics port is taken.
        """
        nodes = [self._launch(spec) for spec in specs]
        # Known before they are registered: pods are bound to them at once.
        self._nodes |= {node.name: node for node in nodes}
        await asyncio.gather(*(self._register(node) for node in nodes))
        return [node.name for node in nodes]

    async def remove_node(self, name: str) -> None:
        """Switch a node off, and take it, its pods and its instance away."""
        node = self._node(name)
        await node.close()
        del self._nodes[name]
        await self._client.delete(f"/api/v1/nodes/{name}")
        pods, _ = await self._client.list("/api/v1/pods", fieldSelector=f"spec.nodeName={name}")
        for pod in pods:
            await self._client.delete(pod_path(pod), grace_s=0)
        self._ec2.terminate_instance(node.identity.instance_id)

    async def set_metrics_fault(self, name: str, fault: MetricsFault | None) -> None:
        """Let something be wrong with a node's metrics port, or nothing again."""
        await self._endpoints.set_fault(self._node(name).identity.address, fault)

    def node(self, name: str) -> SimulatedNode:
        """The node of that name. Raises SandboxError where there is none."""
        return self._node(name)

    # -- what is ------------------------------------------------------------------------------

    def report(self) -> FleetReport:
        """All nodes now, and what happened so far."""
        return FleetReport(
            nodes=tuple(node.report() for node in self._nodes.values()),
            pod_starts=self.starts.count,
            delayed_starts=self.starts.delayed,
            held_up_starts=self.starts.held_up,
            longest_wait_s=self.starts.longest_wait_s(),
            ec2_calls=self._ec2.calls.by_api(caller=AWS_NODE),
        )

    def check(self) -> None:
        """Raise what went wrong inside the simulation, if anything did."""
        self._tasks.check()
        for node in self._nodes.values():
            node.check()

    async def settled(
        self, *, pods: int | None = None, for_good: bool = False, timeout_s: float = PATIENCE_S
    ) -> None:
        """Wait until every aws-node runs with nothing to do and every pod is ready.

        `pods`: and there are that many on the pod network. `for_good`: and no timer of any ipamd
        will find something to do later. `timeout_s` is real time. Raises SandboxError after it.
        """
        deadline_s = time.monotonic() + timeout_s
        while not (self._looks_settled(pods, for_good=for_good) and await self._is_up_to_date()):
            self.check()
            if time.monotonic() > deadline_s:
                raise SandboxError(
                    f"the fleet did not settle in {timeout_s:g} s: {self._summary()}"
                )
            await asyncio.sleep(POLL_S)

    async def _is_up_to_date(self) -> bool:
        """Whether the kubelets have the very pods that the API server has, and none is leaving."""
        pods, _ = await self._client.list("/api/v1/pods")
        here = [pod for pod in pods if pod["spec"].get("nodeName") in self._nodes]
        known = {uid for node in self._nodes.values() for uid in node.kubelet.known()}
        return known == {pod["metadata"]["uid"] for pod in here} and not any(
            pod["metadata"].get("deletionTimestamp") for pod in here
        )

    def _looks_settled(self, pods: int | None, *, for_good: bool) -> bool:
        nodes = self._nodes.values()
        if pods is not None and sum(node.kubelet.workload[0] for node in nodes) != pods:
            return False
        return all(node.settled(for_good=for_good) for node in nodes)

    def _summary(self) -> str:
        waiting = [
            f"{node.name} {node.aws_node.state}, {ready} of {pods} pods ready"
            for node in self._nodes.values()
            for pods, ready in [node.kubelet.workload]
            if not node.settled(for_good=False)
        ]
        return "; ".join(waiting[:5]) or "it has another number of pods"

    # -- from the API -------------------------------------------------------------------------

    def _listed_pods(self, pods: Iterable[Object]) -> None:
        present = set()
        for pod in pods:
            present.add(pod["metadata"]["uid"])
            self._pod_changed("MODIFIED", pod)
        for uid in self._pods.keys() - present:
            self._pod_gone(uid)

    def _pod_changed(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            self._pod_gone(uid)
            return
        node = self._nodes.get(pod["spec"].get("nodeName", ""))
        if node is not None:
            self._pods[uid] = node.name
            node.kubelet.observe(pod)

    def _pod_gone(self, uid: str) -> None:
        node = self._nodes.get(self._pods.pop(uid, ""))
        if node is not None:
            node.kubelet.forget(uid)

    def _listed_nodes(self, nodes: Iterable[Object]) -> None:
        for node in nodes:
            self._node_changed("MODIFIED", node)

    def _node_changed(self, kind: str, changed: Object) -> None:
        node = self._nodes.get(changed["metadata"]["name"])
        if node is not None and kind != "DELETED":
            node.observe(changed)

    # -- inside -------------------------------------------------------------------------------

    def _node(self, name: str) -> SimulatedNode:
        node = self._nodes.get(name)
        if node is None:
            raise SandboxError(f"node {name} is not of this fleet: it has {', '.join(self._nodes)}")
        return node

    def _launch(self, spec: NodeSpec) -> SimulatedNode:
        instance = self._ec2.add_instance(spec.instance_type, spec.subnet_id)
        primary = instance.interfaces[0].primary_address.replace(".", "-")
        identity = NodeIdentity(
            name=f"ip-{primary}.{self._ec2.region}.compute.internal",
            instance_id=instance.id,
            zone=instance.availability_zone,
            region=self._ec2.region,
            address=next(self._addresses),
        )
        return SimulatedNode(
            spec,
            identity,
            cluster=self.options.cluster,
            ec2=self._ec2,
            client=self._client,
            clock=self._clock,
            endpoints=self._endpoints,
            timings=self.options.timings,
            starts=self.starts,
            random=Random(self._random.random()),
        )

    async def _register(self, node: SimulatedNode) -> None:
        await self._client.create("/api/v1/nodes", node.object)

    async def _beat(self) -> None:
        while True:
            for name in tuple(self._nodes):
                await self._client.apply(
                    f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}",
                    lease_object(name),
                    manager="sandbox-kubelet",
                )
            await asyncio.sleep(HEARTBEAT_S)
