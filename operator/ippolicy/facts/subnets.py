"""Who holds the addresses of a subnet, and where whole /28 blocks are left."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ippolicy.facts.network import SubnetFacts

BLOCK = 16
"""Addresses of a /28, the only size of an IPv4 prefix on an ENI."""


class Holder(StrEnum):
    """What an ENI is for, as its type, description, requester and tags tell.

    CNI is the Amazon VPC CNI with its resource controller; AWS's services are told by kind.
    """

    CNI = "cni"
    CILIUM = "cilium"
    INSTANCE = "ec2-instance"
    LOAD_BALANCER = "load-balancer"
    VPC_ENDPOINT = "vpc-endpoint"
    LAMBDA = "lambda"
    RDS = "rds"
    NAT_GATEWAY = "nat-gateway"
    EFS = "efs"
    CONTROL_PLANE = "eks-control-plane"
    FARGATE = "fargate"
    UNATTACHED = "unattached"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class InterfaceFacts:
    """One ENI. It takes 1 + `secondaries` + 16 * `prefixes` addresses of its subnet.

    `instance_id` is the instance that it is on or was made for, `cluster` the name of the cluster
    that its tags tell; each is empty where nothing tells. The own address of one that is
    `for_pod` is a pod's (security groups for pods).
    """

    subnet_id: str
    holder: Holder
    instance_id: str = ""
    cluster: str = ""
    secondaries: int = 0
    prefixes: int = 0
    for_pod: bool = False

    @property
    def of_a_cluster(self) -> bool:
        """Whether it is a cluster's: made or tagged by a CNI, or an instance's with such a tag."""
        by_cni = self.holder in (Holder.CNI, Holder.CILIUM)
        return by_cni or (self.holder is Holder.INSTANCE and bool(self.cluster))

    @property
    def held(self) -> int:
        """Addresses for pods: secondary ones, and 16 for each prefix."""
        return self.secondaries + BLOCK * self.prefixes

    @property
    def addresses(self) -> int:
        """All addresses that it takes, its own included."""
        return 1 + self.held


@dataclass(frozen=True, slots=True)
class InstanceUse:
    """What the cluster tells of one of its instances: the node's name, its pods on the pod
    network, and how many of those that left it are within the CNI's cooldown."""

    node: str
    pods: int = 0
    cooling: int = 0


@dataclass(frozen=True, slots=True)
class CidrReservation:
    """A subnet CIDR reservation; `for_prefixes` tells type `prefix` from type `explicit`."""

    cidr: str
    for_prefixes: bool


@dataclass(frozen=True, slots=True)
class SubnetInventory:
    """All ENIs of one subnet, and the subnet as it was right after they were listed.

    Bit k of `used` (bit k % 8 of byte k // 8) tells whether the subnet's address number k is on
    an ENI. `used_bits` makes it.
    """

    subnet: SubnetFacts
    interfaces: tuple[InterfaceFacts, ...]
    used: bytes
    read_at_s: float


@dataclass(frozen=True, slots=True)
class SubnetSplit:
    """Who holds the usable addresses of one subnet; `parts` names all of them and adds up.

    Of this cluster: `assigned` to pods, `warm`, `unclear` (cooling, or on a node whose pool cannot
    be read), and `primaries`, the ENIs' own addresses; `prefixes` counts its /28s, whose addresses
    are within the first three. `other_clusters` is by name, "" where no tag names it; `others` by
    kind. `free` is EC2's count from when the ENIs were listed.
    """

    subnet_id: str
    usable: int
    free: int
    assigned: int
    warm: int
    unclear: int
    primaries: int
    prefixes: int
    other_clusters: Mapping[str, int]
    others: Mapping[Holder, int]
    read_at_s: float

    @property
    def held(self) -> int:
        """Addresses that this cluster's ENIs take, their own included."""
        return self.assigned + self.warm + self.unclear + self.primaries

    @property
    def unaccounted(self) -> int:
        """Addresses that are neither free nor on a listed ENI; below zero if counted twice.

        ENIs that came or went while they were listed do that, and a subnet shared with other
        accounts, whose ENIs are not shown.
        """
        foreign = sum(self.other_clusters.values()) + sum(self.others.values())
        return self.usable - self.free - self.held - foreign

    def parts(self) -> dict[str, int]:
        """Part -> addresses; the sum is `usable`, whatever was read."""
        return {
            "assigned": self.assigned,
            "warm": self.warm,
            "unclear": self.unclear,
            "eni-primaries": self.primaries,
            "other-clusters": sum(self.other_clusters.values()),
            **{holder.value: count for holder, count in self.others.items()},
            "free": self.free,
            "unaccounted": self.unaccounted,
        }


@dataclass(frozen=True, slots=True)
class PrefixRoom:
    """Where /28 prefixes still fit into one subnet.

    `free_addresses` are on no ENI, not EC2's own and not in an explicit reservation; `free_singly`
    the part of them outside prefix reservations, which EC2 assigns one by one. `free_blocks` are
    whole aligned /28s of free addresses, `reserved_blocks` those of them inside prefix
    reservations, which EC2 hands out first. `refusals` counts answers InsufficientCidrBlocks that
    nodes with ENIs here got.
    """

    subnet_id: str
    free_addresses: int
    free_singly: int
    free_blocks: int
    reserved_blocks: int
    read_at_s: float
    refusals: int = 0

    @property
    def fragmentation(self) -> float:
        """Share of the free addresses outside whole free /28s, from 0 (all whole) to 1."""
        if not self.free_addresses:
            return 0.0
        return 1.0 - BLOCK * self.free_blocks / self.free_addresses


def used_bits(cidr: str, addresses: Iterable[int]) -> bytes:
    """The map `used` of a subnet; `addresses` are integers, and those outside it are left out."""
    network = ipaddress.IPv4Network(cidr)
    first, size = int(network.network_address), network.num_addresses
    bits = bytearray((size + 7) // 8)
    for address in addresses:
        if 0 <= (offset := address - first) < size:
            bits[offset // 8] |= 1 << offset % 8
    return bytes(bits)
