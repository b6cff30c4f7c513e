"""Laying out a network before a test or demo: no faults, no counting, just facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ippolicy.sandbox.ec2 import interfaces
from ippolicy.sandbox.ec2.model import Instance, Interface, Reservation, Subnet
from ippolicy.sandbox.ec2.network import Network
from ippolicy.sandbox.ec2.records import InterfaceRecord

SERVICE_ACCOUNT_ID = "444455556666"


@dataclass(frozen=True, slots=True)
class _Service:
    """How the ENIs of a service look; `{id}` in the description is a new id behind `prefix`."""

    description: str
    interface_type: str = "interface"
    requester_id: str = SERVICE_ACCOUNT_ID
    prefix: str = ""


_SERVICES = {
    "vpc-endpoint": _Service("VPC Endpoint Interface {id}", "vpc_endpoint", prefix="vpce"),
    "lambda": _Service("AWS Lambda VPC ENI-{id}", "lambda", prefix="function"),
    "rds": _Service("RDSNetworkInterface", requester_id="amazon-rds"),
    "nat-gateway": _Service("Interface for NAT Gateway {id}", "nat_gateway", prefix="nat"),
    "efs": _Service("EFS mount target for {id}", prefix="fs"),
    "fargate": _Service(
        "arn:aws:ecs:us-west-2:" + SERVICE_ACCOUNT_ID + ":attachment/{id}", prefix="task"
    ),
    "elasticache": _Service("ElastiCache {id}", requester_id="amazon-elasticache", prefix="redis"),
}
"""Service -> what its ENIs show, besides load balancers and EKS control planes."""


class Seeding:
    """The part of the stand-in that makes resources directly."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def add_vpc(self, cidr: str, *, tags: Mapping[str, str] | None = None) -> str:
        """A VPC of /16 to /28; gives its id. Raises SandboxError."""
        return self._network.add_vpc(cidr, tags or {}).id

    def add_subnet(
        self,
        cidr: str,
        az: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        vpc_id: str | None = None,
    ) -> Subnet:
        """A subnet of `vpc_id` (the latest VPC by default) in zone `az` (the Region's `a`).

        Raises SandboxError for a block outside the VPC or over another subnet.
        """
        vpc_id = vpc_id or next(reversed(self._network.vpcs), None) or self.add_vpc("10.0.0.0/16")
        zone = az or f"{self._network.region}a"
        return self._network.add_subnet(vpc_id, cidr, zone, tags or {}).view()

    def add_instance(
        self, instance_type: str, subnet_id: str, *, tags: Mapping[str, str] | None = None
    ) -> Instance:
        """A running instance with its primary ENI. Raises Ec2CallError as RunInstances would."""
        with self._network.lock:
            return interfaces.launch(self._network, instance_type, subnet_id, tags or {}).view()

    def terminate_instance(self, instance_id: str) -> None:
        """Ends it; ENIs not set to go with it stay behind, available."""
        interfaces.terminate(self._network, instance_id)

    def add_interface(
        self,
        subnet_id: str,
        *,
        secondary_count: int = 0,
        prefix_count: int = 0,
        addresses: Sequence[str] = (),
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> Interface:
        """An unattached ENI; `addresses`, if given, are its primary and then its secondaries."""
        return self._add(
            subnet_id,
            secondary_count=secondary_count,
            prefix_count=prefix_count,
            addresses=addresses,
            description=description,
            tags=tags,
        ).view()

    def add_load_balancer(self, subnet_id: str, name: str, *, kind: str = "app") -> Interface:
        """The ENI that an `app` or `net` load balancer holds in a subnet."""
        interface = self._add(
            subnet_id,
            description=f"ELB {kind}/{name}/{self._network.new_id('lb')[3:19]}",
            interface_type="network_load_balancer" if kind == "net" else "interface",
            requester_id="amazon-elb",
            requester_managed=True,
        )
        interfaces.attach_to_service(self._network, interface, "amazon-elb")
        return interface.view()

    def add_control_plane_interface(self, subnet_id: str, cluster: str) -> Interface:
        """The ENI by which an EKS control plane reaches into the VPC."""
        interface = self._add(
            subnet_id,
            description=f"Amazon EKS {cluster}",
            requester_id=f"AROA{SERVICE_ACCOUNT_ID}:AmazonEKS",
            requester_managed=True,
        )
        interfaces.attach_to_service(self._network, interface, SERVICE_ACCOUNT_ID)
        return interface.view()

    def add_service_interface(self, subnet_id: str, service: str) -> Interface:
        """An ENI of another service: vpc-endpoint, lambda, rds, nat-gateway, efs, fargate or
        elasticache."""
        shown = _SERVICES[service]
        interface = self._add(
            subnet_id,
            description=shown.description.format(id=self._network.new_id(shown.prefix)),
            interface_type=shown.interface_type,
            requester_id=shown.requester_id,
            requester_managed=True,
        )
        interfaces.attach_to_service(self._network, interface, shown.requester_id)
        return interface.view()

    def add_branch_interface(self, subnet_id: str, cluster: str) -> Interface:
        """The ENI of a pod with security groups of its own, as the resource controller makes it."""
        interface = self._add(
            subnet_id,
            description="aws-k8s-branch-eni",
            tags={
                "eks:eni:owner": "eks-vpc-resource-controller",
                "vpcresources.k8s.aws/trunk-eni-id": self._network.new_id("eni"),
                f"kubernetes.io/cluster/{cluster}": "owned",
            },
            interface_type="branch",
        )
        interfaces.attach_to_service(self._network, interface, self._network.account_id)
        return interface.view()

    def tag(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to an ENI, subnet, instance or VPC."""
        self._network.create_tags([resource_id], tags)

    def attach_interface(self, interface_id: str, instance_id: str, device_index: int) -> None:
        """Put an available ENI on an instance, such as one of another cluster."""
        interfaces.attach(self._network, interface_id, instance_id, device_index=device_index)

    def delete_interface(self, interface_id: str) -> None:
        """Take an unattached or service-held ENI away."""
        with self._network.lock:
            interfaces.release_from_service(self._network, interface_id)
            interfaces.delete(self._network, interface_id)

    def add_reservation(self, subnet_id: str, cidr: str, *, kind: str = "prefix") -> Reservation:
        """A subnet CIDR reservation, `prefix` or `explicit`."""
        return self._network.create_reservation(subnet_id, cidr, kind, "", {})

    def subnet(self, subnet_id: str) -> Subnet:
        """The subnet as it is now; Ec2CallError if there is none."""
        with self._network.lock:
            return self._network.subnet(subnet_id).view()

    def instance(self, instance_id: str) -> Instance:
        """The instance and its ENIs as they are now; Ec2CallError if there is none."""
        with self._network.lock:
            return self._network.instance(instance_id).view()

    def interfaces(self, subnet_id: str | None = None) -> tuple[Interface, ...]:
        """The ENIs of a subnet, or all, oldest first."""
        with self._network.lock:
            held = (
                self._network.interfaces
                if subnet_id is None
                else self._network.subnet(subnet_id).interfaces
            )
            return tuple(interface.view() for interface in held.values())

    def free_blocks(self, subnet_id: str) -> int:
        """Whole free /28s that EC2 could still hand out there; the real EC2 tells nobody."""
        with self._network.lock:
            return self._network.subnet(subnet_id).space.free_blocks

    def _add(
        self,
        subnet_id: str,
        *,
        secondary_count: int = 0,
        prefix_count: int = 0,
        addresses: Sequence[str] = (),
        description: str = "",
        tags: Mapping[str, str] | None = None,
        interface_type: str = "interface",
        requester_id: str = "",
        requester_managed: bool = False,
    ) -> InterfaceRecord:
        return interfaces.create(
            self._network,
            subnet_id,
            secondary_count=secondary_count,
            prefix_count=prefix_count,
            primary=addresses[0] if addresses else None,
            addresses=addresses[1:],
            description=description,
            tags=tags,
            interface_type=interface_type,
            requester_id=requester_id,
            requester_managed=requester_managed,
        )
