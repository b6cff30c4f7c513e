"""Nodes that come and go, an API that misbehaves, and an end that leaves nothing."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fleet_world import USABLE, Build, build_world
from ippolicy.errors import SandboxError
from ippolicy.sandbox.fleet import NodeSpec
from ippolicy.sandbox.kube import Fault


async def test_a_node_is_registered_as_a_kubelet_would(build: Build) -> None:
    world = await build(group="blue")
    node = await world.client.get(f"/api/v1/nodes/{world.nodes[0]}")
    labels = node["metadata"]["labels"]
    instance = world.fleet.node(world.nodes[0]).identity.instance_id
    assert labels["node.kubernetes.io/instance-type"] == "r5.xlarge"
    assert labels["topology.kubernetes.io/zone"] == "us-west-2a"
    assert labels["eks.amazonaws.com/nodegroup"] == "blue"
    assert node["spec"]["providerID"] == f"aws:///us-west-2a/{instance}"
    assert node["status"]["capacity"]["pods"] == "58"
    [address] = [a for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
    assert address["address"].startswith("127.")
    aws_node = await world.aws_node_pod()
    assert aws_node["status"]["hostIP"] == aws_node["status"]["podIP"] == address["address"]


async def test_heartbeats_renew_the_leases_of_the_nodes(build: Build) -> None:
    world = await build(heartbeats=True)
    path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{world.nodes[0]}"
    while (lease := await world.client.find(path)) is None:
        world.fleet.check()
        await asyncio.sleep(0.05)
    assert lease["spec"]["holderIdentity"] == world.nodes[0]
    assert lease["spec"]["renewTime"].endswith("Z")


async def test_a_removed_node_leaves_nothing_in_the_cluster_or_in_ec2(build: Build) -> None:
    world = await build(nodes=2)
    await world.workload.scale(dict.fromkeys(world.nodes, 16))
    await world.fleet.settled(pods=32)
    gone, stays = world.nodes
    world.workload.forget(gone)
    await world.fleet.remove_node(gone)
    await world.fleet.settled(pods=16)
    assert {pod["spec"]["nodeName"] for pod in await world.pods("")} == {stays}
    assert await world.client.find(f"/api/v1/nodes/{gone}") is None
    report = world.fleet.report()
    assert [node.name for node in report.nodes] == [stays]
    assert sum(world.free()) == 3 * USABLE - report.held - report.enis


async def test_nodes_can_join_a_running_fleet(build: Build) -> None:
    world = await build(nodes=1)
    [name] = await world.fleet.add_nodes([NodeSpec("m5.large", world.subnets[1], group="new")])
    await world.fleet.settled()
    joined = next(node for node in world.fleet.report().nodes if node.name == name)
    assert (joined.held, joined.group, joined.zone) == (9, "new", "us-west-2b")


async def test_the_fleet_survives_dropped_watches_expired_versions_and_server_errors(
    build: Build,
) -> None:
    world = await build()
    [node] = world.nodes
    world.kube.faults.add(Fault(("watch", "pods"), status=410, times=1))
    world.kube.faults.add(Fault(("watch", "pods"), status=500, times=1))
    world.kube.faults.add(Fault(("patch", "pods/status"), status=503, times=2))
    world.kube.drop_watches()
    await world.workload.scale({node: 4})
    await world.fleet.settled(pods=4)
    world.kube.drop_watches()
    await world.workload.scale({node: 1})
    await world.fleet.settled(pods=1)
    assert world.fleet.report().assigned == 1


async def test_a_pod_that_vanishes_without_a_goodbye_frees_its_address(build: Build) -> None:
    world = await build()
    [node] = world.nodes
    await world.workload.scale({node: 2})
    await world.fleet.settled(pods=2)
    [pod, _] = await world.pods()
    await world.client.delete(
        f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}", grace_s=0
    )
    await world.fleet.settled(pods=1)
    assert world.fleet.report().assigned == 1


async def test_the_end_of_the_fleet_leaves_no_task_and_no_open_port(tmp_path: Path) -> None:
    tasks_before = asyncio.all_tasks()
    async with AsyncExitStack() as parts:
        world = await build_world(parts, tmp_path)
        address = world.fleet.node(world.nodes[0]).identity.address
        await world.workload.scale({world.nodes[0]: 3})
    assert asyncio.all_tasks() == tasks_before
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address, 61678)


async def test_waiting_for_a_fleet_that_cannot_settle_says_what_is_missing(build: Build) -> None:
    world = await build(settle=False)
    world.ec2.faults.deny("ec2:*")
    with pytest.raises(SandboxError, match=r"did not settle in 0\.3 s: ip-10-0-0-"):
        await world.fleet.settled(timeout_s=0.3)


async def test_a_node_of_another_fleet_is_named(build: Build) -> None:
    world = await build()
    with pytest.raises(SandboxError, match="node nowhere is not of this fleet"):
        world.fleet.node("nowhere")


async def test_ec2_calls_are_those_that_the_restart_of_a_node_costs(build: Build) -> None:
    world = await build()
    first = world.fleet.report().ec2_calls
    assert first["DescribeNetworkInterfaces"] >= 1
    assert first["CreateTags"] == 1
    assert first["ModifyNetworkInterfaceAttribute"] == 1
    assert first["AssignPrivateIpAddresses"] == 1
