"""What a caller gets to see of the network: plain frozen facts, IPv4 as dotted text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

IN_USE = "in-use"
AVAILABLE = "available"


@dataclass(frozen=True, slots=True)
class Attachment:
    """An ENI on an instance, or, with `instance_id` None, on a service such as a load balancer."""

    id: str
    instance_id: str | None
    owner_id: str
    device_index: int
    network_card_index: int
    delete_on_termination: bool
    attached_at: datetime


@dataclass(frozen=True, slots=True)
class Interface:
    """One ENI. It takes 1 + len(secondary_addresses) + 16 * len(prefixes) of its subnet."""

    id: str
    subnet_id: str
    vpc_id: str
    availability_zone: str
    status: str
    description: str
    interface_type: str
    primary_address: str
    secondary_addresses: tuple[str, ...]
    prefixes: tuple[str, ...]
    tags: Mapping[str, str]
    attachment: Attachment | None
    requester_id: str
    requester_managed: bool
    mac_address: str
    security_groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subnet:
    """`free_addresses` is EC2's AvailableIpAddressCount: size - 5 - everything assigned."""

    id: str
    vpc_id: str
    cidr: str
    availability_zone: str
    availability_zone_id: str
    tags: Mapping[str, str]
    free_addresses: int


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance with its ENIs in order of device index; the first is the primary."""

    id: str
    instance_type: str
    vpc_id: str
    subnet_id: str
    availability_zone: str
    tags: Mapping[str, str]
    launched_at: datetime
    interfaces: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A subnet CIDR reservation; `kind` is `prefix` or `explicit`."""

    id: str
    subnet_id: str
    cidr: str
    kind: str
    description: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InstanceLimits:
    """What an instance type can hold; `ipv4_per_interface` counts the primary address."""

    interfaces_per_card: tuple[int, ...]
    ipv4_per_interface: int
