"""kill -9 of either of two operators while targets are tried, widened and promoted: whoever is left
goes on, and no node is restarted twice for one revision."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import pytest

from birthplace import Place, birthplace, steps
from ippolicy.decide.births.table import TEMPLATE, PolicyTable
from ippolicy.sandbox.cluster import Sandbox

KILLS = int(os.environ.get("KILLS", "10"))  # 100 take a quarter of an hour
NODES, PODS = 6, 4
SPEED = 10.0
MINIMUMS = (16, 13, 10, 8)
AT_FIRST = 18
"""Addresses that a node holds at least by the template's values: more than by any of these."""
LATEST_S = 3.0
LIFE_S = 240.0


class Deaths:
    """One kill after another, of the leader or the other, each at a moment drawn at random, or as
    soon as a pod is on its way after that: it is to be born while operators die.

    Whoever is left is ready, as a Service would have it: the one that starts anew may die of it.
    """

    def __init__(self, place: Place, random: Random) -> None:
        self.done: Counter[str] = Counter()
        self._place, self._random = place, random
        self._draw()

    @property
    def enough(self) -> bool:
        """Whether as many died as were to."""
        return self.done.total() >= KILLS

    def look(self) -> None:
        """Kill if it is time."""
        births = self._place.registry.down
        late_s = time.monotonic() - self._at_s
        if self.enough or late_s < 0 or (self._at_a_birth and not births and late_s < LATEST_S):
            return
        replicas = self._place.replicas
        if replicas.other_than(self._victim).answers("/readyz")[0] != 200:
            return
        role = "leader" if self._victim is replicas.leader() else "follower"
        self._victim.die()
        what = f"{len(births)} births" if births else stage(self._place.registry.table)
        self.done[f"{role}, {what}"] += 1
        self._draw()

    def _draw(self) -> None:
        self._victim = self._random.choice(self._place.replicas.all)
        self._at_s = time.monotonic() + self._random.uniform(0.0, LATEST_S)
        self._at_a_birth = self._random.random() < 0.5


def stage(table: PolicyTable | None) -> str:
    """What goes on now."""
    trials = table.trials.values() if table is not None else ()
    return next((one.stage.value for one in trials), "proven" if table else "no table")


def live_through(place: Place, deaths: Deaths) -> None:
    """A policy comes, its targets go through the group revision by revision, and it goes, once all
    nodes are back at the template's values."""
    sandbox, registry = place.sandbox, place.registry

    def until(holds: Callable[[], bool], what: str) -> None:
        def glance() -> bool:
            deaths.look()
            return holds()

        sandbox.wait(glance, f"{what}, after {deaths.done}", timeout_s=LIFE_S)

    for minimum in MINIMUMS:
        sandbox.apply_policy(steps(minimum))
        until(partial(have_all, place, minimum), f"MINIMUM_IP_TARGET={minimum}")
        if deaths.enough:
            break
    sandbox.delete_policy()
    until(lambda: sandbox.policy() is None, "the policy to go")
    until(lambda: registry.table is None, "the table to go")
    until(lambda: registry.running() == {TEMPLATE: NODES}, "the template's values")
    until(lambda: held_least(sandbox) >= AT_FIRST, "the addresses of the template's values")


def have_all(place: Place, minimum: int) -> bool:
    """Whether every node has these proven targets, and nothing else goes on."""
    table = place.registry.table
    own = table.groups.get("web") if table is not None else None
    return (
        table is not None
        and own is not None
        and own.targets.minimum_ip == minimum
        and place.registry.running() == {own.digest: NODES}
        and not table.trials
    )


def held_least(sandbox: Sandbox) -> int:
    """The addresses of the node that holds least."""
    return min(node.held for node in sandbox.report().nodes)


@dataclass
class Tally:
    """Restarts so far: each node is restarted once for a revision, and never in vain, so that it
    would have to be once more."""

    restarts: int = 0
    revisions: int = 0
    _seen: set[str] = field(default_factory=set, repr=False)

    def count(self, place: Place) -> None:
        """Take in the restarts of one more life."""
        digests = set()
        for (node, digest), uids in place.restarts().items():
            new = [uid for uid in uids if uid not in self._seen]
            self._seen |= set(new)
            lost = [uid for uid in new if place.in_vain(node, uid)]
            assert len(new) <= 1, f"{node} for {digest}: {new}"
            assert not lost, f"{node} for {digest}: {lost} in vain"
            self.restarts += len(new)
            digests |= {digest} if new else set()
        self.revisions += len(digests)


@pytest.mark.timeout(300 + 30 * KILLS)
def test_no_death_restarts_a_node_twice_for_one_revision(tmp_path: Path) -> None:
    groups, began_s = {"web": ("r5.xlarge", NODES, PODS)}, time.monotonic()
    with birthplace(tmp_path / "controlplane", groups, speed=SPEED, lease="6s") as place:
        deaths, tally, lives = Deaths(place, Random(8)), Tally(), 0
        untouched = place.by_others()
        while not deaths.enough:
            live_through(place, deaths)
            tally.count(place)
            lives += 1
            tell(f"life {lives}, {time.monotonic() - began_s:.0f} s: {dict(deaths.done)}, {tally}")
        assert place.by_others() == untouched
    assert tally.restarts == NODES * tally.revisions


def tell(text: str) -> None:
    """Figures, and what led to a failure."""
    print(text, flush=True)  # noqa: T201
