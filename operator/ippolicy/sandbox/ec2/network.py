"""The account's network: VPCs, subnets and instances, and how each is found and made.

What ENIs do to it is in `interfaces.py`, which builds on this. One lock guards all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Network
from random import Random
from threading import RLock

from ippolicy.errors import SandboxError
from ippolicy.sandbox.ec2.addresses import AddressSpace
from ippolicy.sandbox.ec2.errors import (
    Ec2CallError,
    invalid,
    no_such,
    no_such_instance,
    no_such_interface,
    no_such_subnet,
)
from ippolicy.sandbox.ec2.model import Reservation
from ippolicy.sandbox.ec2.records import (
    InstanceRecord,
    InterfaceRecord,
    SubnetRecord,
    VpcRecord,
)


class Network:
    """Everything EC2 knows of one account in one Region. Hold `lock` to read records."""

    def __init__(
        self, *, region: str, account_id: str, clock: Callable[[], float], seed: int
    ) -> None:
        self.region = region
        self.account_id = account_id
        self.lock = RLock()
        self.vpcs: dict[str, VpcRecord] = {}
        self.subnets: dict[str, SubnetRecord] = {}
        self.instances: dict[str, InstanceRecord] = {}
        self.interfaces: dict[str, InterfaceRecord] = {}
        self.attached: dict[str, InterfaceRecord] = {}
        self._clock = clock
        self._rng = Random(seed)
        self._last_number = 0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-0{self._rng.getrandbits(64):016x}"

    def next_number(self) -> int:
        """Counts up over all records: their order, and what a page token holds."""
        self._last_number += 1
        return self._last_number

    def add_vpc(self, cidr: str, tags: Mapping[str, str]) -> VpcRecord:
        """Raises SandboxError unless the block is a /16 to /28."""
        block = _block_of("VPC", cidr)
        with self.lock:
            vpc = VpcRecord(
                id=self.new_id("vpc"),
                number=self.next_number(),
                cidr=block,
                tags=dict(tags),
                default_group=self.new_id("sg"),
            )
            self.vpcs[vpc.id] = vpc
            return vpc

    def add_subnet(
        self, vpc_id: str, cidr: str, zone: str, tags: Mapping[str, str]
    ) -> SubnetRecord:
        """Raises SandboxError for a block outside the VPC or over another subnet."""
        block = _block_of("subnet", cidr)
        with self.lock:
            vpc = self.vpcs[vpc_id]
            if not block.subnet_of(vpc.cidr):
                raise SandboxError(f"subnet {cidr} is not within VPC {vpc.cidr}: choose another")
            for other in self.subnets.values():
                if other.vpc is vpc and other.cidr.overlaps(block):
                    raise SandboxError(f"subnet {cidr} overlaps {other.cidr}: choose another")
            subnet = SubnetRecord(
                id=self.new_id("subnet"),
                number=self.next_number(),
                vpc=vpc,
                cidr=block,
                availability_zone=zone,
                availability_zone_id=_zone_id(zone),
                tags=dict(tags),
                space=AddressSpace(block, self._rng),
            )
            self.subnets[subnet.id] = subnet
            return subnet

    def subnet(self, subnet_id: str) -> SubnetRecord:
        found = self.subnets.get(subnet_id)
        if found is None:
            raise no_such_subnet(subnet_id)
        return found

    def interface(self, interface_id: str) -> InterfaceRecord:
        found = self.interfaces.get(interface_id)
        if found is None:
            raise no_such_interface(interface_id)
        return found

    def instance(self, instance_id: str) -> InstanceRecord:
        found = self.instances.get(instance_id)
        if found is None:
            raise no_such_instance(instance_id)
        return found

    def create_tags(self, resource_ids: list[str], tags: Mapping[str, str]) -> None:
        """Tags on ENIs, subnets, instances and VPCs; all of the ids must exist."""
        with self.lock:
            holders = [self._tags_of(resource_id) for resource_id in resource_ids]
            for held in holders:
                held.update(tags)

    def delete_tags(self, resource_ids: list[str], tags: Mapping[str, str | None]) -> None:
        """A tag goes if its value is the one named, or None is named."""
        with self.lock:
            for held in [self._tags_of(resource_id) for resource_id in resource_ids]:
                for key, value in tags.items():
                    if value is None or held.get(key) == value:
                        held.pop(key, None)

    def create_reservation(
        self, subnet_id: str, cidr: str, kind: str, description: str, tags: Mapping[str, str]
    ) -> Reservation:
        """Set a range of a subnet aside; see `addresses.py` for what that changes."""
        if kind not in ("prefix", "explicit"):
            raise invalid(f"Value ({kind}) for parameter reservationType is invalid.")
        try:
            block = IPv4Network(cidr)
        except ValueError as cause:
            raise invalid(f"Value ({cidr}) for parameter cidr is invalid.") from cause
        with self.lock:
            subnet = self.subnet(subnet_id)
            taken = [IPv4Network(one.cidr) for one in subnet.reservations.values()]
            if not block.subnet_of(subnet.cidr) or any(block.overlaps(one) for one in taken):
                raise Ec2CallError(
                    "InvalidCidrReservation.Conflict"
                    if block.subnet_of(subnet.cidr)
                    else "InvalidSubnetCidrReservation.Range",
                    f"The CIDR '{cidr}' is not within the subnet or overlaps a reservation",
                )
            reservation = Reservation(
                self.new_id("scr"), subnet_id, str(block), kind, description, dict(tags)
            )
            subnet.reservations[reservation.id] = reservation
            subnet.space.reserve(block, kind)
            return reservation

    def delete_reservation(self, reservation_id: str) -> Reservation:
        with self.lock:
            for subnet in self.subnets.values():
                reservation = subnet.reservations.pop(reservation_id, None)
                if reservation is not None:
                    subnet.space.unreserve(IPv4Network(reservation.cidr))
                    return reservation
        raise no_such(
            "subnet CIDR reservation ID",
            "InvalidSubnetCidrReservationID.NotFound",
            reservation_id,
        )

    def _tags_of(self, resource_id: str) -> dict[str, str]:
        if resource_id.startswith("eni-"):
            return self.interface(resource_id).tags
        if resource_id.startswith("subnet-"):
            return self.subnet(resource_id).tags
        if resource_id.startswith("i-"):
            return self.instance(resource_id).tags
        vpc = self.vpcs.get(resource_id)
        if vpc is None:
            raise no_such("ID", "InvalidID", resource_id)
        return vpc.tags


def _block_of(kind: str, cidr: str) -> IPv4Network:
    try:
        block = IPv4Network(cidr)
    except ValueError as cause:
        raise SandboxError(
            f"{kind} {cidr}: not an IPv4 block; write it like 10.0.0.0/24"
        ) from cause
    if not 16 <= block.prefixlen <= 28:
        raise SandboxError(f"{kind} {cidr}: EC2 takes /16 to /28; choose a size between")
    return block


def _zone_id(zone: str) -> str:
    """`us-west-2a` -> `usw2-az1`."""
    area, *direction, number_letter = zone.split("-")
    heads = "".join(part[0] for word in direction for part in _compass(word))
    return f"{area}{heads}{number_letter[:-1]}-az{ord(number_letter[-1]) - ord('a') + 1}"


def _compass(word: str) -> list[str]:
    """`northeast` -> north, east, as zone ids shorten it to `ne`."""
    for first in ("north", "south"):
        if word.startswith(first) and word != first:
            return [first, word.removeprefix(first)]
    return [word]
