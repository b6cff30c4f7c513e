"""Changes of groups are measured each for itself, on the nodes that run them; savings add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import builders
from builders import NOW_S, REF, pool, snapshot, trace
from ippolicy.decide.births import ledger
from ippolicy.decide.births.table import Grounds, GroupTargets, PolicyTable, Stage, Trial
from ippolicy.decide.hindsight import Look
from ippolicy.decide.proof import MOST_WRONG
from ippolicy.engine.group_proof import MOST_AT_ONCE
from ippolicy.engine.proof import Proofs
from ippolicy.facts import Agent, Birth, Change, DaemonSetRef, Record, Signals, Snapshot
from ippolicy.ipamd import WarmTargets

LEAN = GroupTargets(WarmTargets(warm_ip=1, minimum_ip=20), 1)
LEAN_HELD, HELD = 21, 42  # addresses of a node with 20 pods at rest
SPEC = {"mode": "Apply", "apply": {"method": "Admission"}}


class World:
    """Groups of ten nodes at rest, looked at each minute; `runs` says which nodes run `LEAN`, and
    since when."""

    def __init__(self, *groups: str) -> None:
        self.groups = groups
        self.nodes = [
            builders.node(n, group=group)
            for n, group in enumerate(group for group in groups for _ in range(10))
        ]
        self.runs: dict[str, float] = {}
        self.lean_held = LEAN_HELD
        self.now_s = NOW_S
        self.writes = 0
        trial = Trial(LEAN, Stage.PROMOTED, NOW_S, (), Grounds(NOW_S - 1_800))
        promoted = dict.fromkeys(groups, trial)
        empty = Record("uid", "policy-uid", {}, ())
        self.known = ledger.follow(empty, PolicyTable("default", trials=promoted), NOW_S)
        self.policy = builders.policy(SPEC)
        self.proofs = Proofs(self.note)

    def note(self, ref: DaemonSetRef, update: Callable[[Record], Record]) -> Record:
        assert ref == REF
        self.writes += 1
        self.known = update(self.known)
        return self.known

    def run(self, *numbers: int) -> None:
        """The aws-node of these nodes is made anew, for the targets of their group."""
        self.runs |= {f"node-{n}": self.now_s for n in numbers}

    def snapshot(self) -> Snapshot:
        agents: dict[str, Agent] = {}
        pools = {}
        for n, node in enumerate(self.nodes):
            agents[node.name], held = builders.agent(n), HELD
            if (made_s := self.runs.get(node.name)) is not None:
                env = {key: value for key, value in LEAN.env.items() if value is not None}
                birth = Birth("default", node.group, "1", LEAN.digest)
                agents[node.name] = builders.agent(n, created_at_s=made_s, birth=birth, targets=env)
                held = self.lean_held
            pools[node.name] = pool(n, held=held, read_at_s=self.now_s)
        return snapshot(
            0,
            taken_at_s=self.now_s,
            nodes=tuple(self.nodes),
            pods_per_node=dict.fromkeys((node.name for node in self.nodes), 20),
            agents=agents,
            pools=pools,
        )

    def look(self, minutes: int = 1) -> Record:
        """The record after so many passes, a minute apart."""
        for _ in range(minutes):
            self.now_s += 60.0
            seen = self.snapshot()
            self.proofs.note(REF, seen)
            traces = [
                replace(trace(n, level=20, span_s=200_000.0), group=node.group, until_s=self.now_s)
                for n, node in enumerate(self.nodes)
            ]
            found = self.proofs.measured(
                self.policy, REF, Look(seen, traces, Signals()), self.known
            )
            assert found is not None
            self.known = found
        return self.known

    def of(self, group: str) -> Change:
        (found,) = (one for one in self.known.group_changes if one.group == group)
        return found


def test_a_change_of_a_group_is_measured_on_the_nodes_that_run_it_for_all_it_has() -> None:
    world = World("web", "batch")
    world.run(0, 1, 2)
    world.look(16)
    (found,) = world.of("web").measured
    assert (found.after_s, found.pods) == (900, 200)
    assert found.held == pytest.approx(10 * LEAN_HELD)
    assert found.expected_held == pytest.approx(10 * LEAN_HELD, rel=0.02)
    assert found.as_expected
    assert not world.of("batch").measured, "none of its nodes runs it yet"


def test_nodes_that_come_to_it_later_count_from_when_they_have_settled() -> None:
    world = World("web")
    world.run(0, 1)
    world.look(40)
    world.run(*range(2, 10))
    world.look(21)
    quarter, hour = world.of("web").measured
    assert (quarter.after_s, hour.after_s) == (900, 3_600)
    assert hour.held == pytest.approx(10 * LEAN_HELD)
    assert hour.as_expected


def test_nodes_that_hold_something_else_than_the_model_says_are_told_and_counted() -> None:
    world = World(*(f"g{n}" for n in range(MOST_WRONG)))
    world.run(*range(10 * MOST_WRONG))
    world.lean_held = HELD
    world.look(16)
    assert all(one.measured[0].as_expected is False for one in world.known.group_changes)
    assert world.known.mispredicted == MOST_WRONG


def test_of_many_changes_some_are_measured_in_each_pass_until_all_are() -> None:
    world = World(*(f"g{n}" for n in range(MOST_AT_ONCE + 1)))
    world.run(*range(10 * (MOST_AT_ONCE + 1)))
    world.look(15)
    assert sum(bool(one.measured) for one in world.known.group_changes) == MOST_AT_ONCE
    world.look(1)
    assert all(one.measured for one in world.known.group_changes)


def test_what_the_nodes_that_run_it_save_adds_up() -> None:
    world = World("web")
    world.run(0, 1, 2, 3)
    world.look(121)
    saved_s = world.known.ledger.saved_address_s
    assert saved_s == pytest.approx(2 * 3_600 * 4 * (HELD - LEAN_HELD), rel=0.08)


def test_where_nobody_runs_it_nothing_is_measured_or_saved() -> None:
    world = World("web")
    world.look(130)
    assert world.writes == 0
