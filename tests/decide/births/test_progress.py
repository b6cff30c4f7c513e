"""How many nodes run the targets of their group, as their aws-node pods say."""

from __future__ import annotations

from dataclasses import replace

import builders
from ippolicy.decide.births.progress import State, progress, told
from ippolicy.decide.births.table import GroupTargets, PolicyTable, Stage, Trial
from ippolicy.facts import Birth
from ippolicy.facts.births import DIGEST_LABEL, GROUP_LABEL, read_birth
from ippolicy.ipamd import WarmTargets

BLUE = GroupTargets(WarmTargets(warm_ip=2, minimum_ip=10), 3)
FLEET = GroupTargets(WarmTargets(warm_ip=5, minimum_ip=20), 8)
TABLE = PolicyTable("default", groups={"blue": BLUE}, fleet=FLEET)
NOW = Birth("default", "blue", "3", BLUE.digest)
BEFORE = Birth("default", "blue", "2", "other")


def test_each_node_has_its_targets_or_former_ones_or_the_templates() -> None:
    nodes = [builders.node(number) for number in range(4)]
    births = {"node-0": NOW, "node-1": NOW, "node-2": BEFORE}
    (blue,) = progress(TABLE, nodes, births)
    assert (blue.group, blue.revision, blue.source) == ("blue", 3, "group")
    assert blue.nodes == {State.CURRENT: 2, State.OLDER: 1, State.TEMPLATE: 1}
    assert told([blue]) == (2, 4)


def test_a_group_without_targets_of_its_own_is_held_against_those_it_borrows() -> None:
    red = builders.node(0, group="red")
    (borrowing,) = progress(TABLE, [red], {"node-0": Birth("default", "red", "8", FLEET.digest)})
    assert (borrowing.revision, borrowing.source) == (8, "fleet")
    assert borrowing.nodes[State.CURRENT] == 1


def test_a_group_that_tries_targets_says_how_far_it_is() -> None:
    trials = {"blue": Trial(FLEET, Stage.SHARE, 0.0, ("node-1",))}
    table = replace(TABLE, trials=trials)
    blue, red = progress(table, [builders.node(0), builders.node(1, group="red")], {})
    assert (blue.trial, red.trial) == (Stage.SHARE, None)


def test_what_nobody_sets_any_more_is_outstanding_nowhere() -> None:
    (blue,) = progress(None, [builders.node(0), builders.node(1)], {"node-0": NOW})
    assert (blue.revision, blue.nodes[State.OLDER], blue.nodes[State.TEMPLATE]) == (0, 1, 1)
    assert told([blue]) == (0, 0)


def test_a_pod_without_the_digest_was_born_with_its_template() -> None:
    assert read_birth({GROUP_LABEL: "blue"}) is None
    assert read_birth({DIGEST_LABEL: "d"}) == Birth("", "", "", "d")
