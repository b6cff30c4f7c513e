"""What EC2 refuses, as boto3 shows it: code, status and words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ippolicy.sandbox.ec2 import Ec2StandIn


def refused(call: Callable[..., object], **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return (
        answer["Error"]["Code"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
        answer["Error"]["Message"],
    )


def test_a_subnet_without_free_addresses_gives_none_to_an_interface(
    standin: Ec2StandIn, ec2: Any
) -> None:
    subnet = standin.add_subnet("10.0.0.0/28")
    interface = standin.add_interface(subnet.id, secondary_count=9)

    assert refused(
        ec2.assign_private_ip_addresses,
        NetworkInterfaceId=interface.id,
        SecondaryPrivateIpAddressCount=2,
    ) == (
        "InsufficientFreeAddressesInSubnet",
        400,
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )
    assert standin.subnet(subnet.id).free_addresses == 1


def test_a_subnet_without_free_addresses_takes_no_new_interface(
    standin: Ec2StandIn, ec2: Any
) -> None:
    subnet = standin.add_subnet("10.0.0.0/28")
    standin.add_interface(subnet.id, secondary_count=10)

    code, status, _ = refused(ec2.create_network_interface, SubnetId=subnet.id)

    assert (code, status) == ("InsufficientFreeAddressesInSubnet", 400)
    assert standin.subnet(subnet.id).free_addresses == 0


def test_a_subnet_without_a_whole_block_refuses_a_prefix_though_addresses_are_free(
    standin: Ec2StandIn, ec2: Any
) -> None:
    subnet = standin.add_subnet("10.0.0.0/27")
    interface = standin.add_interface(subnet.id)

    assert refused(
        ec2.assign_private_ip_addresses, NetworkInterfaceId=interface.id, Ipv4PrefixCount=1
    ) == (
        "InsufficientCidrBlocks",
        400,
        "The specified subnet does not have enough free cidr blocks to satisfy the request.",
    )
    assert standin.subnet(subnet.id).free_addresses == 26


def test_creating_an_interface_with_a_prefix_words_the_same_shortage_differently(
    standin: Ec2StandIn, ec2: Any
) -> None:
    subnet = standin.add_subnet("10.0.0.0/27")

    assert refused(ec2.create_network_interface, SubnetId=subnet.id, Ipv4PrefixCount=1) == (
        "InvalidParameterValue",
        400,
        "There aren't sufficient free Ipv4 addresses or prefixes",
    )
    assert standin.subnet(subnet.id).free_addresses == 27


@pytest.mark.parametrize("wanted", [{"SecondaryPrivateIpAddressCount": 1}, {"Ipv4PrefixCount": 1}])
def test_an_interface_holds_no_more_than_its_instance_type_allows(
    standin: Ec2StandIn, ec2: Any, wanted: dict[str, int]
) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    primary = standin.add_instance("t3.small", subnet.id).interfaces[0]
    ec2.assign_private_ip_addresses(NetworkInterfaceId=primary.id, SecondaryPrivateIpAddressCount=2)
    ec2.assign_private_ip_addresses(NetworkInterfaceId=primary.id, Ipv4PrefixCount=1)

    assert refused(ec2.assign_private_ip_addresses, NetworkInterfaceId=primary.id, **wanted) == (
        "PrivateIpAddressLimitExceeded",
        400,
        "Number of private addresses will exceed limit.",
    )


def test_an_instance_holds_no_more_interfaces_than_its_type_allows(
    standin: Ec2StandIn, ec2: Any
) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    node = standin.add_instance("t3.small", subnet.id)
    for index in (1, 2):
        standin.attach_interface(standin.add_interface(subnet.id).id, node.id, index)
    one_more = standin.add_interface(subnet.id)

    assert refused(
        ec2.attach_network_interface,
        NetworkInterfaceId=one_more.id,
        InstanceId=node.id,
        DeviceIndex=3,
    ) == ("AttachmentLimitExceeded", 400, "Interface count 4 exceeds the limit for t3.small")


def test_a_device_index_holds_one_interface(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    node = standin.add_instance("m5.large", subnet.id)

    code, _, message = refused(
        ec2.attach_network_interface,
        NetworkInterfaceId=standin.add_interface(subnet.id).id,
        InstanceId=node.id,
        DeviceIndex=0,
    )

    assert code == "InvalidParameterValue"
    assert message == (
        f"Instance '{node.id}' already has an interface attached at device index '0'."
    )


def test_an_interface_stays_in_its_availability_zone(standin: Ec2StandIn, ec2: Any) -> None:
    here = standin.add_subnet("10.0.0.0/24", "us-west-2a")
    there = standin.add_subnet("10.0.1.0/24", "us-west-2b")
    node = standin.add_instance("m5.large", here.id)

    code, _, message = refused(
        ec2.attach_network_interface,
        NetworkInterfaceId=standin.add_interface(there.id).id,
        InstanceId=node.id,
        DeviceIndex=1,
    )

    assert code == "InvalidParameterValue"
    assert "availability zone" in message


def test_an_attached_interface_cannot_be_deleted(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    primary = standin.add_instance("m5.large", subnet.id).interfaces[0]

    assert refused(ec2.delete_network_interface, NetworkInterfaceId=primary.id) == (
        "InvalidParameterValue",
        400,
        f"Network interface '{primary.id}' is currently in use.",
    )


def test_the_primary_interface_cannot_be_detached(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    primary = standin.add_instance("m5.large", subnet.id).interfaces[0]
    assert primary.attachment is not None

    code, _, _ = refused(ec2.detach_network_interface, AttachmentId=primary.attachment.id)

    assert code == "OperationNotPermitted"


def test_a_load_balancers_interface_is_not_ours_to_detach(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    attachment = standin.add_load_balancer(subnet.id, "web").attachment
    assert attachment is not None

    code, _, _ = refused(ec2.detach_network_interface, AttachmentId=attachment.id)

    assert code == "AuthFailure"


@pytest.mark.parametrize(
    ("call", "params", "code"),
    [
        (
            "describe_network_interfaces",
            {"NetworkInterfaceIds": ["eni-1"]},
            "InvalidNetworkInterfaceID.NotFound",
        ),
        ("describe_subnets", {"SubnetIds": ["subnet-1"]}, "InvalidSubnetID.NotFound"),
        ("describe_vpcs", {"VpcIds": ["vpc-1"]}, "InvalidVpcID.NotFound"),
        ("describe_instances", {"InstanceIds": ["i-1"]}, "InvalidInstanceID.NotFound"),
        ("get_subnet_cidr_reservations", {"SubnetId": "subnet-1"}, "InvalidSubnetID.NotFound"),
        ("detach_network_interface", {"AttachmentId": "eni-1"}, "InvalidAttachmentID.NotFound"),
        ("describe_instance_types", {"InstanceTypes": ["m5.big"]}, "InvalidInstanceType"),
        ("describe_images", {}, "InvalidAction"),
        (
            "describe_subnets",
            {"Filters": [{"Name": "colour", "Values": ["red"]}]},
            "InvalidParameterValue",
        ),
        ("describe_instance_types", {"MaxResults": 101}, "InvalidParameterValue"),
        ("describe_network_interfaces", {"MaxResults": 1001}, "InvalidParameterValue"),
        (
            "describe_network_interfaces",
            {"MaxResults": 5, "NetworkInterfaceIds": ["eni-1"]},
            "InvalidNetworkInterfaceID.NotFound",
        ),
        ("describe_network_interfaces", {"NextToken": "nonsense"}, "InvalidParameterValue"),
        ("describe_subnets", {"DryRun": True}, "DryRunOperation"),
        ("assign_private_ip_addresses", {"NetworkInterfaceId": "eni-1"}, "MissingParameter"),
    ],
)
def test_a_wrong_request_gets_the_code_that_ec2_gives(
    ec2: Any, call: str, params: dict[str, Any], code: str
) -> None:
    assert refused(getattr(ec2, call), **params)[0] == code


def test_ids_and_a_page_size_do_not_go_together(standin: Ec2StandIn, ec2: Any) -> None:
    interface = standin.add_interface(standin.add_subnet("10.0.0.0/24").id)

    code, _, _ = refused(
        ec2.describe_network_interfaces, NetworkInterfaceIds=[interface.id], MaxResults=5
    )

    assert code == "InvalidParameterCombination"


def test_an_unknown_instance_type_is_named(ec2: Any) -> None:
    _, status, message = refused(
        ec2.describe_instance_types, InstanceTypes=["m5.large", "m99.huge"]
    )

    assert status == 400
    assert message == "The following supplied instance types do not exist: [m99.huge]"


def test_an_address_that_is_in_use_or_elsewhere_cannot_be_named(
    standin: Ec2StandIn, ec2: Any
) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    interface = standin.add_interface(subnet.id, addresses=["10.0.0.9"])

    def assign(address: str) -> str:
        return refused(
            ec2.assign_private_ip_addresses,
            NetworkInterfaceId=interface.id,
            PrivateIpAddresses=["10.0.0.10", address],
        )[0]

    assert assign("10.0.0.9") == "InvalidIPAddress.InUse"
    assert assign("10.9.0.9") == "InvalidParameterValue"
    assert standin.subnet(subnet.id).free_addresses == 250


def test_only_what_an_interface_holds_can_be_taken_from_it(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    interface = standin.add_interface(subnet.id, addresses=["10.0.0.9", "10.0.0.10"])

    code, _, _ = refused(
        ec2.unassign_private_ip_addresses,
        NetworkInterfaceId=interface.id,
        PrivateIpAddresses=["10.0.0.10", "10.0.0.9"],
    )

    assert code == "InvalidParameterValue"
    assert standin.subnet(subnet.id).free_addresses == 249


@pytest.mark.parametrize(
    ("cidr", "kind", "code"),
    [
        ("10.0.0.64/26", "lent", "InvalidParameterValue"),
        ("10.0.0.65/26", "prefix", "InvalidParameterValue"),
        ("10.0.9.0/28", "prefix", "InvalidSubnetCidrReservation.Range"),
        ("10.0.0.16/28", "explicit", "InvalidCidrReservation.Conflict"),
    ],
)
def test_a_reservation_lies_within_its_subnet_and_apart_from_others(
    standin: Ec2StandIn, ec2: Any, cidr: str, kind: str, code: str
) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    standin.add_reservation(subnet.id, "10.0.0.0/27")

    answer = refused(
        ec2.create_subnet_cidr_reservation,
        SubnetId=subnet.id,
        Cidr=cidr,
        ReservationType=kind,
    )

    assert answer[0] == code


def test_a_prefix_by_name_must_be_a_free_aligned_block_of_the_subnet(
    standin: Ec2StandIn, ec2: Any
) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    interface = standin.add_interface(subnet.id, addresses=["10.0.0.20"])

    def assign(prefix: str) -> str:
        return refused(
            ec2.assign_private_ip_addresses,
            NetworkInterfaceId=interface.id,
            Ipv4Prefixes=["10.0.0.32/28", prefix],
        )[0]

    assert assign("10.0.0.16/28") == "InsufficientCidrBlocks"
    assert assign("10.0.0.40/28") == "InvalidParameterValue"
    assert assign("10.0.0.64/27") == "InvalidParameterValue"
    assert assign("10.0.9.16/28") == "InvalidParameterValue"
    assert assign("nonsense") == "InvalidParameterValue"
    assert standin.free_blocks(subnet.id) == 13


def test_addresses_and_prefixes_are_not_assigned_in_one_call(standin: Ec2StandIn, ec2: Any) -> None:
    interface = standin.add_interface(standin.add_subnet("10.0.0.0/24").id)

    code, _, _ = refused(
        ec2.assign_private_ip_addresses,
        NetworkInterfaceId=interface.id,
        SecondaryPrivateIpAddressCount=1,
        Ipv4PrefixCount=1,
    )

    assert code == "InvalidParameterCombination"


def test_an_interface_made_too_full_cannot_be_attached(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    node = standin.add_instance("t3.small", subnet.id)
    full = standin.add_interface(subnet.id, secondary_count=4)

    code, _, _ = refused(
        ec2.attach_network_interface,
        NetworkInterfaceId=full.id,
        InstanceId=node.id,
        DeviceIndex=1,
    )

    assert code == "PrivateIpAddressLimitExceeded"


def test_an_attached_interface_cannot_be_attached_again(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    node = standin.add_instance("m5.large", subnet.id)

    code, _, message = refused(
        ec2.attach_network_interface,
        NetworkInterfaceId=node.interfaces[0].id,
        InstanceId=node.id,
        DeviceIndex=1,
    )

    assert (code, "currently in use" in message) == ("InvalidParameterValue", True)


def test_each_network_card_has_its_own_limit(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    node = standin.add_instance("p4d.24xlarge", subnet.id)

    def attach(card: int, index: int) -> dict[str, Any]:
        return {
            "NetworkInterfaceId": standin.add_interface(subnet.id).id,
            "InstanceId": node.id,
            "NetworkCardIndex": card,
            "DeviceIndex": index,
        }

    for index in range(1, 15):
        ec2.attach_network_interface(**attach(0, index))

    assert refused(ec2.attach_network_interface, **attach(0, 15))[0] == "AttachmentLimitExceeded"
    assert refused(ec2.attach_network_interface, **attach(4, 1))[0] == "InvalidParameterValue"
    assert ec2.attach_network_interface(**attach(1, 1))["NetworkCardIndex"] == 1


def test_tags_go_on_all_of_the_resources_or_on_none(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")

    codes = [
        refused(ec2.create_tags, Resources=[subnet.id, other], Tags=[{"Key": "a", "Value": "1"}])[0]
        for other in ("eni-1", "i-1", "vpc-1")
    ]

    assert codes == [
        "InvalidNetworkInterfaceID.NotFound",
        "InvalidInstanceID.NotFound",
        "InvalidID",
    ]
    assert standin.subnet(subnet.id).tags == {}


def test_what_is_attached_elsewhere_cannot_be_set_to_go_with_an_instance(
    standin: Ec2StandIn, ec2: Any
) -> None:
    interface = standin.add_interface(standin.add_subnet("10.0.0.0/24").id)

    code, _, _ = refused(
        ec2.modify_network_interface_attribute,
        NetworkInterfaceId=interface.id,
        Attachment={"AttachmentId": "eni-attach-1", "DeleteOnTermination": True},
    )

    assert code == "InvalidAttachmentID.NotFound"


def test_a_reservation_that_is_not_there_cannot_be_deleted(ec2: Any) -> None:
    code, _, _ = refused(ec2.delete_subnet_cidr_reservation, SubnetCidrReservationId="scr-1")

    assert code == "InvalidSubnetCidrReservationID.NotFound"
