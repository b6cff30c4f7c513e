"""How many pods kubelet should take, by instance type, and how many places that makes.

    ENIs          of the type's default network card, at most MAX_ENI, less the first one with
                  custom networking
    pods          ENIs x (addresses of an ENI - 1) + 2, sixteen times the addresses with prefixes
    recommended   no more than 110 on up to 30 vCPUs, and 250 on more

The 2 are aws-node and kube-proxy, which are on the host network and take no address of the pool.
Source: max-pods-calculator.sh of the EKS AMI (awslabs/amazon-eks-ami), which takes no bare metal to
carry prefixes; the CNI does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ippolicy.facts import InstanceLimits, NodeFacts, Snapshot
from ippolicy.ipamd import PoolSettings
from ippolicy.ipamd.shape import ADDRESSES_PER_PREFIX

HOST_NETWORK_PODS: Final = 2
CLUSTER_DNS_PODS: Final = 2
"""Replicas of CoreDNS in a new EKS cluster."""
FEW_VCPUS: Final = 30
CEILING_OF_FEW_VCPUS: Final = 110
CEILING_OF_MANY_VCPUS: Final = 250


def pool_addresses(limits: InstanceLimits, settings: PoolSettings) -> int:
    """Addresses that pods of a full node of this type could have."""
    enis = min(limits.enis, settings.max_eni or limits.enis) - settings.custom_networking
    prefixes = settings.prefix_delegation and limits.nitro
    return max(enis, 0) * limits.slots * (ADDRESSES_PER_PREFIX if prefixes else 1)


def most_pods(limits: InstanceLimits, settings: PoolSettings) -> int:
    """Most pods that have a place on a node of this type, the two of the host network included."""
    return pool_addresses(limits, settings) + HOST_NETWORK_PODS


def recommended_max_pods(limits: InstanceLimits, settings: PoolSettings) -> int:
    """The max-pods that kubelet should have; a type of unknown vCPUs counts as one of few."""
    few = limits.vcpus is None or limits.vcpus <= FEW_VCPUS
    ceiling = CEILING_OF_FEW_VCPUS if few else CEILING_OF_MANY_VCPUS
    return min(most_pods(limits, settings), ceiling)


@dataclass(frozen=True, slots=True)
class Places:
    """Places for pods on some nodes: `all` that kubelets take, of which `host` go to aws-node and
    kube-proxy on each node and `dns` to CoreDNS. `bound_by_max_pods` counts the nodes that would
    have addresses for more."""

    nodes: int
    all: int
    host: int
    dns: int
    bound_by_max_pods: int

    @property
    def workload(self) -> int:
        """Places that are left for everything else."""
        return max(0, self.all - self.host - self.dns)

    def text(self) -> str:
        """The sum in words: "3 nodes have 105 places, less 6 ... and 2 for CoreDNS: 97"."""
        return (
            f"{self.nodes} nodes have {self.all} places, less {self.host} for aws-node and "
            f"kube-proxy and {self.dns} for CoreDNS: {self.workload} pods"
        )


def places(max_pods: Iterable[tuple[int, int]], *, dns: int = CLUSTER_DNS_PODS) -> Places:
    """The places on nodes given as (max-pods of kubelet, addresses for pods)."""
    nodes = [
        (min(kubelet, addresses + HOST_NETWORK_PODS), kubelet < addresses + HOST_NETWORK_PODS)
        for kubelet, addresses in max_pods
    ]
    return Places(
        nodes=len(nodes),
        all=sum(count for count, _ in nodes),
        host=HOST_NETWORK_PODS * len(nodes),
        dns=dns,
        bound_by_max_pods=sum(bound for _, bound in nodes),
    )


def places_of(snapshot: Snapshot, settings: PoolSettings, max_pods: Mapping[str, int]) -> Places:
    """The places on the nodes of known instance limits, with max-pods raised to `max_pods` (by
    instance type) where it is less."""
    return places(
        (
            max(node.max_pods, max_pods.get(node.instance_type, 0)),
            pool_addresses(snapshot.limits[node.instance_type], settings),
        )
        for node in snapshot.nodes
        if node.instance_type in snapshot.limits
    )


@dataclass(frozen=True, slots=True)
class KubeletAdvice:
    """max-pods of the nodes of one type: as it is (the least), and as it should be in each mode."""

    instance_type: str
    nodes: int
    now: int
    with_addresses: int
    with_prefixes: int


def kubelets_of(
    snapshot: Snapshot, with_addresses: PoolSettings, with_prefixes: PoolSettings
) -> tuple[KubeletAdvice, ...]:
    """Advice for each instance type of known limits, from the settings in each mode."""
    kinds: dict[str, list[NodeFacts]] = defaultdict(list)
    for node in snapshot.nodes:
        if node.instance_type in snapshot.limits:
            kinds[node.instance_type].append(node)
    return tuple(
        KubeletAdvice(
            instance_type=kind,
            nodes=len(nodes),
            now=min(node.max_pods for node in nodes),
            with_addresses=recommended_max_pods(snapshot.limits[kind], with_addresses),
            with_prefixes=recommended_max_pods(snapshot.limits[kind], with_prefixes),
        )
        for kind, nodes in sorted(kinds.items())
    )
