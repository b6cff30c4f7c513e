"""Five instance types with a workload of their own each, under one policy."""

from __future__ import annotations

from typing import Any

from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.fleet import NodeSpec
from worlds import SOON, World, condition, targets, wait_until_applied

FLEET = {  # group -> instance type, its max pods, pods on each of two nodes
    "api": ("c5.large", 29, 12),
    "batch": ("r5.xlarge", 58, 20),
    "large": ("m5.2xlarge", 58, 30),
    "small": ("t3.medium", 17, 5),
    "web": ("m5.xlarge", 58, 9),
}
PODS = sum(2 * pods for _, _, pods in FLEET.values())


def populate(sandbox: Sandbox) -> None:
    for group, (instance_type, max_pods, pods) in FLEET.items():
        nodes = [NodeSpec(instance_type, s, group, max_pods) for s in sandbox.subnets]
        sandbox.add_nodes(nodes, pods_per_node=pods)
    sandbox.settle(pods=PODS)


def test_one_setting_serves_five_instance_types_and_each_group_is_told_its_own_best(
    world: World,
) -> None:
    with world(nodes=0, subnets=("10.0.0.0/24", "10.0.1.0/24")) as sandbox:
        populate(sandbox)
        before = sandbox.report()
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        sandbox.settle()
        after = sandbox.report()
        assert (after.assigned, after.delayed_starts) == (PODS, before.delayed_starts)
        assert after.held < before.held

        sandbox.wait(condition(sandbox, "RecommendationProvided", "True"), "a recommendation")
        status = status_of(sandbox)
        groups = {group["name"]: group for group in status["groups"]}
        assert set(groups) == set(FLEET)
        assert groups["small"]["text"] != groups["large"]["text"]
        # One setting must serve all: it keeps no less than any group of its own would.
        assert int(targets(sandbox)["MINIMUM_IP_TARGET"]) <= max(p for _, _, p in FLEET.values())
        assert sum(group["saves"] for group in groups.values()) >= status["recommendation"]["saves"]


def status_of(sandbox: Sandbox) -> dict[str, Any]:
    policy = sandbox.policy()
    assert policy is not None
    return dict(policy["status"])
