"""Room for prefixes, held against a walk over every single address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, pool, snapshot
from ippolicy.decide.subnets.room import room, rooms
from ippolicy.facts import (
    CidrReservation,
    Holder,
    InstanceUse,
    InterfaceFacts,
    PoolCounters,
    PrefixRoom,
    SubnetFacts,
    SubnetInventory,
)
from ippolicy.facts.subnets import used_bits


def subnet(cidr: str) -> SubnetFacts:
    return SubnetFacts("subnet-0", "a", cidr, IPv4Network(cidr).num_addresses, 0, NOW_S)


def bits(cidr: str, *addresses: str) -> bytes:
    return used_bits(cidr, (int(IPv4Address(address)) for address in addresses))


def walk(cidr: str, used: set[int], reservations: list[CidrReservation]) -> PrefixRoom:
    """The same by looking at each address for itself."""
    network = IPv4Network(cidr)
    own = {*list(network)[:4], network[-1]}
    ranges = [(IPv4Network(r.cidr), r.for_prefixes) for r in reservations]

    def free(address: IPv4Address) -> bool:
        explicit = any(address in block for block, prefix in ranges if not prefix)
        return address not in own and int(address) not in used and not explicit

    def kept(address: IPv4Address) -> bool:
        return any(address in block for block, prefix in ranges if prefix)

    blocks = [list(block) for block in network.subnets(new_prefix=28)]
    whole = [block for block in blocks if all(map(free, block))]
    return PrefixRoom(
        subnet_id="subnet-0",
        free_addresses=sum(map(free, network)),
        free_singly=sum(free(address) and not kept(address) for address in network),
        free_blocks=len(whole),
        reserved_blocks=sum(all(map(kept, block)) for block in whole),
        read_at_s=0.0,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, set[int], list[CidrReservation]]:
    length = draw(st.integers(22, 28))
    network = IPv4Network(("10.0.0.0", length))
    step = draw(st.sampled_from([1, 3, 16, 37]))
    offsets = draw(st.sets(st.integers(0, network.num_addresses - 1), max_size=40))
    dense = set(range(0, network.num_addresses, step)) if draw(st.booleans()) else set()
    parts = [
        IPv4Network((first, size)) for size in (26, 27, 28, 30) for first in list(network)[::64]
    ]
    inside = [str(part) for part in parts if part.subnet_of(network)]
    chosen: list[CidrReservation] = []
    for cidr in draw(st.lists(st.sampled_from(inside), max_size=4)) if inside else []:
        if not any(IPv4Network(cidr).overlaps(IPv4Network(other.cidr)) for other in chosen):
            chosen.append(CidrReservation(cidr, draw(st.booleans())))
    return str(network), {int(network[0]) + offset for offset in offsets | dense}, chosen


@given(cases())
def test_the_room_is_what_a_walk_over_all_addresses_finds(
    case: tuple[str, set[int], list[CidrReservation]],
) -> None:
    cidr, used, reservations = case
    found = room(subnet(cidr), used_bits(cidr, used), reservations)
    assert found == walk(cidr, used, reservations)
    assert 0.0 <= found.fragmentation <= 1.0


def test_the_first_and_the_last_block_are_never_whole() -> None:
    for cidr, blocks in (("10.0.0.0/24", 14), ("10.0.0.0/28", 0), ("10.0.0.0/16", 4094)):
        found = room(subnet(cidr), bits(cidr))
        assert found.free_blocks == blocks
        assert found.free_addresses == subnet(cidr).usable


def test_one_address_in_each_block_leaves_no_room_among_many_free_addresses() -> None:
    cidr = "10.0.0.0/24"
    found = room(subnet(cidr), bits(cidr, *(f"10.0.0.{16 * n + 5}" for n in range(16))))
    assert (found.free_blocks, found.free_addresses, found.fragmentation) == (0, 235, 1.0)


def test_prefix_reservations_are_counted_and_explicit_ones_taken_out() -> None:
    cidr = "10.0.0.0/24"
    found = room(
        subnet(cidr),
        bits(cidr, "10.0.0.64"),
        [CidrReservation("10.0.0.64/26", True), CidrReservation("10.0.0.128/26", False)],
    )
    assert (found.free_blocks, found.reserved_blocks) == (3 + 3 + 3, 3)
    assert found.free_addresses == 251 - 1 - 64
    assert found.free_singly == 251 - 64 - 64


def test_a_full_subnet_is_not_called_fragmented() -> None:
    cidr = "10.0.0.0/28"
    found = room(subnet(cidr), b"\xff\xff")
    assert (found.free_addresses, found.free_blocks, found.fragmentation) == (0, 0, 0.0)


def test_addresses_and_reservations_of_other_subnets_change_nothing() -> None:
    cidr = "10.0.1.0/24"
    used = bits(cidr, "10.0.0.16", "10.0.2.16")
    elsewhere = [CidrReservation("10.0.0.0/25", False), CidrReservation("10.0.0.0/23", False)]
    assert room(subnet(cidr), used, elsewhere) == room(subnet(cidr), bits(cidr))


@pytest.mark.parametrize("reserved", [True, False])
def test_a_subnet_without_known_reservations_has_no_known_room(reserved: bool) -> None:
    enis = tuple(InterfaceFacts("subnet-0", Holder.CNI, f"i-{n}") for n in (0, 0, 1, 9))
    cidr = "10.0.0.0/24"
    facts = snapshot(
        2,
        inventories={"subnet-0": SubnetInventory(subnet(cidr), enis, bits(cidr), NOW_S)},
        reservations={"subnet-0": ()} if reserved else {},
        instances={"i-0": InstanceUse("node-0"), "i-1": InstanceUse("node-1")},
        pools={"node-0": pool(0, counters=PoolCounters(no_free_blocks=3)), "node-1": pool(1)},
    )
    found = rooms(facts)
    assert set(found) == ({"subnet-0"} if reserved else set())
    assert [one.refusals for one in found.values()] == ([3] if reserved else [])
