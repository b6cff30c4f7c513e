"""From series of values to traces of demand: what aws-node's counters tell of the pods of a node.

The gauge of assigned addresses is the level. Between two of its values, a step apart, so and so
many pods must have come and gone:

    arrivals - departures = rise of the level
    arrivals <= ADD requests - ADD requests that found no address
    departures <= DEL requests

aws-node counts every request, also one that is repeated or fails (aws/amazon-vpc-cni-k8s,
pkg/ipamd/rpc_handler.go), so the counters bound what happened; the level is exact. The most that
both allow is taken, and never less than the level itself shows.

    seen                                  taken for
    ------------------------------------  --------------------------------------------------------
    a counter that fell, or another pod   a restart of aws-node: all counters began again at 0
    no value for up to `GAP_STEPS` steps  a longer step
    none for longer                       a gap: nobody knows, so one trace ends, another begins
    two series of one node at a time      the same aws-node read twice: the one that began first

Moments within a step are not known. They are drawn evenly distributed over it, from a seed of the
node and the trace's beginning; arrivals and departures take turns, so that the level goes straight
from one value to the next.

That would draw a burst that is shorter than the step out to a step, and nothing would seem to wait.
So a step with far more arrivals than those around it has them within a part of it, one each
`BURST_POD_S`, which is about as fast as a node starts pods; a burst in two steps is put where they
meet. How near that comes is in docs/user/prometheus.md.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ippolicy.facts import NodeTrace
from ippolicy.observe.prometheus_nodes import Place, Roster

BURST_POD_S = 1.0
GAP_STEPS = 4  # as long as the last reading of an aws-node counts, too (observe.scrape)
_APART_S = 1e-3

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The values of one series at `times_s` (seconds since the epoch, ascending)."""

    labels: Mapping[str, str]
    times_s: Floats
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """What was answered about some time, with a value every `step_s` at most.

    `assigned` is awscni_assigned_ip_addresses, `adds` and `dels` the counters
    awscni_{add,del}_ip_req_count, `in_vain` the counter awscni_no_available_ip_addresses.
    """

    step_s: float
    assigned: Sequence[Series]
    adds: Sequence[Series]
    dels: Sequence[Series]
    in_vain: Sequence[Series]


@dataclass(frozen=True, slots=True, eq=False)
class Rebuilt:
    """The traces of a stretch, and the names of nodes whose group nobody knows any more."""

    traces: tuple[NodeTrace, ...]
    left_out: frozenset[str]


class _Points(NamedTuple):
    """The values of one aws-node: `counts` has a row each for ADDs, DELs and ADDs in vain."""

    pod: str
    times_s: Floats
    levels: Ints
    counts: Ints

    def part(self, of: NDArray[np.bool_]) -> _Points:
        return _Points(self.pod, self.times_s[of], self.levels[of], self.counts[:, of])


class _Rises(NamedTuple):
    """The values of one node; column i of `rises` is what its counters rose by up to value i."""

    times_s: Floats
    levels: Ints
    rises: Ints


def rebuild(stretch: Stretch, roster: Roster) -> Rebuilt:
    """The demand of each node in `stretch`; nothing is said about times without values."""
    traces: list[NodeTrace] = []
    left_out: set[str] = set()
    for (name, group), pods in _by_node(stretch, roster).items():
        if group:
            traces += _traces(name, group, _joined(pods), stretch.step_s)
        else:
            left_out.add(name)
    return Rebuilt(tuple(traces), frozenset(left_out))


def _by_node(stretch: Stretch, roster: Roster) -> dict[tuple[str, str], list[_Points]]:
    """(node, group) -> the values of each of its series, the group empty if it is not known."""
    counters = [_by_source(series) for series in (stretch.adds, stretch.dels, stretch.in_vain)]
    found: dict[tuple[str, str], list[_Points]] = defaultdict(list)
    for series in stretch.assigned:
        if not len(series.times_s):
            continue
        source = _source(series)
        points = _points(series, [counter.get(source, ()) for counter in counters])
        for owner, part in _owned(roster.place(series.labels), points):
            if len(part.times_s):
                found[owner].append(part)
    return found


def _owned(place: Place, points: _Points) -> Iterator[tuple[tuple[str, str], _Points]]:
    """What is from before a node was made is of another machine, that had its name or address."""
    if place.node is None:
        yield (place.name, place.former_group), points
        return
    earlier = points.times_s < place.node.created_at_s
    yield (f"{place.name}/earlier", place.former_group), points.part(earlier)
    yield (place.node.name, place.node.group), points.part(~earlier)


def _by_source(series: Iterable[Series]) -> dict[frozenset[tuple[str, str]], list[Series]]:
    found: dict[frozenset[tuple[str, str]], list[Series]] = defaultdict(list)
    for one in series:
        found[_source(one)].append(one)
    return found


def _source(series: Series) -> frozenset[tuple[str, str]]:
    """What the series of one aws-node have in common; `reason` is a label of the DELs alone."""
    return frozenset(
        label for label in series.labels.items() if label[0] not in {"__name__", "reason"}
    )


