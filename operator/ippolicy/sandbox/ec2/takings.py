"""Taking addresses from a subnet for one call: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network

from ippolicy.sandbox.ec2 import errors
from ippolicy.sandbox.ec2.addresses import BLOCK, NotFree, OutOfAddresses, OutOfBlocks
from ippolicy.sandbox.ec2.errors import Ec2CallError
from ippolicy.sandbox.ec2.records import SubnetRecord


class Takings:
    """What one call has taken of a subnet so far; all of it goes back if the call fails."""

    def __init__(self, subnet: SubnetRecord) -> None:
        self._subnet = subnet
        self._space = subnet.space
        self._addresses: list[int] = []
        self._blocks: list[int] = []

    def __enter__(self) -> Takings:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is not None:
            for address in self._addresses:
                self._space.give_back_address(address)
            for first in self._blocks:
                self._space.give_back_block(first)

    def pick_addresses(self, count: int) -> list[int]:
        try:
            picked = self._space.pick_addresses(count)
        except OutOfAddresses:
            raise errors.no_free_addresses() from None
        self._addresses += picked
        return picked

    def pick_blocks(self, count: int, shortage: Callable[[], Ec2CallError]) -> list[int]:
        try:
            picked = self._space.pick_blocks(count)
        except OutOfBlocks:
            raise shortage() from None
        self._blocks += picked
        return picked

    def named_addresses(self, texts: Sequence[str]) -> list[int]:
        named = [address_of(text) for text in texts]
        for address, text in zip(named, texts, strict=True):
            if address not in self._space:
                raise errors.invalid(
                    f"Address {text} does not fall within the subnet's address range"
                )
            try:
                self._space.take_address(address)
            except NotFree:
                raise Ec2CallError("InvalidIPAddress.InUse", f"Address {text} is in use.") from None
            self._addresses.append(address)
        return named

    def named_blocks(self, texts: Sequence[str]) -> list[int]:
        named = [block_of(text) for text in texts]
        for first, text in zip(named, texts, strict=True):
            if first not in self._space:
                raise errors.invalid(f"Prefix {text} does not fall within the subnet's range")
            try:
                self._space.take_block(first)
            except NotFree:
                raise errors.no_free_blocks() from None
            self._blocks.append(first)
        return named


def address_of(text: str) -> int:
    try:
        return int(IPv4Address(text))
    except ValueError as cause:
        raise Ec2CallError("InvalidParameterValue", f"Invalid IPv4 address: {text}") from cause


def block_of(text: str) -> int:
    """First address of a /28 written as `10.0.0.16/28`."""
    try:
        block = IPv4Network(text)
    except ValueError as cause:
        raise errors.invalid(f"Invalid IPv4 prefix: {text}") from cause
    if block.num_addresses != BLOCK:
        raise errors.invalid(f"Invalid IPv4 prefix: {text}: its length must be 28")
    return int(block.network_address)
