"""Measure the grid of replays: lanes a second and memory for fleets of growing size.

    python scripts/bench_replay.py [--nodes 500,1000,5000] [--settings 10] [--hours 24]

A lane is one node's trace under one setting. The fleet has five instance types, about 100 events a
node and hour, half of it following the day. Each size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.fast import Trace, compile_kernel, replay_grid

SHAPES = (
    NodeShape("m5.large", eni_limit=3, addresses_per_eni=10, max_pods=29),
    NodeShape("m5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58),
    NodeShape("t3.2xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58),
    NodeShape("r5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58),
    NodeShape("m5.4xlarge", eni_limit=8, addresses_per_eni=30, max_pods=234),
)
ARRIVALS_AN_HOUR = 50
GRID_SETTINGS, GOAL_S = 150, 10.0


@dataclass(frozen=True)
class Figures:
    """What one fleet cost."""

    lanes: int
    start_s: float
    replay_s: float
    peak_mib: float


def fleet(nodes: int, hours: float) -> tuple[list[NodeShape], list[Trace]]:
    """Nodes that have run for long, with some half of their pods' places taken."""
    random = np.random.default_rng(1)
    shapes = [SHAPES[node % len(SHAPES)] for node in range(nodes)]
    return shapes, [_trace(shape, hours * 3600.0, random) for shape in shapes]


def _trace(shape: NodeShape, span_s: float, random: np.random.Generator) -> Trace:
    share = random.uniform(0.3, 0.6)
    life_s = min(3600.0, 3600.0 / ARRIVALS_AN_HOUR * share * shape.max_pods)
    before_s = 4 * life_s
    count = random.poisson(2 * ARRIVALS_AN_HOUR * (span_s + before_s) / 3600.0)
    starts = np.sort(random.uniform(-before_s, span_s, count))
    wave = 0.5 + 0.25 * np.cos(2 * np.pi * (starts / 86_400.0 - random.uniform()))
    starts = starts[random.random(count) < wave]
    ends = starts + random.exponential(life_s, len(starts))
    comes, goes = starts[starts >= 0], ends[(ends >= 0) & (ends < span_s)]
    times = np.concatenate([comes, goes])
    changes = np.repeat(np.array([1, -1], dtype=np.int8), [len(comes), len(goes)])
    order = np.argsort(times, kind="stable")
    level = int(np.sum((starts < 0) & (ends >= 0)))
    return Trace(level, times[order], changes[order], span_s, cold=False)


def grid(number: int) -> list[PoolSettings]:
    """`number` settings spread over all of the usual grid of 150."""
    secondary = [WarmTargets(warm_eni=warm) for warm in range(4)]
    warm_ips = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 32)
    minimums = (0, 4, 8, 12, 16, 20, 25, 30, 40, 50)
    secondary += [WarmTargets(1, warm, minimum) for warm in warm_ips for minimum in minimums]
    prefixes = [WarmTargets(1, warm_prefix=warm) for warm in (1, 2, 3, 4)]
    prefixes += [WarmTargets(1, warm, 16) for warm in (5, 16)]
    every = [PoolSettings(targets) for targets in secondary]
    every += [PoolSettings(targets, prefix_delegation=True) for targets in prefixes]
    return [every[i] for i in np.linspace(0, len(every) - 1, number).astype(int)]


def measure(nodes: int, settings: int, hours: float) -> Figures:
    """Replay a fleet and look at the clock and at the memory."""
    began = time.process_time()
    compile_kernel()
    start_s = time.process_time() - began
    shapes, traces = fleet(nodes, hours)
    began = time.process_time()
    result = replay_grid(shapes, traces, grid(settings), seed=1)
    replay_s = time.process_time() - began
    return Figures(result.pods.size, start_s, replay_s, peak_mib())


def peak_mib() -> float:
    """Most memory that this process ever held; `getrusage` would count its parent's, too."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", default="500,1000,5000")
    parser.add_argument("--settings", type=int, default=10)
    parser.add_argument("--hours", type=float, default=24.0)
    chosen = parser.parse_args()
    compile_kernel()  # so that each size only loads what is compiled
    sys.stdout.write(
        "| nodes | lanes | CPU s | lanes/s | load s | peak MiB | nodes x 150 in 10 s |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    processes = multiprocessing.get_context("spawn")
    for nodes in map(int, chosen.nodes.split(",")):
        with processes.Pool(1) as pool:
            cost = pool.apply(measure, (nodes, chosen.settings, chosen.hours))
        rate = cost.lanes / cost.replay_s
        sys.stdout.write(
            f"| {nodes} | {cost.lanes} | {cost.replay_s:.1f} | {rate:.0f} | {cost.start_s:.1f} | "
            f"{cost.peak_mib:.0f} | {rate * GOAL_S / GRID_SETTINGS:.0f} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
