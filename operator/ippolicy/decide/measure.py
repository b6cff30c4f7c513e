"""What was counted while targets were in force: addresses held, starts, late ones, EC2 calls.

Kept in slots of `SLOT_S` seconds, or as many as it is told, for a day and a bit, so that what was
before a change, since it, or in the hour after it, can be asked for at any time; memory is bounded
whatever the fleet.

Nothing is taken over a gap of `MOST_GAP_S` or more (the operator was away, a clock jumped), nor of
a node in the `STARTING_S` seconds after its aws-node started, while its pool is being filled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from ippolicy.decide.signals import late_pods
from ippolicy.facts import NodeFacts, PoolCounters, PoolFacts, Snapshot

SLOT_S: Final = 15.0
KEPT_S: Final = 26 * 3_600.0
MOST_GAP_S: Final = 300.0
STARTING_S: Final = 30.0
_COUNTED: Final = ("starts", "late", "incidents", "failed_adds", "calls", "errors")


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted in `watched_s` seconds, all nodes together.

    `node_s`, `pod_s` and `held_s` are nodes, pods and addresses held, times seconds. `late` of the
    `starts` of pods found no address at first, in so many `incidents` (readings of a node);
    `failed_adds` are the tries of the kubelet that failed for it. `calls` are EC2 calls that change
    something, `errors` those that EC2 refused.
    """

    watched_s: float = 0.0
    node_s: float = 0.0
    pod_s: float = 0.0
    held_s: float = 0.0
    starts: int = 0
    late: int = 0
    incidents: int = 0
    failed_adds: int = 0
    calls: int = 0
    errors: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Those of both times together."""
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)))

    def on(self, nodes: float) -> Counts:
        """What it would have come to on so many nodes throughout; nothing where there were none."""
        if not self.node_s:
            return Counts()
        times = nodes * self.watched_s / self.node_s
        return replace(
            self,
            node_s=self.node_s * times,
            pod_s=self.pod_s * times,
            held_s=self.held_s * times,
            **{name: round(getattr(self, name) * times) for name in _COUNTED},
        )

    @property
    def held(self) -> float:
        """Addresses held in the mean over time."""
        return self.held_s / self.watched_s if self.watched_s else 0.0

    @property
    def pods(self) -> float:
        """Pods in the mean over time."""
        return self.pod_s / self.watched_s if self.watched_s else 0.0

    @property
    def late_share(self) -> float | None:
        """Share of starts that were late; None where nothing started."""
        return min(1.0, self.late / self.starts) if self.starts else None

    @property
    def calls_per_minute(self) -> float:
        """EC2 calls a minute that change something."""
        return 60.0 * self.calls / self.watched_s if self.watched_s else 0.0


@dataclass(slots=True)
class _Seen:
    """The last reading of a node, when its aws-node was last seen to have started, and the pods
    that were late then and waited still."""

    pool: PoolFacts
    started_at_s: float
    waiting: int = 0


class Meter:
    """Takes note of each snapshot, and tells what was counted between any two moments."""

    def __init__(self, slot_s: float = SLOT_S) -> None:
        self._slot_s = slot_s
        self._slots: deque[tuple[float, Counts]] = deque()  # start of a slot, oldest first
        self._seen: dict[str, _Seen] = {}
        self._last_s: float | None = None

    def note(self, snapshot: Snapshot) -> None:
        """Take in what is new in `snapshot`."""
        now_s = snapshot.taken_at_s
        gap_s = None if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        counted = self._counted(snapshot)
        if gap_s is None or not 0 < gap_s < MOST_GAP_S:
            return
        read = [pool for node in snapshot.nodes if (pool := snapshot.pools.get(node.name))]
        nodes = len(snapshot.nodes)
        if read:
            held = sum(pool.held for pool in read) * nodes / len(read)
            pods = sum(snapshot.pods_per_node.values())
            counted += Counts(gap_s, gap_s * nodes, gap_s * pods, gap_s * held)
        self._add(now_s, counted)

    def between(self, since_s: float, until_s: float) -> Counts:
        """What was counted from `since_s` to `until_s`, to the nearest slot."""
        total = Counts()
        for start_s, counts in reversed(self._slots):
            middle_s = start_s + self._slot_s / 2
            if middle_s < since_s:
                break
            if middle_s < until_s:
                total += counts
        return total

    def _add(self, now_s: float, counted: Counts) -> None:
        start_s = now_s - now_s % self._slot_s
        while self._slots and self._slots[-1][0] > start_s:  # the clock was set back
            self._slots.pop()
        if self._slots and self._slots[-1][0] == start_s:
            counted += self._slots.pop()[1]
        self._slots.append((start_s, counted))
        while self._slots[0][0] < now_s - KEPT_S:
            self._slots.popleft()

    def _counted(self, snapshot: Snapshot) -> Counts:
        """What the nodes counted since the readings before."""
        nodes = {node.name: node for node in snapshot.nodes}
        for name in self._seen.keys() - nodes.keys():
            del self._seen[name]
        total = Counts()
        for name, node in nodes.items():
            pool, seen = snapshot.pools.get(name), self._seen.get(name)
            if pool is None:
                continue
            if seen is None or pool.read_at_s < seen.pool.read_at_s:  # the clock was set back
                self._seen[name] = _Seen(pool, pool.read_at_s)
            elif pool.read_at_s > seen.pool.read_at_s:
                if pool.restarts != seen.pool.restarts:
                    seen.started_at_s = pool.read_at_s
                elif seen.pool.read_at_s >= seen.started_at_s + STARTING_S:
                    total += _risen(seen, pool, node, snapshot)
                seen.pool = pool
        return total


def only(snapshot: Snapshot, nodes: Sequence[NodeFacts]) -> Snapshot:
    """The snapshot with these of its nodes alone, and their pods."""
    pods = snapshot.pods_per_node
    return replace(
        snapshot,
        nodes=tuple(nodes),
        pods_per_node={node.name: pods.get(node.name, 0) for node in nodes},
    )


def _risen(seen: _Seen, pool: PoolFacts, node: NodeFacts, snapshot: Snapshot) -> Counts:
    """What a node counted since its last reading. A pod that waits on is late once, however often
    the kubelet tries."""
    was, now = seen.pool.counters, pool.counters
    found = late_pods(seen.pool, pool, node, snapshot)
    late = max(0, found - seen.waiting)
    seen.waiting = min(found, max(0, snapshot.pods_per_node.get(node.name, 0) - pool.assigned))
    failed = max(0, now.no_available_addresses - was.no_available_addresses)
    served = max(0, now.add_requests - was.add_requests - failed)
    return Counts(
        starts=max(served, late),
        late=late,
        incidents=int(late > 0),
        failed_adds=failed if found else 0,
        calls=max(0, _calls(now) - _calls(was)),
        errors=max(0, sum(now.ec2_errors.values()) - sum(was.ec2_errors.values())),
    )


def _calls(counters: PoolCounters) -> int:
    return sum(count for api, count in counters.ec2_calls.items() if not api.startswith("Describe"))
