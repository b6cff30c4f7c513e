"""Questions to EC2 that are answered by tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ippolicy.errors import EC2Unavailable
from ippolicy.facts import CidrReservation, SubnetFacts
from ippolicy.observe.ec2_client import InterfacePage


class WithoutOptionalRights:
    """The part of `Questions` that asks who is in the subnets, with no right to any of it."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def role_subnets(self, vpcs: Collection[str]) -> dict[str, SubnetFacts]:
        return {}

    def interfaces(self, subnets: Collection[str], token: str | None) -> InterfacePage:
        raise denied("ec2:DescribeNetworkInterfaces")

    def reservations(self, subnet_id: str) -> tuple[CidrReservation, ...]:
        raise denied("ec2:GetSubnetCidrReservations")


def denied(permission: str) -> EC2Unavailable:
    return EC2Unavailable(
        f"EC2 refused: allow {permission} in the operator's IAM role",
        reason="AccessDenied",
        permission=permission,
    )
