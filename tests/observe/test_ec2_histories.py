"""Whatever is done to ENIs in the EC2 stand-in, split and room tell what it has."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.decide.subnets.room import room
from ippolicy.decide.subnets.split import split_all
from ippolicy.facts import (
    CidrReservation,
    InstanceUse,
    InterfaceFacts,
    SubnetFacts,
    SubnetInventory,
    SubnetSplit,
)
from ippolicy.facts.subnets import used_bits
from ippolicy.observe.interfaces import CLUSTER_TAGS, OWNED_TAG, read_interface
from ippolicy.sandbox.ec2 import Ec2CallError, Ec2StandIn, Interface
from ippolicy.sandbox.ec2.actions import perform
from neighbours import cluster_node

SERVICES = ("vpc-endpoint", "lambda", "rds", "nat-gateway", "efs", "fargate", "elasticache")
REFUSALS = {
    "InsufficientFreeAddressesInSubnet",
    "InsufficientCidrBlocks",
    "InvalidParameterValue",
    "InvalidCidrReservation.Conflict",
    "PrivateIpAddressLimitExceeded",
    "AttachmentLimitExceeded",
}


class Account:
    """Three /24 with t3.2xlarge nodes of two clusters and services, in which things happen."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.ec2 = Ec2StandIn(seed=seed)
        self.ec2.add_vpc("10.0.0.0/16")
        self.subnets = [self.ec2.add_subnet(f"10.0.{n}.0/24").id for n in range(3)]
        self.mine: set[str] = set()
        self.theirs: set[str] = set()
        self.reserved: dict[str, list[CidrReservation]] = {subnet: [] for subnet in self.subnets}

    def step(self) -> None:
        """Try something; what EC2 refuses changes nothing."""
        try:
            self.random.choice(
                [self.grow, self.grow, self.shrink, self.node, self.end, self.service, self.reserve]
            )()
        except Ec2CallError as refusal:
            assert refusal.code in REFUSALS, refusal  # noqa: PT017  (some are refused, some not)

    def call(self, api: str, **params: Any) -> Any:
        return perform(self.ec2._network, api, params)

    def node(self) -> None:
        cluster, known = self.random.choice((("mine", self.mine), ("theirs", self.theirs)))
        choices: tuple[Any, ...] = ({"secondary_count": 14}, {"prefix_count": 2}, {})
        held = self.random.choice(choices)
        subnet = self.random.choice(self.subnets)
        known.add(cluster_node(self.ec2, subnet, cluster, **held).id)

    def end(self) -> None:
        known = self.random.choice((self.mine, self.theirs))
        if known:
            gone = self.random.choice(sorted(known))
            known.remove(gone)
            self.ec2.terminate_instance(gone)

    def grow(self) -> None:
        if self.mine:
            instance = self.ec2.instance(self.random.choice(sorted(self.mine)))
            eni = self.random.choice(instance.interfaces)
            count = self.random.randrange(1, 5)
            kind = self.random.choice(("SecondaryPrivateIpAddressCount", "Ipv4PrefixCount"))
            self.call("AssignPrivateIpAddresses", NetworkInterfaceId=eni.id, **{kind: count})

    def shrink(self) -> None:
        for instance_id in sorted(self.mine):
            for eni in self.ec2.instance(instance_id).interfaces:
                singles, blocks = eni.secondary_addresses[::2], eni.prefixes[::2]
                if singles or blocks:
                    self.call(
                        "UnassignPrivateIpAddresses",
                        NetworkInterfaceId=eni.id,
                        PrivateIpAddresses=list(singles),
                        Ipv4Prefixes=list(blocks),
                    )

    def service(self) -> None:
        subnet = self.random.choice(self.subnets)
        self.random.choice(
            (
                lambda: self.ec2.add_service_interface(subnet, self.random.choice(SERVICES)),
                lambda: self.ec2.add_load_balancer(subnet, "web"),
                lambda: self.ec2.add_control_plane_interface(subnet, "mine"),
                lambda: self.ec2.add_branch_interface(subnet, "mine"),
                lambda: self.ec2.add_interface(subnet, secondary_count=2),
            )
        )()

    def reserve(self) -> None:
        number = self.random.randrange(3)
        length, kind = self.random.choice((26, 27, 28)), self.random.choice(("prefix", "explicit"))
        first = self.random.randrange(0, 256, 2 ** (32 - length))
        cidr = f"10.0.{number}.{first}/{length}"
        self.ec2.add_reservation(self.subnets[number], cidr, kind=kind)
        self.reserved[self.subnets[number]].append(CidrReservation(cidr, kind == "prefix"))

    def inventory(self, number: int) -> SubnetInventory:
        """What the API shows of a subnet."""
        key = self.subnets[number]
        filters = [{"Name": "subnet-id", "Values": [key]}]
        shown = self.call("DescribeNetworkInterfaces", Filters=filters)["NetworkInterfaces"]
        listed = [read_interface(eni) for eni in shown]
        free, cidr = self.ec2.subnet(key).free_addresses, f"10.0.{number}.0/24"
        return SubnetInventory(
            SubnetFacts(key, "a", cidr, 256, free, 0.0),
            tuple(one.facts for one in listed),
            used_bits(cidr, (address for one in listed for address in one.addresses)),
            0.0,
        )

    def check(self) -> None:
        inventories = [self.inventory(number) for number in range(3)]
        known = {name: InstanceUse(name, pods=4) for name in self.mine}
        found = split_all(inventories, known, {}, cluster="mine")
        for inventory in inventories:
            self._check_subnet(inventory, found[inventory.subnet.subnet_id])

    def _check_subnet(self, inventory: SubnetInventory, split: SubnetSplit) -> None:
        key = inventory.subnet.subnet_id
        assert sum(split.parts().values()) == 251
        assert split.unaccounted == 0
        # By tag, since ENIs may outlive their nodes.
        enis = self.ec2.interfaces(key)
        theirs = sum(addresses(e) for e in enis if e.tags.get(CLUSTER_TAGS[0]) == "theirs")
        assert split.other_clusters == ({"theirs": theirs} if theirs else {})
        ours = [e for e in enis if "mine" in (e.tags.get(CLUSTER_TAGS[0]), owner(e.tags))]
        assert split.held == sum(map(addresses, ours))
        found = room(inventory.subnet, inventory.used, self.reserved[key])
        assert found.free_blocks == self.ec2.free_blocks(key)


def owner(tags: Mapping[str, str]) -> str | None:
    """The cluster of a pod's branch ENI."""
    return next((k.removeprefix(OWNED_TAG) for k in tags if k.startswith(OWNED_TAG)), None)


def addresses(eni: Interface) -> int:
    return 1 + len(eni.secondary_addresses) + 16 * len(eni.prefixes)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_split_and_room_are_true_at_every_step(seed: int) -> None:
    account = Account(seed)
    for _ in range(40):
        account.step()
        account.check()


def test_an_interface_in_the_making_is_the_clusters_before_it_is_attached() -> None:
    account = Account(1)
    node = cluster_node(account.ec2, account.subnets[0], "mine")
    account.ec2.add_interface(
        account.subnets[0], description=f"aws-K8S-{node.id}", secondary_count=3
    )
    inventory = account.inventory(0)
    made: InterfaceFacts = inventory.interfaces[-1]
    assert made.instance_id == node.id
    found = split_all([inventory], {node.id: InstanceUse("n")}, {})[account.subnets[0]]
    assert (found.held, found.unaccounted) == (6, 0)
