"""Who is in the subnets, asked of the EC2 stand-in over HTTP, with all that can go wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ippolicy.decide.subnets.room import room
from ippolicy.decide.subnets.split import split_all
from ippolicy.facts import (
    CidrReservation,
    Holder,
    InstanceUse,
    NodeFacts,
    PrefixRoom,
    SourceName,
    SourceState,
    SubnetSplit,
)
from ippolicy.observe.ec2 import Ec2Facts
from ippolicy.observe.ec2_client import ROLE_TAG, Ec2Client
from ippolicy.observe.settings import ObserveSettings
from ippolicy.observe.subnets import SubnetChoice
from ippolicy.sandbox.ec2 import OPERATOR, Ec2StandIn, Instance, Loss
from neighbours import cluster_node
from observe_fakes import FakeTime

pytestmark = pytest.mark.usefixtures("aws_environment")
SETTINGS = ObserveSettings(ec2_timeout_s=5.0, ec2_attempts=1, ec2_calls_per_minute=600)
INTERFACES, RESERVATIONS = SourceName.EC2_INTERFACES, SourceName.EC2_RESERVATIONS
SUBNETS, INSTANCES = SourceName.EC2_SUBNETS, SourceName.EC2_INSTANCES
RIGHTS = {
    INTERFACES: "ec2:DescribeNetworkInterfaces",
    RESERVATIONS: "ec2:GetSubnetCidrReservations",
    SUBNETS: "ec2:DescribeSubnets",
    SourceName.EC2_INSTANCE_TYPES: "ec2:DescribeInstanceTypes",
}


class Rig:
    """An account with EC2 facts about it; nodes are instances with the CNI's tags."""

    def __init__(self, standin: Ec2StandIn) -> None:
        self.ec2 = standin
        self.time = FakeTime()
        self.nodes: list[NodeFacts] = []
        self.facts = Ec2Facts(
            lambda: self.nodes,
            Ec2Client(SETTINGS, clock=self.time.clock),
            SETTINGS,
            clock=self.time.clock,
        )

    def node(self, subnet_id: str, **eni: Any) -> Instance:
        """A t3.2xlarge of cluster `mine` with a second ENI as given."""
        made = cluster_node(self.ec2, subnet_id, "mine", **eni)
        self.nodes.append(
            NodeFacts(f"node-{made.id}", "t3.2xlarge", made.id, "a", "g", 58, "", False, 0.0)
        )
        return made

    async def refresh(self, later_s: float = 0.0) -> dict[SourceName, SourceState]:
        self.time.now_s += later_s
        await self.facts.refresh()
        return self.facts.states()

    def ids(self) -> list[str]:
        return [subnet.subnet_id for subnet in self.facts.subnets_of(self.nodes)]

    def splits(self) -> Mapping[str, SubnetSplit]:
        instances = {node.instance_id: InstanceUse(node.name, 3) for node in self.nodes}
        return split_all(self.facts.inventories.of(self.ids()).values(), instances, {})

    def room(self, subnet_id: str) -> PrefixRoom:
        inventory = self.facts.inventories.of([subnet_id])[subnet_id]
        reserved = self.facts.inventories.reservations_of([subnet_id])[subnet_id]
        return room(inventory.subnet, inventory.used, reserved)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with Ec2StandIn() as running:
        running.add_vpc("10.0.0.0/16")
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint_url)
        yield Rig(running)


