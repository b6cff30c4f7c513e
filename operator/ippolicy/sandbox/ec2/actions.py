"""EC2's calls by name: parsed parameters in, an answer in the API's shape out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ippolicy.sandbox.ec2 import filters, interfaces
from ippolicy.sandbox.ec2.errors import (
    Ec2CallError,
    invalid,
    missing,
    no_such,
    no_such_instance_types,
)
from ippolicy.sandbox.ec2.limits import catalogue
from ippolicy.sandbox.ec2.network import Network
from ippolicy.sandbox.ec2.pages import page
from ippolicy.sandbox.ec2.records import dotted
from ippolicy.sandbox.ec2.render import (
    Shape,
    instance_shape,
    interface_shape,
    reservation_shape,
    subnet_shape,
    vpc_shape,
)

Params = dict[str, Any]
Action = Callable[[Network, Params], Shape]

MOST = 1000
MOST_TYPES = 100


def perform(network: Network, api: str, params: Params) -> Shape:
    """The answer to one call. Raises Ec2CallError, InvalidAction for a call not played here."""
    action = ACTIONS.get(api)
    if action is None:
        raise unknown_action(api)
    if params.get("DryRun"):
        raise Ec2CallError(
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
            status=412,
        )
    with network.lock:
        return action(network, params)


def unknown_action(api: str) -> Ec2CallError:
    return Ec2CallError("InvalidAction", f"The action {api} is not valid for this web service.")


def describe_network_interfaces(network: Network, params: Params) -> Shape:
    ids = params.get("NetworkInterfaceIds", [])
    found = [network.interface(one) for one in ids] or list(network.interfaces.values())
    fitting = filters.fitting(found, filters.INTERFACE_FIELDS, params.get("Filters", []))
    shown, token = page(fitting, params, most=MOST, ids="NetworkInterfaceIds")
    shapes = [interface_shape(interface, network.account_id) for interface in shown]
    return {"NetworkInterfaces": shapes, "NextToken": token}


def create_network_interface(network: Network, params: Params) -> Shape:
    interface = interfaces.create(
        network,
        _required(params, "SubnetId"),
        secondary_count=params.get("SecondaryPrivateIpAddressCount", 0),
        prefix_count=params.get("Ipv4PrefixCount", 0),
        primary=params.get("PrivateIpAddress"),
        description=params.get("Description", ""),
        tags=_specified_tags(params, "network-interface"),
        security_groups=params.get("Groups", ()),
    )
    return {"NetworkInterface": interface_shape(interface, network.account_id)}


def attach_network_interface(network: Network, params: Params) -> Shape:
    attachment = interfaces.attach(
        network,
        _required(params, "NetworkInterfaceId"),
        _required(params, "InstanceId"),
        device_index=_required(params, "DeviceIndex"),
        network_card_index=params.get("NetworkCardIndex", 0),
    )
    return {
        "AttachmentId": attachment.id,
        "NetworkCardIndex": attachment.network_card_index,
    }


def detach_network_interface(network: Network, params: Params) -> Shape:
    interfaces.detach(network, _required(params, "AttachmentId"))
    return {}


def delete_network_interface(network: Network, params: Params) -> Shape:
    interfaces.delete(network, _required(params, "NetworkInterfaceId"))
    return {}


def modify_network_interface_attribute(network: Network, params: Params) -> Shape:
    attachment = params.get("Attachment", {})
    interfaces.modify(
        network,
        _required(params, "NetworkInterfaceId"),
        attachment_id=attachment.get("AttachmentId"),
        delete_on_termination=attachment.get("DeleteOnTermination"),
        description=params.get("Description", {}).get("Value"),
        security_groups=params.get("Groups"),
    )
    return {}


def assign_private_ip_addresses(network: Network, params: Params) -> Shape:
    interface_id = _required(params, "NetworkInterfaceId")
    count, addresses = (
        params.get("SecondaryPrivateIpAddressCount", 0),
        params.get("PrivateIpAddresses", []),
    )
    prefix_count, prefixes = params.get("Ipv4PrefixCount", 0), params.get("Ipv4Prefixes", [])
    if (count or addresses) and (prefix_count or prefixes):
        raise Ec2CallError(
            "InvalidParameterCombination",
            "Addresses and prefixes cannot be assigned in the same call",
        )
    if prefix_count or prefixes:
        firsts = interfaces.assign_prefixes(
            network, interface_id, count=prefix_count, prefixes=prefixes
        )
        added = [{"Ipv4Prefix": f"{dotted(first)}/28"} for first in firsts]
        return {"NetworkInterfaceId": interface_id, "AssignedIpv4Prefixes": added}
    if not (count or addresses):
        raise missing("secondaryPrivateIpAddressCount")
    singles = interfaces.assign_addresses(network, interface_id, count=count, addresses=addresses)
    return {
        "NetworkInterfaceId": interface_id,
        "AssignedPrivateIpAddresses": [{"PrivateIpAddress": dotted(one)} for one in singles],
    }


def unassign_private_ip_addresses(network: Network, params: Params) -> Shape:
    addresses, prefixes = params.get("PrivateIpAddresses", ()), params.get("Ipv4Prefixes", ())
    if not addresses and not prefixes:
        raise missing("privateIpAddress")
    interfaces.unassign(
        network,
        _required(params, "NetworkInterfaceId"),
        addresses=addresses,
        prefixes=prefixes,
    )
    return {}


def describe_subnets(network: Network, params: Params) -> Shape:
    ids = params.get("SubnetIds", [])
    found = [network.subnet(one) for one in ids] or list(network.subnets.values())
    fitting = filters.fitting(found, filters.SUBNET_FIELDS, params.get("Filters", []))
    shown, token = page(fitting, params, most=MOST, default=MOST)
    return {
        "Subnets": [
            subnet_shape(subnet, region=network.region, account_id=network.account_id)
            for subnet in shown
        ],
        "NextToken": token,
    }


def describe_vpcs(network: Network, params: Params) -> Shape:
    ids = params.get("VpcIds", [])
    for one in ids:
        if one not in network.vpcs:
            raise no_such("vpc ID", "InvalidVpcID.NotFound", one)
    found = [network.vpcs[one] for one in ids] or list(network.vpcs.values())
    fitting = filters.fitting(found, filters.VPC_FIELDS, params.get("Filters", []))
    shown, token = page(fitting, params, most=MOST, default=MOST)
    return {"Vpcs": [vpc_shape(vpc, network.account_id) for vpc in shown], "NextToken": token}


def describe_instances(network: Network, params: Params) -> Shape:
    ids = params.get("InstanceIds", [])
    found = [network.instance(one) for one in ids] or list(network.instances.values())
    fitting = filters.fitting(found, filters.INSTANCE_FIELDS, params.get("Filters", []))
    shown, token = page(fitting, params, most=MOST, ids="InstanceIds")
    return {
        "Reservations": [
            {
                "ReservationId": instance.id.replace("i-", "r-"),
                "OwnerId": network.account_id,
                "Instances": [instance_shape(instance)],
            }
            for instance in shown
        ],
        "NextToken": token,
    }


def describe_instance_types(_: Network, params: Params) -> Shape:
    names = params.get("InstanceTypes", [])
    if len(names) > MOST_TYPES:
        raise invalid(f"You can specify up to {MOST_TYPES} instance types.")
    types = catalogue()
    unknown = [name for name in names if name not in types]
    if unknown:
        raise no_such_instance_types(unknown)
    found = [
        _TypeRow(number, entry)
        for number, (name, entry) in enumerate(types.items(), start=1)
        if not names or name in names
    ]
    fitting = filters.fitting(found, _TYPE_FIELDS, params.get("Filters", []))
    shown, token = page(fitting, params, most=MOST_TYPES, default=MOST_TYPES, ids="InstanceTypes")
    return {"InstanceTypes": [row.entry for row in shown], "NextToken": token}


def create_subnet_cidr_reservation(network: Network, params: Params) -> Shape:
    reservation = network.create_reservation(
        _required(params, "SubnetId"),
        _required(params, "Cidr"),
        _required(params, "ReservationType"),
        params.get("Description", ""),
        _specified_tags(params, "subnet-cidr-reservation"),
    )
    return {"SubnetCidrReservation": reservation_shape(reservation, network.account_id)}


def get_subnet_cidr_reservations(network: Network, params: Params) -> Shape:
    subnet = network.subnet(_required(params, "SubnetId"))
    return {
        "SubnetIpv4CidrReservations": [
            reservation_shape(reservation, network.account_id)
            for reservation in subnet.reservations.values()
        ],
        "SubnetIpv6CidrReservations": [],
    }


def delete_subnet_cidr_reservation(network: Network, params: Params) -> Shape:
    reservation = network.delete_reservation(_required(params, "SubnetCidrReservationId"))
    return {"DeletedSubnetCidrReservation": reservation_shape(reservation, network.account_id)}


def create_tags(network: Network, params: Params) -> Shape:
    tags = {one["Key"]: one.get("Value", "") for one in _required(params, "Tags")}
    network.create_tags(_required(params, "Resources"), tags)
    return {}


def delete_tags(network: Network, params: Params) -> Shape:
    tags = {one["Key"]: one.get("Value") for one in params.get("Tags", [])}
    network.delete_tags(_required(params, "Resources"), tags)
    return {}


class _TypeRow:
    """An instance type as something to filter and page; types carry no tags."""

    def __init__(self, number: int, entry: Shape) -> None:
        self.tags: dict[str, str] = {}
        self.number = number
        self.entry = entry


_TYPE_FIELDS: filters.Fields[_TypeRow] = {
    "instance-type": lambda row: (row.entry["InstanceType"],),
    "hypervisor": lambda row: (row.entry.get("Hypervisor"),),
    "bare-metal": lambda row: (row.entry["BareMetal"],),
    "current-generation": lambda row: (row.entry["CurrentGeneration"],),
}


def _required(params: Params, name: str) -> Any:
    if name not in params:
        raise missing(name)
    return params[name]


def _specified_tags(params: Params, resource_type: str) -> Mapping[str, str]:
    return {
        tag["Key"]: tag.get("Value", "")
        for one in params.get("TagSpecifications", [])
        if one.get("ResourceType") == resource_type
        for tag in one.get("Tags", [])
    }


ACTIONS: dict[str, Action] = {
    "AssignPrivateIpAddresses": assign_private_ip_addresses,
    "AttachNetworkInterface": attach_network_interface,
    "CreateNetworkInterface": create_network_interface,
    "CreateSubnetCidrReservation": create_subnet_cidr_reservation,
    "CreateTags": create_tags,
    "DeleteNetworkInterface": delete_network_interface,
    "DeleteSubnetCidrReservation": delete_subnet_cidr_reservation,
    "DeleteTags": delete_tags,
    "DescribeInstanceTypes": describe_instance_types,
    "DescribeInstances": describe_instances,
    "DescribeNetworkInterfaces": describe_network_interfaces,
    "DescribeSubnets": describe_subnets,
    "DescribeVpcs": describe_vpcs,
    "DetachNetworkInterface": detach_network_interface,
    "GetSubnetCidrReservations": get_subnet_cidr_reservations,
    "ModifyNetworkInterfaceAttribute": modify_network_interface_attribute,
    "UnassignPrivateIpAddresses": unassign_private_ip_addresses,
}
