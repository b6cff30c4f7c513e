"""Questions to EC2, answered in the calling thread, with errors that a person can act on.

Rights needed: ec2:DescribeInstances, ec2:DescribeSubnets, ec2:DescribeInstanceTypes; for the split
of subnets ec2:DescribeNetworkInterfaces, for room for prefixes ec2:GetSubnetCidrReservations.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ippolicy import __version__
from ippolicy.errors import EC2Unavailable
from ippolicy.facts import CidrReservation, InstanceLimits, SubnetFacts, SubnetSelection
from ippolicy.observe.ec2_errors import explain
from ippolicy.observe.interfaces import Listed, read_interface
from ippolicy.observe.settings import ObserveSettings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        InstanceTypeDef,
        InstanceTypeInfoTypeDef,
        SubnetCidrReservationTypeDef,
        SubnetTypeDef,
    )

FILTER_VALUES_MAX = 200
TYPES_PER_CALL = 100
INTERFACES_PER_CALL = 1000
PAGES_MAX = 1000
"""Of one answer: EC2 has some hundred objects on a page, so this is far beyond any account."""
ROLE_TAG = "kubernetes.io/role/cni"
KEPT_FOR_TAG = "cni.networking.k8s.aws/cluster/"
OPERATIONS = {
    "DescribeInstances": "describe_instances",
    "DescribeSubnets": "describe_subnets",
    "DescribeInstanceTypes": "describe_instance_types",
    "DescribeNetworkInterfaces": "describe_network_interfaces",
    "GetSubnetCidrReservations": "get_subnet_cidr_reservations",
}
"""Every action that is asked of EC2, with its name in boto3."""
_UNKNOWN_TYPE = {"InvalidInstanceType", "InvalidParameterValue"}


@dataclass(frozen=True, slots=True)
class InterfacePage:
    """Some of the ENIs asked for, and the token of the next page; None on the last."""

    interfaces: tuple[Listed, ...]
    token: str | None


class Questions(Protocol):
    """What `Ec2Facts` asks; all methods block and raise EC2Unavailable."""

    calls: Counter[str]
    errors: Counter[str]

    def subnets_of_instances(self, ids: Collection[str]) -> dict[str, frozenset[str]]:
        """Instance id -> ids of the subnets of its ENIs; instances that are gone are missing."""
        ...

    def subnets(self, ids: Collection[str]) -> dict[str, SubnetFacts]:
        """Subnet id -> facts; subnets that are gone are missing."""
        ...

    def selected_subnets(self, selection: SubnetSelection) -> dict[str, SubnetFacts]:
        """Subnet id -> facts of the subnets that have all ids and tags of a selection."""
        ...

    def instance_types(
        self, names: Collection[str]
    ) -> tuple[dict[str, InstanceLimits], frozenset[str]]:
        """Limits of the types that EC2 knows, and the names of those that it does not."""
        ...

    def role_subnets(self, vpcs: Collection[str]) -> dict[str, SubnetFacts]:
        """Subnet id -> facts of the subnets of some VPCs that have the tag of a CNI's role."""
        ...

    def interfaces(self, subnets: Collection[str], token: str | None) -> InterfacePage:
        """One page of all ENIs in at most `FILTER_VALUES_MAX` subnets: one call."""
        ...

    def reservations(self, subnet_id: str) -> tuple[CidrReservation, ...]:
        """The IPv4 CIDR reservations of a subnet; none of one that is gone."""
        ...


