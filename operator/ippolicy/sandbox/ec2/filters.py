"""EC2's Describe filters: all named filters must fit, any value of one is enough, * and ? work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from ippolicy.sandbox.ec2.errors import invalid
from ippolicy.sandbox.ec2.model import AVAILABLE, IN_USE
from ippolicy.sandbox.ec2.records import (
    InstanceRecord,
    InterfaceRecord,
    SubnetRecord,
    VpcRecord,
    dotted,
)


class Tagged(Protocol):
    @property
    def tags(self) -> dict[str, str]: ...


R = TypeVar("R", bound=Tagged)
_SPECIAL = re.compile(r"[*?\\]")
Fields = Mapping[str, Callable[[R], Iterable[object]]]


def _of_attachment(name: str) -> Callable[[InterfaceRecord], Iterable[object]]:
    def values(interface: InterfaceRecord) -> Iterable[object]:
        attachment = interface.attachment
        return () if attachment is None else (getattr(attachment, name),)

    return values


INTERFACE_FIELDS: Fields[InterfaceRecord] = {
    "network-interface-id": lambda eni: (eni.id,),
    "subnet-id": lambda eni: (eni.subnet.id,),
    "vpc-id": lambda eni: (eni.subnet.vpc.id,),
    "availability-zone": lambda eni: (eni.subnet.availability_zone,),
    "status": lambda eni: (IN_USE if eni.attachment else AVAILABLE,),
    "description": lambda eni: (eni.description,),
    "interface-type": lambda eni: (eni.interface_type,),
    "requester-id": lambda eni: (eni.requester_id,),
    "requester-managed": lambda eni: (eni.requester_managed,),
    "mac-address": lambda eni: (eni.mac_address,),
    "group-id": lambda eni: eni.security_groups,
    "private-ip-address": lambda eni: (dotted(eni.primary),),
    "addresses.private-ip-address": lambda eni: map(dotted, (eni.primary, *eni.secondaries)),
    "attachment.attachment-id": _of_attachment("id"),
    "attachment.instance-id": _of_attachment("instance_id"),
    "attachment.instance-owner-id": _of_attachment("owner_id"),
    "attachment.device-index": _of_attachment("device_index"),
    "attachment.delete-on-termination": _of_attachment("delete_on_termination"),
    "attachment.status": lambda eni: ("attached" if eni.attachment else "detached",),
}

SUBNET_FIELDS: Fields[SubnetRecord] = {
    "subnet-id": lambda subnet: (subnet.id,),
    "vpc-id": lambda subnet: (subnet.vpc.id,),
    "cidr-block": lambda subnet: (subnet.cidr,),
    "cidr": lambda subnet: (subnet.cidr,),
    "availability-zone": lambda subnet: (subnet.availability_zone,),
    "availability-zone-id": lambda subnet: (subnet.availability_zone_id,),
    "available-ip-address-count": lambda subnet: (subnet.space.free_addresses,),
    "state": lambda _: ("available",),
}

INSTANCE_FIELDS: Fields[InstanceRecord] = {
    "instance-id": lambda instance: (instance.id,),
    "instance-type": lambda instance: (instance.instance_type,),
    "instance-state-name": lambda _: ("running",),
    "subnet-id": lambda instance: (instance.subnet.id,),
    "vpc-id": lambda instance: (instance.subnet.vpc.id,),
    "availability-zone": lambda instance: (instance.subnet.availability_zone,),
}

VPC_FIELDS: Fields[VpcRecord] = {
    "vpc-id": lambda vpc: (vpc.id,),
    "cidr": lambda vpc: (vpc.cidr,),
    "state": lambda _: ("available",),
}


def fitting(records: Iterable[R], fields: Fields[R], filters: list[dict[str, Any]]) -> list[R]:
    """The records that fit all filters, as `[{"Name": ..., "Values": [...]}]`.

    Raises Ec2CallError (InvalidParameterValue) for a name that is no filter of this call.
    """
    tests = [_test(fields, one.get("Name", "null"), one.get("Values", [])) for one in filters]
    return [record for record in records if all(test(record) for test in tests)]


def _test(fields: Fields[R], name: str, wanted: list[str]) -> Callable[[R], bool]:
    values_of = _tag_values(name) or fields.get(name)
    if values_of is None:
        raise invalid(f"The filter '{name}' is invalid")
    patterns = [_pattern(want) for want in wanted if _SPECIAL.search(want)]
    plain = {want for want in wanted if not _SPECIAL.search(want)}  # thousands of ENIs, 200 values

    def fits(record: R) -> bool:
        spelled = map(_spelled, values_of(record))
        return any(text in plain or any(p.fullmatch(text) for p in patterns) for text in spelled)

    return fits


def _tag_values(name: str) -> Callable[[Tagged], Iterable[object]] | None:
    if name == "tag-key":
        return lambda record: record.tags.keys()
    if name == "tag-value":
        return lambda record: record.tags.values()
    kind, colon, key = name.partition(":")
    if kind == "tag" and colon:
        return lambda record: (record.tags[key],) if key in record.tags else ()
    return None


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=4096)
def _pattern(wanted: str) -> re.Pattern[str]:
    """`*` and `?` are wildcards unless a backslash goes before them."""
    parts = re.split(r"(\\.|[*?])", wanted)
    spelled = {"*": ".*", "?": "."}
    return re.compile(
        "".join(spelled.get(part) or re.escape(part.removeprefix("\\")) for part in parts),
        re.DOTALL,
    )