async def test_everything_in_a_subnet_is_named_and_adds_up_to_the_last_address(rig: Rig) -> None:
    subnet = rig.ec2.add_subnet("10.0.0.0/24").id
    rig.node(subnet, secondary_count=14)
    rig.node(subnet, prefix_count=2)
    cluster_node(rig.ec2, subnet, "theirs", secondary_count=5)
    rig.ec2.add_instance("m5.large", subnet)
    rig.ec2.add_load_balancer(subnet, "web")
    rig.ec2.add_load_balancer(subnet, "tcp", kind="net")
    rig.ec2.add_control_plane_interface(subnet, "mine")
    rig.ec2.add_branch_interface(subnet, "mine")
    rig.ec2.add_interface(subnet, description="spare")
    services = ("vpc-endpoint", "lambda", "rds", "nat-gateway", "efs", "fargate", "elasticache")
    for service in services:
        rig.ec2.add_service_interface(subnet, service)
    await rig.refresh()
    found = rig.splits()[subnet]
    assert found.parts() == {
        "assigned": 3 + 3 + 1,
        "warm": 0,
        "unclear": 11 + 29,
        "eni-primaries": 4,
        "other-clusters": 7,
        "ec2-instance": 1,
        "load-balancer": 2,
        "eks-control-plane": 1,
        **dict.fromkeys(services[:-1], 1),
        "other": 1,
        "unattached": 1,
        "free": rig.ec2.subnet(subnet).free_addresses,
        "unaccounted": 0,
    }
    assert (found.other_clusters, found.prefixes) == ({"theirs": 7}, 2)
    assert sum(found.parts().values()) == 251


async def test_room_for_prefixes_is_what_ec2_could_still_hand_out(rig: Rig) -> None:
    subnet = rig.ec2.add_subnet("10.0.0.0/24").id
    rig.ec2.add_reservation(subnet, "10.0.0.128/26")
    rig.ec2.add_reservation(subnet, "10.0.0.64/27", kind="explicit")
    for _ in range(3):
        rig.node(subnet, secondary_count=3)
    rig.node(subnet, prefix_count=3)
    await rig.refresh()
    found = rig.room(subnet)
    assert found.free_blocks == rig.ec2.free_blocks(subnet)
    assert found.reserved_blocks == 1
    assert found.free_addresses == rig.ec2.subnet(subnet).free_addresses - 32
    assert 0 < found.fragmentation < 1


async def test_thousands_of_enis_are_read_in_pages_of_1000(rig: Rig) -> None:
    subnet = rig.ec2.add_subnet("10.0.16.0/20").id
    rig.node(subnet)
    for _ in range(2100):
        rig.ec2.add_interface(subnet)
    await rig.refresh()
    assert rig.ec2.calls.count(api="DescribeNetworkInterfaces", caller=OPERATOR) == 3
    found = rig.splits()[subnet]
    assert found.others == {Holder.UNATTACHED: 2100}
    assert found.unaccounted == 0


async def test_200_subnets_are_split_and_their_reservations_read_within_the_budget(
    rig: Rig,
) -> None:
    for number in range(200):
        rig.node(rig.ec2.add_subnet(f"10.0.{number}.0/24").id, secondary_count=4)
    states = await rig.refresh()
    found = rig.splits()
    assert len(found) == 200
    assert all(sum(one.parts().values()) == 251 and not one.unaccounted for one in found.values())
    assert len(rig.facts.inventories.reservations_of(rig.ids())) == 200
    assert not any(state.error for state in states.values())
    assert rig.ec2.calls.count(caller=OPERATOR) < 215


async def test_an_account_without_nodes_is_nothing_wrong(rig: Rig) -> None:
    states = await rig.refresh()
    assert all((state.error, state.age_s(rig.time.now_s)) == (None, 0) for state in states.values())
    assert rig.splits() == {}


@pytest.mark.parametrize("denied", RIGHTS)
async def test_without_one_right_its_feature_is_off_and_all_else_works(
    rig: Rig, denied: SourceName
) -> None:
    subnet = rig.ec2.add_subnet("10.0.0.0/24").id
    rig.node(subnet, secondary_count=4)
    rig.ec2.faults.deny(RIGHTS[denied])
    states = await rig.refresh()
    assert {name for name, state in states.items() if state.error} >= {denied}
    assert states[denied].permission == RIGHTS[denied]
    assert rig.ids() == ([] if denied is SUBNETS else [subnet])
    assert bool(rig.splits()) is (denied not in (INTERFACES, SUBNETS))
    reserved = rig.facts.inventories.reservations_of([subnet])
    assert bool(reserved) is (denied not in (RESERVATIONS, SUBNETS))
    rig.ec2.faults.clear()
    states = await rig.refresh(31)
    assert not any(state.error for state in states.values())
    assert set(rig.splits()) == {subnet}


