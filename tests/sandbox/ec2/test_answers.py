"""What EC2 answers over HTTP, as boto3 reads it."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from ippolicy.sandbox.ec2 import Ec2StandIn

CREATED_FOR = "node.k8s.amazonaws.com/instance_id"


def matching(ec2: Any, **filters: str) -> set[str]:
    """Ids of the ENIs that fit filters named with `_` for `-`."""
    return found(ec2, {name.replace("_", "-"): value for name, value in filters.items()})


def found(ec2: Any, filters: dict[str, str]) -> set[str]:
    spelled = [{"Name": name, "Values": [value]} for name, value in filters.items()]
    answer = ec2.describe_network_interfaces(Filters=spelled)
    return {one["NetworkInterfaceId"] for one in answer["NetworkInterfaces"]}


def test_the_life_of_an_interface_as_the_cni_drives_it(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    node = standin.add_instance("m5.large", subnet.id)

    made = ec2.create_network_interface(
        SubnetId=subnet.id,
        SecondaryPrivateIpAddressCount=3,
        Description=f"aws-K8S-{node.id}",
        TagSpecifications=[
            {
                "ResourceType": "network-interface",
                "Tags": [{"Key": CREATED_FOR, "Value": node.id}],
            }
        ],
    )["NetworkInterface"]
    interface_id = made["NetworkInterfaceId"]
    assert made["Status"] == "available"
    assert "Attachment" not in made
    attachment_id = ec2.attach_network_interface(
        NetworkInterfaceId=interface_id, InstanceId=node.id, DeviceIndex=1
    )["AttachmentId"]
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface_id,
        Attachment={"AttachmentId": attachment_id, "DeleteOnTermination": True},
    )
    ec2.create_tags(Resources=[interface_id], Tags=[{"Key": "more", "Value": "1"}])

    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])[
        "NetworkInterfaces"
    ]
    assert shown["Status"] == "in-use"
    assert shown["InterfaceType"] == "interface"
    assert shown["Description"] == f"aws-K8S-{node.id}"
    assert shown["TagSet"] == [
        {"Key": CREATED_FOR, "Value": node.id},
        {"Key": "more", "Value": "1"},
    ]
    attachment = shown["Attachment"]
    assert attachment["InstanceId"] == node.id
    assert attachment["DeviceIndex"] == 1
    assert attachment["DeleteOnTermination"] is True
    assert [one["Primary"] for one in shown["PrivateIpAddresses"]] == [True, False, False, False]
    assert shown["PrivateIpAddresses"][0]["PrivateIpAddress"] == shown["PrivateIpAddress"]
    assert standin.subnet(subnet.id).free_addresses == 251 - 1 - 4

    ec2.detach_network_interface(AttachmentId=attachment_id)
    ec2.delete_network_interface(NetworkInterfaceId=interface_id)
    assert standin.subnet(subnet.id).free_addresses == 250


def test_prefixes_are_aligned_blocks_that_count_sixteen(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    interface_id = ec2.create_network_interface(SubnetId=subnet.id, Ipv4PrefixCount=1)[
        "NetworkInterface"
    ]["NetworkInterfaceId"]

    answer = ec2.assign_private_ip_addresses(NetworkInterfaceId=interface_id, Ipv4PrefixCount=2)

    added = [one["Ipv4Prefix"] for one in answer["AssignedIpv4Prefixes"]]
    assert all(IPv4Network(prefix).prefixlen == 28 for prefix in added)
    (shown,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    held = [one["Ipv4Prefix"] for one in shown["Ipv4Prefixes"]]
    assert held[1:] == added
    assert standin.subnet(subnet.id).free_addresses == 251 - 1 - 48

    ec2.unassign_private_ip_addresses(NetworkInterfaceId=interface_id, Ipv4Prefixes=held[:1])
    assert standin.subnet(subnet.id).free_addresses == 251 - 1 - 32
    ec2.assign_private_ip_addresses(NetworkInterfaceId=interface_id, Ipv4Prefixes=held[:1])
    assert standin.interfaces()[0].prefixes == (*added, held[0])


def test_assigned_addresses_are_answered_by_name(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    interface = standin.add_interface(subnet.id)

    answer = ec2.assign_private_ip_addresses(
        NetworkInterfaceId=interface.id, SecondaryPrivateIpAddressCount=4
    )

    added = tuple(one["PrivateIpAddress"] for one in answer["AssignedPrivateIpAddresses"])
    assert standin.interfaces()[0].secondary_addresses == added
    assert len(set(added)) == 4


def test_interfaces_are_found_by_each_filter(standin: Ec2StandIn, ec2: Any) -> None:
    subnet, other = standin.add_subnet("10.0.0.0/24"), standin.add_subnet("10.0.1.0/24")
    node = standin.add_instance("m5.large", subnet.id)
    primary = node.interfaces[0].id
    spare = standin.add_interface(
        subnet.id, description="aws-K8S-i-1", tags={CREATED_FOR: "i-1"}
    ).id
    balancer = standin.add_load_balancer(other.id, "web").id

    assert matching(ec2, subnet_id=subnet.id) == {primary, spare}
    assert found(ec2, {"attachment.instance-id": node.id}) == {primary}
    assert matching(ec2, status="available") == {spare}
    assert matching(ec2, status="in-use", subnet_id=other.id) == {balancer}
    assert matching(ec2, description="aws-K8S-*") == {spare}
    assert matching(ec2, description="aws-k8s-*") == set()
    assert matching(ec2, network_interface_id=balancer) == {balancer}
    assert matching(ec2, requester_id="amazon-elb") == {balancer}
    assert found(ec2, {f"tag:{CREATED_FOR}": "i-1"}) == {spare}
    assert matching(ec2, tag_key=CREATED_FOR) == {spare}
    assert matching(ec2, tag_value="i-?") == {spare}
    assert found(ec2, {"addresses.private-ip-address": "10.0.1.*"}) == {balancer}


def test_a_page_token_leads_through_all_interfaces_even_as_they_change(
    standin: Ec2StandIn, ec2: Any
) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    made = [standin.add_interface(subnet.id).id for _ in range(12)]

    first = ec2.describe_network_interfaces(MaxResults=5)
    standin.delete_interface(made[0])
    second = ec2.describe_network_interfaces(MaxResults=5, NextToken=first["NextToken"])
    third = ec2.describe_network_interfaces(MaxResults=5, NextToken=second["NextToken"])

    pages = (first, second, third)
    seen = [one["NetworkInterfaceId"] for page in pages for one in page["NetworkInterfaces"]]
    assert seen == made
    assert "NextToken" not in third


def test_boto3s_own_paginators_find_everything_once(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    nodes = {standin.add_instance("t3.small", subnet.id).id for _ in range(11)}

    instances = ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5})
    types = ec2.get_paginator("describe_instance_types").paginate(
        Filters=[{"Name": "instance-type", "Values": ["m5.*"]}], PaginationConfig={"PageSize": 5}
    )

    seen = [
        one["InstanceId"]
        for page in instances
        for reservation in page["Reservations"]
        for one in reservation["Instances"]
    ]
    assert sorted(seen) == sorted(nodes)
    names = [one["InstanceType"] for page in types for one in page["InstanceTypes"]]
    assert len(names) == len(set(names)) > 5


@pytest.mark.parametrize(
    ("name", "interfaces", "addresses"),
    [("t3.small", 3, 4), ("m5.large", 3, 10), ("t3.2xlarge", 4, 15), ("p3dn.24xlarge", 15, 50)],
)
def test_instance_types_have_their_real_limits(
    ec2: Any, name: str, interfaces: int, addresses: int
) -> None:
    (shown,) = ec2.describe_instance_types(InstanceTypes=[name])["InstanceTypes"]

    assert shown["NetworkInfo"]["MaximumNetworkInterfaces"] == interfaces
    assert shown["NetworkInfo"]["Ipv4AddressesPerInterface"] == addresses
    assert shown["Hypervisor"] == "nitro"


def test_instance_types_are_filtered(ec2: Any) -> None:
    shown = ec2.describe_instance_types(
        Filters=[
            {"Name": "instance-type", "Values": ["m5.*"]},
            {"Name": "bare-metal", "Values": ["true"]},
        ]
    )["InstanceTypes"]

    assert [one["InstanceType"] for one in shown] == ["m5.metal"]


def test_subnets_show_their_zone_tags_and_free_addresses(standin: Ec2StandIn, ec2: Any) -> None:
    tags = {"kubernetes.io/role/cni": "1"}
    subnet = standin.add_subnet("10.0.0.0/24", "us-west-2b", tags)
    standin.add_subnet("10.0.1.0/24", "us-west-2a")

    (shown,) = ec2.describe_subnets(
        Filters=[
            {"Name": "tag:kubernetes.io/role/cni", "Values": ["1"]},
            {"Name": "availability-zone", "Values": ["us-west-2b"]},
            {"Name": "vpc-id", "Values": [subnet.vpc_id]},
        ]
    )["Subnets"]

    assert shown["SubnetId"] == subnet.id
    assert shown["AvailabilityZoneId"] == "usw2-az2"
    assert shown["CidrBlock"] == "10.0.0.0/24"
    assert shown["AvailableIpAddressCount"] == 251
    assert shown["Tags"] == [{"Key": "kubernetes.io/role/cni", "Value": "1"}]
    (by_id,) = ec2.describe_subnets(SubnetIds=[subnet.id])["Subnets"]
    assert by_id == shown


def test_reservations_are_made_listed_and_ended(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")

    made = ec2.create_subnet_cidr_reservation(
        SubnetId=subnet.id, Cidr="10.0.0.128/25", ReservationType="prefix"
    )["SubnetCidrReservation"]

    listed = ec2.get_subnet_cidr_reservations(SubnetId=subnet.id)["SubnetIpv4CidrReservations"]
    assert listed == [made]
    assert made["ReservationType"] == "prefix"
    prefixed = standin.add_interface(subnet.id, prefix_count=1)
    assert IPv4Network(prefixed.prefixes[0]).subnet_of(IPv4Network("10.0.0.128/25"))
    ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=made["SubnetCidrReservationId"])
    assert not ec2.get_subnet_cidr_reservations(SubnetId=subnet.id)["SubnetIpv4CidrReservations"]


def test_tags_are_deleted_by_key_or_by_key_and_value(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24", tags={"a": "1", "b": "2"})

    ec2.delete_tags(Resources=[subnet.id], Tags=[{"Key": "a"}, {"Key": "b", "Value": "other"}])

    assert standin.subnet(subnet.id).tags == {"b": "2"}


def test_the_vpc_is_shown(standin: Ec2StandIn, ec2: Any) -> None:
    (shown,) = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.0.*"]}])["Vpcs"]

    assert shown["CidrBlock"] == "10.0.0.0/16"
    assert shown["CidrBlockAssociationSet"][0]["CidrBlock"] == "10.0.0.0/16"


def test_interfaces_of_others_are_shown_as_theirs(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    standin.add_load_balancer(subnet.id, "front", kind="net")
    standin.add_control_plane_interface(subnet.id, "blue")

    balancer, control_plane = ec2.describe_network_interfaces()["NetworkInterfaces"]

    assert balancer["Description"].startswith("ELB net/front/")
    assert balancer["InterfaceType"] == "network_load_balancer"
    assert balancer["RequesterManaged"] is True
    assert balancer["Attachment"]["InstanceOwnerId"] == "amazon-elb"
    assert "InstanceId" not in balancer["Attachment"]
    assert control_plane["Description"] == "Amazon EKS blue"
    assert control_plane["Attachment"]["InstanceOwnerId"] != control_plane["OwnerId"]
    assert standin.subnet(subnet.id).free_addresses == 249


@pytest.mark.parametrize(
    ("service", "kind", "description", "requester"),
    [
        ("vpc-endpoint", "vpc_endpoint", "VPC Endpoint Interface vpce-0", None),
        ("lambda", "lambda", "AWS Lambda VPC ENI-function-0", None),
        ("rds", "interface", "RDSNetworkInterface", "amazon-rds"),
        ("nat-gateway", "nat_gateway", "Interface for NAT Gateway nat-0", None),
        ("efs", "interface", "EFS mount target for fs-0", None),
        ("fargate", "interface", "arn:aws:ecs:us-west-2:", None),
        ("elasticache", "interface", "ElastiCache redis-0", "amazon-elasticache"),
    ],
)
def test_interfaces_of_services_are_shown_as_theirs(
    standin: Ec2StandIn,
    ec2: Any,
    *,
    service: str,
    kind: str,
    description: str,
    requester: str | None,
) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    eni = standin.add_service_interface(subnet.id, service)
    (shown,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert (shown["InterfaceType"], shown["Status"]) == (kind, "in-use")
    assert shown["Description"].startswith(description)
    assert shown["RequesterManaged"] is True
    assert shown["RequesterId"] == (requester or shown["RequesterId"])
    assert "InstanceId" not in shown["Attachment"]
    standin.delete_interface(eni.id)
    assert standin.subnet(subnet.id).free_addresses == 251


def test_the_branch_interface_of_a_pod_names_its_cluster(standin: Ec2StandIn, ec2: Any) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    eni = standin.add_branch_interface(subnet.id, "blue")
    standin.tag(eni.id, {"pod": "a"})
    (shown,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    tags = {tag["Key"]: tag["Value"] for tag in shown["TagSet"]}
    assert shown["InterfaceType"] == "branch"
    assert (tags["kubernetes.io/cluster/blue"], tags["pod"]) == ("owned", "a")
    assert "vpcresources.k8s.aws/trunk-eni-id" in tags


def test_description_and_security_groups_are_changed_alone(standin: Ec2StandIn, ec2: Any) -> None:
    interface = standin.add_interface(standin.add_subnet("10.0.0.0/24").id, description="old")

    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface.id, Description={"Value": "new"}
    )
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface.id, Groups=["sg-1"])

    (shown,) = ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": ["sg-1"]}])[
        "NetworkInterfaces"
    ]
    assert shown["Description"] == "new"
    assert shown["Groups"][0]["GroupId"] == "sg-1"


@pytest.mark.parametrize(
    ("zone", "zone_id"),
    [("us-east-1a", "use1-az1"), ("ap-northeast-2c", "apne2-az3"), ("us-gov-west-1b", "usgw1-az2")],
)
def test_zones_have_their_ids(standin: Ec2StandIn, zone: str, zone_id: str) -> None:
    assert standin.add_subnet("10.0.0.0/24", zone).availability_zone_id == zone_id