class Ec2Client:
    """`Questions` through boto3. `calls` counts requests by operation, `errors` by reason.

    boto3 is imported and the client made at the first question, so that neither holds up a start.
    """

    def __init__(
        self, settings: ObserveSettings, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._settings = settings
        self._clock = clock
        self._client: EC2Client | None = None

    def subnets_of_instances(self, ids: Collection[str]) -> dict[str, frozenset[str]]:
        """Instance id -> ids of the subnets of its ENIs; instances that are gone are missing."""
        found: dict[str, frozenset[str]] = {}
        # As a filter, since one id that is gone would refuse the whole question otherwise.
        for page in self._filtered("DescribeInstances", "Reservations", "instance-id", ids):
            with self._sound("DescribeInstances"):
                for reservation in page["Reservations"]:
                    found |= map(_subnets_of, reservation["Instances"])
        return found

    def subnets(self, ids: Collection[str]) -> dict[str, SubnetFacts]:
        """Subnet id -> facts; subnets that are gone are missing."""
        found: dict[str, SubnetFacts] = {}
        for page in self._filtered("DescribeSubnets", "Subnets", "subnet-id", ids):
            found |= self._read_subnets(page)
        return found

    def selected_subnets(self, selection: SubnetSelection) -> dict[str, SubnetFacts]:
        """Subnet id -> facts of the subnets that have all ids and tags of a selection."""
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in selection.tags]
        if selection.ids:
            filters.append({"Name": "subnet-id", "Values": list(selection.ids)})
        found: dict[str, SubnetFacts] = {}
        for page in self._pages("DescribeSubnets", "Subnets", Filters=filters):
            found |= self._read_subnets(page)
        return found

    def instance_types(
        self, names: Collection[str]
    ) -> tuple[dict[str, InstanceLimits], frozenset[str]]:
        """Limits of the types that EC2 knows, and the names of those that it does not."""
        found: dict[str, InstanceLimits] = {}
        unknown: set[str] = set()
        for chunk in _chunks(names, TYPES_PER_CALL):
            self._ask_types(chunk, found, unknown)
        return found, frozenset(unknown)

    def role_subnets(self, vpcs: Collection[str]) -> dict[str, SubnetFacts]:
        """Subnet id -> facts of the subnets of some VPCs that have the tag of a CNI's role."""
        found: dict[str, SubnetFacts] = {}
        for chunk in _chunks(vpcs, FILTER_VALUES_MAX):
            filters = [
                {"Name": "vpc-id", "Values": chunk},
                {"Name": "tag-key", "Values": [ROLE_TAG]},
            ]
            for page in self._pages("DescribeSubnets", "Subnets", Filters=filters):
                found |= self._read_subnets(page)
        return found

    def interfaces(self, subnets: Collection[str], token: str | None) -> InterfacePage:
        """One page of all ENIs in at most `FILTER_VALUES_MAX` subnets: one call."""
        page = self._page(
            "DescribeNetworkInterfaces",
            "NetworkInterfaces",
            token,
            Filters=[{"Name": "subnet-id", "Values": sorted(subnets)}],
            MaxResults=INTERFACES_PER_CALL,
        )
        with self._sound("DescribeNetworkInterfaces"):
            listed = tuple(read_interface(raw) for raw in page["NetworkInterfaces"])
        return InterfacePage(listed, page.get("NextToken") or None)

    def reservations(self, subnet_id: str) -> tuple[CidrReservation, ...]:
        """The IPv4 CIDR reservations of a subnet; none of one that is gone."""
        found: list[CidrReservation] = []
        member = "SubnetIpv4CidrReservations"
        try:
            for page in self._pages("GetSubnetCidrReservations", member, SubnetId=subnet_id):
                with self._sound("GetSubnetCidrReservations"):
                    found += map(_reservation, page[member])
        except EC2Unavailable as error:
            if error.reason != "InvalidSubnetID.NotFound":
                raise
        return tuple(found)

    def _ask_types(
        self, names: Sequence[str], found: dict[str, InstanceLimits], unknown: set[str]
    ) -> None:
        """Ask for `names` at once; one that EC2 refuses is found by halving."""
        try:
            pages = self._pages("DescribeInstanceTypes", "InstanceTypes", InstanceTypes=list(names))
            answered: dict[str, InstanceLimits] = {}
            for page in pages:
                with self._sound("DescribeInstanceTypes"):
                    answered |= (
                        (raw["InstanceType"], _limits(raw)) for raw in page["InstanceTypes"]
                    )
        except EC2Unavailable as error:
            if error.reason not in _UNKNOWN_TYPE:
                raise
            if len(names) == 1:
                unknown.update(names)
                return
            middle = len(names) // 2
            self._ask_types(names[:middle], found, unknown)
            self._ask_types(names[middle:], found, unknown)
            return
        found |= answered
        unknown.update(set(names) - set(answered))

    def _filtered(
        self, operation: str, member: str, name: str, values: Collection[str]
    ) -> Iterator[Mapping[str, Any]]:
        for chunk in _chunks(values, FILTER_VALUES_MAX):
            yield from self._pages(operation, member, Filters=[{"Name": name, "Values": chunk}])

    def _pages(self, operation: str, member: str, **params: Any) -> Iterator[Mapping[str, Any]]:
        """Every page of one question, each with `member`; raises EC2Unavailable."""
        token: str | None = None
        for _ in range(PAGES_MAX):
            page = self._page(operation, member, token, **params)
            yield page
            former, token = token, page.get("NextToken")
            if not token:
                return
            if token == former:
                break
        raise self._explained(operation, ValueError("pages without an end"))

    def _page(
        self, operation: str, member: str, token: str | None, **params: Any
    ) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        more = {"NextToken": token} if token else {}
        self.calls[operation] += 1
        try:
            ask = getattr(self._connected(), OPERATIONS[operation])
            page: Mapping[str, Any] = ask(**params, **more)
        except (BotoCoreError, ClientError, ResponseParserError, ValueError) as error:
            raise self._explained(operation, error) from error
        if member not in page:
            raise self._explained(operation, ValueError(f"no {member}"))
        return page

    def _read_subnets(self, page: Mapping[str, Any]) -> dict[str, SubnetFacts]:
        found: dict[str, SubnetFacts] = {}
        with self._sound("DescribeSubnets"):
            for raw in page["Subnets"]:
                found |= _subnet(raw, self._clock())
        return found

    @contextmanager
    def _sound(self, operation: str) -> Iterator[None]:
        """Whatever an answer lacks, or has in a form that it never has, is an answer of no EC2."""
        try:
            yield
        except (KeyError, ValueError) as error:
            raise self._explained(operation, ValueError("not what EC2 answers")) from error

    def _connected(self) -> EC2Client:
        if self._client is None:
            import boto3
            from botocore.config import Config

            config = Config(
                connect_timeout=self._settings.ec2_timeout_s / 2,
                read_timeout=self._settings.ec2_timeout_s,
                retries={"mode": "adaptive", "total_max_attempts": self._settings.ec2_attempts},
                user_agent_extra=f"ippolicy-operator/{__version__}",
            )
            # boto3 itself reads AWS_DEFAULT_REGION only; EKS and other SDKs say AWS_REGION.
            region = os.environ.get("AWS_REGION") or None
            self._client = boto3.session.Session(region_name=region).client("ec2", config=config)
        return self._client

    def _explained(self, operation: str, error: Exception) -> EC2Unavailable:
        explained = explain(operation, error)
        self.errors[explained.reason] += 1
        if explained.reason in {"NoCredentials", "BadCredentials"}:
            self._client = None  # credentials given later are only seen by a new client
        return explained


