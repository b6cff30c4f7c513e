"""Three /24 with t3.2xlarge nodes at the CNI's defaults, load balancers and a second cluster."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.fleet import NodeSpec
from neighbours import cluster_node
from worlds import World, condition

SUBNETS = ("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24")
LOOK_OFTEN = {
    "IPPOLICY_EC2_INTERFACES_INTERVAL": "1s",
    "IPPOLICY_EC2_RESERVATIONS_INTERVAL": "1s",
    "IPPOLICY_EC2_CALLS_PER_MINUTE": "6000",
}
USABLE = 251


def shown(sandbox: Sandbox) -> dict[str, dict[str, int]]:
    """Subnet -> parts of its split in the status; whenever one looks, they add up."""
    status: dict[str, Any] = (sandbox.policy() or {}).get("status") or {}
    found = {
        subnet["id"]: subnet["split"]["parts"]
        for subnet in status.get("subnets", ())
        if "split" in subnet
    }
    assert all(sum(parts.values()) == USABLE for parts in found.values())
    return found


def split_is_true(sandbox: Sandbox) -> bool:
    """Whether the status says of each subnet what EC2 and the nodes have, to the last address."""
    split = shown(sandbox)
    if set(split) != set(sandbox.subnets):
        return False
    zones = {sandbox.ec2.subnet(subnet_id).availability_zone: subnet_id for subnet_id in split}
    truth = {subnet_id: Counter[str]() for subnet_id in split}
    for node in sandbox.report().nodes:
        truth[zones[node.zone]].update(
            {"assigned": node.assigned, "idle": node.held - node.assigned, "own": node.enis}
        )
    for subnet_id, parts in split.items():
        count = truth[subnet_id]
        told = (parts["assigned"], parts["warm"] + parts["unclear"], parts["eni-primaries"])
        if told != (count["assigned"], count["idle"], count["own"]) or parts["unaccounted"]:
            return False
        if parts["free"] != sandbox.ec2.subnet(subnet_id).free_addresses:
            return False
    return True


def test_the_split_adds_up_to_251_in_each_subnet_whatever_comes_and_goes(world: World) -> None:
    layout = {"nodes": 6, "instance_type": "t3.2xlarge", "pods_per_node": 3, "subnets": SUBNETS}
    with world(**layout, operator_settings=LOOK_OFTEN) as sandbox:
        first, second, third = sandbox.subnets
        for subnet in sandbox.subnets:
            sandbox.ec2.add_control_plane_interface(subnet, "sandbox")
        balancer = sandbox.ec2.add_load_balancer(first, "web")
        cluster_node(sandbox.ec2, second, "theirs", secondary_count=14)
        sandbox.operator.start()
        sandbox.apply_policy({"mode": "Off"})
        sandbox.wait(lambda: split_is_true(sandbox), "the first split")
        parts = shown(sandbox)
        # Two nodes of two ENIs with 14 addresses each, as the CNI's defaults have it.
        assert parts[third]["free"] == USABLE - 2 * 30 - 1
        assert parts[first]["load-balancer"] == 1
        assert [parts[subnet]["other-clusters"] for subnet in sandbox.subnets] == [0, 16, 0]
        assert all(one["eks-control-plane"] == 1 for one in parts.values())

        sandbox.run(sandbox.workload.scale(dict.fromkeys(sandbox.node_names, 20)))
        sandbox.ec2.delete_interface(balancer.id)
        cluster_node(sandbox.ec2, third, "theirs", secondary_count=9)
        sandbox.settle(pods=120)
        sandbox.wait(lambda: split_is_true(sandbox), "the split with more pods")
        parts = shown(sandbox)
        assert parts[first]["assigned"] == 40
        assert "load-balancer" not in parts[first]
        assert parts[third]["other-clusters"] == 2 + 9

        (extra,) = sandbox.add_nodes([NodeSpec("t3.2xlarge", second)], pods_per_node=9)
        sandbox.run(sandbox.workload.scale(dict.fromkeys(sandbox.node_names, 1)))
        sandbox.remove_node(sandbox.node_names[0])
        sandbox.settle()
        sandbox.wait(lambda: split_is_true(sandbox), "the split with other nodes")
        sandbox.remove_node(extra)
        sandbox.wait(lambda: split_is_true(sandbox), "the split without the extra node")

        sandbox.ec2.faults.deny("ec2:DescribeNetworkInterfaces", caller="operator")
        off = condition(sandbox, "Degraded", "False", "allow ec2:DescribeNetworkInterfaces")
        sandbox.wait(off, "the word that the split is off")
        sandbox.wait(lambda: not shown(sandbox), "the split to go")
