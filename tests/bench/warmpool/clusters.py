"""Clusters of five node pools, an instance type each: what runs on them, and how nodes come and go.

A pool has so many places for nodes, and each place a stream of pods of its own: a part of the
demand of one or more families, which drifts from day to day. A fifth of all places gets another
node each day. What runs on the old one moves to the new one, whose pool begins empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from ippolicy.ipamd import NodeShape
from warmpool.families import DAY_S, Pods, pods_of

DAYS: Final = 10
WATCHED_DAYS: Final = 4
"""Days before those that are scored."""
SPAN_S: Final = DAYS * DAY_S
SCORED_FROM_S: Final = WATCHED_DAYS * DAY_S

NODES_A_POOL: Final = 3
RENEWED_A_DAY: Final = 0.2
"""The share of nodes that another takes the place of, each day."""
MOVED_WITHIN_S: Final = 120
"""The pods of a node that goes come to the next one within so many seconds."""
MOST_DRIFT: Final = 1.25
"""By so much, up or down, may the demand of a pool differ from that of the day before."""
FURTHEST: Final = (0.7, 1.3)
"""Parts of what it was on the first day that it never leaves."""

T3_LARGE: Final = NodeShape("t3.large", eni_limit=3, addresses_per_eni=12, max_pods=35)
M5_LARGE: Final = NodeShape("m5.large", eni_limit=3, addresses_per_eni=10, max_pods=29)
M5_XLARGE: Final = NodeShape("m5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58)
M5_2XLARGE: Final = NodeShape("m5.2xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58)
R5_XLARGE: Final = NodeShape("r5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58)

_COPIES: Final = 2  # of a family's pods, of which a part is drawn: parts up to 2 can be had
_STREAMS_A_SEED: Final = 1_000


@dataclass(frozen=True, slots=True)
class NodePool:
    """Nodes of one shape, with `parts` of the demand of families on each: 1 is what the family asks
    of one node."""

    name: str
    shape: NodeShape
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Mix:
    """What runs where."""

    name: str
    pools: Sequence[NodePool]


@dataclass(frozen=True, slots=True, eq=False)
class Life:
    """A node from `born_s` (before 0 if it was there already) to `until_s`, and its pods as rows
    (arrival second, life in seconds) from second 0 of the days on."""

    number: int
    pool: NodePool
    born_s: float
    until_s: float
    pods: Pods

    def rows(self, from_s: int) -> Pods:
        """The pods since its birth, or since `from_s` if that is later, with those that were there
        then, as a trace that begins at that second."""
        starts_s = self.starts_s(from_s)
        begins, lives = self.pods[:, 0], self.pods[:, 1]
        there = (begins < starts_s) & (begins + lives > starts_s)
        before = np.column_stack(
            [np.zeros(there.sum(), np.int64), (begins + lives)[there] - starts_s]
        )
        later = self.pods[begins >= starts_s] - [starts_s, 0]
        return np.concatenate([before, later])

    def starts_s(self, from_s: int) -> int:
        """When a trace of it from `from_s` on begins."""
        return max(round(self.born_s), from_s)

    def lives_at(self, second: float) -> bool:
        """Whether it is there at that second."""
        return self.born_s <= second < self.until_s


def lives_of(mix: Mix, seed: int) -> list[Life]:
    """All nodes that a cluster of `mix` has in its days; the same seed gives the same."""
    rng = np.random.default_rng((seed, *mix.name.encode()))
    places = [pool for pool in mix.pools for _ in range(NODES_A_POOL)]
    drifts = {pool.name: _drift(rng) for pool in mix.pools}
    renewals = _renewals(rng, len(places))
    ages_s = rng.exponential(DAY_S / RENEWED_A_DAY, len(places))
    lives: list[Life] = []
    for place, pool in enumerate(places):
        stream = _stream(pool, drifts[pool.name], seed * _STREAMS_A_SEED + place)
        edges = [-float(ages_s[place]), *renewals[place], float(SPAN_S)]
        for pods, born_s, until_s in _moved(rng, stream, edges):
            lives.append(Life(len(lives), pool, born_s, until_s, pods))
    return lives


def _drift(rng: np.random.Generator) -> list[float]:
    """The part of its first demand that a pool has on each day."""
    parts = [1.0]
    for _ in range(DAYS - 1):
        step = MOST_DRIFT ** rng.uniform(-1.0, 1.0)
        parts.append(float(np.clip(parts[-1] * step, *FURTHEST)))
    return parts


def _renewals(rng: np.random.Generator, places: int) -> list[list[float]]:
    """When the node of each place goes, whole seconds in order."""
    found: list[list[float]] = [[] for _ in range(places)]
    for day in range(DAYS):
        for place in rng.permutation(places)[: round(RENEWED_A_DAY * places)]:
            found[place].append(float(day * DAY_S + rng.integers(1, DAY_S)))
    return found


def _stream(pool: NodePool, drift: Sequence[float], seed: int) -> Pods:
    rng = np.random.default_rng(seed)
    drawn = []
    for family, part in pool.parts.items():
        for copy in range(_COPIES):
            pods = pods_of(family, seed * _COPIES + copy, DAYS)
            share = part / _COPIES * np.array(drift)[pods[:, 0] // DAY_S]
            drawn.append(pods[rng.random(len(pods)) < share])
    return _sorted(np.concatenate(drawn))


def _moved(
    rng: np.random.Generator, stream: Pods, edges: Sequence[float]
) -> Iterator[tuple[Pods, float, float]]:
    """The pods of each node of a place, and from when to when it is there."""
    there = np.zeros((0, 2), np.int64)
    for born_s, until_s in pairwise(edges):
        own = stream[(stream[:, 0] >= born_s) & (stream[:, 0] < until_s)]
        pods = _sorted(np.concatenate([there, own]))
        yield pods, born_s, until_s
        left = pods[pods.sum(axis=1) > until_s]
        comes = round(until_s) + rng.integers(0, MOVED_WITHIN_S, len(left))
        there = np.column_stack([comes, np.maximum(left.sum(axis=1) - comes, 1)])


def _sorted(pods: Pods) -> Pods:
    return pods[np.lexsort((pods[:, 1], pods[:, 0]))]
