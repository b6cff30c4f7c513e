"""Which addresses a subnet gives, and when it has none."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.sandbox.ec2.addresses import AddressSpace, NotFree, OutOfAddresses, OutOfBlocks


def space_of(cidr: str, seed: int = 0) -> AddressSpace:
    return AddressSpace(IPv4Network(cidr), Random(seed))


def address(text: str) -> int:
    return int(IPv4Address(text))


@pytest.mark.parametrize(("cidr", "usable"), [("10.0.0.0/28", 11), ("10.0.0.0/24", 251)])
def test_five_addresses_of_every_subnet_are_ec2s_own(cidr: str, usable: int) -> None:
    space = space_of(cidr)

    picked = space.pick_addresses(usable)

    assert len(set(picked)) == usable
    assert space.free_addresses == 0
    with pytest.raises(OutOfAddresses):
        space.pick_addresses(1)


@pytest.mark.parametrize(
    ("cidr", "blocks"), [("10.0.0.0/28", 0), ("10.0.0.0/27", 0), ("10.0.0.0/24", 14)]
)
def test_the_first_and_last_block_of_a_subnet_are_never_whole(cidr: str, blocks: int) -> None:
    assert space_of(cidr).free_blocks == blocks


@given(seed=st.integers(0, 10_000))
def test_blocks_are_aligned_and_whole(seed: int) -> None:
    space = space_of("10.0.0.0/25", seed)

    firsts = space.pick_blocks(6)

    assert sorted(firsts) == [address(f"10.0.0.{last}") for last in range(16, 112, 16)]
    with pytest.raises(OutOfBlocks):
        space.pick_blocks(1)


def test_one_address_spoils_a_block_until_it_is_given_back() -> None:
    space = space_of("10.0.0.0/26")
    space.take_address(address("10.0.0.20"))

    assert space.free_blocks == 1
    space.give_back_address(address("10.0.0.20"))
    assert space.free_blocks == 2


def test_a_prefix_reservation_keeps_single_addresses_out_and_is_used_first() -> None:
    space = space_of("10.0.0.0/24")
    space.reserve(IPv4Network("10.0.0.128/27"), "prefix")

    assert sorted(space.pick_blocks(2)) == [address("10.0.0.128"), address("10.0.0.144")]
    assert len(space.pick_addresses(251 - 32)) == 219
    assert space.free_addresses == 0


def test_an_explicit_reservation_is_used_only_by_name() -> None:
    space = space_of("10.0.0.0/27")
    space.reserve(IPv4Network("10.0.0.16/28"), "explicit")

    picked = space.pick_addresses(12)

    assert max(picked) < address("10.0.0.16")
    with pytest.raises(OutOfAddresses):
        space.pick_addresses(1)
    space.take_address(address("10.0.0.20"))
    with pytest.raises(NotFree):
        space.take_address(address("10.0.0.20"))


def test_ending_a_reservation_frees_its_range_again() -> None:
    space = space_of("10.0.0.0/24")
    reserved = IPv4Network("10.0.0.64/26")
    space.reserve(reserved, "explicit")
    assert space.free_blocks == 10

    space.unreserve(reserved)

    assert space.free_blocks == 14
    assert len(space.pick_addresses(251)) == 251


@given(data=st.data(), seed=st.integers(0, 1000))
def test_reservations_steer_every_choice_and_change_no_count(
    data: st.DataObject, seed: int
) -> None:
    """Against the plainest bookkeeping: what is taken, and what is set aside."""
    cidr = IPv4Network("10.0.0.0/26")
    space = AddressSpace(cidr, Random(seed))
    ec2s_own = {cidr[0], cidr[1], cidr[2], cidr[3], cidr[-1]}
    kind_of = dict.fromkeys(cidr, "open")
    taken: set[IPv4Address] = set()
    for block in (IPv4Network("10.0.0.16/28"), IPv4Network("10.0.0.32/29")):
        kind = data.draw(st.sampled_from(["prefix", "explicit", "open"]), label=str(block))
        if kind != "open":
            space.reserve(block, kind)
            kind_of |= dict.fromkeys(block, kind)
    for _ in range(data.draw(st.integers(1, 25), label="steps")):
        if taken and data.draw(st.booleans(), label="give back"):
            back = data.draw(st.sampled_from(sorted(taken)))
            space.give_back_address(int(back))
            taken.remove(back)
            continue
        open_to_all = {
            one for one in cidr if kind_of[one] == "open" and one not in taken | ec2s_own
        }
        if not open_to_all:
            with pytest.raises(OutOfAddresses):
                space.pick_addresses(1)
            continue
        (picked,) = map(IPv4Address, space.pick_addresses(1))
        assert picked in open_to_all
        taken.add(picked)

    whole = [
        block
        for block in cidr.subnets(new_prefix=28)
        if (taken | ec2s_own).isdisjoint(block)
        and {kind_of[one] for one in block} in ({"open"}, {"prefix"})
    ]
    assert space.free_blocks == len(whole)
    assert space.free_addresses == 64 - 5 - len(taken)
