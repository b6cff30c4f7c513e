"""The split of a subnet adds up to its last address, whatever happens to its ENIs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NOW_S, pool, snapshot
from ippolicy.decide.subnets.split import split, split_all, splits
from ippolicy.facts import (
    CniFacts,
    Holder,
    InstanceUse,
    InterfaceFacts,
    PoolFacts,
    SubnetFacts,
    SubnetInventory,
    SubnetSplit,
)

USABLE = 251
KINDS = [holder for holder in Holder if holder not in (Holder.CNI, Holder.CILIUM)]


def subnet(number: int = 0, *, free: int) -> SubnetFacts:
    return SubnetFacts(f"subnet-{number}", "a", f"10.0.{number}.0/24", 256, free, NOW_S)


def inventory(
    enis: Iterable[InterfaceFacts], number: int = 0, *, free: int | None = None
) -> SubnetInventory:
    """The ENIs of a /24, in which all else is free unless a test says otherwise."""
    listed = tuple(enis)
    left = USABLE - sum(eni.addresses for eni in listed)
    return SubnetInventory(subnet(number, free=left if free is None else free), listed, b"", NOW_S)


def on(instance: str, secondaries: int = 0, number: int = 0, **more: Any) -> InterfaceFacts:
    """An ENI of a VPC CNI node."""
    facts = InterfaceFacts(f"subnet-{number}", Holder.CNI, instance, "mine", secondaries)
    return replace(facts, **more)


def read(node: str, held: int, assigned: int) -> PoolFacts:
    return pool(node=node, held=held, assigned=assigned)


def own(found: SubnetSplit) -> tuple[int, int, int, int]:
    return found.assigned, found.warm, found.unclear, found.primaries


def test_three_slash_24_with_one_node_each_leave_220_and_the_control_plane_is_named() -> None:
    enis = [on("i-1", 14), on("i-1", 14), InterfaceFacts("subnet-0", Holder.CONTROL_PLANE)]
    found = split(inventory(enis), {"i-1": InstanceUse("n1", 3)}, {"n1": read("n1", 28, 3)})
    assert found.parts() == {
        "assigned": 3,
        "warm": 25,
        "unclear": 0,
        "eni-primaries": 2,
        "other-clusters": 0,
        "eks-control-plane": 1,
        "free": 220,
        "unaccounted": 0,
    }
    assert found.held == 30


def test_prefixes_hold_sixteen_each_and_are_counted_besides() -> None:
    enis = [on("i-1", prefixes=2), on("i-1", 1)]
    found = split(inventory(enis), {"i-1": InstanceUse("n1")}, {"n1": read("n1", 33, 5)})
    assert own(found) == (5, 28, 0, 2)
    assert found.prefixes == 2


def test_what_cools_or_cannot_be_read_is_unclear() -> None:
    enis = [on("i-1", 10), on("i-2", 10)]
    instances = {"i-1": InstanceUse("n1", 4, cooling=3), "i-2": InstanceUse("n2", 6)}
    found = split(inventory(enis), instances, {"n1": read("n1", 10, 4)})
    assert own(found) == (4 + 6, 10 - 4 - 3, 3 + 4, 2)


def test_more_pods_or_cooling_ones_than_addresses_take_no_more_than_is_held() -> None:
    enis = [on("i-1", 2), on("i-2", 5)]
    instances = {"i-1": InstanceUse("n1", 9, cooling=9), "i-2": InstanceUse("n2", 1, cooling=9)}
    found = split(inventory(enis), instances, {"n2": read("n2", 5, 3)})
    assert own(found) == (2 + 3, 0, 0 + 2, 2)


def test_nodes_of_another_cluster_are_told_by_the_tags_of_any_of_their_enis() -> None:
    theirs = {"instance_id": "i-9", "cluster": "theirs"}
    enis = [
        on("i-1", 5),
        InterfaceFacts("subnet-0", Holder.INSTANCE, "i-9", secondaries=2),
        InterfaceFacts("subnet-0", Holder.INSTANCE, "i-7"),
        on("", 4, cluster=""),
    ]
    elsewhere = [on("i-9", 3, 1, **theirs)]
    found = split_all(
        [inventory(enis), inventory(elsewhere, 1)],
        {"i-1": InstanceUse("n1")},
        {"n1": read("n1", 5, 0)},
    )
    assert found["subnet-0"].other_clusters == {"": 5, "theirs": 3}
    assert found["subnet-0"].others == {Holder.INSTANCE: 1}
    assert found["subnet-1"].other_clusters == {"theirs": 4}


def test_an_eni_that_outlived_its_node_is_known_by_the_name_of_the_cluster() -> None:
    left_behind = on("i-gone", 4)
    known = {"i-1": InstanceUse("n1")}
    by_tag = split(inventory([on("i-1", 2), left_behind]), known, {"n1": read("n1", 2, 0)})
    assert own(by_tag) == (0, 2, 4, 2)
    assert own(split(inventory([left_behind]), {}, {}, cluster="mine")) == (0, 0, 4, 1)
    assert split(inventory([left_behind]), {}, {}).other_clusters == {"mine": 5}


def test_the_branch_eni_of_a_pod_with_security_groups_is_that_pods_address() -> None:
    enis = [on("i-1", 2), on("", for_pod=True)]
    found = split(inventory(enis), {"i-1": InstanceUse("n1")}, {"n1": read("n1", 2, 1)})
    assert own(found) == (2, 1, 0, 1)


def test_cilium_nodes_are_accounted_for_by_their_enis_and_pods() -> None:
    enis = [
        InterfaceFacts("subnet-0", Holder.INSTANCE, "i-1", secondaries=9),
        InterfaceFacts("subnet-0", Holder.CILIUM, "i-1", "mine", 8),
    ]
    found = split(inventory(enis), {"i-1": InstanceUse("n1", 11)}, {})
    assert own(found) == (11, 0, 6, 2)


def test_a_node_in_two_subnets_is_shared_out_by_what_it_holds_in_each() -> None:
    first, second = inventory([on("i-1")]), inventory([on("i-1", 12, 1), on("i-1", 4, 1)], 1)
    third = inventory([on("i-1", 4, 2)], 2)
    found = split_all(
        [first, second, third], {"i-1": InstanceUse("n1")}, {"n1": read("n1", 20, 10)}
    )
    assert own(found["subnet-0"]) == (0, 0, 0, 1)
    assert own(found["subnet-1"]) == (8, 8, 0, 2)
    assert own(found["subnet-2"]) == (2, 2, 0, 1)


def test_a_mismatch_is_shown_and_the_parts_still_add_up() -> None:
    eni = [InterfaceFacts("subnet-0", Holder.OTHER)]
    for free, unaccounted in ((200, 50), (250, 0), (251, -1)):
        found = split(inventory(eni, free=free), {}, {})
        assert found.unaccounted == unaccounted
        assert sum(found.parts().values()) == USABLE


def test_a_snapshot_is_split_with_the_name_that_aws_node_is_told() -> None:
    facts = snapshot(
        0,
        cni=CniFacts(cluster="mine"),
        inventories={"subnet-0": inventory([on("i-gone", 4)])},
    )
    assert splits(facts)["subnet-0"].held == 5
    nameless = splits(replace(facts, cni=CniFacts()))["subnet-0"]
    assert (nameless.held, nameless.other_clusters) == (0, {"mine": 5})


class Ledger:
    """Three /24 in which things come and go, with each address in one book: who has it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.enis: dict[int, InterfaceFacts] = {}
        self.pods: Counter[str] = Counter()
        self.cooling: Counter[str] = Counter()
        self.nodes: dict[str, int] = {}
        self.made = 0

    def taken(self, number: int) -> int:
        key = f"subnet-{number}"
        return sum(eni.addresses for eni in self.enis.values() if eni.subnet_id == key)

    def add(self, eni: InterfaceFacts) -> None:
        if self.taken(int(eni.subnet_id[-1])) + eni.addresses <= USABLE:
            self.made += 1
            self.enis[self.made] = eni

    def held(self, instance: str) -> int:
        return sum(eni.held for eni in self.enis.values() if eni.instance_id == instance)

    def step(self) -> None:
        getattr(self, self.random.choice(STEPS))()

    def node_comes(self) -> None:
        name = f"i-{len(self.nodes)}-{self.made}"
        self.nodes[name] = self.random.randrange(3)
        self.add(on(name, self.random.choice((0, 14)), self.nodes[name]))

    def node_goes(self) -> None:
        if self.nodes:
            name = self.random.choice(list(self.nodes))
            del self.nodes[name], self.pods[name], self.cooling[name]
            self.enis = {key: e for key, e in self.enis.items() if e.instance_id != name}

    def node_attaches(self) -> None:
        if self.nodes:
            name = self.random.choice(list(self.nodes))
            prefixes = self.random.choice((0, 0, 2))
            self.add(on(name, self.random.randrange(15), self.nodes[name], prefixes=prefixes))

    def eni_grows_or_shrinks(self) -> None:
        if self.enis:
            key = self.random.choice(list(self.enis))
            eni = self.enis[key]
            if eni.instance_id in self.nodes:
                del self.enis[key]
                new = replace(eni, secondaries=self.random.randrange(15))
                used = self.pods[eni.instance_id] + self.cooling[eni.instance_id]
                if self.held(eni.instance_id) + new.held < used:
                    new = eni
                if self.taken(int(eni.subnet_id[-1])) + new.addresses > USABLE:
                    new = eni
                self.enis[key] = new

    def pod_comes(self) -> None:
        for name in self.nodes:
            if self.pods[name] + self.cooling[name] < self.held(name):
                self.pods[name] += 1

    def pod_goes(self) -> None:
        for name in self.nodes:
            if self.pods[name] and self.random.random() < 0.5:
                self.pods[name] -= 1
                self.cooling[name] += 1

    def cooldown_ends(self) -> None:
        self.cooling.clear()

    def other_cluster_comes(self) -> None:
        name, number = f"i-theirs-{self.made}", self.random.randrange(3)
        self.add(on(name, 9, number, cluster="theirs"))
        self.add(InterfaceFacts(f"subnet-{number}", Holder.INSTANCE, name, secondaries=3))

    def service_comes(self) -> None:
        kind = self.random.choice(KINDS)
        self.add(InterfaceFacts(f"subnet-{self.random.randrange(3)}", kind))

    def someone_goes(self) -> None:
        foreign = [key for key, eni in self.enis.items() if eni.instance_id not in self.nodes]
        if foreign:
            gone = self.enis.pop(self.random.choice(foreign))
            self.enis = {
                key: eni
                for key, eni in self.enis.items()
                if not gone.instance_id or eni.instance_id != gone.instance_id
            }

    def split(self) -> Mapping[str, SubnetSplit]:
        return split_all(
            [
                inventory((e for e in self.enis.values() if e.subnet_id == f"subnet-{n}"), n)
                for n in range(3)
            ],
            {name: InstanceUse(name, self.pods[name], self.cooling[name]) for name in self.nodes},
            {name: read(name, self.held(name), self.pods[name]) for name in self.nodes},
            cluster="mine",
        )

    def book(self, number: int) -> dict[str, int]:
        """The parts of a subnet, counted node by node."""
        here = [eni for eni in self.enis.values() if eni.subnet_id == f"subnet-{number}"]
        names = [name for name, at in self.nodes.items() if at == number]
        used, cooling = (sum(count[n] for n in names) for count in (self.pods, self.cooling))
        theirs = [eni for eni in here if "theirs" in eni.instance_id]
        services = Counter(eni.holder for eni in here if not eni.instance_id)
        return {
            "assigned": used,
            "warm": sum(map(self.held, names)) - used - cooling,
            "unclear": cooling,
            "eni-primaries": sum(eni.instance_id in self.nodes for eni in here),
            "other-clusters": sum(eni.addresses for eni in theirs),
            **{holder.value: count for holder, count in services.items()},
            "free": USABLE - self.taken(number),
            "unaccounted": 0,
        }


