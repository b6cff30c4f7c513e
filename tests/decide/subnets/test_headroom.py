"""How many more nodes fit, and what the loss of a zone would ask of the others."""

from __future__ import annotations

from dataclasses import replace

import builders
from ippolicy.decide.subnets.headroom import headroom, node_need, zone_losses
from ippolicy.decide.subnets.placement import idle_now, idle_with, shares
from ippolicy.facts import (
    Birth,
    Holder,
    InstanceUse,
    InterfaceFacts,
    PrefixRoom,
    Snapshot,
    SubnetFacts,
    SubnetInventory,
)
from ippolicy.facts.network import SubnetUse
from ippolicy.ipamd import PoolSettings, WarmTargets
from subnet_world import SHAPE, SubnetWorld

LEAN = WarmTargets(warm_ip=5)
ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")


def test_a_node_takes_its_rest_with_pods_or_its_first_fill() -> None:
    at_defaults = node_need(SHAPE, PoolSettings(), 4)
    assert (at_defaults.addresses, at_defaults.enis) == (30, 2)
    filled = PoolSettings(targets=WarmTargets(warm_ip=2, minimum_ip=20))
    assert node_need(SHAPE, filled, 1).addresses == 22  # 20 on two ENIs, whatever the pods
    prefixes = PoolSettings(targets=WarmTargets(warm_prefix=1), prefix_delegation=True)
    assert node_need(SHAPE, prefixes, 20) == replace(
        node_need(SHAPE, prefixes, 20), addresses=49, enis=1, prefixes=3
    )


