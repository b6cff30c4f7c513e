"""Questions to EC2, answered in the calling thread, with errors that a person can act on.

Rights needed: ec2:DescribeInstances, ec2:DescribeSubnets, ec2:DescribeInstanceTypes. Messages are
written here and never taken from AWS, whose own name accounts, roles and ARNs.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ippolicy import __version__
from ippolicy.errors import EC2Unavailable
from ippolicy.facts import InstanceLimits, SubnetFacts, SubnetSelection
from ippolicy.observe.settings import ObserveSettings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeInfoTypeDef, SubnetTypeDef

FILTER_VALUES_MAX = 200
TYPES_PER_CALL = 100
_METHODS = {
    "DescribeInstances": "describe_instances",
    "DescribeSubnets": "describe_subnets",
    "DescribeInstanceTypes": "describe_instance_types",
}
_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_BAD_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_THROTTLED = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled"}
_UNKNOWN_TYPE = {"InvalidInstanceType", "InvalidParameterValue"}


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
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    interfaces = instance.get("NetworkInterfaces", ())
                    found[instance["InstanceId"]] = frozenset(
                        eni["SubnetId"] for eni in interfaces if eni.get("SubnetId")
                    )
        return found

    def subnets(self, ids: Collection[str]) -> dict[str, SubnetFacts]:
        """Subnet id -> facts; subnets that are gone are missing."""
        found: dict[str, SubnetFacts] = {}
        for page in self._filtered("DescribeSubnets", "Subnets", "subnet-id", ids):
            for raw in page["Subnets"]:
                found |= _subnet(raw, self._clock())
        return found

    def selected_subnets(self, selection: SubnetSelection) -> dict[str, SubnetFacts]:
        """Subnet id -> facts of the subnets that have all ids and tags of a selection."""
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in selection.tags]
        if selection.ids:
            filters.append({"Name": "subnet-id", "Values": list(selection.ids)})
        found: dict[str, SubnetFacts] = {}
        for page in self._pages("DescribeSubnets", "Subnets", Filters=filters):
            for raw in page["Subnets"]:
                found |= _subnet(raw, self._clock())
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

    def _ask_types(
        self, names: Sequence[str], found: dict[str, InstanceLimits], unknown: set[str]
    ) -> None:
        """Ask for `names` at once; one that EC2 refuses is found by halving."""
        try:
            pages = self._pages("DescribeInstanceTypes", "InstanceTypes", InstanceTypes=list(names))
            answered = {
                raw["InstanceType"]: _limits(raw) for p in pages for raw in p["InstanceTypes"]
            }
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
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        token: str | None = None
        while True:
            more = {"NextToken": token} if token else {}
            self.calls[operation] += 1
            try:
                ask = getattr(self._connected(), _METHODS[operation])
                page = ask(**params, **more)
            except (BotoCoreError, ClientError, ResponseParserError, ValueError) as error:
                raise self._explained(operation, error) from error
            if member not in page:
                raise self._explained(operation, ValueError(f"no {member}"))
            yield page
            token = page.get("NextToken")
            if not token:
                return

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


def explain(operation: str, error: Exception) -> EC2Unavailable:
    """An error of botocore, as reason and fix, without any words of AWS's own."""
    from botocore import exceptions as raised
    from botocore.parsers import ResponseParserError

    if isinstance(error, raised.ClientError):
        return _explain_answer(operation, error)
    if isinstance(error, raised.NoRegionError):
        return EC2Unavailable(
            "EC2 cannot be asked without a region: set AWS_REGION", reason="NoRegion"
        )
    if isinstance(
        error,
        raised.NoCredentialsError
        | raised.PartialCredentialsError
        | raised.CredentialRetrievalError
        | raised.ProfileNotFound
        | raised.TokenRetrievalError,
    ):
        return EC2Unavailable(
            "EC2 cannot be asked without AWS credentials: give the operator's service account an "
            "IAM role (EKS Pod Identity or IRSA), or set AWS_PROFILE",
            reason="NoCredentials",
        )
    if isinstance(error, raised.ConnectTimeoutError | raised.ReadTimeoutError):
        return EC2Unavailable(
            f"EC2 did not answer {operation} in time: check the route to EC2 or its VPC endpoint",
            reason="Timeout",
        )
    if isinstance(
        error, ResponseParserError | ValueError | raised.InvalidEndpointConfigurationError
    ):
        where = "AWS_ENDPOINT_URL" if "AWS_ENDPOINT_URL" in os.environ else "the EC2 endpoint"
        return EC2Unavailable(
            f"{where} does not answer {operation} as EC2 does: check what is there",
            reason="Garbage",
        )
    return EC2Unavailable(
        f"EC2 cannot be reached for {operation} ({type(error).__name__}): check the route to EC2, "
        "its VPC endpoint, AWS_REGION and AWS_ENDPOINT_URL",
        reason="Unreachable",
    )


def _explain_answer(operation: str, error: Any) -> EC2Unavailable:
    code = str(error.response.get("Error", {}).get("Code") or "Unknown")
    if code in _DENIED:
        permission = f"ec2:{operation}"
        return EC2Unavailable(
            f"EC2 refused {operation}: allow {permission} in the operator's IAM role",
            reason="AccessDenied",
            permission=permission,
        )
    if code in _BAD_CREDENTIALS:
        return EC2Unavailable(
            f"EC2 refused the AWS credentials ({code}): renew them, or check the IAM role",
            reason="BadCredentials",
        )
    if code in _THROTTLED:
        return EC2Unavailable(
            f"EC2 throttled {operation}: it will be asked again; check what else calls EC2 in "
            "this account and region",
            reason="Throttled",
        )
    return EC2Unavailable(
        f"EC2 answered {operation} with {code}: it will be asked again", reason=code
    )


def _chunks(values: Collection[str], size: int) -> Iterator[list[str]]:
    ordered = sorted(set(values))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _subnet(raw: SubnetTypeDef, read_at_s: float) -> dict[str, SubnetFacts]:
    """A subnet by its id; nothing for one that has IPv6 only, whose addresses never run out."""
    cidr = raw.get("CidrBlock")
    if not cidr:
        return {}
    facts = SubnetFacts(
        subnet_id=raw["SubnetId"],
        zone=raw.get("AvailabilityZone", ""),
        cidr=cidr,
        size=ipaddress.ip_network(cidr).num_addresses,
        free=int(raw["AvailableIpAddressCount"]),
        read_at_s=read_at_s,
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
    )
