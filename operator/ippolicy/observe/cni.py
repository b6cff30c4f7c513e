"""Which CNI gives pods their addresses, told by what runs in the cluster and what holds the ENIs.

aws-node runs on nodes                       the Amazon VPC CNI
else DaemonSet cilium runs, ipam mode eni    Cilium in ENI mode; other modes: Cilium
else nodes' ENIs are Cilium's                Cilium in ENI mode
else                                         unknown
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ippolicy.facts import (
    Cni,
    CniFacts,
    DaemonSetFacts,
    DaemonSetRef,
    Holder,
    InstanceUse,
    SubnetInventory,
)
from ippolicy.ipamd.settings import parse_bool

CLUSTER_NAME = "CLUSTER_NAME"
"""The env entry that tells aws-node the cluster's name, with which it tags ENIs."""


def recognise(
    ref: DaemonSetRef,
    aws_node: DaemonSetFacts | None,
    cilium: DaemonSetFacts | None,
    cilium_config: Mapping[str, str],
    *,
    cilium_enis: bool = False,
) -> CniFacts:
    """The CNI, and how it was told.

    `aws_node` is the DaemonSet `ref`, `cilium` the one of that name in its namespace; None where
    there is none. `cilium_config` is its ConfigMap, empty where it cannot be read. `cilium_enis`
    says whether ENIs of Cilium's are on the nodes.
    """
    env = aws_node.literal_env() if aws_node is not None else {}
    cluster = env.get(CLUSTER_NAME, "")
    if aws_node is not None and aws_node.rollout.desired > 0:
        ipv6 = parse_bool(env.get("ENABLE_IPv6", "false")) is True
        told = f"DaemonSet {ref} runs on {aws_node.rollout.desired} nodes"
        told += " with ENABLE_IPv6=true" if ipv6 else ""
        return CniFacts(Cni.AMAZON_VPC, told, ipv6, cluster)
    absence = _absence(ref, aws_node)
    if cilium is not None and cilium.rollout.desired > 0:
        mode = cilium_config.get("ipam", "")
        told = f"DaemonSet {cilium.ref} runs on {cilium.rollout.desired} nodes"
        if mode:
            told += f" with ipam: {mode} in ConfigMap {cilium.ref.namespace}/cilium-config"
        elif cilium_enis:
            told += " and the nodes have ENIs of its own"
        in_eni_mode = mode == "eni" or (not mode and cilium_enis)
        kind = Cni.CILIUM_ENI if in_eni_mode else Cni.CILIUM
        return CniFacts(kind, f"{told}; {absence}", cluster=cluster)
    if cilium_enis:
        told = f"the nodes have ENIs of Cilium's; {absence}"
        return CniFacts(Cni.CILIUM_ENI, told, cluster=cluster)
    return CniFacts(Cni.UNKNOWN, absence, cluster=cluster)


def has_cilium_enis(
    inventories: Iterable[SubnetInventory], instances: Mapping[str, InstanceUse]
) -> bool:
    """Whether any of the cluster's instances has an ENI that Cilium made."""
    return any(
        eni.holder is Holder.CILIUM and eni.instance_id in instances
        for inventory in inventories
        for eni in inventory.interfaces
    )


def _absence(ref: DaemonSetRef, aws_node: DaemonSetFacts | None) -> str:
    if aws_node is None:
        return f"there is no DaemonSet {ref}"
    selector = ", ".join(f"{key}={value}" for key, value in sorted(aws_node.node_selector.items()))
    if selector:
        return f"the node selector of DaemonSet {ref} ({selector}) matches no node"
    return f"DaemonSet {ref} runs on no node"
