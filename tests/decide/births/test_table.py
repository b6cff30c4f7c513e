"""Which targets a node's pod gets: those it tries, its group's, or those that it borrows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ippolicy.admission import Tables
from ippolicy.decide.births.table import (
    GroupTargets,
    NodePlace,
    PolicyTable,
    Refused,
    Stage,
    Trial,
    family_of,
    most_generous,
)
from ippolicy.facts import DaemonSetRef
from ippolicy.ipamd import WarmTargets


def given(warm: int, minimum: int = 0, revision: int = 1) -> GroupTargets:
    return GroupTargets(WarmTargets(warm_ip=warm, minimum_ip=minimum), revision)


WEB, LENT, FLEET, TRIED = given(2, 10), given(5, 10), given(9, 9), given(1, 4, revision=2)
TABLE = PolicyTable("default", groups={"web": WEB}, families={"m5": LENT}, fleet=FLEET)


def trying(stage: Stage, *nodes: str) -> PolicyTable:
    trials = {"web": Trial(TRIED, stage, 0.0, nodes)}
    return PolicyTable("default", groups={"web": WEB}, fleet=FLEET, trials=trials)


def found(table: PolicyTable, group: str, kind: str, node: str = "") -> tuple[str, GroupTargets]:
    row = table.find(NodePlace(group, kind), node)
    assert row is not None
    return row.source, row.targets


def test_a_group_has_its_own_targets() -> None:
    assert found(TABLE, "web", "m5.large") == ("group", WEB)


def test_a_group_without_any_borrows_from_its_family_and_then_from_the_fleet() -> None:
    assert found(TABLE, "new", "m5.24xlarge") == ("family m5", LENT)
    assert found(TABLE, "new", "r6i.large") == ("fleet", FLEET)
    assert found(TABLE, "odd", "") == ("fleet", FLEET)


def test_a_group_borrows_nothing_that_holds_no_more_than_what_did_harm_to_it() -> None:
    refused = {"new": (Refused(given(5, 12), 0.0, 1, "", "DelayedStarts: late"),)}
    table = replace(TABLE, refused=refused)
    assert found(table, "new", "m5.24xlarge") == ("fleet", FLEET)
    assert found(table, "other", "m5.24xlarge") == ("family m5", LENT)
    table = replace(table, fleet=given(4, 4))
    assert table.find(NodePlace("new", "m5.24xlarge")) is None


def test_without_any_targets_there_are_none() -> None:
    assert PolicyTable("default").find(NodePlace("web", "m5.large")) is None


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.SHARE])
def test_only_the_nodes_that_are_to_try_targets_are_born_with_them(stage: Stage) -> None:
    table = trying(stage, "one", "two")
    assert found(table, "web", "m5.large", "two") == ("group", TRIED)
    assert found(table, "web", "m5.large", "three") == ("group", WEB)
    assert found(table, "web", "m5.large") == ("group", WEB)


def test_promoted_targets_are_those_of_whoever_is_born() -> None:
    assert found(trying(Stage.PROMOTED), "web", "m5.large", "new") == ("group", TRIED)


def test_a_trial_of_one_group_is_nothing_to_another() -> None:
    assert found(trying(Stage.PROMOTED), "batch", "c5.large", "new") == ("fleet", FLEET)


def test_a_revision_counts_changes_of_the_env_and_nothing_else() -> None:
    same, other = WEB.followed_by(WarmTargets(2, 2, 10)), WEB.followed_by(WarmTargets(warm_ip=3))
    assert same is WEB
    assert (other.revision, other.digest != WEB.digest) == (2, True)
    assert other.followed_by(WEB.targets).digest == WEB.digest


def test_the_newest_revision_is_the_last_given_out_whatever_became_of_it() -> None:
    refused = {"web": (Refused(given(1, 1, revision=7), 0.0, 1, "", ""),)}
    table = PolicyTable("default", groups={"web": WEB}, refused=refused)
    newest = table.newest("web")
    assert newest is not None
    assert newest.revision == 7
    assert table.newest("batch") is None


def test_a_family_lends_the_largest_of_each_target() -> None:
    both = most_generous([WarmTargets(warm_ip=2, minimum_ip=10), WarmTargets(warm_ip=5)])
    assert (both.warm_ip, both.minimum_ip) == (5, 10)


def test_a_table_cannot_be_changed() -> None:
    groups: dict[str, GroupTargets] = {"web": WEB}
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
