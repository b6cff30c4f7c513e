"""The demand of each node over the policy's window: arrivals, departures, level.

An event takes five bytes (a time in tenths of a second, a change of -1 or +1), so 5,000 nodes with
100 events an hour fit a day into about 70 MiB. Nodes that are gone stay until the window has
passed: what they saw is evidence for the nodes of their group that come after them.

What was seen before this process began is adopted. Time that nobody watched (the process was down)
is in no trace: carried on at the last level it would look like demand at rest, and with the
difference made good at its end like a burst, and both would be believed. So a node has one trace
for each time that it was watched, and two of them become one only where nothing lies between and
the level is the same on both sides.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ippolicy.decide.resample import FairOrder
from ippolicy.decide.units import DAY_S
from ippolicy.facts import NodeFacts, NodeTrace, PodEvent

TICKS_PER_SECOND = 10
_ROUNDING_TICKS = 1e-3  # what a time of day in float64 is off by at most, and then some


class _Recorder:
    """The growing trace of one node, or one that has ended."""

    __slots__ = (
        "changes",
        "ended_at_s",
        "group",
        "level",
        "level_now",
        "since_s",
        "ticks",
        "weight",
    )

    def __init__(self, group: str, level: int, since_s: float, weight: float = 1.0) -> None:
        self.group = group
        self.weight = weight
        self.level = self.level_now = level
        self.since_s = since_s
        self.ended_at_s: float | None = None
        self.ticks = array("i")  # signed: some are from before the process began
        self.changes = array("b")

    @property
    def until_s(self) -> float:
        """When it ended; never, as long as it grows."""
        return math.inf if self.ended_at_s is None else self.ended_at_s

    def continues(self, former: _Recorder) -> bool:
        """Whether this goes on exactly where `former` ended."""
        end = (former.until_s, former.level_now, former.group, former.weight)
        return end == (self.since_s, self.level, self.group, self.weight)

    def put_in_front(self, former: _Recorder) -> None:
        """Take up what was before, as if it had been recorded here."""
        self.level, self.since_s = former.level, former.since_s
        self.ticks = former.ticks + self.ticks
        self.changes = former.changes + self.changes

    def add(self, tick: int, change: int) -> None:
        # Events of one node may come a little out of order; time must not run backwards in a trace.
        tick = max(tick, self.ticks[-1]) if self.ticks else tick
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
        old = int(np.searchsorted(np.frombuffer(self.ticks, dtype=np.int32), tick))
        self.level += sum(self.changes[:old])
        self.since_s = at_s
        if old:
            self.ticks = self.ticks[old:]
            self.changes = self.changes[old:]

    def forget_after(self, tick: int, at_s: float) -> None:
        """End it at `at_s` where it did not end before."""
        kept = bisect_right(self.ticks, tick)
        self.level_now -= sum(self.changes[kept:])
        self.ticks, self.changes = self.ticks[:kept], self.changes[:kept]
        self.ended_at_s = min(self.until_s, at_s)


class _Piece(NamedTuple):
    """The events `first` up to `last` of a recorder, and the time that they are of."""

    name: str
    recorder: _Recorder
    since_s: float
    until_s: float
    first: int
    last: int


class DemandHistory:
    """Demand per node, kept for `window_s` seconds; not safe for threads, `traces` copies out."""

    def __init__(self, *, window_s: float, started_at_s: float) -> None:
        self.window_s = window_s
        self._started_at_s = started_at_s
        # Whole seconds, so that times keep their value from one process to the next.
        self._epoch_s = math.floor(started_at_s)
        self._live: dict[str, _Recorder] = {}
        self._past: dict[str, list[_Recorder]] = {}

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
            self._past.setdefault(name, []).append(recorder)

    def adopt(self, traces: Iterable[NodeTrace]) -> None:
        """Take up what was seen before this process, or beside it, from `traces` of any order.

        Of times that are known already nothing is taken, so that what is adopted twice counts
        once; nor is what was over a window before the process began.
        """
        horizon_s = self._started_at_s - self.window_s
        for trace in traces:
            live = self._live.get(trace.node)
            known = [*self._past.get(trace.node, ()), *((live,) if live is not None else ())]
            for part in _unknown_parts(trace.between(horizon_s, math.inf), known):
                self._take_up(part, known)

    def record(self, event: PodEvent) -> None:
        """Add an event of a node that `sync` has taken up; others are not ours to remember."""
        if (recorder := self._live.get(event.node)) is not None:
            recorder.add(self._tick(event.at_s), event.change)

    def set_back(self, now_s: float) -> None:
        """Forget what was seen on a clock that was ahead: times after `now_s`, which are to come.

        Nothing can come before it in a trace, so that what follows would all seem to be at once.
        """
        tick = self._tick(now_s)
        for name, recorder in self._live.items():
            if recorder.since_s > now_s or (recorder.ticks and recorder.ticks[-1] > tick):
                level, group, weight = recorder.level_now, recorder.group, recorder.weight
                self._live[name] = _Recorder(group, level, now_s, weight)
                self._past.setdefault(name, []).append(recorder)
        for name, recorders in self._past.items():
            self._past[name] = [one for one in recorders if one.since_s < now_s]
            for recorder in self._past[name]:
                recorder.forget_after(tick, now_s)

    def trim(self, now_s: float) -> None:
        """Drop what is older than the window."""
        horizon_s = now_s - self.window_s
        for name in list(self._past):
            kept = [recorder for recorder in self._past[name] if recorder.until_s > horizon_s]
            if kept:
                self._past[name] = kept
            else:
                del self._past[name]
        tick = self._tick(horizon_s)
        for _, recorder in self._recorders():
            recorder.forget_before(tick, horizon_s)

    def traces(self, now_s: float) -> tuple[NodeTrace, ...]:
        """A copy of all traces, live nodes first, for use in another thread."""
        return tuple(
            self._trace(self._whole(name, recorder, now_s)) for name, recorder in self._recorders()
        )

    def sample(self, now_s: float, *, events: int) -> tuple[NodeTrace, ...]:
        """Copies of traces of at most a day each: all there are, or a fair sample that has no more
        than `events` events, each trace weighing what it stands for."""
        days = [
            day
            for name, recorder in self._recorders()
            for day in self._days(self._whole(name, recorder, now_s))
        ]
        fair = FairOrder(
            groups=[day.recorder.group for day in days],
            levels=[day.recorder.level_now for day in days],
            weights=[day.recorder.weight for day in days],
            spans_s=[day.until_s - day.since_s for day in days],
            events=[day.last - day.first for day in days],
        )
        count = int(np.searchsorted(np.cumsum(fair.costs[fair.order]), events, "right"))
        drawn = ((self._trace(days[index]), times) for index, times in fair.first(count))
        return tuple(replace(trace, weight=trace.weight * times) for trace, times in drawn)

    def __len__(self) -> int:
        return len(self._live) + sum(map(len, self._past.values()))

    def _recorders(self) -> Iterator[tuple[str, _Recorder]]:
        yield from self._live.items()
        for name, recorders in self._past.items():
            for recorder in recorders:
                yield name, recorder

    def _take_up(self, part: NodeTrace, known: list[_Recorder]) -> None:
        """Keep `part`, joined to those of the node's recorders that it lies between."""
        recorder = _Recorder(part.group, part.level, part.since_s, part.weight)
        recorder.level_now, recorder.ended_at_s = part.level_at_end, part.until_s
        ticks = (part.times_s - self._epoch_s) * TICKS_PER_SECOND + _ROUNDING_TICKS
        recorder.ticks = array("i", np.floor(ticks).astype(np.int32).tobytes())
        recorder.changes = array("b", part.changes.tobytes())
        past = self._past.setdefault(part.node, [])
        former = next((other for other in past if recorder.continues(other)), None)
        if former is not None:
            recorder.put_in_front(former)
            past.remove(former)
        later = next((other for other in known if other.continues(recorder)), None)
        if later is not None:
            later.put_in_front(recorder)
        else:
            past.append(recorder)

    def _tick(self, at_s: float) -> int:
        return math.floor((at_s - self._epoch_s) * TICKS_PER_SECOND + _ROUNDING_TICKS)

    def _whole(self, name: str, recorder: _Recorder, now_s: float) -> _Piece:
        until_s = min(recorder.until_s, now_s)
        # A clock that was set back may have left events of a time to come.
        last = bisect_right(recorder.ticks, self._tick(until_s))
        return _Piece(name, recorder, recorder.since_s, until_s, 0, last)

    def _days(self, piece: _Piece) -> Iterator[_Piece]:
        """`piece` in days, counted back from its end so that the last one is whole."""
        while piece.until_s - piece.since_s > DAY_S:
            start_s = piece.until_s - DAY_S
            first = bisect_left(piece.recorder.ticks, self._tick(start_s), 0, piece.last)
            yield piece._replace(since_s=start_s, first=first)
            piece = piece._replace(until_s=start_s, last=first)
        yield piece

    def _trace(self, piece: _Piece) -> NodeTrace:
        recorder = piece.recorder
        before, events = slice(piece.first), slice(piece.first, piece.last)
        ticks = np.array(recorder.ticks[events], dtype=np.float64)
        return NodeTrace(
            node=piece.name,
            group=recorder.group,
            since_s=piece.since_s,
            until_s=piece.until_s,
            level=recorder.level + sum(recorder.changes[before]),
            times_s=ticks / TICKS_PER_SECOND + self._epoch_s,
            changes=np.array(recorder.changes[events], dtype=np.int8),
            weight=recorder.weight,
        )


def _unknown_parts(trace: NodeTrace, known: Iterable[_Recorder]) -> list[NodeTrace]:
    """The parts of `trace` in which none of `known` recorded."""
    parts = []
    since_s = trace.since_s
    for from_s, to_s in [*sorted((r.since_s, r.until_s) for r in known), (math.inf, math.inf)]:
        until_s = min(from_s, trace.until_s)
        if until_s - since_s >= 1 / TICKS_PER_SECOND:
            parts.append(trace.between(since_s, until_s))
        since_s = max(since_s, to_s)
    return parts