STEPS = [
    name for name in vars(Ledger) if name.endswith(("comes", "goes", "attaches", "shrinks", "ends"))
]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_parts_are_right_and_add_up_to_251_at_every_step(seed: int) -> None:
    ledger = Ledger(Random(seed))
    for _ in range(60):
        ledger.step()
        for number, found in enumerate(ledger.split().values()):
            assert found.parts() == ledger.book(number)
            assert sum(found.parts().values()) == USABLE


@given(
    enis=st.lists(
        st.builds(
            InterfaceFacts,
            st.sampled_from(["subnet-0", "subnet-1"]),
            st.sampled_from(Holder),
            st.sampled_from(["", "i-1", "i-2", "i-3"]),
            st.sampled_from(["", "mine", "theirs"]),
            st.integers(0, 14),
            st.integers(0, 3),
            st.booleans(),
        ),
        max_size=12,
    ),
    free=st.integers(0, USABLE),
    pods=st.integers(0, 60),
    cooling=st.integers(0, 60),
    assigned=st.none() | st.integers(0, 60),
)
def test_no_facts_however_odd_make_the_parts_miss_the_whole(
    enis: list[InterfaceFacts], free: int, pods: int, cooling: int, assigned: int | None
) -> None:
    found = split_all(
        [
            inventory((e for e in enis if e.subnet_id == f"subnet-{n}"), n, free=free)
            for n in range(2)
        ],
        {"i-1": InstanceUse("n1", pods, cooling), "i-2": InstanceUse("n2", pods, cooling)},
        {} if assigned is None else {"n1": read("n1", assigned, assigned)},
    )
    for one in found.values():
        parts = one.parts()
        assert sum(parts.values()) == USABLE
        assert all(count >= 0 for name, count in parts.items() if name != "unaccounted")
        here = sum(eni.addresses for eni in enis if eni.subnet_id == one.subnet_id)
        assert one.unaccounted == USABLE - free - here
