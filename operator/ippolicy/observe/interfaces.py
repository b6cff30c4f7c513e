"""ENIs as DescribeNetworkInterfaces shows them, read down to what the split of a subnet needs.

Who holds an ENI, first match first:

    what it shows                                                       holder
    ------------------------------------------------------------------  ------------------------
    tags of the Amazon VPC CNI or its resource controller, description  CNI
      aws-K8S-..., type branch or trunk
    tag io.cilium/cilium-managed, description Cilium-CNI (...)          CILIUM
    a type that only one service has, else the service's description    that service
      or requester
    an instance that it is attached to                                  INSTANCE
    status available                                                    UNATTACHED
    anything else                                                       OTHER
"""

from __future__ import annotations

import ipaddress
import re
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ippolicy.facts import Holder, InterfaceFacts
from ippolicy.facts.subnets import BLOCK

INSTANCE_TAG = "node.k8s.amazonaws.com/instance_id"
CLUSTER_TAGS = ("cluster.k8s.amazonaws.com/name", "io.cilium/cluster-name")
OWNED_TAG = "kubernetes.io/cluster/"
CILIUM_TAG = "io.cilium/cilium-managed"
_CNI_TAGS = (INSTANCE_TAG, CLUSTER_TAGS[0], "eks:eni:owner", "vpcresources.k8s.aws/trunk-eni-id")
_CNI_DESCRIPTION = re.compile(r"aws-K8S-|aws-k8s-(branch|trunk)-eni")
_CILIUM_DESCRIPTION = re.compile(r"Cilium-CNI \(")
_MADE_FOR = re.compile(r"(?:aws-K8S-|Cilium-CNI \()(i-[0-9a-f]+)")
_TYPES = {
    "branch": Holder.CNI,
    "trunk": Holder.CNI,
    "load_balancer": Holder.LOAD_BALANCER,
    "network_load_balancer": Holder.LOAD_BALANCER,
    "gateway_load_balancer": Holder.LOAD_BALANCER,
    "vpc_endpoint": Holder.VPC_ENDPOINT,
    "gateway_load_balancer_endpoint": Holder.VPC_ENDPOINT,
    "lambda": Holder.LAMBDA,
    "nat_gateway": Holder.NAT_GATEWAY,
    "natGateway": Holder.NAT_GATEWAY,
    "efs": Holder.EFS,
}
_REQUESTERS = {"amazon-elb": Holder.LOAD_BALANCER, "amazon-rds": Holder.RDS}
_DESCRIPTIONS = (
    (re.compile(r"ELB "), Holder.LOAD_BALANCER),
    (re.compile(r"VPC Endpoint Interface "), Holder.VPC_ENDPOINT),
    (re.compile(r"AWS Lambda VPC ENI"), Holder.LAMBDA),
    (re.compile(r"RDSNetworkInterface"), Holder.RDS),
    (re.compile(r"Interface for NAT Gateway "), Holder.NAT_GATEWAY),
    (re.compile(r"EFS mount target "), Holder.EFS),
    (re.compile(r"Amazon EKS "), Holder.CONTROL_PLANE),
    (re.compile(r"arn:aws[a-z-]*:ecs:.*:attachment/"), Holder.FARGATE),
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One ENI and all IPv4 addresses that it takes, as integers, those of its prefixes too."""

    facts: InterfaceFacts
    addresses: array[int]


def read_interface(raw: Mapping[str, Any]) -> Listed:
    """One ENI of an answer to DescribeNetworkInterfaces.

    Raises ValueError or KeyError for what is no ENI.
    """
    tags = {tag["Key"]: tag["Value"] for tag in raw.get("TagSet", ())}
    singles = [one["PrivateIpAddress"] for one in raw.get("PrivateIpAddresses", ())]
    prefixes = [one["Ipv4Prefix"] for one in raw.get("Ipv4Prefixes", ())]
    facts = InterfaceFacts(
        subnet_id=sys.intern(raw["SubnetId"]),
        holder=_holder(raw, tags),
        instance_id=sys.intern(_instance_id(raw, tags)),
        cluster=sys.intern(_cluster(tags)),
        secondaries=max(0, len(singles) - 1),
        prefixes=len(prefixes),
        for_pod=raw.get("InterfaceType") == "branch",
    )
    return Listed(facts, array("I", _addresses(singles, prefixes)))


def _addresses(singles: list[str], prefixes: list[str]) -> Iterator[int]:
    yield from (int(ipaddress.IPv4Address(text)) for text in singles)
    for text in prefixes:
        first = int(ipaddress.IPv4Network(text).network_address)
        yield from range(first, first + BLOCK)


def _holder(raw: Mapping[str, Any], tags: Mapping[str, str]) -> Holder:
    kind, description = raw.get("InterfaceType", ""), raw.get("Description", "")
    if any(tag in tags for tag in _CNI_TAGS) or _CNI_DESCRIPTION.match(description):
        return Holder.CNI
    if CILIUM_TAG in tags or _CILIUM_DESCRIPTION.match(description):
        return Holder.CILIUM
    service = _service(kind, description, raw.get("RequesterId", ""))
    if service is not None:
        return service
    if (raw.get("Attachment") or {}).get("InstanceId"):
        return Holder.INSTANCE
    return Holder.UNATTACHED if raw.get("Status") == "available" else Holder.OTHER


def _service(kind: str, description: str, requester: str) -> Holder | None:
    """The service of AWS that an ENI is of, if it is of one."""
    if kind in _TYPES:
        return _TYPES[kind]
    told = (holder for pattern, holder in _DESCRIPTIONS if pattern.match(description))
    return next(told, None) or _REQUESTERS.get(requester)


def _instance_id(raw: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    attached = (raw.get("Attachment") or {}).get("InstanceId")
    if attached:
        return str(attached)
    made_for = _MADE_FOR.match(raw.get("Description", ""))
    return tags.get(INSTANCE_TAG) or (made_for[1] if made_for else "")


def _cluster(tags: Mapping[str, str]) -> str:
    named = next((tags[tag] for tag in CLUSTER_TAGS if tags.get(tag)), "")
    owned = (key for key, value in tags.items() if key.startswith(OWNED_TAG) and value == "owned")
    return named or next(owned, "").removeprefix(OWNED_TAG)