def _points(assigned: Series, counters: Sequence[Sequence[Series]]) -> _Points:
    """Counters at the times of the gauge; one that was not there then had counted nothing yet."""
    times_s = assigned.times_s
    counts = np.zeros((len(counters), len(times_s)))
    for row, series in zip(counts, counters, strict=True):
        for one in series:
            at = np.minimum(np.searchsorted(times_s, one.times_s), len(times_s) - 1)
            there = times_s[at] == one.times_s
            row[at[there]] += one.values[there]
    everything = np.vstack((assigned.values, counts))
    sound = (np.isfinite(everything) & (everything >= 0)).all(axis=0)
    return _Points(
        assigned.labels.get("pod", ""),
        times_s[sound],
        np.rint(assigned.values[sound]).astype(np.int64),
        np.rint(counts[:, sound]).astype(np.int64),
    )


def _joined(pods: Sequence[_Points]) -> _Rises:
    """The series of one node put one after another."""
    former: _Points | None = None
    parts: list[_Rises] = []
    for points in sorted(pods, key=lambda p: (p.times_s[0], -len(p.times_s), p.pod)):
        seen_until_s = former.times_s[-1] if former is not None else -np.inf
        new = points.times_s > seen_until_s
        if new.any():
            known = former is not None and former.pod == points.pod
            rises = _rises(points.counts, former.counts[:, -1] if former and known else None)
            parts.append(_Rises(points.times_s[new], points.levels[new], rises[:, new]))
            former = points
    return _Rises(
        np.concatenate([part.times_s for part in parts]),
        np.concatenate([part.levels for part in parts]),
        np.hstack([part.rises for part in parts]),
    )


def _rises(counts: Ints, before: Ints | None) -> Ints:
    """What counters rose by up to each of their values, `before` being the one in front."""
    start = np.zeros(len(counts), dtype=np.int64) if before is None else before
    rises = np.diff(counts, axis=1, prepend=start[:, np.newaxis])
    restarted = (rises < 0).any(axis=0)
    rises[:, restarted] = counts[:, restarted]
    return rises


def _traces(name: str, group: str, node: _Rises, step_s: float) -> Iterator[NodeTrace]:
    gaps = np.flatnonzero(np.diff(node.times_s) > GAP_STEPS * step_s + _APART_S) + 1
    for first, end in zip([0, *gaps], [*gaps, len(node.times_s)], strict=True):
        if end - first < 2:
            continue
        edges_s, levels = node.times_s[first:end], node.levels[first:end]
        adds, dels, in_vain = node.rises[:, first + 1 : end]
        risen = np.diff(levels)
        least = np.maximum(risen, 0)
        arrivals = np.maximum(least, np.minimum(adds - in_vain, risen + dels))
        times_s, changes = _placed(name, edges_s, arrivals, arrivals - risen)
        yield NodeTrace(
            node=name,
            group=group,
            since_s=float(edges_s[0]),
            until_s=float(edges_s[-1]),
            level=int(levels[0]),
            times_s=times_s,
            changes=changes,
        )


def _placed(
    name: str, edges_s: Floats, arrivals: Ints, departures: Ints
) -> tuple[Floats, NDArray[np.int8]]:
    """Moments and directions of the events between each two of `edges_s`.

    The k-th of n events of a kind has its turn at (k - 1/2)/n, an arrival first where both have it.
    With that the level is never below the lower of the two it lies between by more than rounding,
    and so never below 0.
    """
    turns = np.concatenate((_turns(arrivals), _turns(departures)))
    kinds = np.repeat(np.array([1, -1], dtype=np.int8), (arrivals.sum(), departures.sum()))
    changes = kinds[np.argsort(turns, kind="stable")]
    draw = np.random.default_rng([zlib.crc32(name.encode()), int(edges_s[0])])
    spans_s = np.diff(edges_s)
    first, width = _filled(arrivals, spans_s, draw)
    step = np.repeat(np.arange(len(arrivals)), arrivals + departures)
    within = np.sort(step + first[step] + width[step] * (1 - draw.random(len(step)))) - step
    return edges_s[step] + within * spans_s[step], changes


def _filled(arrivals: Ints, spans_s: Floats, draw: np.random.Generator) -> tuple[Floats, Floats]:
    """Which part of each step its events fall in: where it begins and how wide it is, as shares.

    A burst is more than 2 above what chance explains (three standard deviations of a Poisson count)
    where the median of the two steps before and the two after is usual.
    """
    wide = np.concatenate((arrivals[[0, 0]], arrivals, arrivals[[-1, -1]]))
    around = np.sort((wide[:-4], wide[1:-3], wide[3:-1], wide[4:]), axis=0)
    usual = (around[1] + around[2]) / 2
    burst = np.where(arrivals > usual + 3 * np.sqrt(usual) + 2, arrivals, 0)
    width = np.where(burst > 0, np.minimum(1.0, burst * BURST_POD_S / spans_s), 1.0)
    before, after = np.append(0, burst[:-1]), np.append(burst[1:], 0)
    first = np.where(before > 0, 0.0, draw.random(len(arrivals)))
    return np.where(after > before, 1.0, first) * (1 - width), width


def _turns(counts: Ints) -> Floats:
    """For each step's events, the step's number and the turn in it, ascending."""
    step = np.repeat(np.arange(len(counts)), counts)
    ordinal = np.arange(len(step)) - np.repeat(np.cumsum(counts) - counts, counts)
    turns: Floats = step + (ordinal + 0.5) / counts[step]
    return turns
