"""Whatever is done to ENIs, in whatever order, the books of the subnets stay right."""

from __future__ import annotations

from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ippolicy.sandbox.ec2 import Ec2CallError, Ec2StandIn, Interface

T = TypeVar("T")
REFUSALS = {
    "InsufficientFreeAddressesInSubnet",
    "InsufficientCidrBlocks",
    "PrivateIpAddressLimitExceeded",
    "AttachmentLimitExceeded",
    "InvalidParameterValue",
    "OperationNotPermitted",
}


def now(call: Coroutine[Any, Any, T]) -> T:
    """The result of a call that has nothing to wait for."""
    try:
        call.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the call waited")


def held_by(interface: Interface) -> list[IPv4Address]:
    singles = [interface.primary_address, *interface.secondary_addresses]
    blocks = [address for block in interface.prefixes for address in IPv4Network(block)]
    return [*map(IPv4Address, singles), *blocks]


class Histories(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 1000), length=st.sampled_from([24, 26, 28]))
    def lay_out(self, seed: int, length: int) -> None:
        self.standin = Ec2StandIn(seed=seed)
        self.standin.add_vpc("10.0.0.0/16")
        self.subnets = [self.standin.add_subnet(f"10.0.{third}.0/{length}") for third in range(2)]
        self.node = self.standin.add_instance("m5.large", self.subnets[0].id)
        self.cni = self.standin.cni(self.node.id)

    def attempt(self, call: Coroutine[Any, Any, object]) -> None:
        """Do it; a refusal must leave everything as it was."""
        before = self.standin.interfaces()
        free = [self.standin.subnet(subnet.id).free_addresses for subnet in self.subnets]
        try:
            now(call)
        except Ec2CallError as refusal:
            assert refusal.code in REFUSALS  # noqa: PT017 - only one of two outcomes is checked here
            assert self.standin.interfaces() == before
            assert [
                self.standin.subnet(subnet.id).free_addresses for subnet in self.subnets
            ] == free

    def any_interface(self, data: st.DataObject) -> Interface:
        return data.draw(st.sampled_from(self.standin.interfaces()), label="interface")

    @rule(data=st.data(), count=st.integers(1, 30))
    def assign_addresses(self, data: st.DataObject, count: int) -> None:
        self.attempt(self.cni.assign_addresses(self.any_interface(data).id, count))

    @rule(data=st.data(), count=st.integers(1, 6))
    def assign_prefixes(self, data: st.DataObject, count: int) -> None:
        self.attempt(self.cni.assign_prefixes(self.any_interface(data).id, count))

    @rule(data=st.data())
    def unassign_addresses(self, data: st.DataObject) -> None:
        interface = self.any_interface(data)
        if interface.secondary_addresses:
            some = data.draw(st.sets(st.sampled_from(interface.secondary_addresses), min_size=1))
            now(self.cni.unassign_addresses(interface.id, sorted(some)))

    @rule(data=st.data())
    def unassign_prefixes(self, data: st.DataObject) -> None:
        interface = self.any_interface(data)
        if interface.prefixes:
            some = data.draw(st.sets(st.sampled_from(interface.prefixes), min_size=1))
            now(self.cni.unassign_prefixes(interface.id, sorted(some)))

    @rule(data=st.data(), secondaries=st.integers(0, 12), prefixes=st.integers(0, 3))
    def create(self, data: st.DataObject, secondaries: int, prefixes: int) -> None:
        subnet = data.draw(st.sampled_from(self.subnets), label="subnet")
        self.attempt(
            self.cni.create_interface(subnet.id, secondary_count=secondaries, prefix_count=prefixes)
        )

    @rule(data=st.data(), index=st.integers(0, 3))
    def attach(self, data: st.DataObject, index: int) -> None:
        self.attempt(self.cni.attach(self.any_interface(data).id, self.node.id, index))

    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        attachment = self.any_interface(data).attachment
        if attachment is not None:
            self.attempt(self.cni.detach(attachment.id))

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.attempt(self.cni.delete(self.any_interface(data).id))

    @invariant()
    def counts_add_up_to_the_last_address(self) -> None:
        for subnet in self.subnets:
            held = sum(len(held_by(one)) for one in self.standin.interfaces(subnet.id))
            size = IPv4Network(subnet.cidr).num_addresses
            free = self.standin.subnet(subnet.id).free_addresses
            assert free == size - 5 - held
            assert free >= 0

    @invariant()
    def no_address_is_held_twice_or_lies_outside(self) -> None:
        for subnet in self.subnets:
            cidr = IPv4Network(subnet.cidr)
            held = [
                address for one in self.standin.interfaces(subnet.id) for address in held_by(one)
            ]
            assert len(set(held)) == len(held)
            assert set(held) <= set(cidr) - {cidr[0], cidr[1], cidr[2], cidr[3], cidr[-1]}

    @invariant()
    def free_blocks_are_the_aligned_sixteens_with_nothing_in_them(self) -> None:
        for subnet in self.subnets:
            cidr = IPv4Network(subnet.cidr)
            taken = {cidr[0], cidr[-1]}.union(
                *(held_by(one) for one in self.standin.interfaces(subnet.id))
            )
            empty = [block for block in cidr.subnets(new_prefix=28) if taken.isdisjoint(block)]
            assert self.standin.free_blocks(subnet.id) == len(empty)

    @invariant()
    def the_node_holds_no_more_than_its_type_allows(self) -> None:
        interfaces = self.standin.instance(self.node.id).interfaces
        assert len(interfaces) <= 3
        for one in interfaces:
            assert 1 + len(one.secondary_addresses) + len(one.prefixes) <= 10


Histories.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestHistories = Histories.TestCase
