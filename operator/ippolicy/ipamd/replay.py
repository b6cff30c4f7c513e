"""Replay of a demand trace in virtual time: who waited, what was held, what it cost in calls.

Pods come and go on whole seconds: first those that end, then those that wait try again in order,
then new ones arrive. Passes fall on halves (2.5 s after the start, then 5 s after the end of each).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Final

from ippolicy.ipamd.cloud import NODE_SUBNET, CountedEC2, CountedSubnet, Latency
from ippolicy.ipamd.settings import PoolSettings
from ippolicy.ipamd.shape import NodeShape
from ippolicy.ipamd.virtual import VirtualNode

EVENT_OFFSET_S: Final = 0.05
"""Pods move this much after the whole second, so that no pass falls on the same moment."""
AMPLE_SUBNET: Final = 60_000


@dataclass(frozen=True, slots=True)
class TraceResult:
    """What one replay of a trace came to.

    `delayed_pods` had no address at their first ADD, `delayed_cooling` of them while only cooling
    addresses were left; `wait_s` and `max_wait_s` are seconds from arrival to address, over pods
    that got one; `unserved_pods` had none at the end. `mean_held`, `mean_assigned` and `mean_enis`
    are means over time. `calls` counts EC2 calls by API, the start's too.
    """

    pods: int
    delayed_pods: int
    delayed_cooling: int
    wait_s: float
    max_wait_s: float
    unserved_pods: int
    mean_held: float
    mean_assigned: float
    mean_enis: float
    max_held: int
    max_assigned: int
    calls: Mapping[str, int]
    calls_at_start: Mapping[str, int]

    @property
    def delayed_share(self) -> float:
        """Share of pods whose first ADD found no address, 0 to 1."""
        return self.delayed_pods / self.pods if self.pods else 0.0

    @property
    def mean_idle(self) -> float:
        """Addresses held and not used by a pod, mean over time."""
        return self.mean_held - self.mean_assigned

    @property
    def total_calls(self) -> int:
        """All EC2 calls."""
        return sum(self.calls.values())


def replay_trace(
    shape: NodeShape,
    settings: PoolSettings,
    pods: Sequence[tuple[int, int]],
    *,
    seed: int,
    horizon_s: int,
    latency: Latency | None = None,
    retry_s: int = 1,
    subnet_free: int = AMPLE_SUBNET,
    leak_scans: bool = True,
) -> TraceResult:
    """Replay `pods`, sorted (arrival second, life in seconds), on a node that is ready at 0.

    A pod's life starts when it gets its address; one without tries again every `retry_s` seconds.
    `seed` settles every random choice. EC2 takes its default `latency` unless told otherwise.
    """
    node = VirtualNode(
        shape,
        CountedEC2([CountedSubnet(NODE_SUBNET, subnet_free)]),
        random=Random(seed),
        latency=Latency() if latency is None else latency,
        leak_scans=leak_scans,
    )
    node.boot(settings)
    at_start = dict(node.cloud.calls)
    run = TraceRun(node, pods, retry_s)
    run.until(horizon_s)
    levels = node.settle()
    return TraceResult(
        pods=run.arrived,
        delayed_pods=run.delayed,
        delayed_cooling=run.delayed_cooling,
        wait_s=run.wait_s,
        max_wait_s=run.max_wait_s,
        unserved_pods=len(run.waiting),
        mean_held=levels.held / horizon_s,
        mean_assigned=levels.assigned / horizon_s,
        mean_enis=levels.enis / horizon_s,
        max_held=levels.max_held,
        max_assigned=levels.max_assigned,
        calls=dict(node.cloud.calls),
        calls_at_start=at_start,
    )


@dataclass(slots=True)
class _Waiting:
    """A pod without address."""

    arrival: int
    life_s: int
    pod: str
    next_try: int


class TraceRun:
    """The pods of a trace on one node, played on by each `until`; counts since the first."""

    def __init__(self, node: VirtualNode, pods: Sequence[tuple[int, int]], retry_s: int) -> None:
        self.node = node
        self.waiting: list[_Waiting] = []
        self.arrived = self.delayed = self.delayed_cooling = 0
        self.wait_s = self.max_wait_s = 0
        self._retry_s = retry_s
        self._pods = pods
        self._ends: list[tuple[int, str]] = []

    def until(self, horizon_s: int) -> None:
        """Play every second in which something happens, from where it stands up to `horizon_s`."""
        second = 0
        while (second := self._next_second(second, horizon_s)) < horizon_s:
            self.node.advance(second + EVENT_OFFSET_S)
            self._end_pods(second)
            self._try_again(second)
            self._admit(second)
            second += 1
        self.node.advance(horizon_s)

    def _next_second(self, earliest: int, horizon_s: int) -> int:
        moments = [waiting.next_try for waiting in self.waiting]
        if self._ends:
            moments.append(self._ends[0][0])
        if self.arrived < len(self._pods):
            moments.append(self._pods[self.arrived][0])
        return max(earliest, min(moments, default=horizon_s))

    def _end_pods(self, second: int) -> None:
        while self._ends and self._ends[0][0] <= second:
            self.node.del_pod(heappop(self._ends)[1])

    def _try_again(self, second: int) -> None:
        still = []
        for waiting in self.waiting:
            if waiting.next_try > second:
                still.append(waiting)
            elif self._start(waiting, second):
                waited_s = second - waiting.arrival
                self.wait_s += waited_s
                self.max_wait_s = max(self.max_wait_s, waited_s)
            else:
                waiting.next_try = second + self._retry_s
                still.append(waiting)
        self.waiting = still

    def _admit(self, second: int) -> None:
        while self.arrived < len(self._pods) and self._pods[self.arrived][0] <= second:
            arrival, life_s = self._pods[self.arrived]
            waiting = _Waiting(arrival, life_s, f"pod-{self.arrived}", second + self._retry_s)
            self.arrived += 1
            if not self._start(waiting, second):
                self.delayed += 1
                self.delayed_cooling += self.node.ipamd.store.cooling(self.node.now) > 0
                self.waiting.append(waiting)

    def _start(self, waiting: _Waiting, second: int) -> bool:
        if not self.node.add_pod(waiting.pod):
            return False
        heappush(self._ends, (second + waiting.life_s, waiting.pod))
        return True
