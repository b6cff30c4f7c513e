"""What the pool manager asks of the world, as data.

The generators of `ippolicy.ipamd` yield these requests. Whoever drives them performs each one and
sends its result back, or throws `EC2CallError` in. `api_name` is the EC2 API that the request
stands for, and None for what is no EC2 call (a pause, a look at the instance metadata).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from ippolicy.errors import IPPolicyError

T = TypeVar("T")

INSUFFICIENT_CIDR_BLOCKS = "InsufficientCidrBlocks"
INSUFFICIENT_FREE_ADDRESSES = "InsufficientFreeAddressesInSubnet"
ADDRESS_LIMIT_EXCEEDED = "PrivateIpAddressLimitExceeded"


class EC2CallError(IPPolicyError):
    """EC2 refused a call; `code` is EC2's own error code."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code

    @property
    def insufficient(self) -> bool:
        """Whether the subnet lacks addresses or whole /28 blocks (the two codes that back off)."""
        return self.code in {INSUFFICIENT_CIDR_BLOCKS, INSUFFICIENT_FREE_ADDRESSES}


@dataclass(frozen=True, slots=True)
class AttachedENI:
    """An ENI of this node as EC2 and the instance metadata show it.

    `addresses` are the secondary ones ("10.0.0.7"), `prefixes` the /28s ("10.0.0.16/28").
    `managed` is False for an ENI that the CNI must leave alone; `tagged` says whether the CNI's
    own tags are on it already.
    """

    eni_id: str
    subnet_id: str
    device_index: int
    primary_address: str = ""
    addresses: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    trunk: bool = False
    managed: bool = True
    tagged: bool = True

    @property
    def primary(self) -> bool:
        """Whether this is the node's first ENI."""
        return self.device_index == 0


@dataclass(frozen=True, slots=True)
class SubnetFact:
    """One subnet of a `DescribeSubnets` answer.

    `role_tag` is the value of its tag kubernetes.io/role/cni, None where there is none;
    `foreign_cluster` says that a tag gives it to another cluster's CNI.
    """

    subnet_id: str
    free_addresses: int
    role_tag: str | None = None
    foreign_cluster: bool = False


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let `seconds` go by. Result: None."""

    api_name: ClassVar[None] = None
    seconds: float


@dataclass(frozen=True, slots=True)
class WaitForInterface:
    """Wait until the instance metadata shows a new ENI. Result: AttachedENI.

    Throw `EC2CallError` in where it never shows up.
    """

    api_name: ClassVar[None] = None
    eni_id: str


@dataclass(frozen=True, slots=True)
class DescribeInterfaces:
    """Result: tuple[AttachedENI, ...].

    No `eni_ids`: every ENI attached to this node, the primary first. One: that ENI alone.
    """

    api_name: ClassVar[str] = "DescribeNetworkInterfaces"
    eni_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DescribeLeakedInterfaces:
    """The hourly look for ENIs that were left behind. Result: tuple of ENI ids to delete."""

    api_name: ClassVar[str] = "DescribeNetworkInterfaces"


@dataclass(frozen=True, slots=True)
class DescribeSubnets:
    """Result: tuple[SubnetFact, ...].

    No `subnet_ids`: the subnets of the node's VPC and zone, the node's own among them.
    """

    api_name: ClassVar[str] = "DescribeSubnets"
    subnet_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DescribeInstances:
    """Result: the device indexes in use on this instance, as tuple[int, ...]."""

    api_name: ClassVar[str] = "DescribeInstances"


@dataclass(frozen=True, slots=True)
class CreateTags:
    """Put the CNI's tags on an ENI that lacks them. Result: None."""

    api_name: ClassVar[str] = "CreateTags"
    eni_id: str


@dataclass(frozen=True, slots=True)
class AssignAddresses:
    """Result: what was assigned, tuple[str, ...] of addresses, or of /28s with `prefixes`."""

    api_name: ClassVar[str] = "AssignPrivateIpAddresses"
    eni_id: str
    count: int
    prefixes: bool


@dataclass(frozen=True, slots=True)
class UnassignAddresses:
    """Give back addresses or /28s of one ENI, all of one kind. Result: None."""

    api_name: ClassVar[str] = "UnassignPrivateIpAddresses"
    eni_id: str
    cidrs: tuple[str, ...]
    prefixes: bool


@dataclass(frozen=True, slots=True)
class CreateInterface:
    """Make an ENI that brings `count` secondary addresses or /28s. Result: its id (str)."""

    api_name: ClassVar[str] = "CreateNetworkInterface"
    subnet_id: str
    count: int
    prefixes: bool


@dataclass(frozen=True, slots=True)
class AttachInterface:
    """Result: the attachment id (str)."""

    api_name: ClassVar[str] = "AttachNetworkInterface"
    eni_id: str
    device_index: int


@dataclass(frozen=True, slots=True)
class ModifyInterface:
    """Set delete-on-termination (`attachment_id` given), or security groups. Result: None."""

    api_name: ClassVar[str] = "ModifyNetworkInterfaceAttribute"
    eni_id: str
    attachment_id: str | None = None


@dataclass(frozen=True, slots=True)
class DetachInterface:
    """Take an ENI off this instance. Result: None."""

    api_name: ClassVar[str] = "DetachNetworkInterface"
    eni_id: str


@dataclass(frozen=True, slots=True)
class DeleteInterface:
    """Delete a detached ENI. Result: None."""

    api_name: ClassVar[str] = "DeleteNetworkInterface"
    eni_id: str


Request = (
    Sleep
    | WaitForInterface
    | DescribeInterfaces
    | DescribeLeakedInterfaces
    | DescribeSubnets
    | DescribeInstances
    | CreateTags
    | AssignAddresses
    | UnassignAddresses
    | CreateInterface
    | AttachInterface
    | ModifyInterface
    | DetachInterface
    | DeleteInterface
)

Steps = Generator[Request, Any, T]
"""A piece of the pool manager's work: yields requests, is sent results, returns a `T`."""
