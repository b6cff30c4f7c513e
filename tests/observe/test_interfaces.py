"""ENIs are read down to who holds them and what they take."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from ippolicy.facts import Holder
from ippolicy.observe.interfaces import read_interface

CNI_TAGS = {
    "node.k8s.amazonaws.com/instance_id": "i-0a",
    "cluster.k8s.amazonaws.com/name": "blue",
    "eks:eni:owner": "amazon-vpc-cni",
}
BRANCH_TAGS = {
    "eks:eni:owner": "eks-vpc-resource-controller",
    "vpcresources.k8s.aws/trunk-eni-id": "eni-0b",
    "kubernetes.io/cluster/blue": "owned",
}
CILIUM_TAGS = {"io.cilium/cilium-managed": "true", "io.cilium/cluster-name": "blue"}


def eni(
    kind: str = "interface",
    description: str = "",
    *,
    tags: dict[str, str] | None = None,
    instance: str | None = None,
    requester: str = "",
    status: str = "in-use",
) -> dict[str, Any]:
    return {
        "SubnetId": "subnet-1",
        "InterfaceType": kind,
        "Description": description,
        "RequesterId": requester,
        "Status": status,
        "Attachment": {"InstanceId": instance} if instance else {"AttachmentId": "ela-attach-1"},
        "TagSet": [{"Key": key, "Value": value} for key, value in (tags or {}).items()],
        "PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.9", "Primary": True}],
    }


@pytest.mark.parametrize(
    ("raw", "holder"),
    [
        (eni(description="aws-K8S-i-0a"), Holder.CNI),
        (eni(tags=CNI_TAGS, instance="i-0a"), Holder.CNI),
        (eni("branch", "aws-k8s-branch-eni", tags=BRANCH_TAGS), Holder.CNI),
        (eni("trunk", "aws-k8s-trunk-eni", instance="i-0a"), Holder.CNI),
        (eni(tags=CILIUM_TAGS, instance="i-0a"), Holder.CILIUM),
        (eni(description="Cilium-CNI (i-0a)", status="available"), Holder.CILIUM),
        (eni(description="ELB app/web/0123", requester="amazon-elb"), Holder.LOAD_BALANCER),
        (eni(requester="amazon-elb"), Holder.LOAD_BALANCER),
        (eni("network_load_balancer", "ELB net/web/0123"), Holder.LOAD_BALANCER),
        (eni("gateway_load_balancer"), Holder.LOAD_BALANCER),
        (eni("vpc_endpoint", "VPC Endpoint Interface vpce-0a"), Holder.VPC_ENDPOINT),
        (eni("gateway_load_balancer_endpoint"), Holder.VPC_ENDPOINT),
        (eni("lambda", "AWS Lambda VPC ENI-f-0a"), Holder.LAMBDA),
        (eni(description="AWS Lambda VPC ENI: x"), Holder.LAMBDA),
        (eni(description="RDSNetworkInterface", requester="amazon-rds"), Holder.RDS),
        (eni("nat_gateway", "Interface for NAT Gateway nat-0a"), Holder.NAT_GATEWAY),
        (eni("natGateway"), Holder.NAT_GATEWAY),
        (eni(description="EFS mount target for fs-0a (fsmt-0b)"), Holder.EFS),
        (eni(description="Amazon EKS blue"), Holder.CONTROL_PLANE),
        (eni(description="arn:aws-cn:ecs:cn-north-1:1:attachment/0a"), Holder.FARGATE),
        (eni(instance="i-0a"), Holder.INSTANCE),
        (eni("efa", "my own", instance="i-0a"), Holder.INSTANCE),
        (eni(status="available"), Holder.UNATTACHED),
        (eni("transit_gateway", "Network Interface for Transit Gateway"), Holder.OTHER),
        (eni(description="ElastiCache redis-0", requester="amazon-elasticache"), Holder.OTHER),
    ],
)
def test_who_holds_an_eni_is_told_by_what_it_shows(raw: dict[str, Any], holder: Holder) -> None:
    assert read_interface(raw).facts.holder is holder


@pytest.mark.parametrize(
    ("raw", "instance_id", "cluster"),
    [
        (eni(tags=CNI_TAGS, instance="i-0b"), "i-0b", "blue"),
        (eni(tags=CNI_TAGS, status="available"), "i-0a", "blue"),
        (eni(description="aws-K8S-i-0c", status="available"), "i-0c", ""),
        (eni(description="Cilium-CNI (i-0d)", tags=CILIUM_TAGS), "i-0d", "blue"),
        (eni("branch", tags=BRANCH_TAGS), "", "blue"),
        (eni(instance="i-0e", tags={"kubernetes.io/cluster/red": "owned"}), "i-0e", "red"),
        (eni(instance="i-0e", tags={"kubernetes.io/cluster/red": "shared"}), "i-0e", ""),
        (eni(), "", ""),
    ],
)
def test_its_instance_and_cluster_are_told_by_attachment_tags_and_description(
    raw: dict[str, Any], instance_id: str, cluster: str
) -> None:
    facts = read_interface(raw).facts
    assert (facts.instance_id, facts.cluster) == (instance_id, cluster)


def test_the_addresses_of_prefixes_are_counted_one_by_one() -> None:
    raw = eni() | {
        "PrivateIpAddresses": [
            {"PrivateIpAddress": "10.0.0.9", "Primary": True},
            {"PrivateIpAddress": "10.0.0.7", "Primary": False},
        ],
        "Ipv4Prefixes": [{"Ipv4Prefix": "10.0.0.32/28"}],
    }
    listed = read_interface(raw)
    assert (listed.facts.secondaries, listed.facts.prefixes) == (1, 1)
    assert listed.facts.addresses == len(listed.addresses) == 18
    told = {str(IPv4Address(address)) for address in listed.addresses}
    assert told == {"10.0.0.9", "10.0.0.7", *(f"10.0.0.{n}" for n in range(32, 48))}


def test_only_branch_enis_are_a_pods_own() -> None:
    assert read_interface(eni("branch", tags=BRANCH_TAGS)).facts.for_pod
    assert not read_interface(eni("trunk", instance="i-0a")).facts.for_pod


def test_an_eni_without_anything_but_its_subnet_can_be_read() -> None:
    facts = read_interface({"SubnetId": "subnet-1"}).facts
    assert (facts.holder, facts.addresses) == (Holder.OTHER, 1)
