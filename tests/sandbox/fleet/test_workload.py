"""Pods that come and go."""

from __future__ import annotations

from fleet_world import Build


async def test_replacing_pods_keeps_their_number(build: Build) -> None:
    world = await build(nodes=2)
    await world.workload.scale(dict.fromkeys(world.nodes, 5))
    await world.fleet.settled(pods=10)
    before = {pod["metadata"]["name"] for pod in await world.pods()}
    await world.workload.replace(world.nodes[0], 3)
    await world.fleet.settled(pods=10)
    after = {pod["metadata"]["name"] for pod in await world.pods()}
    assert len(after) == 10
    assert len(before & after) == 7
    assert world.fleet.report().pod_starts == 13


async def test_churn_replaces_pods_until_it_is_stopped(build: Build) -> None:
    world = await build(nodes=2)
    await world.workload.scale(dict.fromkeys(world.nodes, 4))
    await world.fleet.settled(pods=8)
    world.workload.start_churn(every_s=2)
    while world.fleet.report().pod_starts < 8 + 5:
        world.workload.check()
        await world.clock.sleep(1)
    await world.workload.stop_churn()
    await world.fleet.settled(pods=8)
    assert world.fleet.report().pods == world.workload.pods == 8


async def test_a_burst_goes_away_again(build: Build) -> None:
    world = await build()
    [node] = world.nodes
    await world.workload.scale({node: 2})
    await world.workload.burst([node], 6, lasting_s=20)
    await world.fleet.settled(pods=2)
    assert world.fleet.report().pod_starts == 8
