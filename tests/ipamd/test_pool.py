"""How one node's pool grows, shrinks, frees ENIs and bears refusals."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from random import Random

import pytest
from ipamd_driver import SHAPE, World

from ippolicy.errors import ModelError
from ippolicy.ipamd import (
    ADDRESS_LIMIT_EXCEEDED,
    INSUFFICIENT_CIDR_BLOCKS,
    INSUFFICIENT_FREE_ADDRESSES,
    AttachedENI,
    EC2CallError,
    Ipamd,
    NodeInitFailed,
    NodeShape,
    PoolSettings,
    SubnetFact,
    WarmTargets,
)
from ippolicy.ipamd.cloud import NODE_SUBNET, CountedSubnet
from ippolicy.ipamd.ec2 import candidates, is_excluded

THROTTLED = "RequestLimitExceeded"
NEW_ENI = {
    "CreateNetworkInterface": 1,
    "DescribeInstances": 1,
    "AttachNetworkInterface": 1,
    "ModifyNetworkInterfaceAttribute": 1,
}
START = {
    "DescribeNetworkInterfaces": 1,
    "CreateTags": 1,
    "DescribeSubnets": 1,
    "ModifyNetworkInterfaceAttribute": 1,
}


def warm(warm_ip: int = 0, minimum_ip: int = 0, **more: object) -> PoolSettings:
    return PoolSettings(WarmTargets(1, warm_ip, minimum_ip), **more)


def prefixes(warm_prefix: int = 1, warm_ip: int = 0, **more: object) -> PoolSettings:
    targets = WarmTargets(1, warm_ip, 0, warm_prefix)
    return PoolSettings(targets, prefix_delegation=True, **more)


def test_a_start_fills_the_primary_and_costs_what_the_documents_say() -> None:
    world = World()
    assert world.start() == Counter(START | {"AssignPrivateIpAddresses": 1})
    assert world.node.snapshot().total_addresses == 9


def test_a_new_eni_costs_six_calls_with_discovery() -> None:
    world = World()
    world.start()
    world.add("a")
    assert world.pass_() == Counter(NEW_ENI | {"DescribeSubnets": 2})


def test_a_new_eni_costs_five_calls_without_discovery() -> None:
    world = World(PoolSettings(subnet_discovery=False))
    world.start()
    world.add("a")
    assert world.pass_() == Counter(NEW_ENI | {"DescribeSubnets": 1})


def test_freeing_an_eni_costs_three_calls_and_two_seconds() -> None:
    world = World()
    world.start()
    world.add("a")
    world.pass_()
    world.node.del_pod("a")
    world.now += 100
    before = world.now
    assert world.pass_() == Counter(
        DescribeNetworkInterfaces=1, DetachNetworkInterface=1, DeleteNetworkInterface=1
    )
    assert world.now == before + 5 + 2


def test_an_addition_is_one_call_and_a_steady_pool_makes_none() -> None:
    world = World(warm(warm_ip=3))
    world.start()
    world.add("a")
    assert world.pass_() == Counter(AssignPrivateIpAddresses=1)
    assert world.pass_() == Counter()


def test_surplus_goes_back_at_most_every_half_minute() -> None:
    world = World(warm(warm_ip=1))
    world.start()
    world.add("a")
    world.pass_()
    world.add("b")
    world.pass_()
    world.node.del_pod("a")
    assert world.pass_() == Counter(UnassignPrivateIpAddresses=1)
    world.node.del_pod("b")
    assert world.pass_() == Counter()
    assert world.pass_(25.0) == Counter()
    assert world.pass_(1.0) == Counter(UnassignPrivateIpAddresses=1)


def test_cooling_addresses_count_as_available_and_serve_nobody() -> None:
    world = World(warm(warm_ip=1))
    world.start()
    assert world.add("a") != [None]
    world.pass_()
    world.add("b")
    world.node.del_pod("a")
    assert world.node.snapshot().cooling == 1
    assert world.add("c") == [None]
    assert world.pass_() == Counter()
    world.now += 30
    assert world.add("c") != [None]
    assert world.node.counters().no_available_addresses == 1


def test_a_minimum_alone_never_grows() -> None:
    world = World(warm(minimum_ip=5))
    world.start()
    addresses = world.add(*"abcdefg")
    world.settle()
    assert addresses.count(None) == 2
    assert world.add("f") == [None]
    assert world.node.snapshot().total_addresses == 5


def test_the_same_pod_keeps_its_address() -> None:
    world = World()
    world.start()
    assert world.add("a") == world.add("a")
    assert world.node.counters().add_requests == 2


def test_deleting_an_unknown_pod_changes_nothing_but_the_count() -> None:
    world = World()
    world.start()
    world.node.del_pod("nobody")
    assert world.node.counters().del_requests == 1
    assert world.node.snapshot().cooling == 0


def test_a_cordoned_node_neither_grows_nor_frees() -> None:
    world = World()
    world.node.unschedulable = True
    world.start()
    assert world.node.snapshot().total_addresses == 0
    assert world.pass_() == Counter()
    world.node.unschedulable = False
    assert world.pass_() == Counter(AssignPrivateIpAddresses=1)


def test_a_cordoned_node_is_managed_if_it_is_told_to() -> None:
    world = World(PoolSettings(manage_non_schedulable=True))
    world.node.unschedulable = True
    world.start()
    assert world.node.snapshot().total_addresses == 9


def test_a_terminating_ipamd_frees_nothing() -> None:
    world = World()
    world.start()
    world.add("a")
    world.pass_()
    world.node.del_pod("a")
    world.node.terminating = True
    assert world.pass_(100) == Counter()


def test_an_eni_that_is_full_without_ipamd_knowing_is_looked_at() -> None:
    world = World(warm(warm_ip=3))
    world.start()
    world.add("a")
    world.refuse("AssignPrivateIpAddresses", ADDRESS_LIMIT_EXCEEDED)
    calls = world.pass_()
    assert calls["DescribeNetworkInterfaces"] == 1
    assert world.node.snapshot().total_addresses == 3


def test_prefixes_of_such_an_eni_are_looked_at_too() -> None:
    world = World(prefixes())
    world.start()
    world.add("a")
    world.refuse("AssignPrivateIpAddresses", THROTTLED, ADDRESS_LIMIT_EXCEEDED)
    assert world.pass_()["DescribeNetworkInterfaces"] == 1
    assert world.node.snapshot().prefixes == 1


def test_a_refused_addition_is_tried_with_one_address() -> None:
    world = World(warm(warm_ip=4))
    world.start()
    world.add("a", "b")
    world.refuse("AssignPrivateIpAddresses", THROTTLED)
    world.pass_()
    assert world.node.snapshot().total_addresses == 5


def test_any_other_refusal_is_tried_again_in_the_next_pass() -> None:
    world = World(warm(warm_ip=4))
    world.start()
    world.add("a")
    world.refuse("AssignPrivateIpAddresses", THROTTLED, THROTTLED)
    world.pass_()
    assert world.node.counters().error_codes == {("AssignPrivateIpAddresses", THROTTLED): 2}
    world.pass_()
    assert world.node.snapshot().total_addresses == 5


def test_without_discovery_an_empty_subnet_is_left_alone_for_two_minutes() -> None:
    world = World(warm(warm_ip=3, subnet_discovery=False), subnets=[CountedSubnet(NODE_SUBNET, 3)])
    world.start()
    world.add("a")
    assert world.pass_()["AssignPrivateIpAddresses"] == 4
    assert world.pass_(115) == Counter()
    assert world.pass_(5) == Counter()
    world.cloud.subnets[NODE_SUBNET].free = 10
    assert world.pass_(1) == Counter(AssignPrivateIpAddresses=1)


def test_with_discovery_a_node_at_its_limit_asks_twice_in_every_pass() -> None:
    world = World(warm(warm_ip=3, max_eni=1), subnets=[CountedSubnet(NODE_SUBNET, 3)])
    world.start()
    world.add("a")
    for _ in range(3):
        assert world.pass_() == Counter(AssignPrivateIpAddresses=4)  # two calls, two errors


def test_without_a_block_left_prefix_nodes_make_four_calls_a_pass() -> None:
    world = World(prefixes(), subnets=[CountedSubnet(NODE_SUBNET, 30)])
    world.start()
    world.add("a")
    for _ in range(3):
        world.pass_()
    assert world.cloud.calls["CreateNetworkInterface"] == 3
    assert world.cloud.errors["AssignPrivateIpAddresses"] == 6
    codes = world.node.counters().error_codes
    assert codes["AssignPrivateIpAddresses", INSUFFICIENT_CIDR_BLOCKS] == 6
    assert codes["CreateNetworkInterface", "InvalidParameterValue"] == 3


def test_an_eni_that_cannot_be_attached_is_deleted_again() -> None:
    world = World()
    world.start()
    world.add("a")
    world.refuse("AttachNetworkInterface", "AttachmentLimitExceeded")
    calls = world.pass_()
    assert calls["DeleteNetworkInterface"] == 1
    assert world.cloud.subnets[NODE_SUBNET].free == 1000 - 9


def test_an_eni_that_cannot_be_modified_is_freed_again() -> None:
    world = World()
    world.start()
    world.add("a")
    world.refuse("ModifyNetworkInterfaceAttribute", THROTTLED)
    calls = world.pass_()
    assert calls["DetachNetworkInterface"] == calls["DeleteNetworkInterface"] == 1
    assert len(world.node.snapshot().enis) == 1


def test_an_eni_that_never_shows_up_is_not_used() -> None:
    world = World()
    world.start()
    world.add("a")
    world.refuse("WaitForInterface", "NotFound")
    world.pass_()
    assert len(world.node.snapshot().enis) == 1


@pytest.mark.parametrize(
    ("api", "codes", "sleeps"),
    [
        ("DescribeNetworkInterfaces", [THROTTLED], 0),
        ("DescribeNetworkInterfaces", ["InvalidNetworkInterfaceID.NotFound"], 0),
        ("DetachNetworkInterface", [THROTTLED] * 12, 11),
        ("DeleteNetworkInterface", [THROTTLED] * 12, 12),
        ("DeleteNetworkInterface", ["InvalidNetworkInterfaceID.NotFound"], 1),
        ("DeleteNetworkInterface", [THROTTLED] * 2, 3),
    ],
)
def test_freeing_bears_every_refusal(api: str, codes: list[str], sleeps: int) -> None:
    world = World()
    world.start()
    world.add("a")
    world.pass_()
    world.node.del_pod("a")
    world.refuse(api, *codes)
    world.asked.clear()
    world.pass_(100)
    assert len(world.node.snapshot().enis) == 1
    assert sum(request.api_name is None for request in world.asked) == sleeps


def test_addresses_that_could_not_be_given_back_are_out_of_the_pool() -> None:
    world = World(warm(warm_ip=1))
    world.start()
    world.add("a")
    world.pass_()
    world.node.del_pod("a")
    world.refuse("UnassignPrivateIpAddresses", THROTTLED)
    world.pass_()
    assert world.node.snapshot().total_addresses == 1


# -- starting ---------------------------------------------------------------------------------


def test_custom_networking_without_a_subnet_is_refused() -> None:
    with pytest.raises(ModelError, match="ENIConfig"):
        Ipamd(SHAPE, PoolSettings(custom_networking=True), random=Random(1), clock=lambda: 0.0)


def test_custom_networking_that_gets_no_eni_stops_the_start() -> None:
    subnets = [CountedSubnet(NODE_SUBNET, 1000), CountedSubnet("subnet-pods", 3)]
    world = World(PoolSettings(custom_networking=True), subnets=subnets)
    with pytest.raises(NodeInitFailed, match="custom networking"):
        world.start()


def test_custom_networking_leaves_the_primary_alone() -> None:
    subnets = [CountedSubnet(NODE_SUBNET, 1000), CountedSubnet("subnet-pods", 300)]
    world = World(PoolSettings(custom_networking=True), subnets=subnets)
    world.start()
    assert world.cloud.subnets[NODE_SUBNET].free == 1000
    assert world.cloud.subnets["subnet-pods"].free == 290
    assert world.add("a") != [None]


@pytest.mark.parametrize("api", ["DescribeNetworkInterfaces", "CreateTags"])
def test_a_start_that_ec2_refuses_fails(api: str) -> None:
    world = World()
    world.refuse(api, *[THROTTLED] * 5)
    with pytest.raises(NodeInitFailed, match=THROTTLED):
        world.start()


def test_a_start_that_cannot_add_addresses_fails() -> None:
    world = World()
    world.refuse("AssignPrivateIpAddresses", THROTTLED, THROTTLED)
    with pytest.raises(NodeInitFailed, match="increase datastore pool"):
        world.start()


def test_a_start_in_an_empty_subnet_succeeds_without_addresses() -> None:
    world = World(PoolSettings(subnet_discovery=False), subnets=[CountedSubnet(NODE_SUBNET, 0)])
    world.start()
    assert world.node.snapshot().total_addresses == 0


def test_a_start_tries_again_to_learn_an_eni_and_then_goes_on() -> None:
    world = World()
    world.refuse("DescribeSubnets", *[THROTTLED] * 6)
    world.start()
    assert world.now == 50
    assert [eni.cidrs for eni in world.node.snapshot().enis] != [{}]


def test_security_groups_that_cannot_be_set_do_not_stop_the_start() -> None:
    world = World()
    world.refuse("ModifyNetworkInterfaceAttribute", THROTTLED)
    world.start()
    assert world.node.snapshot().total_addresses == 9


def test_a_node_without_primary_eni_cannot_start() -> None:
    steps = World().node.start()
    next(steps)
    with pytest.raises(NodeInitFailed, match="device index 0"):
        steps.send(())


def test_unmanaged_and_trunk_enis_take_slots_and_hold_no_pool() -> None:
    world = World(PoolSettings(pod_eni=True))
    steps = world.node.start()
    next(steps)
    primary = AttachedENI("eni-0", NODE_SUBNET, 0)
    others = (
        AttachedENI("eni-t", NODE_SUBNET, 1, trunk=True, tagged=False),
        AttachedENI("eni-u", NODE_SUBNET, 2, managed=False),
    )
    request = steps.send((primary, *others))
    with suppress(StopIteration):
        while True:
            assert request.api_name != "CreateTags"
            request = steps.send(world.cloud.perform(request))
    snapshot = world.node.snapshot()
    assert snapshot.eni_max == 2
    assert snapshot.address_max == 18
    assert [eni.trunk for eni in snapshot.enis] == [False, True]
    assert snapshot.total_addresses == 9
    assert not world.node.pool.has_room_for_eni()


def test_a_slot_is_kept_for_the_trunk_only_where_the_type_can_have_one() -> None:
    for trunk_capable, enis in ((True, 2), (False, 3)):
        shape = NodeShape("any", 3, 10, 29, trunk_capable=trunk_capable)
        world = World(PoolSettings(WarmTargets(3), pod_eni=True), shape=shape)
        world.start()
        world.settle(5)
        assert len(world.node.snapshot().enis) == enis


def test_types_without_prefixes_fall_back_to_addresses() -> None:
    world = World(prefixes(), shape=NodeShape("m4.large", 2, 10, 20, prefix_capable=False))
    world.start()
    snapshot = world.node.snapshot()
    assert (snapshot.prefixes, snapshot.total_addresses) == (0, 9)


# -- restarting -------------------------------------------------------------------------------


def test_a_restart_keeps_enis_addresses_and_pods() -> None:
    world = World()
    world.start()
    addresses = world.add(*"abcdef")
    world.pass_()
    before = world.node.snapshot()
    checkpoint = world.node.checkpoint()
    world.make(PoolSettings())
    calls = world.start(checkpoint)
    assert calls == Counter(
        DescribeNetworkInterfaces=1, DescribeSubnets=2, ModifyNetworkInterfaceAttribute=2
    )
    after = world.node.snapshot()
    assert world.add(*"abcdef") == addresses
    assert {e.eni_id: e.cidrs for e in after.enis} == {e.eni_id: e.cidrs for e in before.enis}


def test_a_restart_forgets_pods_whose_address_is_gone() -> None:
    world = World()
    world.start({"a": "192.168.0.1"})
    assert world.node.checkpoint() == {}


def test_a_restart_with_ip_targets_gives_the_surplus_back_in_its_first_pass() -> None:
    world = World()
    world.start()
    world.add("a")
    world.pass_()
    checkpoint = world.node.checkpoint()
    world.make(warm(warm_ip=2, minimum_ip=5))
    world.start(checkpoint)
    assert world.pass_(2.5)["UnassignPrivateIpAddresses"] >= 1
    assert world.node.snapshot().total_addresses == 5


def test_turning_prefixes_on_gives_unused_addresses_back_and_keeps_used_ones() -> None:
    world = World(warm(warm_ip=3))
    world.start()
    addresses = world.add("a")
    checkpoint = world.node.checkpoint()
    world.make(prefixes())
    assert world.start(checkpoint)["UnassignPrivateIpAddresses"] == 1
    snapshot = world.node.snapshot()
    assert snapshot.total_addresses == 1 + 16
    assert snapshot.pool_addresses == 16
    assert snapshot.assigned_addresses == 1
    assert snapshot.pool_assigned == 0
    assert world.add("a") == addresses
    assert world.add("b")[0] is not None


def test_turning_prefixes_off_gives_unused_prefixes_back() -> None:
    world = World(prefixes())
    world.start()
    world.make(warm(warm_ip=2))
    assert world.start()["UnassignPrivateIpAddresses"] == 1
    assert world.node.snapshot().prefixes == 0
    assert world.cloud.subnets[NODE_SUBNET].free == 998


# -- subnets ----------------------------------------------------------------------------------


def test_an_excluded_primary_serves_no_pods_and_a_new_eni_does() -> None:
    subnets = [CountedSubnet(NODE_SUBNET, 1000, "0"), CountedSubnet("subnet-2", 500, "1")]
    world = World(subnets=subnets)
    world.start()
    snapshot = world.node.snapshot()
    assert [(eni.excluded, len(eni.cidrs)) for eni in snapshot.enis] == [(True, 0), (False, 9)]
    assert world.cloud.subnets["subnet-2"].free == 490


def test_an_eni_excluded_at_a_restart_keeps_its_pods_and_loses_what_they_leave() -> None:
    subnets = [CountedSubnet(NODE_SUBNET, 1000), CountedSubnet("subnet-2", 500, "1")]
    world = World(subnets=subnets)
    world.start()
    world.add("a", "b")
    checkpoint = world.node.checkpoint()
    world.cloud.subnets[NODE_SUBNET].role_tag = "0"
    world.make(PoolSettings())
    world.start(checkpoint)
    primary = world.node.snapshot().enis[0]
    assert (primary.excluded, primary.assigned, len(primary.cidrs)) == (True, 2, 2)
    world.node.del_pod("a")
    world.pass_(4)
    assert len(world.node.snapshot().enis[0].cidrs) == 2
    assert world.node.idle_until() == world.now + 1
    world.pass_(1)
    assert len(world.node.snapshot().enis[0].cidrs) == 1


@pytest.mark.parametrize("discovery", [True, False])
def test_no_eni_is_made_where_every_subnet_is_excluded(discovery: bool) -> None:
    world = World(
        PoolSettings(subnet_discovery=discovery), subnets=[CountedSubnet(NODE_SUBNET, 1000)]
    )
    world.start()
    world.add("a")
    world.cloud.subnets[NODE_SUBNET].role_tag = "0"
    assert world.pass_() == Counter(DescribeSubnets=1)


@pytest.mark.parametrize(("discovery", "describes"), [(True, 4), (False, 2)])
def test_subnets_that_cannot_be_described_leave_the_nodes_own(
    discovery: bool, describes: int
) -> None:
    world = World(PoolSettings(subnet_discovery=discovery))
    world.start()
    world.add("a")
    world.refuse("DescribeSubnets", THROTTLED)
    calls = world.pass_()
    assert calls["AttachNetworkInterface"] == 1
    assert world.node.counters().ec2_errors == {"DescribeSubnets": 1}


def test_discovery_tries_the_next_subnet_when_the_first_is_full() -> None:
    world = World(subnets=[CountedSubnet(NODE_SUBNET, 300), CountedSubnet("subnet-2", 900, "1")])
    world.start()
    world.add("a")
    world.refuse("CreateNetworkInterface", INSUFFICIENT_FREE_ADDRESSES)
    world.pass_()
    assert world.cloud.subnets[NODE_SUBNET].free == 300 - 9 - 10
    assert world.cloud.subnets["subnet-2"].free == 900


def test_tags_say_which_subnets_may_be_used() -> None:
    own = SubnetFact("own", 10)
    tagged = SubnetFact("tagged", 20, "1")
    facts = (
        own,
        tagged,
        SubnetFact("untagged", 30),
        SubnetFact("excluded", 40, "0"),
        SubnetFact("foreign", 50, "1", foreign_cluster=True),
    )
    assert candidates(facts, "own") == [tagged, own]
    excluded = {fact.subnet_id for fact in facts if is_excluded(fact.subnet_id, facts)}
    assert excluded == {"excluded", "foreign"}
    assert not is_excluded("unknown", facts)


def test_a_refusal_reads_as_ec2s_code_and_message() -> None:
    assert str(EC2CallError(THROTTLED)) == THROTTLED
    assert str(EC2CallError(THROTTLED, "slow down")) == f"{THROTTLED}: slow down"
    assert EC2CallError(INSUFFICIENT_CIDR_BLOCKS).insufficient


def test_a_snapshot_adds_up() -> None:
    world = World(prefixes())
    world.start()
    world.add("a", "b")
    snapshot = world.node.snapshot()
    [eni] = snapshot.enis
    assert eni.primary
    assert eni.assigned == snapshot.assigned_addresses == 2
    assert snapshot.total_addresses == 16
    assert snapshot.subnet_addresses == 17
    assert snapshot.free_prefixes == 0
    assert snapshot.counters.ec2_calls["AssignPrivateIpAddresses"] == 1
