"""Which targets a node's pod gets: its group's, or those that a small or new group borrows."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ippolicy.admission import GroupTargets, NodePlace, PolicyTable, Tables
from ippolicy.admission.tables import family_of, table_of
from ippolicy.decide.types import Evidence, GroupAdvice, Prediction, Recommendation
from ippolicy.facts import DaemonSetRef
from ippolicy.ipamd import WarmTargets

FLEET = WarmTargets(warm_ip=9, minimum_ip=9)
TYPES = {"web": "m5.large", "api": "m5.xlarge", "batch": "c5.large", "odd": ""}


def advice(
    group: str, warm: int, minimum: int, *, nodes: int = 5, sufficient: bool = True
) -> GroupAdvice:
    targets = WarmTargets(warm_ip=warm, minimum_ip=minimum)
    nothing = Prediction(0, 0, 0)
    evidence = Evidence(3600, nodes, 10, sufficient, "")
    recommendation = Recommendation(
        targets, targets, targets, targets, "", nothing, nothing, evidence
    )
    return GroupAdvice(group, nodes, 10, recommendation)


def made(*groups: GroupAdvice, former: PolicyTable | None = None) -> PolicyTable:
    return table_of("default", groups, types=TYPES, fleet=FLEET, former=former)


def found(table: PolicyTable, group: str, instance_type: str) -> tuple[str, int, int, int]:
    row = table.find(NodePlace(group, instance_type))
    assert row is not None
    targets = row.targets.targets
    return row.source, targets.warm_ip, targets.minimum_ip, row.targets.revision


def test_a_group_has_its_own_targets() -> None:
    table = made(advice("web", 2, 10), advice("batch", 4, 20))
    assert found(table, "batch", "c5.large") == ("group", 4, 20, 1)


@pytest.mark.parametrize(
    "small", [advice("api", 1, 1, nodes=1), advice("api", 1, 1, sufficient=False)]
)
def test_a_group_too_small_or_too_new_borrows_from_its_family(small: GroupAdvice) -> None:
    table = made(advice("web", 2, 10), small, advice("batch", 4, 20))
    assert found(table, "api", "m5.xlarge") == ("family m5", 2, 10, 1)


def test_a_family_lends_the_largest_of_its_groups_targets() -> None:
    table = made(advice("web", 2, 10), advice("api", 5, 4))
    assert found(table, "new", "m5.24xlarge") == ("family m5", 5, 10, 1)


def test_a_group_of_another_family_borrows_from_the_fleet() -> None:
    table = made(advice("web", 2, 10))
    assert found(table, "new", "r6i.large") == ("fleet", 9, 9, 1)
    assert found(table, "odd", "") == ("fleet", 9, 9, 1)


def test_without_any_targets_there_are_none() -> None:
    table = table_of("default", [], types={}, fleet=None)
    assert table.find(NodePlace("web", "m5.large")) is None


def test_a_revision_counts_changes_of_the_env_and_nothing_else() -> None:
    first = made(advice("web", 2, 10), advice("batch", 4, 20))
    same = made(advice("web", 2, 10, nodes=9), advice("batch", 4, 20), former=first)
    assert same == first
    changed = made(advice("web", 3, 10), advice("batch", 4, 20), former=same)
    assert found(changed, "web", "m5.large") == ("group", 3, 10, 2)
    assert found(changed, "batch", "c5.large") == ("group", 4, 20, 1)
    assert changed.groups["web"].digest != first.groups["web"].digest
    back = made(advice("web", 2, 10), advice("batch", 4, 20), former=changed)
    assert found(back, "web", "m5.large") == ("group", 2, 10, 3)
    assert back.groups["web"].digest == first.groups["web"].digest


def test_a_group_without_nodes_is_remembered() -> None:
    before = made(advice("web", 2, 10), advice("batch", 4, 20))
    now = made(advice("web", 2, 10), former=before)
    assert found(now, "batch", "c5.large") == ("group", 4, 20, 1)


def test_a_group_that_shrank_keeps_what_it_learned() -> None:
    before = made(advice("web", 2, 10))
    now = made(advice("web", 7, 7, nodes=1), former=before)
    assert found(now, "web", "m5.large") == ("group", 2, 10, 1)


def test_a_table_cannot_be_changed() -> None:
    groups: dict[str, GroupTargets] = {"web": GroupTargets(FLEET, 1)}
    table = PolicyTable("default", groups=groups)
    groups.clear()
    assert "web" in table.groups
    frozen: Mapping[str, GroupTargets] = table.groups
    with pytest.raises(TypeError):
        frozen["web"] = groups  # type: ignore[index]  # this is what must not work


def test_tables_are_replaced_as_a_whole() -> None:
    tables, one, other = Tables(), PolicyTable("one"), PolicyTable("other")
    tables.replace({DaemonSetRef("kube-system", "aws-node"): one})
    assert tables.of("kube-system", "aws-node") is one
    tables.replace({DaemonSetRef("cni", "aws-node"): other})
    assert tables.of("kube-system", "aws-node") is None
    assert tables.of("cni", "aws-node") is other


def test_a_family_is_what_stands_before_the_dot() -> None:
    assert [family_of(t) for t in ("m5.large", "u-6tb1.metal", "", "large")] == [
        "m5",
        "u-6tb1",
        "",
        "",
    ]
