"""A fleet whose demand repeats each day, decided on at every step of some days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from builders import (
    NOW_S,
    change,
    daemon_set,
    node,
    policy,
    pool,
    record,
    rollout,
    snapshot,
    written,
)
from ippolicy.api import IPPolicy
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.gates import Limits
from ippolicy.decide.question import Searched
from ippolicy.decide.types import Decision, Verdict
from ippolicy.decide.units import DAY_S, HOUR_S
from ippolicy.facts import Change, EnvEntry, NodeTrace, Signals

MIDNIGHT_S = NOW_S - NOW_S % DAY_S
FEW = {"warmIPTarget": {"max": 2}, "minimumIPTarget": {"max": 30}}
Batches = Callable[[int, int], int]
"""(day, hour) -> pods that start in the middle of that hour and stay five minutes."""


def busy_by_day(day: int, hour: int) -> int:
    """Large batches from 8 to 20, small ones at night."""
    return 24 if 8 <= hour < 20 else 4


@dataclass
class Fleet:
    """`nodes` nodes under a policy; day 0 begins at `MIDNIGHT_S`, and `since_day` is the first."""

    batches: Batches = busy_by_day
    nodes: int = 1
    since_day: int = -4
    spec: Mapping[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=lambda: {"WARM_ENI_TARGET": "1"})
    changes: list[Change] = field(default_factory=list)
    signals: Signals = field(default_factory=Signals)
    rollout_s: float = 60.0
    desired: int | None = None
    max_unavailable: str = "10%"
    strategy: str = "RollingUpdate"
    searched: Searched | None = None

    @property
    def policy(self) -> IPPolicy:
        """The policy: four days of demand count, and few targets, unless the spec says more."""
        return policy({"demand": {"window": "96h"}, "bounds": FEW, **self.spec})

    def trace(self, number: int, now_s: float) -> NodeTrace:
        """A node's demand in the window up to `now_s`."""
        since_s = max(
            MIDNIGHT_S + self.since_day * DAY_S, now_s - self.policy.spec.demand.window.seconds
        )
        days = range(int((since_s - MIDNIGHT_S) // DAY_S), int((now_s - MIDNIGHT_S) // DAY_S) + 1)
        events = sorted(
            (MIDNIGHT_S + day * DAY_S + hour * HOUR_S + 1_800 + second, step)
            for day in days
            for hour in range(24)
            for pod in range(self.batches(day, hour))
            for second, step in ((pod % 3, 1), (300 + pod % 3, -1))
        )
        times_s = np.array([at_s for at_s, _ in events])
        steps = np.array([step for _, step in events], dtype=np.int8)
        whole = NodeTrace(f"node-{number}", "blue", -1.0, 1e12, 0, times_s, steps)
        return whole.between(since_s, now_s)

    def inputs(self, now_s: float) -> Inputs:
        """What is known at `now_s`."""
        seen = [self.trace(number, now_s) for number in range(self.nodes)]
        entries = {key: EnvEntry(value) for key, value in self.env.items()}
        count = self.desired or self.nodes
        done = rollout(
            **dict.fromkeys(("desired", "scheduled", "updated", "ready", "available"), count),
            max_unavailable=self.max_unavailable,
            strategy=self.strategy,
        )
        born_s = MIDNIGHT_S - 30 * DAY_S
        facts = snapshot(
            self.nodes,
            taken_at_s=now_s,
            daemon_set=replace(daemon_set(), env=entries, rollout=done),
            nodes=tuple(node(n, created_at_s=born_s) for n in range(self.nodes)),
            pods_per_node={trace.node: trace.level_at_end for trace in seen},
            pools={f"node-{n}": pool(n, assigned=0, read_at_s=now_s) for n in range(self.nodes)},
        )
        fresh = {
            name: replace(state, succeeded_at_s=now_s) for name, state in facts.sources.items()
        }
        return Inputs(
            policy=self.policy,
            snapshot=replace(facts, sources=fresh),
            traces=seen,
            record=record(*self.changes[-20:]) if self.changes else None,
            limits=Limits(),
            searched=self.searched,
            by_replay=True,
            signals=self.signals,
        )

    def decide(self, now_s: float) -> Decision:
        """Decide, and put in force what is decided."""
        decision = decide(self.inputs(now_s))
        self.searched = decision.searched
        if decision.verdict is Verdict.CHANGE:
            self.changes.append(
                change(
                    id=str(len(self.changes)),
                    before=dict(self.env),
                    after=dict(decision.env),
                    intended_at_s=now_s,
                    completed_at_s=now_s + self.rollout_s,
                )
            )
            self.env |= written(decision)
        return decision

    def live(self, moments_s: Iterable[float]) -> Iterator[Decision]:
        """Decide at each of these moments, in seconds after day 0 began."""
        return (self.decide(MIDNIGHT_S + at_s) for at_s in moments_s)


def around(hours: Iterable[float], *, days: int, every_s: float) -> list[float]:
    """Moments of some days, from half an hour before to half an hour after these hours; every day
    a little later, as passes are no clockwork."""
    return sorted(
        (day * 24 + hour) * HOUR_S + offset_s
        for day in range(days)
        for hour in hours
        for offset_s in np.arange(-1_800 + 7 * day, 1_800, every_s).tolist()
        if day * 24 + hour > 0
    )
