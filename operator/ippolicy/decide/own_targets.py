"""Keeps which targets nodes ran with that were not the DaemonSet's, and when.

A pod tells of its own targets as long as it is there; what nodes ran with before is remembered, so
that what was counted then is held against what was in force.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from math import inf

from ippolicy.decide.running import running_of
from ippolicy.facts import Ran, Snapshot
from ippolicy.ipamd import PoolSettings


class OwnTargets:
    """Which nodes run with targets of their own and since when, and which did lately."""

    def __init__(self, former: Iterable[Ran]) -> None:
        self._now: dict[str, Ran] = {}
        self._over: dict[str, list[Ran]] = defaultdict(list)
        for ran in former:
            self._over[ran.node].append(ran)

    def note(self, snapshot: Snapshot) -> None:
        """Take in which pods there are now."""
        if snapshot.daemon_set is None:
            return
        base = PoolSettings.from_env(snapshot.daemon_set.literal_env())
        own, agents, now_s = running_of(snapshot, base).own, snapshot.agents, snapshot.taken_at_s
        there = {node.name for node in snapshot.nodes}
        for name, ran in [*self._now.items()]:
            if name in there and own.get(name) == ran.targets:
                continue
            end_s = agents[name].created_at_s if name in there and name in agents else now_s
            until_s = end_s if ran.since_s < end_s <= now_s else now_s
            self._over[name].append(replace(self._now.pop(name), until_s=until_s))
        for name in own.keys() & there - self._now.keys():
            self._now[name] = Ran(name, own[name], agents[name].created_at_s)

    def since_s(self, node: str, at_s: float) -> float | None:
        """Since when a node had run with targets of its own at a moment; None where it did not."""
        every = [*self._over.get(node, ()), *([self._now[node]] if node in self._now else [])]
        of_then = (r.since_s for r in every if r.since_s <= at_s < (r.until_s or inf))
        return next(of_then, None)

    def still(self) -> tuple[Ran, ...]:
        """Those in force, in the order of the nodes."""
        return tuple(self._now[name] for name in sorted(self._now))

    def over(self) -> tuple[Ran, ...]:
        """Those that are over, of each node in turn, oldest first."""
        return tuple(ran for name in sorted(self._over) for ran in self._over[name])

    def forget_before(self, horizon_s: float) -> None:
        """Let go what was over before."""
        for name, every in [*self._over.items()]:
            kept = [ran for ran in every if (ran.until_s or inf) > horizon_s]
            if kept:
                self._over[name] = kept
            else:
                del self._over[name]
