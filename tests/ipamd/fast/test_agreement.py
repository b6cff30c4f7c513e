"""The grid and the step-by-step model are the same model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets, replay
from ippolicy.ipamd.cloud import Latency
from ippolicy.ipamd.fast import (
    API_NAMES,
    GridResult,
    LaneRandom,
    LaneResult,
    Trace,
    lane_seed,
    replay_grid,
    replay_lane,
)

# Compiling takes a minute of a busy machine, once for all tests and later runs.
pytestmark = pytest.mark.timeout(600)

MEANS = ("mean_held", "mean_assigned", "mean_enis")
COUNTS = (
    "pods",
    "delayed",
    "delayed_cooling",
    "unserved",
    "wait_s",
    "max_held",
    "max_assigned",
)


def the_lane(grid: GridResult, node: int, setting: int) -> dict[str, object]:
    lane: dict[str, object] = {name: getattr(grid, name)[node, setting] for name in COUNTS}
    lane |= {name: pytest.approx(getattr(grid, name)[node, setting], abs=1e-6) for name in MEANS}
    made = zip(API_NAMES, grid.calls[node, setting].tolist(), strict=True)
    return lane | {"calls": {name: calls for name, calls in made if calls}}


def the_steps(result: LaneResult) -> dict[str, object]:
    lane: dict[str, object] = {name: getattr(result, name) for name in (*COUNTS, *MEANS)}
    return lane | {"calls": {name: calls for name, calls in result.calls.items() if calls}}


shapes = st.builds(
    NodeShape,
    instance_type=st.just("any"),
    eni_limit=st.sampled_from([1, 2, 3, 4, 8, 15]),
    addresses_per_eni=st.sampled_from([2, 3, 4, 6, 10, 15, 30, 50]),
    max_pods=st.sampled_from([4, 17, 29, 58, 110, 737]),
    prefix_capable=st.booleans(),
)
targets = st.one_of(
    st.builds(WarmTargets, warm_eni=st.integers(0, 3)),
    st.builds(
        WarmTargets,
        warm_eni=st.just(1),
        warm_ip=st.integers(0, 40),
        minimum_ip=st.integers(0, 60),
        warm_prefix=st.integers(0, 2),
    ),
    st.builds(WarmTargets, warm_prefix=st.integers(0, 4)),
)
pool_settings = st.builds(
    PoolSettings,
    targets=targets,
    prefix_delegation=st.booleans(),
    max_eni=st.sampled_from([0, 0, 0, 1, 2, 5]),
    cooldown_s=st.sampled_from([0, 1, 30, 30, 30, 60, 300]),
)
latencies = st.sampled_from([Latency(), Latency(), Latency.none(), Latency(0.7, 1.3, 9.1, 0.35)])


@st.composite
def demand(draw: st.DrawFn) -> Trace:
    """Quiet hours and bursts, of a node that starts or one that has run for long."""
    level, gap = draw(st.integers(0, 40)), draw(st.sampled_from([1.0, 7.0, 40.0, 120.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = rng.exponential(gap, 100) * (rng.random(100) > 0.4)
    leaning = 0.5 + 0.45 * np.sin(np.arange(100) / draw(st.integers(5, 60)))
    changes = np.where(rng.random(100) < leaning, 1, -1).astype(np.int8)
    changes[level + np.cumsum(changes) < 0] = 1
    span_s = float(np.sum(steps)) + draw(st.sampled_from([0.5, 30.0, 700.0]))
    return Trace(level, np.cumsum(steps), changes, span_s, cold=draw(st.booleans()))


@st.composite
def lives(draw: st.DrawFn) -> Trace:
    """Pods with lives, in bursts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    starts = np.cumsum(rng.integers(0, draw(st.sampled_from([2, 30, 120])), 80))
    ends = rng.integers(0, draw(st.sampled_from([3, 90, 2000])), 80) + 1
    return Trace.of_pods(np.stack([starts, ends], axis=1), float(starts[-1]) + 500.0)


@settings(max_examples=40, deadline=None)
@given(
    nodes=st.lists(st.tuples(shapes, st.one_of(demand(), lives())), min_size=1, max_size=2),
    choices=st.lists(pool_settings, min_size=1, max_size=3),
    seed=st.integers(0, 2**31),
    latency=latencies,
    retry_s=st.sampled_from([1, 1, 2, 5, 17]),
    leak_scans=st.booleans(),
)
def test_every_lane_of_the_grid_is_what_the_step_form_plays(
    *,
    nodes: list[tuple[NodeShape, Trace]],
    choices: list[PoolSettings],
    seed: int,
    latency: Latency,
    retry_s: int,
    leak_scans: bool,
) -> None:
    grid = replay_grid(
        [shape for shape, _ in nodes],
        [trace for _, trace in nodes],
        choices,
        seed=seed,
        latency=latency,
        retry_s=retry_s,
        leak_scans=leak_scans,
    )
    for node, (shape, trace) in enumerate(nodes):
        for setting, choice in enumerate(choices):
            steps = replay_lane(
                shape,
                trace,
                choice,
                random=LaneRandom(lane_seed(seed, node)),
                latency=latency,
                retry_s=retry_s,
                leak_scans=leak_scans,
            )
            assert the_steps(steps) == the_lane(grid, node, setting)


@pytest.mark.parametrize(
    "choice",
    [
        PoolSettings(),
        PoolSettings(WarmTargets(warm_ip=1)),
        PoolSettings(WarmTargets(warm_ip=4, minimum_ip=20)),
        PoolSettings(WarmTargets(warm_prefix=1), prefix_delegation=True),
    ],
)
def test_pods_with_lives_come_to_what_the_replay_of_traces_says(
    choice: PoolSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "Random", lambda seed: LaneRandom(lane_seed(seed, 0)))
    shape = NodeShape("m5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58)
    rng = np.random.default_rng(5)
    pods = np.stack([np.sort(rng.integers(0, 86_400, 400)), rng.integers(60, 9000, 400)], axis=1)
    steps = replay.replay_trace(
        shape, choice, [(start, life) for start, life in pods.tolist()], seed=3, horizon_s=86_400
    )
    lane = the_lane(replay_grid([shape], [Trace.of_pods(pods, 86_400)], [choice], seed=3), 0, 0)
    assert lane == {
        "pods": steps.pods,
        "delayed": steps.delayed_pods,
        "delayed_cooling": steps.delayed_cooling,
        "unserved": steps.unserved_pods,
        "wait_s": steps.wait_s,
        "max_held": steps.max_held,
        "max_assigned": steps.max_assigned,
        "mean_held": steps.mean_held,
        "mean_assigned": steps.mean_assigned,
        "mean_enis": steps.mean_enis,
        "calls": steps.calls,
    }
