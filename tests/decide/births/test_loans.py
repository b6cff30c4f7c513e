"""What is proven is lent: to the family, to the fleet, and within the bounds of a group."""

from __future__ import annotations

import builders
from ippolicy.decide.births.loans import lent
from ippolicy.decide.births.table import Found, GroupTargets, NodePlace, PolicyTable
from ippolicy.ipamd import WarmTargets

FLEET = WarmTargets(warm_ip=9, minimum_ip=9)
NODES = [
    builders.node(0, group="web", instance_type="m5.large"),
    builders.node(1, group="api", instance_type="m5.xlarge"),
    builders.node(2, group="batch", instance_type="c5.large"),
]
BOUNDED = {
    "groups": [
        {
            "name": "odd",
            "nodeSelector": {"pool": "odd"},
            "bounds": {"warmIPTarget": {"min": 12, "max": 20}},
        }
    ]
}


def proven(**targets: tuple[int, int]) -> PolicyTable:
    return PolicyTable(
        "default",
        {
            name: GroupTargets(WarmTargets(warm_ip=warm, minimum_ip=minimum), 1)
            for name, (warm, minimum) in targets.items()
        },
    )


def borrowed(table: PolicyTable, group: str, kind: str) -> tuple[str, int, int]:
    found = table.find(NodePlace(group, kind))
    assert isinstance(found, Found)
    return found.source, found.targets.targets.warm_ip, found.targets.targets.minimum_ip


def test_nothing_is_lent_before_anything_is_proven() -> None:
    table = lent(PolicyTable("default"), builders.policy().spec, NODES, FLEET)
    assert table.find(NodePlace("new", "m5.large")) is None


def test_a_family_lends_the_largest_that_its_groups_have_proven() -> None:
    table = lent(proven(web=(2, 10), api=(5, 4)), builders.policy().spec, NODES, FLEET)
    assert borrowed(table, "new", "m5.24xlarge") == ("family m5", 5, 10)
    assert borrowed(table, "new", "r6i.large") == ("fleet", 9, 9)


def test_what_is_lent_keeps_its_revision_until_it_changes() -> None:
    spec = builders.policy().spec
    first = lent(proven(web=(2, 10)), spec, NODES, FLEET)
    assert lent(first, spec, NODES, FLEET) == first
    other = lent(first, spec, NODES, WarmTargets(warm_ip=3))
    assert other.fleet is not None
    assert other.fleet.revision == 2


def test_a_group_with_bounds_of_its_own_borrows_within_them() -> None:
    spec = builders.policy(BOUNDED).spec
    table = lent(proven(web=(2, 10)), spec, NODES, FLEET)
    assert borrowed(table, "odd", "r6i.large") == ("within its bounds", 12, 9)
    assert borrowed(table, "new", "r6i.large") == ("fleet", 9, 9)
