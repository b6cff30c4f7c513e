"""A counted EC2 for virtual time: subnets are numbers of free addresses, nothing more.

It answers the requests of `ippolicy.ipamd.calls` at once; how long a call takes is
`Latency`'s business.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Final

from ippolicy.ipamd.calls import (
    INSUFFICIENT_CIDR_BLOCKS,
    INSUFFICIENT_FREE_ADDRESSES,
    AssignAddresses,
    AttachedENI,
    AttachInterface,
    CreateInterface,
    CreateTags,
    DeleteInterface,
    DescribeInstances,
    DescribeInterfaces,
    DescribeLeakedInterfaces,
    DescribeSubnets,
    DetachInterface,
    EC2CallError,
    Request,
    Sleep,
    SubnetFact,
    UnassignAddresses,
    WaitForInterface,
)
from ippolicy.ipamd.shape import ADDRESSES_PER_PREFIX

Result = (
    AttachedENI
    | tuple[AttachedENI, ...]
    | tuple[SubnetFact, ...]
    | tuple[int, ...]
    | tuple[str, ...]
    | str
    | None
)

INVALID_PARAMETER: Final = "InvalidParameterValue"
NODE_SUBNET: Final = "subnet-node"


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds that EC2 takes for each call.

    The defaults are those of the three-day runs of the real ipamd that this model is held to:
    assigning 2 s, and 20 s in all for a new ENI (describe 0.2, create 2, describe 0.2, attach
    17.2, modify 0.2, describe 0.2), of which the CNI's own documents say "up to 10 s" for the
    attachment alone. The instance metadata is current at once.
    """

    assign_s: float = 2.0
    create_s: float = 2.0
    attach_s: float = 17.2
    other_s: float = 0.2

    @classmethod
    def none(cls) -> Latency:
        """EC2 that answers at once."""
        return cls(0.0, 0.0, 0.0, 0.0)

    def of(self, request: Request) -> float:
        """Seconds from asking to the answer."""
        if isinstance(request, Sleep):
            return request.seconds
        if request.api_name is None:
            return 0.0
        if isinstance(request, AssignAddresses):
            return self.assign_s
        if isinstance(request, CreateInterface):
            return self.create_s
        return self.attach_s if isinstance(request, AttachInterface) else self.other_s


@dataclass(slots=True)
class CountedSubnet:
    """A subnet with `free` addresses left, every aligned 16 of them a /28 to be had."""

    subnet_id: str
    free: int
    role_tag: str | None = None

    def take(self, addresses: int) -> bool:
        """Take `addresses`; False, and none taken, where fewer are left."""
        if addresses > self.free:
            return False
        self.free -= addresses
        return True


@dataclass(slots=True)
class _Interface:
    eni_id: str
    subnet: CountedSubnet
    charged: bool
    cidrs: list[str]
    device_index: int | None = None
    tagged: bool = True

    def view(self) -> AttachedENI:
        return AttachedENI(
            eni_id=self.eni_id,
            subnet_id=self.subnet.subnet_id,
            device_index=0 if self.device_index is None else self.device_index,
            addresses=tuple(text for text in self.cidrs if "/" not in text),
            prefixes=tuple(text for text in self.cidrs if "/" in text),
            tagged=self.tagged,
        )


