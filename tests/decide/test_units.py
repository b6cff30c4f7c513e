"""Whose demand counts for whom: that of old nodes for the new ones of their group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from builders import NOW_S, node, policy, pool, snapshot, trace
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.demand import profile
from ippolicy.decide.gates import Limits
from ippolicy.decide.objective import Objective
from ippolicy.decide.question import Question
from ippolicy.decide.search import choose
from ippolicy.decide.types import GroupAdvice
from ippolicy.decide.units import DAY_S, units_of
from ippolicy.facts import NodeTrace
from ippolicy.ipamd import PoolSettings, WarmTargets

TEN_MINUTES_S = 600.0
YOUNG = replace(node(9), created_at_s=NOW_S - TEN_MINUTES_S)


def old_days(count: int = 6) -> list[NodeTrace]:
    """A day each of nodes that are gone: 18 pods each half hour, for five minutes."""
    steps = [
        (at_s + later_s + pod % 3, step)
        for at_s in range(300, int(DAY_S), 1_800)
        for pod in range(18)
        for later_s, step in ((0, 1), (300, -1))
    ]
    return [trace(n, level=2, span_s=DAY_S, events=steps) for n in range(count)]


def seen_of_young() -> NodeTrace:
    """What the new node has shown so far: two pods."""
    return trace(9, level=2, span_s=TEN_MINUTES_S)


def test_nodes_that_are_gone_count_with_the_shape_of_their_group() -> None:
    facts = snapshot(nodes=(YOUNG,))
    traces = [*old_days(), seen_of_young(), trace(7, group="gone with its last node")]
    units = units_of(facts, facts.nodes, traces, until_s=NOW_S)
    assert [unit.source.node for unit in units] == [f"node-{n}" for n in (0, 1, 2, 3, 4, 5, 9)]
    assert len({unit.shape for unit in units}) == 1
    assert [unit.cold for unit in units] == [False] * 6 + [True]


def ready(groups: Sequence[GroupAdvice]) -> int:
    """Addresses that the advice for the only group has ready on a node of two pods."""
    (group,) = groups
    targets = group.recommendation.targets
    return max(2 + targets.warm_ip, targets.minimum_ip)


@pytest.mark.parametrize("by_replay", [True, False])
def test_a_node_ten_minutes_old_has_a_model(*, by_replay: bool) -> None:
    facts = snapshot(
        1,
        nodes=(YOUNG,),
        pods_per_node={"node-9": 2},
        pools={"node-9": pool(9, held=28, assigned=2, enis=2)},
    )
    inputs = Inputs(
        policy=policy(),
        snapshot=facts,
        traces=[seen_of_young()],
        record=None,
        limits=Limits(),
        by_replay=by_replay,
    )
    alone = decide(inputs)
    among = decide(replace(inputs, traces=[*old_days(), seen_of_young()]))
    assert (ready(alone.groups) < 8, ready(among.groups) >= 15) == (True, True)
    assert [d.fleet and d.fleet.evidence.sufficient for d in (alone, among)] == [False, True]


def test_a_node_is_new_only_where_it_was_first_seen() -> None:
    facts = snapshot(nodes=(YOUNG,))
    first = replace(seen_of_young(), until_s=NOW_S - 500)
    after_a_restart = replace(seen_of_young(), since_s=NOW_S - 450, level=20)
    units = units_of(facts, facts.nodes, [after_a_restart, first], until_s=NOW_S)
    assert [unit.cold for unit in units] == [False, True]


def test_a_trace_that_stands_for_many_counts_as_much_as_they() -> None:
    one, many = trace(0, level=20, span_s=DAY_S), replace(old_days(1)[0], weight=3.0)
    weighed = profile([one, many], cooldown_s=30)
    copied = profile([one, *[replace(many, weight=1.0)] * 3], cooldown_s=30)
    assert weighed.level_s == pytest.approx(copied.level_s)
    assert weighed.burst_count == pytest.approx(copied.burst_count)
    assert weighed.arrivals == copied.arrivals


def test_a_replay_counts_a_trace_as_much_as_it_stands_for() -> None:
    heavy = replace(trace(0, level=5, span_s=DAY_S), weight=3.0)
    light = trace(1, level=21, span_s=DAY_S)
    nodes = (node(0), node(1))
    units = units_of(snapshot(nodes=nodes), nodes, [heavy, light], until_s=NOW_S)
    question = Question(
        present=PoolSettings(),
        bounds=policy().spec.bounds,
        objective=Objective(0.005, 60.0),
        nodes={"blue": 2},
        anchor=WarmTargets(warm_ip=1, minimum_ip=21),
        anchors={},
    )
    choice = choose([units], question)
    assert choice is not None
    assert choice.fleet.present.assigned == pytest.approx(2 * (3 * 5 + 21) / 4, rel=1e-3)
