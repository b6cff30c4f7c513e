"""The IPv4 addresses of one subnet: which are free, singly and as whole /28 blocks.

Five are EC2's own (the first four and the last). Reservations set addresses aside:

    reservation | single address picked by EC2 | /28 picked by EC2 | asked for by name
    none        | yes                          | when no reserved  | yes
    prefix      | no                           | first choice      | yes
    explicit    | no                           | no                | yes

EC2 spreads what it picks over the subnet, which is what breaks its /28 blocks; so does this,
with a seeded choice.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from random import Random

BLOCK = 16
RESERVED_BY_EC2 = 5

_FREE, _TAKEN, _EC2 = 0, 1, 2
_OPEN, _FOR_PREFIXES, _FOR_NAMED = 0, 1, 2
_KINDS = {"prefix": _FOR_PREFIXES, "explicit": _FOR_NAMED}


class OutOfAddresses(Exception):
    """Fewer free addresses than asked for; nothing was taken."""


class OutOfBlocks(Exception):
    """Fewer whole free /28 blocks than asked for; nothing was taken."""


class NotFree(Exception):
    """The address or block asked for by name is taken; nothing was taken."""


class _Bag:
    """A set of ints to pick from at random in constant time."""

    def __init__(self) -> None:
        self._items: list[int] = []
        self._place: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: int) -> None:
        if item not in self._place:
            self._place[item] = len(self._items)
            self._items.append(item)

    def discard(self, item: int) -> None:
        place = self._place.pop(item, None)
        if place is None:
            return
        last = self._items.pop()
        if last != item:
            self._items[place] = last
            self._place[last] = place

    def pick(self, rng: Random) -> int:
        return self._items[rng.randrange(len(self._items))]


class AddressSpace:
    """Hands out and takes back the addresses of one subnet; addresses are plain ints."""

    def __init__(self, cidr: IPv4Network, rng: Random) -> None:
        self._rng = rng
        self._base = int(cidr.network_address)
        self._size = cidr.num_addresses
        self._state = bytearray(self._size)
        self._reserved_for = bytearray(self._size)
        self._free_in_block = [BLOCK] * (self._size // BLOCK)
        self._singles = _Bag()
        self._blocks = {_OPEN: _Bag(), _FOR_PREFIXES: _Bag()}
        self.free_addresses = self._size - RESERVED_BY_EC2
        for offset in (0, 1, 2, 3, self._size - 1):
            self._state[offset] = _EC2
            self._free_in_block[offset // BLOCK] -= 1
        for block in range(self._size // BLOCK):
            self._sort_block(block)

    @property
    def free_blocks(self) -> int:
        """Whole free /28 blocks that EC2 could hand out as prefixes."""
        return sum(map(len, self._blocks.values()))

    def __contains__(self, address: int) -> bool:
        return self._base <= address < self._base + self._size

    def pick_addresses(self, count: int) -> list[int]:
        """`count` addresses of EC2's choice; raises OutOfAddresses."""
        if count > len(self._singles):
            raise OutOfAddresses
        picked = []
        for _ in range(count):
            offset = self._singles.pick(self._rng)
            self._take(offset)
            picked.append(self._base + offset)
        return picked

    def pick_blocks(self, count: int) -> list[int]:
        """First addresses of `count` free /28 blocks, reserved ones first; OutOfBlocks."""
        if count > self.free_blocks:
            raise OutOfBlocks
        picked = []
        for _ in range(count):
            bag = self._blocks[_FOR_PREFIXES] or self._blocks[_OPEN]
            first = bag.pick(self._rng) * BLOCK
            for offset in range(first, first + BLOCK):
                self._take(offset)
            picked.append(self._base + first)
        return picked

    def take_address(self, address: int) -> None:
        """This very address; raises NotFree."""
        if self._state[address - self._base] != _FREE:
            raise NotFree
        self._take(address - self._base)

    def take_block(self, first_address: int) -> None:
        """The /28 that starts at this aligned address; raises NotFree."""
        first = first_address - self._base
        if any(self._state[first : first + BLOCK]):
            raise NotFree
        for offset in range(first, first + BLOCK):
            self._take(offset)

    def give_back_address(self, address: int) -> None:
        offset = address - self._base
        self._state[offset] = _FREE
        self.free_addresses += 1
        self._free_in_block[offset // BLOCK] += 1
        if self._reserved_for[offset] == _OPEN:
            self._singles.add(offset)
        if self._free_in_block[offset // BLOCK] == BLOCK:
            self._sort_block(offset // BLOCK)

    def give_back_block(self, first_address: int) -> None:
        for address in range(first_address, first_address + BLOCK):
            self.give_back_address(address)

    def reserve(self, cidr: IPv4Network, kind: str) -> None:
        """Set a range aside as `prefix` or `explicit`; addresses in use stay where they are."""
        self._mark(cidr, _KINDS[kind])

    def unreserve(self, cidr: IPv4Network) -> None:
        self._mark(cidr, _OPEN)

    def _mark(self, cidr: IPv4Network, kind: int) -> None:
        first = int(cidr.network_address) - self._base
        for offset in range(first, first + cidr.num_addresses):
            self._reserved_for[offset] = kind
        for block in range(first // BLOCK, (first + cidr.num_addresses - 1) // BLOCK + 1):
            self._sort_block(block)

    def _take(self, offset: int) -> None:
        self._state[offset] = _TAKEN
        self.free_addresses -= 1
        self._singles.discard(offset)
        block = offset // BLOCK
        self._free_in_block[block] -= 1
        for bag in self._blocks.values():
            bag.discard(block)

    def _sort_block(self, block: int) -> None:
        """Put a block and its addresses into the bags that its state and reservations say."""
        offsets = range(block * BLOCK, block * BLOCK + BLOCK)
        for offset in offsets:
            if self._state[offset] == _FREE and self._reserved_for[offset] == _OPEN:
                self._singles.add(offset)
            else:
                self._singles.discard(offset)
        kinds = {self._reserved_for[offset] for offset in offsets}
        for kind, bag in self._blocks.items():
            if kinds == {kind} and self._free_in_block[block] == BLOCK:
                bag.add(block)
            else:
                bag.discard(block)
