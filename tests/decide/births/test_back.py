"""Before a policy goes, pods with targets of its groups are made anew, at its own pace."""

from __future__ import annotations

from dataclasses import replace

from birth_fleet import STEP_S, Fleet
from builders import policy
from ippolicy.api import IPPolicy
from ippolicy.decide.births.back import giving_back
from ippolicy.decide.births.document import write_table
from ippolicy.decide.births.table import TEMPLATE, PolicyTable


def born(nodes: int) -> tuple[Fleet, IPPolicy]:
    """A group that was born with targets of its own, once they were taken away."""
    made = Fleet(spec={"change": {"stabilization": "0s", "rollback": {"within": "0s"}}})
    made.add("web", nodes)
    made.now_s += 3_600.0
    made.want("web", 2)
    made.until(lambda: TEMPLATE not in made.running("web"))
    made.stored = write_table(PolicyTable("default"))
    made.now_s += 3_600.0
    return made, policy({"change": {"restarts": {"atOnce": "10%", "most": 2}}})


def test_all_return_to_the_template_some_at_a_time() -> None:
    made, leaving = born(20)
    restarted = 0
    while (back := giving_back(leaving, made.snapshot())).outstanding:
        assert len(back.due) <= 2
        restarted += len(back.due)
        for agent in back.due:
            made.reborn(agent.name)
        made.now_s += STEP_S
    assert restarted == 20
    assert made.running("web") == {TEMPLATE: 20}


def test_no_more_go_while_the_daemonset_makes_none_anew() -> None:
    made, leaving = born(20)
    made.grace_s = 900.0
    for _ in range(40):
        for agent in giving_back(leaving, made.snapshot()).due:
            made.end(agent.name)
        made.now_s += STEP_S
        made.left_out = True
        assert len(made.down("web")) <= 3


def test_a_node_that_was_born_with_its_template_is_let_be() -> None:
    made, leaving = born(4)
    for name in made.of("web")[:3]:
        made.reborn(name)
    made.now_s += 3_600.0
    back = giving_back(leaving, made.snapshot())
    assert back.outstanding == 1
    assert [agent.name for agent in back.due] == made.of("web")[3:]


def test_without_a_daemonset_there_is_nothing_to_give_back() -> None:
    made, leaving = born(2)
    assert not giving_back(leaving, replace(made.snapshot(), daemon_set=None)).outstanding
