"""Demand in pieces that can be replayed: one node for at most a day each.

A piece is what resampling draws, so that days count as evidence as nodes do, and what sampling
picks from, so that a search over thousands of nodes replays only as many as it needs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ippolicy.facts import NodeFacts, NodeTrace, Snapshot
from ippolicy.ipamd import NodeShape
from ippolicy.ipamd.fast.trace import Trace

DAY_S = 86_400.0
HOUR_S = 3_600.0
LEAST_SPAN_S = 1.0
BORN_WITHIN_S = 300.0  # from a node's creation to its first pods, at most
_LEVELS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """The demand on one node, of shape `shape`, in a stretch of at most a day.

    `first` and `last` bound its events in `source`; `level` pods were there at `since_s`. `cold`
    says that the node was new then. `mean_level` is the mean number of pods over the stretch,
    `peak` their most.
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

    @property
    def group(self) -> str:
        """The node group whose demand this is."""
        return self.source.group

    @property
    def events(self) -> int:
        """Arrivals and departures in it."""
        return self.last - self.first

    def trace(self) -> Trace:
        """The stretch as the model replays it."""
        part = slice(self.first, self.last)
        return Trace(
            level=self.level,
            times_s=self.source.times_s[part] - self.since_s,
            changes=self.source.changes[part],
            span_s=self.until_s - self.since_s,
            cold=self.cold,
        )


def units_of(
    snapshot: Snapshot,
    nodes: Sequence[NodeFacts],
    traces: Iterable[NodeTrace],
    *,
    until_s: float,
) -> list[Unit]:
    """What `traces` show up to `until_s` of the groups that `nodes` are in.

    A node that is gone counts with the shape that most nodes of its group have now. Left out are
    nodes whose instance type EC2 does not know, and stretches shorter than a second.
    """
    shapes = {node.name: _shape(snapshot, node) for node in nodes}
    born = {node.name: node.created_at_s for node in nodes}
    usual = _usual_shapes(nodes, shapes)
    units: list[Unit] = []
    for trace in traces:
        shape = shapes.get(trace.node, usual.get(trace.group))
        if shape is None or trace.group not in usual:
            continue
        # Of a node that is gone it is not known when it was made: its pods may have been there.
        cold = born.get(trace.node, 0.0) > trace.since_s - BORN_WITHIN_S
        units += _days(trace, shape, min(trace.until_s, until_s), cold=cold)
    return units


def hours_of(unit: Unit) -> list[tuple[int, Unit]]:
    """`unit` cut at full hours: (hour of the day in UTC, the part in it), parts of seconds left
    out."""
    first_s = unit.since_s - unit.since_s % HOUR_S
    parts: list[tuple[int, Unit]] = []
    for start_s in np.arange(first_s, unit.until_s, HOUR_S).tolist():
        since_s, until_s = max(start_s, unit.since_s), min(start_s + HOUR_S, unit.until_s)
        if until_s - since_s >= LEAST_SPAN_S:
            cold = unit.cold and since_s == unit.since_s
            part = _unit(unit.source, unit.shape, since_s, until_s, cold=cold)
            parts.append((int(start_s % DAY_S // HOUR_S), part))
    return parts


def strata(units: Sequence[Unit]) -> list[NDArray[np.int64]]:
    """Indexes of like units: of one group and shape, and of the same third by mean level."""
    kinds: dict[tuple[str, NodeShape], list[int]] = defaultdict(list)
    for index, unit in enumerate(units):
        kinds[unit.group, unit.shape].append(index)
    layers: list[NDArray[np.int64]] = []
    for _, members in sorted(kinds.items(), key=lambda kind: kind[1][0]):
        by_level = sorted(members, key=lambda index: (units[index].mean_level, index))
        thirds = np.array_split(np.array(by_level, dtype=np.int64), _LEVELS)
        layers += [third for third in thirds if len(third)]
    return layers


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


def _days(trace: NodeTrace, shape: NodeShape, until_s: float, *, cold: bool) -> list[Unit]:
    """`trace` in days, counted back from its end so that the last one is whole."""
    days: list[Unit] = []
    end_s = until_s
    while end_s - trace.since_s >= LEAST_SPAN_S:
        start_s = max(trace.since_s, end_s - DAY_S)
        days.append(_unit(trace, shape, start_s, end_s, cold=cold and start_s == trace.since_s))
        end_s = start_s
    return days[::-1]


def _unit(
    trace: NodeTrace, shape: NodeShape, since_s: float, until_s: float, *, cold: bool
) -> Unit:
    first, last = (int(i) for i in np.searchsorted(trace.times_s, (since_s, until_s)))
    changes = trace.changes[first:last]
    level = max(0, trace.level + int(trace.changes[:first].sum(dtype=np.int64)))
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
    )
