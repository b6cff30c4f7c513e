"""What a node's instance type allows."""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.errors import ModelError

ADDRESSES_PER_PREFIX = 16


@dataclass(frozen=True, slots=True)
class NodeShape:
    """The limits of one node, as `DescribeInstanceTypes` and the Node's capacity give them.

    `eni_limit` counts ENIs of the default network card, `addresses_per_eni` includes each ENI's
    own primary address, `max_pods` is Node.status.capacity.pods.
    """

    instance_type: str
    eni_limit: int
    addresses_per_eni: int
    max_pods: int
    prefix_capable: bool = True
    trunk_capable: bool = False

    def __post_init__(self) -> None:
        if self.eni_limit < 1 or self.addresses_per_eni < 1 or self.max_pods < 0:
            raise ModelError(
                f"{self.instance_type}: {self.eni_limit} ENIs of {self.addresses_per_eni} addresses"
                f" and {self.max_pods} pods are no node: give at least 1, 1 and 0"
            )

    @property
    def slots(self) -> int:
        """Secondary addresses, or /28 prefixes, that one ENI can carry."""
        return self.addresses_per_eni - 1
