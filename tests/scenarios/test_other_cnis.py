"""Clusters without warm pools to tune are recognised, and their subnets are accounted for."""

from __future__ import annotations

from typing import Any

from ippolicy.sandbox import manifests
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.fleet import NodeSpec
from ippolicy.sandbox.fleet.objects import NodeIdentity, node_object
from worlds import SOON, World, condition

CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"
LOOK_OFTEN = {"IPPOLICY_EC2_INTERFACES_INTERVAL": "1s", "IPPOLICY_EC2_CALLS_PER_MINUTE": "6000"}


def node_on_cilium(sandbox: Sandbox, number: int, *, secondary_count: int) -> str:
    """An instance whose second ENI is Cilium's, and the node on it."""
    subnet, name = sandbox.subnets[0], f"cilium-{number}"
    instance = sandbox.ec2.add_instance("m5.large", subnet)
    eni = sandbox.ec2.add_interface(
        subnet,
        secondary_count=secondary_count,
        description=f"Cilium-CNI ({instance.id})",
        tags={"io.cilium/cilium-managed": "true", "io.cilium/cluster-name": "blue"},
    )
    sandbox.ec2.attach_interface(eni.id, instance.id, 1)
    zone, region = instance.availability_zone, sandbox.ec2.region
    # Without a capacity, a scheduler binds no pod to it.
    node = node_object(
        NodeSpec("m5.large", subnet),
        NodeIdentity(
            name,
            instance.id,
            zone=zone,
            region=region,
            address=instance.interfaces[0].primary_address,
        ),
    )
    sandbox.run(sandbox.client.create("/api/v1/nodes", node))
    return name


def switch_to_cilium(sandbox: Sandbox) -> None:
    """Do what Cilium's guide for EKS says: aws-node off by a node selector, ipam mode eni."""
    selector = {"io.cilium/aws-node-enabled": "true"}
    patch = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
    sandbox.run(sandbox.client.patch(f"{manifests.DAEMON_SETS}/aws-node", patch))
    labels = {"k8s-app": "cilium"}
    pod: dict[str, Any] = {
        "hostNetwork": True,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "cilium-agent", "image": "cilium:v1.18"}],
    }
    for path, body in (
        (
            manifests.DAEMON_SETS,
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": {"name": "cilium", "namespace": "kube-system"},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                },
            },
        ),
        (
            CONFIG_MAPS,
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "cilium-config", "namespace": "kube-system"},
                "data": {"ipam": "eni"},
            },
        ),
    ):
        sandbox.run(sandbox.client.create(path, body))


def split_of(sandbox: Sandbox) -> dict[str, int]:
    """The parts of the only subnet, as the status shows them."""
    status: dict[str, Any] = (sandbox.policy() or {}).get("status") or {}
    subnets = status.get("subnets") or [{}]
    parts: dict[str, int] = subnets[0].get("split", {}).get("parts", {})
    return parts


def test_cilium_in_eni_mode_is_named_and_its_subnet_is_split(world: World) -> None:
    with world(nodes=0, operator_settings=LOOK_OFTEN) as sandbox:
        switch_to_cilium(sandbox)
        names = [node_on_cilium(sandbox, n, secondary_count=8) for n in range(2)]
        sandbox.run(sandbox.workload.scale(dict.fromkeys(names, 3)))
        sandbox.operator.start()
        sandbox.apply_policy({})
        told = "runs on 2 nodes with ipam: eni in ConfigMap kube-system/cilium-config"
        sandbox.wait(condition(sandbox, "Degraded", "True", told), "the word on Cilium")
        found = sandbox.conditions()["Degraded"]
        message = found["message"]
        assert found["reason"] == "OtherCNI"
        assert "from Cilium in ENI mode (DaemonSet kube-system/cilium" in message
        assert "(io.cilium/aws-node-enabled=true) matches no node" in message
        expected = {
            "assigned": 6,
            "warm": 0,
            "unclear": 10,
            "eni-primaries": 4,
            "other-clusters": 0,
            "free": 251 - 20,
            "unaccounted": 0,
        }
        sandbox.wait(lambda: split_of(sandbox) == expected, "the split of the subnet")
        sandbox.apply_policy({"mode": "Off"})
        sandbox.wait(condition(sandbox, "Degraded", "False", "OtherCNI"), "mode Off")


def test_an_ipv6_cluster_is_named(world: World) -> None:
    env = {"ENABLE_IPv6": "true", "ENABLE_IPv4": "false"}
    with world(nodes=1, operator_settings=LOOK_OFTEN) as sandbox:
        sandbox.set_env(env)
        sandbox.wait(sandbox.rolled_out, "the rollout by hand")
        sandbox.operator.start()
        generation = sandbox.daemonset_generation()
        sandbox.apply_policy(SOON)
        sandbox.wait(condition(sandbox, "Degraded", "True", "IPv6Cluster"), "the word on IPv6")
        sandbox.wait(condition(sandbox, "Applied", "False", "NoWarmPools"), "the decision")
        assert "ENABLE_IPv6=true" in sandbox.conditions()["Degraded"]["message"]
        sandbox.wait(lambda: sum(split_of(sandbox).values()) == 251, "the split of the subnet")
        assert sandbox.daemonset_generation() == generation
