"""Demand in pieces that can be replayed: one node for at most a day each.

A piece is what resampling draws, so that days count as evidence as nodes do, and what sampling
picks from, so that a search over thousands of nodes replays only as many as it needs.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ippolicy.facts import NodeFacts, NodeTrace, Snapshot
from ippolicy.ipamd import NodeShape
from ippolicy.ipamd.fast.trace import Trace

DAY_S = 86_400.0
HOUR_S = 3_600.0
LEAST_SPAN_S = 1.0
BORN_WITHIN_S = 300.0  # from a node's creation to its first pods, at most
LAYERS = 3  # by level, in a sample
_NONE_LATER: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """The demand on one node, of shape `shape`, in a stretch of at most a day.

    `first` and `last` bound its events in `source`; `level` pods were there at `since_s`. `cold`
    says that the node was new then. `mean_level` is the mean number of pods over the stretch,
    `peak` their most.

    Its replay has a lead of `lead_s` seconds, whole hours, that are not counted: a pool that has
    seen bursts has the ENIs that they took, one at rest has not. The lead is what the node did
    before; where that was not watched, the end of the stretch itself. Where it is too short to show
    what the node has seen, `crowd` pods more are there when it begins, and go at once.
    """

    shape: NodeShape
    source: NodeTrace
    since_s: float
    until_s: float
    first: int
    last: int
    level: int
    peak: int
    mean_level: float
    cold: bool
    lead_s: float
    crowd: int = 0

    @property
    def group(self) -> str:
        """The node group whose demand this is."""
        return self.source.group

    @property
    def events(self) -> int:
        """Arrivals and departures in its replay, those of the lead by its own rate."""
        own = self.last - self.first
        return round(own * (1.0 + self.lead_s / (self.until_s - self.since_s)))

    def trace(self) -> Trace:
        """The stretch as the model replays it, after `lead_s` seconds of lead."""
        repeats = self.lead_s > self.since_s - self.source.since_s
        lead_ends_s = self.until_s if repeats else self.since_s
        lead_starts_s = lead_ends_s - self.lead_s
        before = _between(self.source, lead_starts_s, lead_ends_s)
        jump = self.level - _level(self.source, before.stop)  # from its end back to its start
        times_s, changes = self.source.times_s, self.source.changes
        own = slice(self.first, self.last)
        return Trace(
            level=_level(self.source, before.start) + self.crowd,
            times_s=np.concatenate(
                (
                    np.zeros(self.crowd),
                    times_s[before] - lead_starts_s,
                    np.full(abs(jump), np.nextafter(self.lead_s, 0.0)),
                    times_s[own] - self.since_s + self.lead_s,
                )
            ),
            changes=np.concatenate(
                (
                    np.full(self.crowd, -1, np.int8),
                    changes[before],
                    np.full(abs(jump), np.sign(jump), np.int8),
                    changes[own],
                )
            ),
            span_s=self.lead_s + self.until_s - self.since_s,
            cold=self.cold,
        )


def units_of(
    snapshot: Snapshot,
    nodes: Sequence[NodeFacts],
    traces: Sequence[NodeTrace],
    *,
    until_s: float,
    since_s: float = -math.inf,
    later_s: Mapping[str, float] = _NONE_LATER,
) -> list[Unit]:
    """What `traces` show from `since_s` up to `until_s` of the groups that `nodes` are in; what was
    before serves as their lead. `later_s` names nodes that count from a later moment on.

    A node that is gone counts with the shape that most nodes of its group have now. Left out are
    nodes whose instance type EC2 does not know, and stretches shorter than a second.
    """
    shapes = {node.name: _shape(snapshot, node) for node in nodes}
    born = {node.name: node.created_at_s for node in nodes}
    usual = _usual_shapes(nodes, shapes)
    first_s: dict[str, float] = {}
    for trace in traces:
        first_s[trace.node] = min(trace.since_s, first_s.get(trace.node, trace.since_s))
    units: list[Unit] = []
    for trace in traces:
        shape = shapes.get(trace.node, usual.get(trace.group))
        if shape is None or trace.group not in usual:
            continue
        # Of a node that is gone it is not known when it was made: its pods may have been there.
        new = born.get(trace.node, 0.0) > trace.since_s - BORN_WITHIN_S
        cold = new and trace.since_s == first_s[trace.node]
        from_s = max(since_s, later_s.get(trace.node, since_s))
        units += _days(trace, shape, from_s, min(trace.until_s, until_s), cold=cold)
    return units


def hours_of(unit: Unit) -> list[tuple[int, Unit]]:
    """`unit` cut at full hours: (hour of the day in UTC, the part in it), parts of seconds left
    out. Each has seen the peak of the whole."""
    first_s = unit.since_s - unit.since_s % HOUR_S
    parts: list[tuple[int, Unit]] = []
    for start_s in np.arange(first_s, unit.until_s, HOUR_S).tolist():
        since_s, until_s = max(start_s, unit.since_s), min(start_s + HOUR_S, unit.until_s)
        if until_s - since_s >= LEAST_SPAN_S:
            cold = unit.cold and since_s == unit.since_s
            part = _unit(unit.source, unit.shape, since_s, until_s, cold=cold, most_lead_s=HOUR_S)
            if part.lead_s:
                part = replace(part, crowd=unit.peak - part.level)
            parts.append((int(start_s % DAY_S // HOUR_S), part))
    return parts


def layers(kinds: Sequence[Hashable], levels: Sequence[float]) -> list[NDArray[np.int64]]:
    """Indexes of like things: of one kind, and of the same third by level. Of a kind of few, fewer
    parts are made, so that each has two or more to draw from."""
    members_of: dict[Hashable, list[int]] = defaultdict(list)
    for index, kind in enumerate(kinds):
        members_of[kind].append(index)
    found: list[NDArray[np.int64]] = []
    for members in members_of.values():
        by_level = sorted(members, key=lambda index: (levels[index], index))
        parts = min(LAYERS, max(1, len(members) // 2))
        found += np.array_split(np.array(by_level, dtype=np.int64), parts)
    return found


def _shape(snapshot: Snapshot, node: NodeFacts) -> NodeShape | None:
    limits = snapshot.limits.get(node.instance_type)
    if limits is None or limits.slots < 1:
        return None
    return NodeShape(
        node.instance_type,
        limits.enis,
        limits.addresses_per_eni,
        node.max_pods,
        prefix_capable=limits.nitro,
    )


def _usual_shapes(
    nodes: Sequence[NodeFacts], shapes: Mapping[str, NodeShape | None]
) -> dict[str, NodeShape]:
    counts: dict[str, Counter[NodeShape]] = defaultdict(Counter)
    for node in nodes:
        shape = shapes[node.name]
        if shape is not None:
            counts[node.group][shape] += 1
    return {group: shapes.most_common(1)[0][0] for group, shapes in counts.items()}


def _days(
    trace: NodeTrace, shape: NodeShape, since_s: float, until_s: float, *, cold: bool
) -> list[Unit]:
    """`trace` in days, counted back from its end so that the last one is whole."""
    days: list[Unit] = []
    end_s, since_s = until_s, max(trace.since_s, since_s)
    while end_s - since_s >= LEAST_SPAN_S:
        start_s = max(since_s, end_s - DAY_S)
        days.append(_unit(trace, shape, start_s, end_s, cold=cold and start_s == trace.since_s))
        end_s = start_s
    return days[::-1]


def _unit(
    trace: NodeTrace,
    shape: NodeShape,
    since_s: float,
    until_s: float,
    *,
    cold: bool,
    most_lead_s: float = DAY_S,
) -> Unit:
    own = _between(trace, since_s, until_s)
    first, last = own.start, own.stop
    changes = trace.changes[own]
    level = _level(trace, first)
    levels = np.concatenate(([level], level + np.cumsum(changes, dtype=np.int64)))
    edges = np.concatenate(([since_s], trace.times_s[first:last], [until_s]))
    mean_level = float(levels @ np.diff(edges)) / (until_s - since_s)
    return Unit(
        shape=shape,
        source=trace,
        since_s=since_s,
        until_s=until_s,
        first=first,
        last=last,
        level=level,
        peak=int(levels.max()),
        mean_level=mean_level,
        cold=cold,
        lead_s=0.0 if cold else _lead_s(since_s - trace.since_s, until_s - since_s, most_lead_s),
    )


def _lead_s(before_s: float, span_s: float, most_s: float) -> float:
    """Seconds of lead where `before_s` seconds before a stretch of `span_s` were watched.

    Whole hours, since what has the same lead is replayed together.
    """
    before_s, span_s = min(before_s, most_s), min(span_s, most_s)
    return before_s // HOUR_S * HOUR_S or span_s // HOUR_S * HOUR_S


def _between(trace: NodeTrace, since_s: float, until_s: float) -> slice:
    """The events of `trace` from `since_s` on and before `until_s`."""
    first, last = np.searchsorted(trace.times_s, (since_s, until_s)).tolist()
    return slice(first, last)


def _level(trace: NodeTrace, event: int) -> int:
    """The pods that were there before that event."""
    return max(0, trace.level + int(trace.changes[:event].sum(dtype=np.int64)))
