"""Settings that change by the time of day, each change paid for with a restart of aws-node.

Played by the step-by-step model, for the fast one knows no restarts. From the moment of a restart
ipamd manages nothing and every ADD fails, for 10 s. Then it starts anew: (1 + 2 an ENI) EC2 calls,
and one more for the look for ENIs left behind that follows every start.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from ippolicy.ipamd import DescribeLeakedInterfaces, NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.cloud import NODE_SUBNET, CountedEC2, CountedSubnet, Latency
from ippolicy.ipamd.replay import AMPLE_SUBNET, TraceRun
from ippolicy.ipamd.virtual import VirtualNode
from warmpool.families import Pods
from warmpool.terms import LEARN_S, NODE, SIMPLE_CALLS, SPAN_S, Score

RESTART_S = 10


@dataclass(frozen=True, slots=True)
class Switch:
    """From second `at_s` on, after its restart, `targets` rule."""

    at_s: int
    targets: WarmTargets


class RestartedNode(VirtualNode):
    """A node whose aws-node is restarted with other targets at each switch."""

    def __init__(self, switches: Iterable[Switch], *, seed: int, shape: NodeShape = NODE) -> None:
        super().__init__(
            shape,
            CountedEC2([CountedSubnet(NODE_SUBNET, AMPLE_SUBNET)]),
            random=Random(seed),
            latency=Latency(),
            leak_scans=True,
        )
        self.restart_calls = 0
        self._due: deque[tuple[int, WarmTargets | None]] = deque()
        for switch in sorted(switches, key=lambda switch: switch.at_s):
            self._due.append((switch.at_s, None))
            self._due.append((switch.at_s + RESTART_S, switch.targets))

    def add_pod(self, pod: str) -> bool:
        """CNI ADD now, which fails while aws-node restarts."""
        return not self.ipamd.terminating and super().add_pod(pod)

    def advance(self, to: float) -> None:
        """Let time go on to `to`, with the restarts that are due by then."""
        while self._due and self._due[0][0] <= to:
            at_s, targets = self._due.popleft()
            super().advance(at_s)
            if targets is None:
                self.ipamd.terminating = True
            else:
                self._start_anew(targets)
        super().advance(to)

    def _start_anew(self, targets: WarmTargets) -> None:
        self.restart_calls += 2 + 2 * len(self.ipamd.store.enis)
        self.boot(PoolSettings(targets), self.ipamd.checkpoint())
        self.cloud.perform(DescribeLeakedInterfaces())


def play_switched(
    pods: Pods, first: WarmTargets, switches: Iterable[Switch], *, floor_pct: float, seed: int
) -> Score:
    """Play `first` and then each switch from the first day on, and score the last days."""
    node = RestartedNode(switches, seed=seed)
    node.boot(PoolSettings(first))
    run = TraceRun(node, pods.tolist(), retry_s=1)
    run.until(LEARN_S)
    levels = node.settle()
    before = run.arrived, run.delayed, levels.held - levels.assigned, node.restart_calls
    calls_before = Counter(node.cloud.calls)
    run.until(SPAN_S)
    levels = node.settle()
    calls = Counter(node.cloud.calls)
    calls.subtract(calls_before)
    delayed_pct = 100.0 * (run.delayed - before[1]) / (run.arrived - before[0])
    simple = sum(weight * calls[name] for name, weight in SIMPLE_CALLS.items())
    return Score(
        delayed_pct=delayed_pct,
        avoidable_pct=max(0.0, delayed_pct - floor_pct),
        idle=(levels.held - levels.assigned - before[2]) / (SPAN_S - LEARN_S),
        calls=calls.total(),
        simple_calls=simple + node.restart_calls - before[3],
    )
