"""What else is in the subnets of a cluster: nodes of other clusters, and services."""

from __future__ import annotations

from typing import Any

from ippolicy.sandbox.ec2 import Ec2StandIn, Instance


def cluster_node(
    ec2: Ec2StandIn, subnet_id: str, cluster: str, *, instance_type: str = "t3.2xlarge", **eni: Any
) -> Instance:
    """A node as the VPC CNI of `cluster` leaves it: its first ENI tagged, and a second as given."""
    made = ec2.add_instance(instance_type, subnet_id)
    tags = {
        "node.k8s.amazonaws.com/instance_id": made.id,
        "cluster.k8s.amazonaws.com/name": cluster,
    }
    ec2.tag(made.interfaces[0].id, tags)
    description = f"aws-K8S-{made.id}"
    second = ec2.add_interface(subnet_id, tags=tags, description=description, **eni)
    ec2.attach_interface(second.id, made.id, 1)
    return ec2.instance(made.id)
