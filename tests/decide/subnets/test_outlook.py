"""What is ahead is told each minute, and found anew only where there is something new to find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import builders
from builders import NOW_S
from ippolicy.decide.subnets import headroom as headrooms
from ippolicy.decide.subnets import outlook as outlooks
from ippolicy.decide.subnets import placement
from ippolicy.decide.subnets.forecast import Exhaustion, forecast
from ippolicy.decide.subnets.headroom import headroom
from ippolicy.decide.subnets.history import Histories
from ippolicy.decide.subnets.outlook import Outlook, Outlooks, readings
from ippolicy.decide.subnets.trend import trend_of
from ippolicy.facts import Snapshot, SubnetFacts
from ippolicy.facts.network import SubnetUse
from ippolicy.ipamd import PoolSettings, WarmTargets

MINUTE_S = 60.0
ZONES = 3


def cluster(free: Sequence[int], *, at_s: float, nodes: int = 6) -> Snapshot:
    """Nodes without a reading of their own, and subnets of which so much is free."""
    subnets = (
        SubnetFacts(
            subnet_id=f"subnet-{number}",
            zone=f"zone-{number % ZONES}",
            cidr="10.0.0.0/20",
            size=4_096,
            free=count,
            read_at_s=at_s,
            uses=(SubnetUse.NODES,),
        )
        for number, count in enumerate(free)
    )
    return builders.snapshot(
        nodes,
        taken_at_s=at_s,
        nodes=tuple(builders.node(n, zone=f"zone-{n % ZONES}") for n in range(nodes)),
        pools={},
        pods_per_node={},
        subnets=tuple(subnets),
    )


class Watch:
    """What is told of subnets, minute by minute."""

    def __init__(self) -> None:
        self.histories = Histories()
        self.outlooks = Outlooks(self.histories)
        self.at_s = NOW_S

    def note(self, free: Sequence[int], *, after_s: float = MINUTE_S) -> Snapshot:
        self.at_s += after_s
        facts = cluster(free, at_s=self.at_s)
        self.histories.note(readings(facts, PoolSettings(), None))
        return facts

    def minute(self, free: Sequence[int]) -> Outlook:
        return self.outlooks.of(self.note(free), builders.policy(), PoolSettings())


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The moments as of which a trend was asked for."""
    asked: list[float] = []

    def counted(rungs: Any, now_s: float) -> Any:
        asked.append(now_s)
        return trend_of(rungs, now_s)

    monkeypatch.setattr(outlooks, "trend_of", counted)
    return asked


def test_subnets_in_which_little_moves_are_looked_at_every_ten_minutes(looks: list[float]) -> None:
    random, watch, subnets = np.random.default_rng(1), Watch(), 40
    for _ in range(32):
        watch.note([3_000] * subnets, after_s=600.0)
    for _ in range(12):
        watch.minute([3_000] * subnets)
    looks.clear()
    for _ in range(20):
        watch.minute((3_000 + random.integers(-9, 10, subnets)).tolist())
    named = 2 * subnets + ZONES
    # Once in ten minutes each, and the rooms for what the brake remembers of each ten minutes.
    assert len(looks) <= 2 * (named + subnets) + named // 2
    busiest = Counter(at_s for at_s in looks if at_s % 600.0).most_common(1)[0][1]
    assert busiest <= named // 3


def test_a_subnet_in_which_much_moves_is_looked_at_each_minute(looks: list[float]) -> None:
    watch = Watch()
    for _ in range(32):
        watch.note([1_000, 1_000], after_s=600.0)
    for minute in range(12):
        watch.minute([1_000 - 15 * minute, 1_000])
    looks.clear()
    for minute in range(12, 22):
        watch.minute([1_000 - 15 * minute, 1_000])
    of_the_drain = 2 * 10  # free, and room
    assert of_the_drain <= len(looks) <= of_the_drain + 10 + 10


def test_what_was_foreseen_comes_nearer_while_nothing_new_is_found(looks: list[float]) -> None:
    watch, likely, found_anew = Watch(), [], []
    for minute in range(400):
        looks.clear()
        told = watch.minute([3_000 - 5 * minute]).subnets[0].free
        if minute >= 390:
            assert told is not None
            assert told.exhaustion is not None
            likely.append(watch.at_s + told.exhaustion.likely_s)
            found_anew.append(watch.at_s in looks)
    assert not all(found_anew)
    assert likely == pytest.approx([NOW_S + 600 * MINUTE_S] * 10, abs=15 * MINUTE_S)
    moved = [later - earlier for earlier, later in pairwise(likely)]
    assert [by for by, new in zip(moved, found_anew[1:], strict=True) if not new and by] == []


def test_what_is_foreseen_is_never_past() -> None:
    soon = Exhaustion(30.0, 100.0, None).after(60.0)
    assert soon == Exhaustion(0.0, 40.0, None)
    assert Exhaustion(1.0, 2.0, 70.0).after(60.0) == Exhaustion(0.0, 0.0, 10.0)


def test_a_short_watch_is_looked_at_each_minute(looks: list[float]) -> None:
    watch = Watch()
    for _ in range(25):
        watch.minute([3_000])
        assert watch.at_s in looks


def test_what_is_ahead_is_told_as_soon_as_enough_was_watched() -> None:
    watch = Watch()
    for _ in range(14):
        told = watch.minute([4_000]).subnets[0].free
        history = watch.histories.get("subnet-0")
        assert history is not None
        assert (told is None) == (forecast(history) is None)
    assert told is not None


def test_nodes_are_gone_through_once_and_not_once_a_subnet(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()

    def counted(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    counted(placement, "_used")
    counted(headrooms, "_usual_shape")
    subnets, nodes = 30, 60
    facts = cluster([2_000] * subnets, at_s=NOW_S, nodes=nodes)
    rows = headroom(facts, PoolSettings(), WarmTargets(warm_ip=2), {})
    assert len(rows) == subnets
    assert counts["_usual_shape"] == ZONES
    assert counts["_used"] == ZONES  # of all nodes of a zone at once
