"""How many nodes run the targets of their group, as their aws-node pods say."""

from __future__ import annotations

import builders
from ippolicy.decide.births.progress import State, progress, told
from ippolicy.decide.births.table import GroupTargets, PolicyTable
from ippolicy.facts import Agent, Birth
from ippolicy.facts.births import DIGEST_LABEL, GROUP_LABEL, read_birth
from ippolicy.ipamd import WarmTargets

BLUE = GroupTargets(WarmTargets(warm_ip=2, minimum_ip=10), 3)
FLEET = GroupTargets(WarmTargets(warm_ip=5, minimum_ip=20), 8)
TABLE = PolicyTable("default", groups={"blue": BLUE}, fleet=FLEET)
NOW = Birth("default", "blue", "3", BLUE.digest)
BEFORE = Birth("default", "blue", "2", "other")


def born(*births: Birth | None, **facts: object) -> dict[str, Agent]:
    """The aws-node pods of the first nodes, each born so."""
    return {
        f"node-{n}": builders.agent(n, birth=birth, targets={}, **facts)
        for n, birth in enumerate(births)
    }


def test_each_node_has_its_targets_or_former_ones_or_the_templates() -> None:
    nodes = [builders.node(number) for number in range(4)]
    (blue,) = progress(TABLE, nodes, born(NOW, NOW, BEFORE))
    assert (blue.group, blue.revision, blue.source) == ("blue", 3, "group")
    assert blue.nodes == {State.CURRENT: 2, State.OLDER: 1, State.TEMPLATE: 1, State.ASTRAY: 0}
    assert blue.behind == ("node-2", "node-3")
    assert told([blue]) == (2, 4)


def test_a_pod_whose_env_is_not_what_its_labels_say_is_astray() -> None:
    env = {key: value for key, value in BLUE.env.items() if value is not None}
    agents = {
        "node-0": builders.agent(0, birth=NOW, targets=env),
        "node-1": builders.agent(1, birth=NOW, targets={**env, "WARM_IP_TARGET": "9"}),
    }
    (blue,) = progress(TABLE, [builders.node(0), builders.node(1)], agents)
    assert (blue.nodes[State.CURRENT], blue.nodes[State.ASTRAY]) == (1, 1)
    assert blue.behind == ("node-1",)


def test_who_was_born_without_what_was_in_force_already_is_missed_and_named_first() -> None:
    nodes = [builders.node(number) for number in range(3)]
    agents = born(None, None, NOW, created_at_s=1_000.0)
    agents["node-0"] = builders.agent(0, created_at_s=500.0)
    (blue,) = progress(TABLE, nodes, agents, {"blue": 600.0})
    assert (blue.behind, blue.missed) == (("node-1", "node-0"), 1)
    (lately,) = progress(TABLE, nodes, agents, {"blue": 990.0})
    assert lately.missed == 0, "not all who answer had read it"


def test_a_group_without_targets_of_its_own_is_held_against_those_it_borrows() -> None:
    red = builders.node(0, group="red")
    (borrowing,) = progress(TABLE, [red], born(Birth("default", "red", "8", FLEET.digest)))
    assert (borrowing.revision, borrowing.source) == (8, "fleet")
    assert borrowing.nodes[State.CURRENT] == 1


def test_what_nobody_sets_any_more_is_outstanding_nowhere() -> None:
    (blue,) = progress(None, [builders.node(0), builders.node(1)], born(NOW))
    assert (blue.revision, blue.nodes[State.OLDER], blue.nodes[State.TEMPLATE]) == (0, 1, 1)
    assert told([blue]) == (0, 0)


def test_a_pod_without_the_digest_was_born_with_its_template() -> None:
    assert read_birth({GROUP_LABEL: "blue"}) is None
    assert read_birth({DIGEST_LABEL: "d"}) == Birth("", "", "", "d")