def _chunks(values: Collection[str], size: int) -> Iterator[list[str]]:
    ordered = sorted(set(values))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _subnets_of(raw: InstanceTypeDef) -> tuple[str, frozenset[str]]:
    """An instance's id, and the subnets of its ENIs."""
    interfaces = raw.get("NetworkInterfaces", ())
    return raw["InstanceId"], frozenset(
        eni["SubnetId"] for eni in interfaces if eni.get("SubnetId")
    )


def _reservation(raw: SubnetCidrReservationTypeDef) -> CidrReservation:
    """A CIDR reservation; raises ValueError where its range is none."""
    return CidrReservation(
        str(ipaddress.IPv4Network(raw["Cidr"])), raw["ReservationType"] == "prefix"
    )


def _subnet(raw: SubnetTypeDef, read_at_s: float) -> dict[str, SubnetFacts]:
    """A subnet by its id; nothing for one that has IPv6 only, whose addresses never run out."""
    cidr = raw.get("CidrBlock")
    if not cidr:
        return {}
    tags = {tag["Key"]: tag["Value"] for tag in raw.get("Tags", ())}
    facts = SubnetFacts(
        subnet_id=raw["SubnetId"],
        zone=raw.get("AvailabilityZone", ""),
        cidr=cidr,
        size=ipaddress.ip_network(cidr).num_addresses,
        free=int(raw["AvailableIpAddressCount"]),
        read_at_s=read_at_s,
        vpc_id=raw.get("VpcId", ""),
        cni_role=tags.get(ROLE_TAG, ""),
        clusters=tuple(
            sorted(k.removeprefix(KEPT_FOR_TAG) for k in tags if k.startswith(KEPT_FOR_TAG))
        ),
    )
    return {facts.subnet_id: facts}


def _limits(raw: InstanceTypeInfoTypeDef) -> InstanceLimits:
    network = raw["NetworkInfo"]
    default = network.get("DefaultNetworkCardIndex", 0)
    cards = {card["NetworkCardIndex"]: card for card in network.get("NetworkCards", ())}
    # MaximumNetworkInterfaces sums up all cards; the pool that is tuned is the default card's.
    enis = cards[default]["MaximumNetworkInterfaces"] if default in cards else None
    return InstanceLimits(
        instance_type=raw["InstanceType"],
        enis=int(enis or network["MaximumNetworkInterfaces"]),
        addresses_per_eni=int(network["Ipv4AddressesPerInterface"]),
        nitro=raw.get("Hypervisor") == "nitro" or bool(raw.get("BareMetal")),
        vcpus=raw.get("VCpuInfo", {}).get("DefaultVCpus"),
    )