async def test_without_credentials_every_source_says_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.node(rig.ec2.add_subnet("10.0.0.0/24").id)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    states = await rig.refresh()
    assert "credentials" in str(states[INSTANCES].error)
    assert "credentials" in str(states[SUBNETS].error)
    assert rig.ec2.calls.count(caller=OPERATOR) == 0


@pytest.mark.parametrize("how", ["throttled", "dropped"])
async def test_what_ec2_does_not_answer_is_asked_again_and_the_old_answer_kept(
    rig: Rig, how: str
) -> None:
    subnet = rig.ec2.add_subnet("10.0.0.0/24").id
    rig.node(subnet, secondary_count=4)
    await rig.refresh()
    first_s = rig.time.now_s
    if how == "throttled":
        rig.ec2.faults.throttle("Describe*", burst=0, per_s=0)
    else:
        rig.ec2.faults.lose("Describe*", Loss.DROP)
    states = await rig.refresh(300)
    assert states[INTERFACES].succeeded_at_s == first_s
    assert states[INTERFACES].permission is None
    assert states[INTERFACES].error is not None
    assert rig.splits()[subnet].read_at_s == first_s
    rig.ec2.faults.clear()
    states = await rig.refresh(31)
    assert not any(state.error for state in states.values())
    assert rig.splits()[subnet].read_at_s == rig.time.now_s


async def test_subnets_that_the_cni_discovers_are_found_by_their_tag_and_listed(rig: Rig) -> None:
    home = rig.ec2.add_subnet("10.0.0.0/24").id
    tagged = rig.ec2.add_subnet("10.0.1.0/24", tags={ROLE_TAG: "1"}).id
    rig.ec2.add_subnet("10.0.2.0/24")
    rig.ec2.add_subnet("10.0.3.0/24", "us-west-2b", {ROLE_TAG: "1"})
    kept = {"cni.networking.k8s.aws/cluster/theirs": "1", ROLE_TAG: "1"}
    theirs = rig.ec2.add_subnet("10.0.4.0/24", tags=kept).id
    rig.ec2.add_vpc("10.1.0.0/16")
    rig.ec2.add_subnet("10.1.0.0/24", tags={ROLE_TAG: "1"})
    rig.node(home)
    rig.facts.discovery = True
    await rig.refresh()
    for cluster, expected in (("mine", {home, tagged}), ("theirs", {home, tagged, theirs})):
        choice = SubnetChoice(discovery=True, cluster=cluster)
        found = rig.facts.subnets_of(rig.nodes, choice)
        assert {subnet.subnet_id for subnet in found} == expected
        assert set(rig.facts.inventories.of(expected)) == expected


async def test_subnets_of_eni_configs_are_asked_for_by_their_ids(rig: Rig) -> None:
    home, other = (rig.ec2.add_subnet(f"10.0.{n}.0/24").id for n in range(2))
    rig.node(home)
    await rig.refresh()
    rig.facts.eni_configs = frozenset({other})
    await rig.refresh(5)
    found = rig.facts.subnets_of(rig.nodes, SubnetChoice(eni_configs=True))
    assert {subnet.subnet_id for subnet in found} == {home, other}
    assert set(rig.facts.inventories.of([home, other])) == {home, other}


def test_reservations_of_a_subnet_that_is_gone_are_none(rig: Rig) -> None:
    subnet = rig.ec2.add_subnet("10.0.0.0/24").id
    rig.ec2.add_reservation(subnet, "10.0.0.128/25", kind="explicit")
    client = Ec2Client(SETTINGS)
    assert client.reservations(subnet) == (CidrReservation("10.0.0.128/25", False),)
    assert client.reservations("subnet-0123456789abcdef0") == ()
