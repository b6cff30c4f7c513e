"""What nodes hold, and what becomes of it when the DaemonSet's env changes."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from fleet_world import USABLE, Build, World
from ippolicy.ipamd import WarmTargets
from ippolicy.sandbox.fleet import AwsNodeState, NodeSpec


def assert_every_address_is_accounted_for(world: World) -> None:
    report = world.fleet.report()
    for subnet in world.subnets:
        interfaces = world.ec2.interfaces(subnet)
        held = sum(1 + len(one.secondary_addresses) for one in interfaces)
        assert world.ec2.subnet(subnet).free_addresses == USABLE - held
    assert sum(world.free()) == 3 * USABLE - report.held - report.enis


async def test_ten_nodes_with_twenty_pods_hold_420_addresses_at_the_cnis_defaults(
    build: Build,
) -> None:
    world = await build(nodes=10, speed=30)
    await world.workload.scale(dict.fromkeys(world.nodes, 20))
    await world.fleet.settled(pods=200)
    report = world.fleet.report()
    assert (report.held, report.assigned, report.warm, report.enis) == (420, 200, 220, 30)
    assert_every_address_is_accounted_for(world)


async def test_pods_have_real_addresses_of_their_nodes_interfaces(build: Build) -> None:
    world = await build(nodes=2)
    await world.workload.scale(dict.fromkeys(world.nodes, 5))
    await world.fleet.settled(pods=10)
    held = {address for one in world.ec2.interfaces() for address in one.secondary_addresses}
    pods = await world.pods()
    addresses = [pod["status"]["podIP"] for pod in pods]
    assert len(set(addresses)) == 10
    assert set(addresses) <= held
    for pod in pods:
        number = world.nodes.index(pod["spec"]["nodeName"])
        assert ip_address(pod["status"]["podIP"]) in ip_network(f"10.0.{number}.0/24")
        assert pod["status"]["phase"] == "Running"


async def test_a_changed_env_restarts_every_aws_node_and_gives_the_surplus_back(
    build: Build,
) -> None:
    world = await build(nodes=2)
    await world.workload.scale(dict.fromkeys(world.nodes, 20))
    await world.fleet.settled(pods=40)
    before = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in await world.pods()}
    old = {pod["metadata"]["uid"] for pod in await world.pods("k8s-app=aws-node")}

    await world.set_env({"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "20"})
    while not await world.rolled_out():
        assert sum(n.state is AwsNodeState.RUNNING for n in world.fleet.report().nodes) >= 1
    await world.fleet.settled(pods=40)

    report = world.fleet.report()
    assert (report.held, report.warm) == (44, 4)
    assert [node.starts for node in report.nodes] == [2, 2]
    assert {node.targets for node in report.nodes} == {WarmTargets(1, 2, 20, 1)}
    assert not old & {pod["metadata"]["uid"] for pod in await world.pods("k8s-app=aws-node")}
    after = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in await world.pods()}
    assert after == before
    assert_every_address_is_accounted_for(world)


async def test_a_pod_that_is_deleted_gives_its_address_back_after_the_cooldown(
    build: Build,
) -> None:
    world = await build(env={"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "4"})
    [node] = world.nodes
    await world.workload.scale({node: 10})
    await world.fleet.settled(pods=10)
    assert world.fleet.report().held == 12
    await world.workload.scale({node: 3})
    await world.fleet.settled(pods=3, for_good=True)
    report = world.fleet.report()
    assert (report.held, report.assigned, report.nodes[0].cooling) == (5, 3, 0)
    assert_every_address_is_accounted_for(world)


async def test_a_cordoned_node_does_not_grow(build: Build) -> None:
    world = await build(env={"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "2"})
    [node] = world.nodes
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    await world.client.patch(
        f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True, "taints": [taint]}}
    )
    await world.workload.scale({node: 3})
    while world.fleet.report().assigned < 2:
        await world.clock.sleep(1)
    await world.clock.sleep(20)
    assert world.fleet.report().held == 2
    await world.client.patch(
        f"/api/v1/nodes/{node}", {"spec": {"unschedulable": False, "taints": None}}
    )
    await world.fleet.settled(pods=3)
    assert world.fleet.report().held == 5


async def test_prefixes_count_sixteen_addresses_each(build: Build) -> None:
    world = await build(env={"ENABLE_PREFIX_DELEGATION": "true"}, instance_type="m5.large")
    [node] = world.nodes
    await world.workload.scale({node: 20})
    await world.fleet.settled(pods=20)
    report = world.fleet.report()
    assert report.held % 16 == 0
    assert report.held >= 36
    assert sum(world.free()) == 3 * USABLE - report.held - report.enis


async def test_a_full_subnet_leaves_pods_waiting_until_there_is_room(build: Build) -> None:
    world = await build(settle=False, speed=200)
    [node] = world.nodes
    subnet = world.subnets[0]
    filler = world.ec2.add_interface(subnet, secondary_count=USABLE - 4 - 1)
    while world.fleet.report().nodes[0].state is not AwsNodeState.RUNNING:
        await world.clock.sleep(1)
    await world.workload.scale({node: 5})
    while world.fleet.report().assigned < 1:
        await world.clock.sleep(1)
    await world.clock.sleep(10)
    assert world.ec2.subnet(subnet).free_addresses <= 3
    assert world.fleet.report().pods == 5
    world.ec2.delete_interface(filler.id)
    await world.fleet.settled(pods=5)  # after ipamd's back-off of 120 s
    assert world.fleet.report().delayed_starts >= 1


async def test_custom_networking_takes_pod_addresses_from_the_other_subnet(build: Build) -> None:
    world = await build(nodes=0, env={"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"})
    pods = world.ec2.add_subnet("10.0.100.0/24", "us-west-2a").id
    home = world.subnets[0]
    [configured, forgotten] = await world.fleet.add_nodes(
        [NodeSpec("r5.xlarge", home, custom_subnet=pods), NodeSpec("r5.xlarge", home)]
    )
    await world.workload.scale({configured: 2})
    while world.fleet.node(forgotten).aws_node.state is not AwsNodeState.CRASH_LOOP:
        await world.clock.sleep(0.5)
    while world.fleet.node(configured).kubelet.workload != (2, 2):
        world.fleet.check()
        await world.clock.sleep(0.5)
    for pod in await world.pods():
        assert ip_address(pod["status"]["podIP"]) in ip_network("10.0.100.0/24")
    assert world.ec2.subnet(home).free_addresses == USABLE - 2  # the two primary ENIs
