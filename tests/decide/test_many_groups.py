"""Hundreds of groups are searched within the budget, the smallest of them as one."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from builders import NOW_S, node, snapshot
from ippolicy.api import Bounds
from ippolicy.decide.objective import Objective
from ippolicy.decide.question import Choice, Question
from ippolicy.decide.search import BUDGET_EVENTS, choose
from ippolicy.decide.trials import replay_fast
from ippolicy.decide.units import DAY_S, Unit, units_of
from ippolicy.facts import NodeTrace
from ippolicy.ipamd import PoolSettings, WarmTargets

GROUPS = 300
EVENTS = 400  # of a node and day


def trace_of(number: int, group: int, level: int) -> NodeTrace:
    """A day in which pods are replaced around a level."""
    rng = np.random.default_rng(number)
    steps = np.tile(np.array([1, -1], dtype=np.int8), EVENTS // 2)
    times_s = NOW_S - DAY_S + np.sort(rng.uniform(0, DAY_S, EVENTS))
    return NodeTrace(
        f"node-{number}", f"group-{group:03}", NOW_S - DAY_S, NOW_S, level, times_s, steps
    )


@pytest.fixture(scope="module")
def units() -> list[Unit]:
    """Three hundred groups of two to five nodes, each with a level of its own; the last group, one
    of the smallest, has far more pods than the others."""
    sizes = {group: 2 + (GROUPS - group) * 4 // (GROUPS + 1) for group in range(GROUPS)}
    listed = [(group, n) for group, size in sizes.items() for n in range(size)]
    traces = [
        trace_of(number, group, 40 if group == GROUPS - 1 else 5 + group % 15)
        for number, (group, _) in enumerate(listed)
    ]
    nodes = tuple(node(n, group=trace.group) for n, trace in enumerate(traces))
    return units_of(snapshot(nodes=nodes), nodes, traces, until_s=NOW_S)


@pytest.fixture(scope="module")
def choice(units: list[Unit]) -> Choice:
    """The choice for all of them, which takes 10 s of one core and 512 MiB at most."""
    warm = units[:2]
    replay_fast([u.shape for u in warm], [u.trace() for u in warm], [PoolSettings()], 0.0)
    groups = [unit.group for unit in units]
    question = Question(
        present=PoolSettings(),
        bounds=Bounds(),
        objective=Objective(0.005, 600.0),
        nodes={group: groups.count(group) for group in groups},
        anchor=WarmTargets(warm_ip=1, minimum_ip=20),
        anchors={},
    )
    tracemalloc.start()
    begun_s = time.process_time()
    found = choose([units, units], question)
    took_s = time.process_time() - begun_s
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is not None
    assert took_s < 10.0
    assert peak_bytes < 512 * 2**20
    return found


def test_the_search_keeps_within_its_budget(choice: Choice) -> None:
    assert choice.events_played <= BUDGET_EVENTS
    assert choice.units == 2 * 75 + 3 * 75 + 4 * 75 + 5 * 75


def test_the_largest_groups_have_advice_of_their_own(choice: Choice) -> None:
    assert choice.pooled > 0
    assert len(choice.groups) == GROUPS - choice.pooled
    assert set(choice.groups) == {f"group-{group:03}" for group in range(len(choice.groups))}


def test_groups_that_are_judged_as_one_have_their_part_in_the_advice_for_the_fleet(
    choice: Choice, units: list[Unit]
) -> None:
    assert f"group-{GROUPS - 1:03}" not in choice.groups
    pods = sum(unit.mean_level for unit in units)
    assert choice.fleet.met
    assert choice.fleet.chosen.assigned == pytest.approx(pods, rel=0.1)
    assert choice.fleet.chosen.held > pods
