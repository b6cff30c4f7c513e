"""The network's own mutable records. Nothing outside the network's lock holds one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network

from ippolicy.sandbox.ec2.addresses import AddressSpace
from ippolicy.sandbox.ec2.model import (
    AVAILABLE,
    IN_USE,
    Attachment,
    Instance,
    Interface,
    Reservation,
    Subnet,
)


@lru_cache(maxsize=1 << 17)
def dotted(address: int) -> str:
    return str(IPv4Address(address))


@dataclass(slots=True)
class VpcRecord:
    id: str
    number: int
    cidr: IPv4Network
    tags: dict[str, str]
    default_group: str


@dataclass(slots=True)
class SubnetRecord:
    id: str
    number: int
    vpc: VpcRecord
    cidr: IPv4Network
    availability_zone: str
    availability_zone_id: str
    tags: dict[str, str]
    space: AddressSpace
    reservations: dict[str, Reservation] = field(default_factory=dict)
    interfaces: dict[str, InterfaceRecord] = field(default_factory=dict)

    def view(self) -> Subnet:
        return Subnet(
            id=self.id,
            vpc_id=self.vpc.id,
            cidr=str(self.cidr),
            availability_zone=self.availability_zone,
            availability_zone_id=self.availability_zone_id,
            tags=dict(self.tags),
            free_addresses=self.space.free_addresses,
        )


@dataclass(slots=True)
class InterfaceRecord:
    id: str
    number: int
    subnet: SubnetRecord
    primary: int
    description: str
    tags: dict[str, str]
    interface_type: str
    requester_id: str
    requester_managed: bool
    mac_address: str
    security_groups: tuple[str, ...]
    secondaries: dict[int, None] = field(default_factory=dict)
    prefixes: dict[int, None] = field(default_factory=dict)
    attachment: Attachment | None = None

    @property
    def slots_used(self) -> int:
        """Of the instance type's Ipv4AddressesPerInterface: a prefix counts as one."""
        return 1 + len(self.secondaries) + len(self.prefixes)

    def view(self) -> Interface:
        return Interface(
            id=self.id,
            subnet_id=self.subnet.id,
            vpc_id=self.subnet.vpc.id,
            availability_zone=self.subnet.availability_zone,
            status=IN_USE if self.attachment else AVAILABLE,
            description=self.description,
            interface_type=self.interface_type,
            primary_address=dotted(self.primary),
            secondary_addresses=tuple(map(dotted, self.secondaries)),
            prefixes=tuple(f"{dotted(first)}/28" for first in self.prefixes),
            tags=dict(self.tags),
            attachment=self.attachment,
            requester_id=self.requester_id,
            requester_managed=self.requester_managed,
            mac_address=self.mac_address,
            security_groups=self.security_groups,
        )


@dataclass(slots=True)
class InstanceRecord:
    id: str
    number: int
    instance_type: str
    subnet: SubnetRecord
    tags: dict[str, str]
    launched_at: datetime
    interfaces: dict[str, InterfaceRecord] = field(default_factory=dict)

    def view(self) -> Instance:
        return Instance(
            id=self.id,
            instance_type=self.instance_type,
            vpc_id=self.subnet.vpc.id,
            subnet_id=self.subnet.id,
            availability_zone=self.subnet.availability_zone,
            tags=dict(self.tags),
            launched_at=self.launched_at,
            interfaces=tuple(
                interface.view() for interface in sorted(self.interfaces.values(), key=_place)
            ),
        )


def _place(interface: InterfaceRecord) -> tuple[int, int]:
    attachment = interface.attachment
    return (attachment.network_card_index, attachment.device_index) if attachment else (0, 0)
