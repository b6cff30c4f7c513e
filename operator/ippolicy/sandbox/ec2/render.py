"""Records in the shapes of EC2's API, as the protocol layer turns them into XML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ippolicy.sandbox.ec2.model import AVAILABLE, IN_USE, Reservation
from ippolicy.sandbox.ec2.records import (
    InstanceRecord,
    InterfaceRecord,
    SubnetRecord,
    VpcRecord,
    dotted,
)

Shape = dict[str, Any]


def tags_shape(tags: Mapping[str, str]) -> list[Shape]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def interface_shape(interface: InterfaceRecord, account_id: str) -> Shape:
    """As DescribeNetworkInterfaces and CreateNetworkInterface show an ENI."""
    return _addresses(interface) | {
        "AvailabilityZone": interface.subnet.availability_zone,
        "Attachment": _attachment(interface),
        "InterfaceType": interface.interface_type,
        "OwnerId": account_id,
        "RequesterId": interface.requester_id,
        "RequesterManaged": interface.requester_managed,
        "TagSet": tags_shape(interface.tags),
    }


def subnet_shape(subnet: SubnetRecord, *, region: str, account_id: str) -> Shape:
    return {
        "SubnetId": subnet.id,
        "SubnetArn": f"arn:aws:ec2:{region}:{account_id}:subnet/{subnet.id}",
        "VpcId": subnet.vpc.id,
        "CidrBlock": str(subnet.cidr),
        "AvailableIpAddressCount": subnet.space.free_addresses,
        "AvailabilityZone": subnet.availability_zone,
        "AvailabilityZoneId": subnet.availability_zone_id,
        "State": "available",
        "OwnerId": account_id,
        "DefaultForAz": False,
        "MapPublicIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Tags": tags_shape(subnet.tags),
    }


def vpc_shape(vpc: VpcRecord, account_id: str) -> Shape:
    return {
        "VpcId": vpc.id,
        "CidrBlock": str(vpc.cidr),
        "CidrBlockAssociationSet": [
            {
                "AssociationId": vpc.id.replace("vpc-", "vpc-cidr-assoc-"),
                "CidrBlock": str(vpc.cidr),
                "CidrBlockState": {"State": "associated"},
            }
        ],
        "State": "available",
        "OwnerId": account_id,
        "IsDefault": False,
        "InstanceTenancy": "default",
        "Tags": tags_shape(vpc.tags),
    }


def instance_shape(instance: InstanceRecord) -> Shape:
    primary = next(iter(instance.interfaces.values()))
    address = dotted(primary.primary)
    return {
        "InstanceId": instance.id,
        "InstanceType": instance.instance_type,
        "State": {"Code": 16, "Name": "running"},
        "LaunchTime": instance.launched_at,
        "Placement": {"AvailabilityZone": instance.subnet.availability_zone, "Tenancy": "default"},
        "PrivateIpAddress": address,
        "PrivateDnsName": f"ip-{address.replace('.', '-')}.ec2.internal",
        "SubnetId": instance.subnet.id,
        "VpcId": instance.subnet.vpc.id,
        "SecurityGroups": _groups(primary),
        "SourceDestCheck": True,
        "NetworkInterfaces": [
            _addresses(interface) | {"Attachment": _attachment(interface, of_instance=True)}
            for interface in instance.interfaces.values()
        ],
        "Tags": tags_shape(instance.tags),
    }


def reservation_shape(reservation: Reservation, account_id: str) -> Shape:
    return {
        "SubnetCidrReservationId": reservation.id,
        "SubnetId": reservation.subnet_id,
        "Cidr": reservation.cidr,
        "ReservationType": reservation.kind,
        "OwnerId": account_id,
        "Description": reservation.description,
        "Tags": tags_shape(reservation.tags),
    }


def _addresses(interface: InterfaceRecord) -> Shape:
    """What both DescribeNetworkInterfaces and DescribeInstances show of an ENI."""
    return {
        "NetworkInterfaceId": interface.id,
        "SubnetId": interface.subnet.id,
        "VpcId": interface.subnet.vpc.id,
        "Description": interface.description,
        "Status": IN_USE if interface.attachment else AVAILABLE,
        "MacAddress": interface.mac_address,
        "SourceDestCheck": True,
        "Groups": _groups(interface),
        "PrivateIpAddress": dotted(interface.primary),
        "PrivateIpAddresses": [
            {"Primary": True, "PrivateIpAddress": dotted(interface.primary)},
            *(
                {"Primary": False, "PrivateIpAddress": dotted(address)}
                for address in interface.secondaries
            ),
        ],
        "Ipv4Prefixes": [{"Ipv4Prefix": f"{dotted(first)}/28"} for first in interface.prefixes],
        "Ipv6Addresses": [],
    }


def _groups(interface: InterfaceRecord) -> list[Shape]:
    return [{"GroupId": group, "GroupName": "default"} for group in interface.security_groups]


def _attachment(interface: InterfaceRecord, *, of_instance: bool = False) -> Shape | None:
    attachment = interface.attachment
    if attachment is None:
        return None
    shape: Shape = {
        "AttachmentId": attachment.id,
        "DeviceIndex": attachment.device_index,
        "NetworkCardIndex": attachment.network_card_index,
        "Status": "attached",
        "AttachTime": attachment.attached_at,
        "DeleteOnTermination": attachment.delete_on_termination,
    }
    if not of_instance:
        shape |= {"InstanceId": attachment.instance_id, "InstanceOwnerId": attachment.owner_id}
    return shape
