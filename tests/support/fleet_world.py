"""A small cluster of simulated nodes for tests: embedded API, EC2 stand-in, fleet, workload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ippolicy.sandbox import manifests
from ippolicy.sandbox.clock import SandboxClock
from ippolicy.sandbox.ec2 import Ec2StandIn
from ippolicy.sandbox.fleet import Fleet, FleetOptions, KubeClient, NodeSpec, Timings
from ippolicy.sandbox.fleet.kubeclient import STRATEGIC, Object
from ippolicy.sandbox.kube import EmbeddedKube
from ippolicy.sandbox.workload import Workload

USABLE = 251  # of a /24
AWS_NODE = f"{manifests.DAEMON_SETS}/aws-node"


@dataclass
class World:
    """A small cluster: aws-node installed, nodes as asked for, no pods."""

    kube: EmbeddedKube
    ec2: Ec2StandIn
    clock: SandboxClock
    fleet: Fleet
    workload: Workload
    client: KubeClient
    subnets: list[str]
    nodes: list[str]

    async def set_env(self, env: Mapping[str, str | None]) -> None:
        entries = [
            {"name": key, "$patch": "delete"} if value is None else {"name": key, "value": value}
            for key, value in env.items()
        ]
        containers = [{"name": "aws-node", "env": entries}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        await self.client.patch(AWS_NODE, patch, kind=STRATEGIC)

    async def pods(self, selector: str = "ippolicy.dev/workload") -> list[Object]:
        items, _ = await self.client.list("/api/v1/pods", labelSelector=selector)
        return items

    async def aws_node_pod(self) -> Object:
        return (await self.pods("k8s-app=aws-node"))[0]

    async def rolled_out(self) -> bool:
        found = await self.client.get(AWS_NODE)
        status = found["status"]
        return bool(
            status.get("observedGeneration") == found["metadata"]["generation"]
            and status.get("updatedNumberScheduled") == len(self.nodes)
            and status.get("numberAvailable") == len(self.nodes)
        )

    async def daemon_set_status(self) -> Object:
        status: Object = (await self.client.get(AWS_NODE))["status"]
        return status

    def free(self) -> list[int]:
        return [self.ec2.subnet(subnet).free_addresses for subnet in self.subnets]


Build = Callable[..., Awaitable[World]]


async def build_world(
    parts: AsyncExitStack,
    folder: Path,
    nodes: int = 1,
    *,
    env: Mapping[str, str | None] | None = None,
    speed: float = 60.0,
    timings: Timings | None = None,
    settle: bool = True,
    heartbeats: bool = False,
    **spec: Any,
) -> World:
    """Everything started, closed by `parts`; `spec` are fields of NodeSpec."""
    clock = SandboxClock(speed)
    ec2 = Ec2StandIn(clock=clock.now)
    ec2.add_vpc("10.0.0.0/16")
    subnets = [
        ec2.add_subnet(f"10.0.{i}.0/24", f"us-west-2{zone}").id for i, zone in enumerate("abc")
    ]
    kube = await parts.enter_async_context(EmbeddedKube())
    kubeconfig = kube.kubeconfig(folder / "kubeconfig")
    client = await parts.enter_async_context(KubeClient(kubeconfig))
    options = FleetOptions(timings=timings or Timings(), heartbeats=heartbeats)
    fleet = await parts.enter_async_context(Fleet(kubeconfig, ec2, clock, options))
    workload = await parts.enter_async_context(Workload(kubeconfig, clock))
    await client.create(manifests.SERVICE_ACCOUNTS, manifests.aws_node_service_account())
    await client.create(manifests.DAEMON_SETS, manifests.aws_node_daemon_set(env))
    spec = {"instance_type": "r5.xlarge", **spec}
    names = await fleet.add_nodes(NodeSpec(subnet_id=subnets[i % 3], **spec) for i in range(nodes))
    if settle:
        await fleet.settled()
    return World(kube, ec2, clock, fleet, workload, client, subnets, names)
