"""The EC2 calls behind each step of the pool manager, in ipamd's order and with its retries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ippolicy.errors import IPPolicyError
from ippolicy.ipamd.calls import (
    AttachedENI,
    AttachInterface,
    CreateInterface,
    CreateTags,
    DeleteInterface,
    DescribeInstances,
    DescribeInterfaces,
    DescribeSubnets,
    DetachInterface,
    EC2CallError,
    ModifyInterface,
    Request,
    Sleep,
    Steps,
    SubnetFact,
    WaitForInterface,
)

DETACH_SETTLE_S: Final = 2.0
_FREE_ATTEMPTS: Final = 12
_TAG_ATTEMPTS: Final = 5
_LONGEST_PAUSE_S: Final = 60.0
_NOT_FOUND: Final = "InvalidNetworkInterfaceID.NotFound"


class NoSubnetForENI(IPPolicyError):
    """No subnet may take a new ENI: each is excluded by its tags or another cluster's."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where new ENIs go: `own_subnet` is the primary's, `custom_subnet` the ENIConfig's."""

    own_subnet: str
    discovery: bool
    custom_subnet: str | None = None


def is_excluded(subnet_id: str, subnets: tuple[SubnetFact, ...]) -> bool:
    """Whether tags keep pods out of the subnet; one that is not listed is not excluded."""
    fact = next((s for s in subnets if s.subnet_id == subnet_id), None)
    if fact is None or not fact.role_tag:
        return False
    return fact.role_tag == "0" or fact.foreign_cluster


def candidates(subnets: tuple[SubnetFact, ...], own_subnet: str) -> list[SubnetFact]:
    """Subnets that discovery tries for a new ENI: the one with most free addresses first."""
    return [
        subnet
        for subnet in sorted(subnets, key=lambda fact: -fact.free_addresses)
        if (
            subnet.role_tag != "0" and not subnet.foreign_cluster
            if subnet.role_tag
            else subnet.subnet_id == own_subnet
        )
    ]


class EC2:
    """Counts every call by API name, as ipamd's own metrics do, and strings calls together."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.error_codes: Counter[tuple[str, str]] = Counter()

    def call(self, request: Request) -> Steps[Any]:
        """Make one call; its result is what the driver sends.

        Raises:
            EC2CallError: what the driver threw in.
        """
        name = request.api_name
        if name is not None:
            self.calls[name] += 1
        try:
            return (yield request)
        except EC2CallError as error:
            if name is not None:
                self.errors[name] += 1
                self.error_codes[name, error.code] += 1
            raise

    def tag(self, eni_id: str) -> Steps[None]:
        """Put the CNI's tags on an ENI."""
        yield from self._retrying(lambda: CreateTags(eni_id), _TAG_ATTEMPTS, 0.5)

    def make_eni(self, placement: Placement, count: int, *, prefixes: bool) -> Steps[AttachedENI]:
        """Create, attach and wait for an ENI that brings `count` addresses or prefixes.

        An ENI that cannot be attached is deleted again.

        Raises:
            EC2CallError: a call failed for good.
            NoSubnetForENI: no subnet may take it.
        """
        eni_id = yield from self._create(placement, count, prefixes=prefixes)
        try:
            indexes: tuple[int, ...] = yield from self.call(DescribeInstances())
            index = next(i for i in range(len(indexes) + 1) if i not in indexes)
            attachment_id: str = yield from self.call(AttachInterface(eni_id, index))
        except EC2CallError:
            yield from self._delete(eni_id)
            raise
        try:
            yield from self.call(ModifyInterface(eni_id, attachment_id))
        except EC2CallError:
            yield from self.free_eni(eni_id)
            raise
        attached: AttachedENI = yield from self.call(WaitForInterface(eni_id))
        return attached

    def free_eni(self, eni_id: str) -> Steps[bool]:
        """Detach and delete an ENI; False where EC2 would not let go of it."""
        try:
            yield from self.call(DescribeInterfaces((eni_id,)))
        except EC2CallError as error:
            return error.code == _NOT_FOUND
        try:
            yield from self._retrying(lambda: DetachInterface(eni_id), _FREE_ATTEMPTS, 0.2)
        except EC2CallError:
            return False
        yield Sleep(DETACH_SETTLE_S)
        return (yield from self._delete(eni_id))

    def _delete(self, eni_id: str) -> Steps[bool]:
        try:
            yield from self._retrying(lambda: DeleteInterface(eni_id), _FREE_ATTEMPTS, 0.5)
        except EC2CallError as error:
            return error.code == _NOT_FOUND
        return True

    def _retrying(self, make: Callable[[], Request], attempts: int, pause_s: float) -> Steps[None]:
        """Try up to `attempts` times, with pauses that double; ipamd's jitter is left out."""
        for attempt in range(attempts):
            try:
                yield from self.call(make())
            except EC2CallError as error:
                if error.code == _NOT_FOUND or attempt == attempts - 1:
                    raise
                yield Sleep(min(pause_s * 2**attempt, _LONGEST_PAUSE_S))
            else:
                return

    def _create(self, placement: Placement, count: int, *, prefixes: bool) -> Steps[str]:
        if placement.custom_subnet is not None:
            subnets = [placement.custom_subnet]
        else:
            subnets = yield from self._subnets_for_eni(placement)
        failure: EC2CallError | None = None
        for subnet_id in subnets:
            try:
                eni_id: str = yield from self.call(CreateInterface(subnet_id, count, prefixes))
            except EC2CallError as error:
                failure = error
            else:
                return eni_id
        if failure is None:
            raise NoSubnetForENI(
                f"no subnet may take a new ENI: tag one with kubernetes.io/role/cni=1, or lift "
                f"the tag on {placement.own_subnet}"
            )
        raise failure

    def _subnets_for_eni(self, placement: Placement) -> Steps[list[str]]:
        """With discovery every candidate in turn, else the node's own unless it is excluded."""
        own = placement.own_subnet
        try:
            facts: tuple[SubnetFact, ...] = yield from self.call(DescribeSubnets())
        except EC2CallError:
            if not placement.discovery:
                return [own]
            facts = yield from self.call(DescribeSubnets())
            return [] if is_excluded(own, facts) else [own]
        if placement.discovery:
            return [fact.subnet_id for fact in candidates(facts, own)]
        return [] if is_excluded(own, facts) else [own]