def test_story_4_three_slash_24_with_a_node_each() -> None:
    world = SubnetWorld(zones=ZONES, pods={f"node-{n}": 3 for n in range(3)})
    snapshot = world.snapshot()
    assert [subnet.free for subnet in snapshot.subnets] == [251 - 30] * 3
    rows = headroom(snapshot, world.settings, LEAN, {})
    assert [row.subnet_id for row in rows] == [f"subnet-{zone}" for zone in ZONES]
    for row in rows:
        assert (row.group, row.pods_per_node) == ("blue", 3)
        assert (row.present.each, row.present.nodes) == (30, 7)
        # 3 pods, 5 warm, the ENI's own: 9; and 21 are given back by the node that is there.
        assert (row.recommended.each, row.recommended.nodes) == (9, 242 // 9)


def test_a_group_fits_with_the_targets_that_its_nodes_run_and_with_those_it_is_to_have() -> None:
    world = SubnetWorld(zones=ZONES, pods={f"node-{n}": 3 for n in range(3)})
    birth = Birth("default", "blue", "1", "digest")
    env = {"WARM_IP_TARGET": "9", "MINIMUM_IP_TARGET": "0"}
    pods = {f"node-{n}": builders.agent(n, birth=birth, targets=env) for n in range(3)}
    snapshot = replace(world.snapshot(), agents=pods)
    for row in headroom(snapshot, world.settings, LEAN, {}, {"blue": WarmTargets(warm_ip=2)}):
        assert row.present.each == 3 + 9 + 1
        assert row.recommended.each == 3 + 2 + 1
    losses = zone_losses(snapshot, world.settings, LEAN, {"blue": WarmTargets(warm_ip=2)})
    assert [(loss.present.needed, loss.recommended.needed) for loss in losses] == [(13, 6)] * 3
    unread = replace(snapshot, pools={})
    assert sum(idle_now(unread, shares(unread), world.settings).values()) == 3 * (9 + 1)


def test_in_prefix_mode_whole_blocks_bind() -> None:
    world = SubnetWorld(
        pods={"node-0": 20},
        env={"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"},
    )
    room = PrefixRoom("subnet-eu-west-1a", 200, 200, 7, 0, builders.NOW_S)
    rows = headroom(
        world.snapshot(), world.settings, WarmTargets(warm_prefix=1), {room.subnet_id: room}
    )
    assert (rows[0].present.each, rows[0].present.nodes) == (49, 2)  # three blocks each
    unread = headroom(world.snapshot(), world.settings, WarmTargets(warm_prefix=1), {})
    assert unread[0].present.nodes == 202 // 49


def test_with_custom_networking_a_node_takes_one_address_where_it_is() -> None:
    world = SubnetWorld(pods={"node-0": 10})
    world.env["AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG"] = "true"
    snapshot = world.snapshot()
    pods = SubnetFacts(
        "subnet-pods",
        "eu-west-1a",
        "100.64.0.0/24",
        256,
        100,
        builders.NOW_S,
        uses=(SubnetUse.ENI_CONFIG,),
    )
    snapshot = replace(snapshot, subnets=(*snapshot.subnets, pods))
    rows = {row.subnet_id: row for row in headroom(snapshot, world.settings, LEAN, {})}
    assert rows["subnet-eu-west-1a"].present.each == 1
    assert rows["subnet-pods"].present.each == 2 * 14 + 2


def test_a_group_of_unknown_limits_is_left_out() -> None:
    snapshot = replace(SubnetWorld(pods={"node-0": 3}).snapshot(), limits={})
    assert headroom(snapshot, PoolSettings(), LEAN, {}) == ()


def test_the_loss_of_a_zone_is_told_in_addresses() -> None:
    world = SubnetWorld(zones=ZONES, pods={f"node-{n}": 20 for n in range(12)})
    found = zone_losses(world.snapshot(), world.settings, WarmTargets(warm_ip=2, minimum_ip=20))
    assert [(loss.zone, loss.nodes, loss.pods) for loss in found] == [
        (zone, 4, 80) for zone in ZONES
    ]
    # At defaults a node with 20 pods takes 3 x 15; with the others' 180, 71 are free in each.
    assert found[0].present.needed == 4 * 45
    assert found[0].present.free == 2 * 71
    assert found[0].present.short == 2 * (90 - 71)
    # Leaner, it takes 22 addresses and its two ENIs' own.
    assert found[0].recommended.needed == 4 * 24
    assert found[0].recommended.free == 2 * (251 - 4 * 24)
    assert found[0].recommended.short == 0


def test_the_only_zone_has_no_refuge() -> None:
    world = SubnetWorld(pods={"node-0": 20})
    loss = zone_losses(world.snapshot(), world.settings, LEAN)[0]
    assert (loss.present.free, loss.present.short) == (0, loss.present.needed)


# -- where a node's addresses come from -----------------------------------------------------------


def listed(snapshot: Snapshot, held: dict[str, dict[str, int]]) -> Snapshot:
    """`snapshot` with ENIs: subnet id -> node -> secondary addresses of its one ENI there."""
    return replace(
        snapshot,
        instances={f"i-{node.name}": InstanceUse(node.name) for node in snapshot.nodes},
        inventories={
            subnet_id: SubnetInventory(
                subnet=SubnetFacts(subnet_id, "eu-west-1a", "10.0.0.0/24", 256, 9, builders.NOW_S),
                interfaces=tuple(
                    InterfaceFacts(subnet_id, Holder.CNI, f"i-{node}", secondaries=count)
                    for node, count in nodes.items()
                ),
                used=b"",
                read_at_s=builders.NOW_S,
            )
            for subnet_id, nodes in held.items()
        },
    )


def test_a_node_counts_where_its_enis_are() -> None:
    snapshot = listed(
        SubnetWorld(pods={"node-0": 20, "node-1": 20}).snapshot(),
        {"subnet-1": {"node-0": 14}, "subnet-2": {"node-0": 44, "node-1": 14}},
    )
    found = shares(snapshot)
    assert found["node-0"] == {"subnet-1": 0.25, "subnet-2": 0.75}
    assert found["node-1"] == {"subnet-2": 1.0}


def test_without_enis_a_node_counts_in_the_subnets_of_its_zone_by_use() -> None:
    world = SubnetWorld(zones=ZONES[:2], pods={f"node-{n}": 3 for n in range(4)})
    found = shares(world.snapshot())
    assert found["node-0"] == {"subnet-eu-west-1a": 1.0}
    assert found["node-1"] == {"subnet-eu-west-1b": 1.0}


def test_idle_is_what_pools_hold_beside_their_pods_and_the_enis_own() -> None:
    world = SubnetWorld(pods={"node-0": 20, "node-1": 3})
    snapshot = world.snapshot()
    placed = shares(snapshot)
    assert idle_now(snapshot, placed, world.settings) == {"subnet-eu-west-1a": 45 - 20 + 30 - 3}
    assert idle_with(snapshot, placed, world.settings, LEAN) == {
        "subnet-eu-west-1a": (25 + 2 - 20) + (8 + 1 - 3)
    }
    unread = replace(snapshot, pools={})
    assert idle_now(unread, placed, world.settings) == idle_now(snapshot, placed, world.settings)
