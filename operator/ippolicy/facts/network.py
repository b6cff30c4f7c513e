"""What EC2 says: limits of instance types, and subnets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

RESERVED_ADDRESSES = 5  # the first four and the last of every subnet belong to AWS


@dataclass(frozen=True, slots=True)
class InstanceLimits:
    """Network limits of an instance type (DescribeInstanceTypes, NetworkInfo).

    `enis` is for the default network card; `addresses_per_eni` includes the ENI's own primary
    address, so `slots` = `addresses_per_eni - 1` can be given to pods. `nitro` says that its ENIs
    can carry prefixes: Nitro or bare metal. `vcpus` is None where it is not known.
    """

    instance_type: str
    enis: int
    addresses_per_eni: int
    nitro: bool
    vcpus: int | None = None

    @property
    def slots(self) -> int:
        """Addresses (or /28 prefixes) per ENI that pods can use."""
        return self.addresses_per_eni - 1


class SubnetUse(StrEnum):
    """Why a subnet matters."""

    NODES = "nodes"
    ENI_CONFIG = "eniconfig"
    DISCOVERY = "discovery"
    SELECTOR = "selector"


@dataclass(frozen=True, slots=True)
class SubnetFacts:
    """One subnet: `size` addresses of which `size - 5` are usable; `free` as EC2 counts it.

    `cni_role` is the value of its tag kubernetes.io/role/cni, "" for none, and `clusters` are those
    that its tags cni.networking.k8s.aws/cluster/NAME keep it for. `uses` tells why it matters.
    """

    subnet_id: str
    zone: str
    cidr: str
    size: int
    free: int
    read_at_s: float
    vpc_id: str = ""
    cni_role: str = ""
    clusters: tuple[str, ...] = ()
    uses: tuple[SubnetUse, ...] = ()

    @property
    def usable(self) -> int:
        """Addresses that anything of ours could ever hold here."""
        return self.size - RESERVED_ADDRESSES

    @property
    def excluded(self) -> bool:
        """Whether its tag keeps new ENIs of the Amazon VPC CNI out; those that are here stay."""
        return self.cni_role == "0"


@dataclass(frozen=True, slots=True)
class SubnetSelection:
    """The subnets that a policy names, by ids and tags (key, value), each of which must be met.

    Empty: the subnets that the nodes' ENIs are in.
    """

    ids: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ids or self.tags)
