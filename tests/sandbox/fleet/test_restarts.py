"""What pods and the API see while aws-node starts, crashes and restarts."""

from __future__ import annotations

import pytest

from fleet_world import Build, World
from ippolicy.sandbox.fleet import AwsNodeState, Refusal, Timings
from ippolicy.sandbox.fleet.objects import aws_node_env, pod_path

SLOW_START = Timings(aws_node_start_s=(30.0, 30.0))


async def until_state(world: World, state: AwsNodeState) -> None:
    while world.fleet.report().nodes[0].state is not state:
        world.fleet.check()
        await world.clock.sleep(0.2)


async def test_a_pod_that_starts_while_aws_node_is_down_is_tried_again_until_it_is_up(
    build: Build,
) -> None:
    world = await build(timings=SLOW_START, speed=100)
    [node] = world.nodes
    await world.client.delete(pod_path(await world.aws_node_pod()))
    await until_state(world, AwsNodeState.STARTING)
    await world.workload.scale({node: 1})
    await world.fleet.settled(pods=1)
    [start] = world.fleet.starts.latest()
    assert start.blocked_by is Refusal.DOWN
    assert start.waited_s > 5
    report = world.fleet.report()
    assert (report.held_up_starts, report.delayed_starts) == (1, 0)


async def test_a_pod_that_finds_no_free_address_is_a_delayed_start(build: Build) -> None:
    world = await build(env={"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "1"})
    [node] = world.nodes
    await world.workload.scale({node: 3})
    await world.fleet.settled(pods=3)
    report = world.fleet.report()
    assert (report.pod_starts, report.delayed_starts, report.held_up_starts) == (3, 2, 0)
    assert report.longest_wait_s >= 1


async def test_a_pod_deleted_while_aws_node_is_down_goes_once_it_is_up_again(build: Build) -> None:
    world = await build(timings=SLOW_START, speed=100)
    [node] = world.nodes
    await world.workload.scale({node: 2})
    await world.fleet.settled(pods=2)
    await world.client.delete(pod_path(await world.aws_node_pod()))
    await until_state(world, AwsNodeState.STARTING)
    await world.workload.scale({node: 1})
    await world.clock.sleep(10)
    assert len(await world.pods()) == 2
    await world.fleet.settled(pods=1)
    assert world.fleet.report().assigned == 1


async def test_an_env_that_the_entry_point_refuses_crash_loops(build: Build) -> None:
    world = await build(
        env={"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "0"}, settle=False
    )
    [node] = world.nodes
    await world.workload.scale({node: 1})
    await until_state(world, AwsNodeState.CRASH_LOOP)
    await world.clock.sleep(25)
    pod = await world.aws_node_pod()
    status = next(s for s in pod["status"]["containerStatuses"] if s["name"] == "aws-node")
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert status["restartCount"] >= 2
    ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "False"
    assert (await world.daemon_set_status())["numberReady"] == 0
    [waiting] = await world.pods()
    assert "podIP" not in waiting["status"]

    await world.set_env({"WARM_PREFIX_TARGET": "1"})
    while not await world.rolled_out():
        await world.clock.sleep(1)
    await world.fleet.settled(pods=1)
    assert world.fleet.report().nodes[0].targets is not None
    assert (await world.daemon_set_status())["numberReady"] == 1


async def test_ipamd_that_cannot_start_without_ec2_crash_loops_until_it_can(build: Build) -> None:
    world = await build(settle=False, speed=100)
    world.ec2.faults.deny("ec2:DescribeNetworkInterfaces")
    await until_state(world, AwsNodeState.CRASH_LOOP)
    world.ec2.faults.allow("ec2:DescribeNetworkInterfaces")
    await world.fleet.settled()
    assert world.fleet.report().held == 14


async def test_aws_node_reads_its_env_when_it_starts_and_never_again(build: Build) -> None:
    world = await build(env={"WARM_IP_TARGET": "3"})
    await world.client.patch(
        "/apis/apps/v1/namespaces/kube-system/daemonsets/aws-node",
        {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}},
    )
    await world.set_env({"WARM_IP_TARGET": "7"})
    await world.clock.sleep(20)
    assert world.fleet.report().held == 3
    await world.client.delete(pod_path(await world.aws_node_pod()))
    await until_state(world, AwsNodeState.STARTING)
    await world.fleet.settled()
    assert world.fleet.report().held == 7


async def test_a_killed_aws_node_never_loses_an_interface_it_was_making(build: Build) -> None:
    world = await build()
    [node] = world.nodes
    await world.workload.scale({node: 1})  # 13 free < 14: a second ENI is made
    while not world.ec2.calls.count("CreateNetworkInterface"):
        await world.clock.sleep(0.1)
    await world.client.delete(pod_path(await world.aws_node_pod()))
    await until_state(world, AwsNodeState.STARTING)
    await world.fleet.settled(pods=1)
    assert all(one.attachment is not None for one in world.ec2.interfaces())
    assert world.fleet.report().held == 28


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"name": "A", "value": "1"}, {"A": "1"}),
        ({"name": "A"}, {"A": ""}),
        ({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}, {"A": "n1"}),
        ({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"A": "p1"}),
        ({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}, {}),
    ],
)
def test_the_env_of_a_pod_is_what_its_container_would_see(
    entry: dict[str, object], expected: dict[str, str]
) -> None:
    containers = [{"name": "other", "env": [{"name": "B", "value": "2"}]}]
    pod = {
        "metadata": {"name": "p1", "namespace": "kube-system"},
        "spec": {
            "nodeName": "n1",
            "containers": [*containers, {"name": "aws-node", "env": [entry]}],
        },
    }
    assert aws_node_env(pod) == expected
