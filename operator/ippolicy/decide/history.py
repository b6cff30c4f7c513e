"""The demand of each node over the policy's window: arrivals, departures, level.

An event takes five bytes (a time in tenths of a second, a change of -1 or +1), so 5,000 nodes with
100 events an hour fit a day into about 70 MiB. Nodes that are gone stay until the window has
passed: what they saw is evidence for the nodes of their group that come after them.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping

import numpy as np

from ippolicy.facts import NodeFacts, NodeTrace, PodEvent

TICKS_PER_SECOND = 10


class _Recorder:
    """The growing trace of one node."""

    __slots__ = ("changes", "ended_at_s", "group", "level", "level_now", "since_s", "ticks")

    def __init__(self, group: str, level: int, since_s: float) -> None:
        self.group = group
        self.level = self.level_now = level
        self.since_s = since_s
        self.ended_at_s: float | None = None
        self.ticks = array("I")
        self.changes = array("b")

    def add(self, tick: int, change: int) -> None:
        # Events of one node may come a little out of order; time must not run backwards in a trace.
        tick = max(tick, self.ticks[-1] if self.ticks else 0)
        step = 1 if change > 0 else -1
        for _ in range(abs(change)):
            if self.level_now + step < 0:
                return
            self.ticks.append(tick)
            self.changes.append(step)
            self.level_now += step

    def forget_before(self, tick: int, at_s: float) -> None:
        if at_s <= self.since_s:
            return
        old = int(np.searchsorted(np.frombuffer(self.ticks, dtype=np.uint32), tick))
        self.level += sum(self.changes[:old])
        self.since_s = at_s
        if old:
            self.ticks = self.ticks[old:]
            self.changes = self.changes[old:]


class DemandHistory:
    """Demand per node, kept for `window_s` seconds; not safe for threads, `traces` copies out."""

    def __init__(self, *, window_s: float, started_at_s: float) -> None:
        self.window_s = window_s
        self._epoch_s = started_at_s
        self._live: dict[str, _Recorder] = {}
        self._gone: list[tuple[str, _Recorder]] = []

    def sync(self, nodes: Iterable[NodeFacts], levels: Mapping[str, int], at_s: float) -> None:
        """Take up nodes not seen before with the level they have, and end those that are gone.

        A level that disagrees with the recorded one (events were lost) is put right as of now.
        """
        seen = set()
        for node in nodes:
            seen.add(node.name)
            level = levels.get(node.name, 0)
            recorder = self._live.get(node.name)
            if recorder is None:
                self._live[node.name] = _Recorder(node.group, level, at_s)
            elif recorder.level_now != level:
                recorder.add(self._tick(at_s), level - recorder.level_now)
        for name in [name for name in self._live if name not in seen]:
            recorder = self._live.pop(name)
            recorder.ended_at_s = at_s
            self._gone.append((name, recorder))

    def record(self, event: PodEvent) -> None:
        """Add an event of a node that `sync` has taken up; others are not ours to remember."""
        if (recorder := self._live.get(event.node)) is not None:
            recorder.add(self._tick(event.at_s), event.change)

    def trim(self, now_s: float) -> None:
        """Drop what is older than the window."""
        horizon_s = now_s - self.window_s
        self._gone = [(n, r) for n, r in self._gone if (r.ended_at_s or 0.0) > horizon_s]
        tick = self._tick(horizon_s)
        for recorder in (*self._live.values(), *(r for _, r in self._gone)):
            recorder.forget_before(tick, horizon_s)

    def traces(self, now_s: float) -> tuple[NodeTrace, ...]:
        """A copy of all traces, live nodes first, for use in another thread."""
        both = (*self._live.items(), *self._gone)
        return tuple(self._trace(name, recorder, now_s) for name, recorder in both)

    def __len__(self) -> int:
        return len(self._live) + len(self._gone)

    def _tick(self, at_s: float) -> int:
        return max(0, math.floor((at_s - self._epoch_s) * TICKS_PER_SECOND))

    def _trace(self, name: str, recorder: _Recorder, now_s: float) -> NodeTrace:
        return NodeTrace(
            node=name,
            group=recorder.group,
            since_s=recorder.since_s,
            until_s=now_s if recorder.ended_at_s is None else recorder.ended_at_s,
            level=recorder.level,
            times_s=np.array(recorder.ticks, dtype=np.float64) / TICKS_PER_SECOND + self._epoch_s,
            changes=np.array(recorder.changes, dtype=np.int8),
        )