class CountedEC2:
    """EC2 as one node sees it: its ENIs and the subnets they draw from.

    The first subnet is the node's own. The primary ENI is there from the start, untagged, and its
    own primary address is not taken from the subnet's count. `calls` and `errors` count by API.
    """

    def __init__(self, subnets: list[CountedSubnet]) -> None:
        self.subnets = {subnet.subnet_id: subnet for subnet in subnets}
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._serial = count(1)
        self._addresses = count(0x0A000000)
        self._blocks = count(0x0B000000, ADDRESSES_PER_PREFIX)
        primary = _Interface("eni-0", subnets[0], charged=False, cidrs=[], device_index=0)
        primary.tagged = False
        self._interfaces = {"eni-0": primary}

    def perform(self, request: Request) -> Result:
        """Carry out one request.

        Raises:
            EC2CallError: a subnet has too few addresses left.
        """
        if request.api_name is not None:
            self.calls[request.api_name] += 1
        try:
            return self._answer(request)
        except EC2CallError:
            if request.api_name is not None:
                self.errors[request.api_name] += 1
            raise

    def _answer(self, request: Request) -> Result:
        match request:
            case CreateInterface():
                return self._create(request)
            case AssignAddresses():
                return self._assign(request)
            case AttachInterface():
                self._interfaces[request.eni_id].device_index = request.device_index
                return f"attach-{request.eni_id}"
            case WaitForInterface():
                return self._interfaces[request.eni_id].view()
            case DescribeInterfaces() | DescribeSubnets() | DescribeInstances():
                return self._describe(request)
            case _:
                self._change(request)
                return () if isinstance(request, DescribeLeakedInterfaces) else None

    def _describe(
        self, request: DescribeInterfaces | DescribeSubnets | DescribeInstances
    ) -> Result:
        if isinstance(request, DescribeSubnets):
            return tuple(SubnetFact(s.subnet_id, s.free, s.role_tag) for s in self.subnets.values())
        attached = [e.view() for e in self._interfaces.values() if e.device_index is not None]
        attached.sort(key=lambda eni: eni.device_index)
        if isinstance(request, DescribeInstances):
            return tuple(eni.device_index for eni in attached)
        return tuple(e for e in attached if not request.eni_ids or e.eni_id in request.eni_ids)

    def _change(self, request: Request) -> None:
        """What leaves nothing to answer; what changes no count here passes."""
        match request:
            case DetachInterface():
                self._interfaces[request.eni_id].device_index = None
            case CreateTags():
                self._interfaces[request.eni_id].tagged = True
            case UnassignAddresses():
                self._unassign(request)
            case DeleteInterface():
                self._delete(request.eni_id)
            case _:
                return

    def _create(self, request: CreateInterface) -> str:
        subnet = self.subnets[request.subnet_id]
        if not subnet.take(1 + _addresses(request.count, prefixes=request.prefixes)):
            no_block = request.prefixes and subnet.free > 0
            code = INVALID_PARAMETER if no_block else INSUFFICIENT_FREE_ADDRESSES
            raise EC2CallError(code, f"{subnet.subnet_id} has {subnet.free} addresses left")
        eni_id = f"eni-{next(self._serial)}"
        cidrs = self._fresh(request.count, prefixes=request.prefixes)
        self._interfaces[eni_id] = _Interface(eni_id, subnet, charged=True, cidrs=list(cidrs))
        return eni_id

    def _assign(self, request: AssignAddresses) -> tuple[str, ...]:
        eni = self._interfaces[request.eni_id]
        if not eni.subnet.take(_addresses(request.count, prefixes=request.prefixes)):
            code = INSUFFICIENT_CIDR_BLOCKS if request.prefixes else INSUFFICIENT_FREE_ADDRESSES
            raise EC2CallError(code, f"{eni.subnet.subnet_id} has {eni.subnet.free} left")
        cidrs = self._fresh(request.count, prefixes=request.prefixes)
        eni.cidrs.extend(cidrs)
        return cidrs

    def _unassign(self, request: UnassignAddresses) -> None:
        eni = self._interfaces[request.eni_id]
        for text in request.cidrs:
            eni.cidrs.remove(text)
        eni.subnet.free += _addresses(len(request.cidrs), prefixes=request.prefixes)

    def _delete(self, eni_id: str) -> None:
        eni = self._interfaces.pop(eni_id)
        prefixes = sum("/" in text for text in eni.cidrs)
        eni.subnet.free += eni.charged + len(eni.cidrs) - prefixes
        eni.subnet.free += _addresses(prefixes, prefixes=True)

    def _fresh(self, number: int, *, prefixes: bool) -> tuple[str, ...]:
        """Addresses or /28s never given out before."""
        if prefixes:
            return tuple(f"{_dotted(next(self._blocks))}/28" for _ in range(number))
        return tuple(_dotted(next(self._addresses)) for _ in range(number))


def _addresses(number: int, *, prefixes: bool) -> int:
    return number * (ADDRESSES_PER_PREFIX if prefixes else 1)


def _dotted(value: int) -> str:
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"
