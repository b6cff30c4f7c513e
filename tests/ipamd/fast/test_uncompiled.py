"""The functions of the grid as plain Python: the same lanes as the step form, with no compiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.fast import (
    API_NAMES,
    GridResult,
    LaneRandom,
    Trace,
    grid,
    lane_seed,
    replay_grid,
    replay_lane,
)
from ippolicy.ipamd.fast.kernel import replay_lanes

SEED = 11
COUNTS = ("pods", "delayed", "delayed_cooling", "unserved", "wait_s", "max_held", "max_assigned")
SHAPES = (
    NodeShape("small", eni_limit=3, addresses_per_eni=4, max_pods=11),
    NodeShape("middle", eni_limit=4, addresses_per_eni=15, max_pods=58),
    NodeShape("wide", eni_limit=15, addresses_per_eni=6, max_pods=110),
)
SETTINGS = (
    PoolSettings(targets=WarmTargets(warm_eni=1)),
    PoolSettings(targets=WarmTargets(warm_eni=0)),
    PoolSettings(targets=WarmTargets(warm_ip=2)),
    PoolSettings(targets=WarmTargets(warm_ip=3, minimum_ip=12), cooldown_s=0),
    PoolSettings(targets=WarmTargets(minimum_ip=5), max_eni=2),
    PoolSettings(targets=WarmTargets(warm_prefix=1), prefix_delegation=True),
    PoolSettings(targets=WarmTargets(warm_ip=5, minimum_ip=20), prefix_delegation=True),
    PoolSettings(targets=WarmTargets(warm_prefix=0), prefix_delegation=True),
)


@pytest.fixture(autouse=True)
def plain_python(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run `replay_lanes` as it is written; integers wrap around there as they do in C."""

    def uncompiled() -> Callable[..., None]:
        return replay_lanes

    monkeypatch.setattr(grid, "compile_kernel", uncompiled)
    with np.errstate(over="ignore"):
        yield


def demand(seed: int, *, cold: bool) -> Trace:
    """Quiet hours, then a burst, then most pods leave."""
    rng = np.random.default_rng(seed)
    steps = np.concatenate(
        [rng.exponential(60, 30), rng.exponential(1, 30), rng.exponential(9, 30)]
    )
    leaning = np.repeat([0.5, 0.9, 0.2], 30)
    changes = np.where(rng.random(90) < leaning, 1, -1).astype(np.int8)
    level = 4
    changes[level + np.cumsum(changes) < 0] = 1
    return Trace(level, np.cumsum(steps), changes, float(steps.sum()) + 900.0, cold=cold)


def lives(seed: int) -> Trace:
    """Pods with lives, in bursts."""
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.integers(0, 20, 40))
    ends = rng.integers(0, 200, 40) + 1
    return Trace.of_pods(np.stack([starts, ends], axis=1), float(starts[-1]) + 900.0)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.instance_type)
def test_each_lane_is_what_the_step_form_plays(shape: NodeShape) -> None:
    traces = [demand(1, cold=True), demand(2, cold=False), lives(3)]
    played = replay_grid([shape] * len(traces), traces, SETTINGS, seed=SEED)
    for node, trace in enumerate(traces):
        for number, settings in enumerate(SETTINGS):
            assert lane(played, node, number) == steps(shape, trace, settings, node)


def lane(played: GridResult, node: int, setting: int) -> dict[str, object]:
    """Counts and calls of one lane of the grid."""
    made = zip(API_NAMES, played.calls[node, setting].tolist(), strict=True)
    counts = {name: int(getattr(played, name)[node, setting]) for name in COUNTS}
    return counts | {"calls": {name: calls for name, calls in made if calls}}


def steps(shape: NodeShape, trace: Trace, settings: PoolSettings, node: int) -> dict[str, object]:
    """The same of the step form, with the same draws."""
    result = replay_lane(shape, trace, settings, random=LaneRandom(lane_seed(SEED, node)))
    counts = {name: int(getattr(result, name)) for name in COUNTS}
    return counts | {"calls": {name: calls for name, calls in result.calls.items() if calls}}
