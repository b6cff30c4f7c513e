"""One lane by the step-by-step model: what the grid is held to, and what takes over beyond it.

The same trace, the same rules, the same draws, and some three hundred times slower. It takes every
setting that the model knows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from random import Random
from typing import Final

from ippolicy.ipamd.calls import EC2CallError, Request, Steps
from ippolicy.ipamd.cloud import NODE_SUBNET, CountedEC2, CountedSubnet, Latency
from ippolicy.ipamd.fast.trace import Trace
from ippolicy.ipamd.replay import AMPLE_SUBNET, EVENT_OFFSET_S
from ippolicy.ipamd.settings import PoolSettings
from ippolicy.ipamd.shape import NodeShape
from ippolicy.ipamd.virtual import VirtualNode

_CUSTOM_SUBNET: Final = "subnet-pods"

Events = deque[tuple[int, int, int | None]]
"""Second, change, life in seconds if it is known."""


@dataclass(frozen=True, slots=True)
class LaneResult:
    """What a lane came to, as one item of each array of `GridResult`."""

    pods: int
    delayed: int
    delayed_cooling: int
    unserved: int
    wait_s: int
    max_held: int
    max_assigned: int
    mean_held: float
    mean_assigned: float
    mean_enis: float
    calls: Mapping[str, int]


def replay_lane(
    shape: NodeShape,
    trace: Trace,
    settings: PoolSettings,
    *,
    random: Random,
    latency: Latency | None = None,
    retry_s: int = 1,
    leak_scans: bool = True,
    look: Callable[[VirtualNode], None] | None = None,
    look_every_s: float = 60.0,
) -> LaneResult:
    """Replay one trace on one node under one setting; `random` settles every choice.

    For what `replay_grid` plays with `seed` on its node number n, give
    `LaneRandom(lane_seed(seed, n))`. `look` is shown the node at second 0 and every `look_every_s`
    seconds from then on.

    Raises:
        NodeInitFailed: ipamd cannot start with these settings.
    """
    subnets = [CountedSubnet(NODE_SUBNET, AMPLE_SUBNET * AMPLE_SUBNET)]
    if settings.custom_networking:
        subnets.append(CountedSubnet(_CUSTOM_SUBNET, AMPLE_SUBNET * AMPLE_SUBNET))
    node = VirtualNode(
        shape,
        CountedEC2(subnets),
        random=random,
        latency=latency or Latency(),
        custom_subnet=_CUSTOM_SUBNET if settings.custom_networking else None,
        leak_scans=leak_scans,
    )
    node.boot(settings)
    run = _Run(node, trace, random, retry_s, look, look_every_s)
    if not trace.cold:
        run.settle(trace.level)
    run.play()
    return run.result()


@dataclass(slots=True)
class _Waiting:
    """A pod without address; `since_s` is None for one that was there before the trace began."""

    pod: str
    since_s: int | None
    life_s: int | None
    next_try_s: int


@dataclass(slots=True)
class _Run:
    """The pods of a trace on one node, in the order that `Trace` promises."""

    node: VirtualNode
    trace: Trace
    random: Random
    retry_s: int
    look: Callable[[VirtualNode], None] | None
    look_every_s: float
    looks: int = 0
    waiting: list[_Waiting] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    ends: list[tuple[int, str]] = field(default_factory=list)
    made: int = 0
    pods: int = 0
    delayed: int = 0
    delayed_cooling: int = 0
    wait_s: int = 0

    def settle(self, level: int) -> None:
        """Let the node come to rest with `level` pods in no time, and forget what it took."""
        left = [_Waiting(self._name(), None, None, self.retry_s) for _ in range(level)]
        while True:
            left = [pod for pod in left if not self._place(pod)]
            if not _perform(self.node.ipamd.pool_pass(), self.node.cloud):
                break
        self.waiting = left
        self.node.cloud.calls.clear()
        self.node.levels.max_held = self.node.levels.max_assigned = 0
        self.node.touch()

    def _place(self, pod: _Waiting) -> bool:
        if self.node.ipamd.add_pod(pod.pod) is None:
            return False
        self.running.append(pod.pod)
        return True

    def play(self) -> None:
        """Play the whole trace."""
        events = self._events()
        second = 0
        while (second := max(second, self._next_move(events))) + EVENT_OFFSET_S < self.trace.span_s:
            self._advance(second + EVENT_OFFSET_S)
            self._end_lives(second)
            self._try_again(second)
            while events and events[0][0] <= second:
                self._follow(second, *events.popleft()[1:])
            second += 1
        self._advance(self.trace.span_s)

    def _advance(self, to_s: float) -> None:
        """Let time go on, and have the node looked at on the way."""
        while self.look is not None and self.looks * self.look_every_s <= to_s:
            self.node.advance(self.looks * self.look_every_s)
            self.look(self.node)
            self.looks += 1
        self.node.advance(to_s)

    def _next_move(self, events: Events) -> int:
        moments = [pod.next_try_s for pod in self.waiting]
        moments += [second for second, _ in self.ends[:1]]
        moments += [events[0][0]] if events else []
        return min(moments, default=ceil(self.trace.span_s))

    def _events(self) -> Events:
        trace = self.trace
        lives = [None] * len(trace.times_s) if trace.lives_s is None else trace.lives_s.tolist()
        changes = zip(trace.times_s.tolist(), trace.changes.tolist(), lives, strict=True)
        level: list[tuple[int, int, int | None]] = [(0, 1, None)] * (trace.level * trace.cold)
        level += [(int(time), change, life) for time, change, life in changes]
        return deque(level)

    def _follow(self, second: int, change: int, life_s: int | None) -> None:
        if change < 0:
            self._leave(second)
            return
        pod = _Waiting(self._name(), second, life_s, second + self.retry_s)
        self.pods += 1
        if not self._start(pod, second):
            self.delayed += 1
            self.delayed_cooling += self.node.ipamd.store.cooling(self.node.now) > 0
            self.waiting.append(pod)

    def _start(self, pod: _Waiting, second: int) -> bool:
        if not self.node.add_pod(pod.pod):
            return False
        if pod.life_s is None:
            self.running.append(pod.pod)
        else:
            self.ends = sorted([*self.ends, (second + pod.life_s, pod.pod)])
        return True

    def _leave(self, second: int) -> None:
        present = len(self.waiting) + len(self.running)
        if not present:
            return
        chosen = int(self.random.random() * present)
        if chosen < len(self.waiting):
            self._note_wait(self.waiting.pop(chosen), second)
            return
        place = chosen - len(self.waiting)
        last = self.running.pop()
        pod = last
        if place < len(self.running):
            pod, self.running[place] = self.running[place], last
        self.node.del_pod(pod)

    def _end_lives(self, second: int) -> None:
        while self.ends and self.ends[0][0] <= second:
            self.node.del_pod(self.ends.pop(0)[1])

    def _try_again(self, second: int) -> None:
        still = []
        for pod in self.waiting:
            if pod.next_try_s > second:
                still.append(pod)
            elif self._start(pod, second):
                self._note_wait(pod, second)
            else:
                pod.next_try_s = second + self.retry_s
                still.append(pod)
        self.waiting = still

    def _note_wait(self, pod: _Waiting, second: int) -> None:
        if pod.since_s is not None:
            self.wait_s += second - pod.since_s

    def _name(self) -> str:
        self.made += 1
        return f"pod-{self.made - 1}"

    def result(self) -> LaneResult:
        """What it came to."""
        levels, span_s = self.node.settle(), self.trace.span_s
        return LaneResult(
            pods=self.pods,
            delayed=self.delayed,
            delayed_cooling=self.delayed_cooling,
            unserved=len(self.waiting),
            wait_s=self.wait_s,
            max_held=levels.max_held,
            max_assigned=levels.max_assigned,
            mean_held=levels.held / span_s,
            mean_assigned=levels.assigned / span_s,
            mean_enis=levels.enis / span_s,
            calls=dict(self.node.cloud.calls),
        )


def _perform(steps: Steps[bool], cloud: CountedEC2) -> bool:
    """Drive one pass to its end in no time; whether it made a call."""
    request: Request | None = None
    try:
        while True:
            if request is None:
                request = next(steps)
                continue
            try:
                result = cloud.perform(request)
            except EC2CallError as error:
                request = steps.throw(error)
            else:
                request = steps.send(result)
    except StopIteration as end:
        return bool(end.value)
