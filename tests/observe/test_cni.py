"""The CNI is told by what runs, and how it was told is said."""

from __future__ import annotations

import pytest

from builders import NOW_S, REF, daemon_set, rollout
from ippolicy.facts import (
    Cni,
    DaemonSetFacts,
    DaemonSetRef,
    Holder,
    InstanceUse,
    InterfaceFacts,
    SubnetFacts,
    SubnetInventory,
)
from ippolicy.observe.cni import has_cilium_enis, recognise

NOWHERE = rollout(desired=0)
SWITCHED_OFF = daemon_set(rollout=NOWHERE, node_selector={"io.cilium/aws-node-enabled": "true"})
CILIUM = daemon_set({}, ref=DaemonSetRef("kube-system", "cilium"))
OFF = "the node selector of DaemonSet kube-system/aws-node (io.cilium/aws-node-enabled=true)"


def test_aws_node_on_any_node_is_the_amazon_vpc_cni() -> None:
    for cilium in (None, CILIUM):
        found = recognise(REF, daemon_set(), cilium, {"ipam": "eni"})
        assert (found.kind, found.ipv6, found.has_warm_pools) == (Cni.AMAZON_VPC, False, True)
        assert found.told_by == "DaemonSet kube-system/aws-node runs on 10 nodes"


def test_ipv6_is_told_by_the_env_of_aws_node() -> None:
    found = recognise(REF, daemon_set({"ENABLE_IPv6": "true"}), None, {})
    assert (found.kind, found.ipv6, found.has_warm_pools) == (Cni.AMAZON_VPC, True, False)
    assert "ENABLE_IPv6=true" in found.told_by
    assert not recognise(REF, daemon_set({"ENABLE_IPv6": "false"}), None, {}).ipv6


@pytest.mark.parametrize(
    ("aws_node", "cilium", "config", "enis", "kind", "told"),
    [
        (SWITCHED_OFF, CILIUM, {"ipam": "eni"}, False, Cni.CILIUM_ENI, "ipam: eni in ConfigMap"),
        (SWITCHED_OFF, CILIUM, {"ipam": "eni"}, False, Cni.CILIUM_ENI, OFF),
        (SWITCHED_OFF, CILIUM, {"ipam": "cluster-pool"}, True, Cni.CILIUM, "ipam: cluster-pool"),
        (SWITCHED_OFF, CILIUM, {}, False, Cni.CILIUM, "DaemonSet kube-system/cilium runs on 10"),
        (None, CILIUM, {}, True, Cni.CILIUM_ENI, "the nodes have ENIs of its own"),
        (None, None, {}, True, Cni.CILIUM_ENI, "the nodes have ENIs of Cilium's"),
        (None, None, {}, False, Cni.UNKNOWN, "there is no DaemonSet kube-system/aws-node"),
        (SWITCHED_OFF, None, {}, False, Cni.UNKNOWN, f"{OFF} matches no node"),
        (daemon_set(rollout=NOWHERE), None, {}, False, Cni.UNKNOWN, "runs on no node"),
    ],
)
def test_without_aws_node_another_cni_is_looked_for(
    *,
    aws_node: DaemonSetFacts | None,
    cilium: DaemonSetFacts | None,
    config: dict[str, str],
    enis: bool,
    kind: Cni,
    told: str,
) -> None:
    found = recognise(REF, aws_node, cilium, config, cilium_enis=enis)
    assert found.kind is kind
    assert told in found.told_by


def test_a_cilium_that_runs_nowhere_is_no_cni() -> None:
    idle = daemon_set({}, ref=CILIUM.ref, rollout=NOWHERE)
    assert recognise(REF, None, idle, {"ipam": "eni"}).kind is Cni.UNKNOWN


def test_enis_of_cilium_count_on_the_clusters_own_instances_only() -> None:
    subnet = SubnetFacts("s", "a", "10.0.0.0/24", 256, 9, NOW_S)
    for holder, instance, expected in (
        (Holder.CILIUM, "i-1", True),
        (Holder.CILIUM, "i-9", False),
        (Holder.CNI, "i-1", False),
    ):
        inventory = SubnetInventory(subnet, (InterfaceFacts("s", holder, instance),), b"", NOW_S)
        assert has_cilium_enis([inventory], {"i-1": InstanceUse("n")}) is expected


def test_the_clusters_name_is_what_aws_node_is_told_wherever_it_runs() -> None:
    env = {"CLUSTER_NAME": "blue"}
    for rolled, cilium in ((rollout(), None), (NOWHERE, None), (NOWHERE, CILIUM)):
        told = daemon_set(env, rollout=rolled)
        assert recognise(REF, told, cilium, {}, cilium_enis=True).cluster == "blue"
    assert recognise(REF, None, CILIUM, {}).cluster == ""
