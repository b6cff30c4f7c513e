"""What the grid promises beyond agreeing with the step form."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest

from ippolicy.errors import ModelError
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.fast import API_NAMES, GridResult, Trace, replay_grid

pytestmark = pytest.mark.timeout(600)

GOLDENS = Path(__file__).parents[1] / "goldens"
NODE = NodeShape("m5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58)
RUNS = 16
DAYS_S = 3 * 86_400.0


def rows(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (GOLDENS / name).read_text("utf-8").splitlines()]


TRACES = {
    (row["family"], row["seed"]): Trace.of_pods(np.array(row["pods"]), DAYS_S)
    for row in rows("bench-traces.jsonl")
}


@pytest.mark.parametrize(("family", "seed"), list(TRACES))
def test_three_days_are_as_the_real_ipamd_spent_them(family: str, seed: int) -> None:
    real = [
        row
        for row in rows("bench-real-ipamd.jsonl")
        if (row["family"], row["seed"]) == (family, seed)
    ]
    grid = replay_grid(
        [NODE] * RUNS, [TRACES[family, seed]] * RUNS, [of_row(row) for row in real], seed=1
    )
    for setting, row in enumerate(real):
        assert set(grid.pods[:, setting]) == {row["pods"]}
        shares = 100 * grid.delayed[:, setting] / grid.pods[:, setting]
        near(shares, row["delayed_pct"], widened=1.0)
        near(grid.mean_idle[:, setting], row["idle"], share=0.05)
        near(grid.total_calls[:, setting].astype(float), row["calls_total"], share=0.1)


def of_row(row: dict[str, object]) -> PoolSettings:
    env = row["env"]
    assert isinstance(env, dict)
    targets = ("WARM_ENI_TARGET", "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_PREFIX_TARGET")
    return PoolSettings(
        WarmTargets(*(env[name] for name in targets)),
        prefix_delegation=env["ENABLE_PREFIX_DELEGATION"],
    )


def near(values: np.ndarray, seen: object, *, widened: float = 0.0, share: float = 0.0) -> None:
    """The mean of our runs, known to two standard errors, is in the widened range of the real."""
    assert isinstance(seen, list)
    _, lowest, highest = seen
    doubt = 2 * stdev(values.tolist()) / len(values) ** 0.5
    mean = float(values.mean())
    assert lowest * (1 - share) - widened - doubt <= mean <= highest * (1 + share) + widened + doubt


# -- what is scored -------------------------------------------------------------------------------


def lane(grid: GridResult, name: str) -> int:
    return int(getattr(grid, name)[0, 0])


def test_what_comes_before_the_scored_time_is_played_and_not_counted() -> None:
    whole, start = TRACES["diurnal", 1], 86_400.0
    first = Trace.of_pods(pods_before(whole, start), start)
    settings = [PoolSettings(WarmTargets(warm_ip=2))]
    all_days = replay_grid([NODE], [whole], settings, seed=9)
    one_day = replay_grid([NODE], [first], settings, seed=9)
    later = replay_grid([NODE], [whole], settings, seed=9, score_from_s=start)
    for name in ("pods", "delayed", "delayed_cooling"):
        assert lane(later, name) == lane(all_days, name) - lane(one_day, name)
    assert later.calls.tolist() == (all_days.calls - one_day.calls).tolist()
    held = all_days.mean_held * DAYS_S - one_day.mean_held * start
    assert later.mean_held * (DAYS_S - start) == pytest.approx(held)


def pods_before(trace: Trace, second: float) -> np.ndarray:
    assert trace.lives_s is not None
    early = trace.times_s < second
    return np.stack([trace.times_s[early].astype(np.int64), trace.lives_s[early]], axis=1)


def steady(level: int, *, cold: bool) -> Trace:
    times = np.arange(3600.0, 36_000.0, 600.0)
    changes = np.where(np.arange(len(times)) % 2 == 0, 1, -1).astype(np.int8)
    return Trace(level, times, changes, 40_000.0, cold=cold)


def test_pods_of_a_settled_node_have_their_addresses_and_are_not_counted() -> None:
    grid = replay_grid(
        [NODE], [steady(20, cold=False)], [PoolSettings(WarmTargets(warm_ip=1))], seed=1
    )
    assert (lane(grid, "pods"), lane(grid, "wait_s"), lane(grid, "max_assigned")) == (27, 0, 21)
    assert grid.calls[0, 0, API_NAMES.index("CreateTags")] == 0


def test_pods_of_a_node_that_starts_wait_for_its_pool_like_any_other() -> None:
    grid = replay_grid(
        [NODE], [steady(20, cold=True)], [PoolSettings(WarmTargets(warm_ip=1))], seed=1
    )
    assert (lane(grid, "pods"), lane(grid, "delayed")) == (47, 19)
    assert grid.calls[0, 0, API_NAMES.index("CreateTags")] == 1


def test_a_pod_that_leaves_while_it_waits_gives_up() -> None:
    trace = Trace(0, np.array([1.0, 2.0]), np.array([1, -1], dtype=np.int8), 100.0)
    full = NodeShape("none", eni_limit=1, addresses_per_eni=2, max_pods=0)
    grid = replay_grid([full], [trace], [PoolSettings()], seed=1)
    assert [lane(grid, name) for name in ("pods", "delayed", "unserved", "wait_s")] == [1, 1, 0, 1]


# -- how calls are counted ------------------------------------------------------------------------


def test_calls_are_counted_truly_by_what_they_change_and_coarsely() -> None:
    grid = replay_grid([NODE], [TRACES["diurnal", 1]], [PoolSettings()], seed=1, leak_scans=False)
    made = dict(zip(API_NAMES, grid.calls[0, 0].tolist(), strict=True))
    new, freed = made["CreateNetworkInterface"], made["DeleteNetworkInterface"]
    assert new >= freed > 10
    assert lane(grid, "total_calls") == 5 + 6 * new + 3 * freed
    assert lane(grid, "mutating_calls") == 3 + 3 * new + 2 * freed
    assert lane(grid, "simple_calls") == 1 + 3 * new + 2 * freed


# -- what it depends on ---------------------------------------------------------------------------


def test_a_node_comes_to_the_same_whichever_nodes_follow_it() -> None:
    trace, other = TRACES["bursty-rollout", 1], TRACES["hourly-batch", 1]
    alone = replay_grid([NODE], [trace], [PoolSettings()], seed=4)
    first = replay_grid([NODE, NODE], [trace, other], [PoolSettings()], seed=4)
    assert alone.calls[0].tolist() == first.calls[0].tolist()
    assert alone.mean_held[0].tolist() == first.mean_held[0].tolist()


def test_no_nodes_or_no_settings_give_an_empty_grid() -> None:
    assert replay_grid([], [], [PoolSettings()], seed=1).pods.shape == (0, 1)
    assert replay_grid([NODE], [steady(1, cold=True)], [], seed=1).calls.shape == (1, 0, 11)


@pytest.mark.parametrize(
    "setting",
    [
        PoolSettings(custom_networking=True),
        PoolSettings(pod_eni=True),
        PoolSettings(subnet_discovery=False),
    ],
)
def test_a_setting_beyond_the_grid_is_refused_and_the_step_form_named(
    setting: PoolSettings,
) -> None:
    with pytest.raises(ModelError, match="replay_lane"):
        replay_grid([NODE], [steady(1, cold=True)], [PoolSettings(), setting], seed=1)


def test_nodes_and_traces_that_do_not_match_are_refused() -> None:
    with pytest.raises(ModelError, match="2 shapes for 1 traces"):
        replay_grid([NODE, NODE], [steady(1, cold=True)], [PoolSettings()], seed=1)


@pytest.mark.parametrize(
    ("times", "changes", "span_s", "level", "said"),
    [
        ([1.0], [1, 1], 9.0, 0, "differ in length"),
        ([2.0, 1.0], [1, 1], 9.0, 0, "ascend"),
        ([1.0], [2], 9.0, 0, r"\+1 or -1"),
        ([], [], 0.0, 0, "no span"),
        ([], [], 9.0, -1, "no number of pods"),
    ],
)
def test_a_trace_that_cannot_be_is_refused(
    times: list[float], changes: list[int], span_s: float, level: int, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        Trace(level, np.array(times), np.array(changes, dtype=np.int8), span_s)
