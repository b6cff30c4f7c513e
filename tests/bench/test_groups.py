"""Settings by group beside one for all: the cluster, the operator at work in it, what is made of
it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_run import MACHINE
from warmpool import cluster_view, group_pages, pages, plots, terminal
from warmpool.clusters import (
    DAYS,
    M5_XLARGE,
    MOVED_WITHIN_S,
    NODES_A_POOL,
    SCORED_FROM_S,
    SPAN_S,
    T3_LARGE,
    Life,
    Mix,
    NodePool,
    lives_of,
)
from warmpool.families import DAY_S
from warmpool.group_checks import check_groups, group_losses
from warmpool.group_results import ClusterResult
from warmpool.groups import BY_GROUP, FLEET, GRID, METHODS, GroupRun, Work
from warmpool.mixes import BY_WORKLOAD, MIXES
from warmpool.operated import Course, Operated, operate
from warmpool.plays import Tally, play_course, play_restarted, play_statics
from warmpool.restarts import Switch
from warmpool.terms import DEFAULT

from ippolicy.decide.question import Advice, Choice, Option
from ippolicy.ipamd import WarmTargets

LEAN, AMPLE = WarmTargets(warm_ip=2, minimum_ip=8), WarmTargets(warm_ip=20, minimum_ip=30)
MIDDLE = WarmTargets(warm_ip=14, minimum_ip=20)  # lean enough, and none waits in either pool
STEADY = NodePool("steady", M5_XLARGE, {"steady": 0.5})
LATE = NodePool("late", T3_LARGE, {"hourly-batch": 0.5})
SMALL = Mix("two pools", (STEADY, LATE))


# -- the cluster --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lives() -> list[Life]:
    return lives_of(SMALL, seed=1)


def test_a_fifth_of_the_nodes_is_replaced_each_day(lives: list[Life]) -> None:
    every = lives_of(BY_WORKLOAD, seed=1)
    places = NODES_A_POOL * len(BY_WORKLOAD.pools)
    for day in range(DAYS):
        gone = [life for life in every if day * DAY_S < life.until_s <= (day + 1) * DAY_S]
        assert sum(life.until_s < SPAN_S for life in gone) == places / 5
    for second in range(0, SPAN_S, 6 * 3_600):
        assert sum(life.lives_at(second) for life in every) == places
    again = lives_of(SMALL, seed=1)
    assert all(np.array_equal(a.pods, b.pods) for a, b in zip(lives, again, strict=True))


def test_pods_of_a_node_that_goes_come_to_the_next_within_two_minutes(lives: list[Life]) -> None:
    pairs = [(old, new) for old in lives for new in lives if old.until_s == new.born_s]
    assert len(pairs) == len(lives) - 2 * NODES_A_POOL
    for old, new in pairs:
        left = int((old.pods.sum(axis=1) > old.until_s).sum())
        soon = new.pods[new.pods[:, 0] < new.born_s + MOVED_WITHIN_S]
        assert left <= len(soon) <= left + 5
    assert sum((old.pods.sum(axis=1) > old.until_s).sum() for old, _ in pairs) > 20


def test_a_trace_has_the_pods_that_were_there_and_those_that_come(lives: list[Life]) -> None:
    life = next(one for one in lives if one.pool is STEADY and one.lives_at(SCORED_FROM_S))
    rows = life.rows(SCORED_FROM_S)
    ends = life.pods.sum(axis=1)
    there = (life.pods[:, 0] < SCORED_FROM_S) & (ends > SCORED_FROM_S)
    assert there.sum() == np.count_nonzero(rows[:, 0] == 0) > 0
    assert len(rows) == np.count_nonzero(ends > SCORED_FROM_S)
    assert np.all(np.diff(rows[:, 0]) >= 0)
    assert rows.sum(axis=1).max() + SCORED_FROM_S == ends.max()


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix.name)
def test_nodes_seldom_have_more_pods_than_addresses(mix: Mix) -> None:
    assert len({pool.shape.instance_type for pool in mix.pools}) == 5
    for pool in mix.pools:
        room = pool.shape.eni_limit * (pool.shape.addresses_per_eni - 1)
        members = [life for life in lives_of(mix, seed=3) if life.pool is pool]
        over = sum(_seconds_over(life, room) for life in members)
        assert over < 0.005 * NODES_A_POOL * SPAN_S


def _seconds_over(life: Life, room: int) -> float:
    times = np.concatenate([life.pods[:, 0], np.minimum(life.pods.sum(axis=1), life.until_s)])
    changes = np.repeat([1, -1], len(life.pods))
    order = np.lexsort((changes, times))
    levels = np.cumsum(changes[order])[:-1]
    return float(np.diff(times[order])[levels > room].sum())


# -- what nodes come to -------------------------------------------------------------------------


def test_both_models_come_to_the_same_without_restarts(lives: list[Life]) -> None:
    scored = [life for life in lives if life.until_s > SCORED_FROM_S]
    for life in (scored[0], scored[-1]):
        fast, slow = play_statics(life, [LEAN], 1), play_restarted(life, Course(LEAN), 1)
        assert fast.pods == slow.pods > 0
        assert fast.assigned[0] == pytest.approx(slow.assigned[0], rel=0.01)
        assert fast.held[0] == pytest.approx(slow.held[0], rel=0.01)
        assert fast.calls[0] == pytest.approx(slow.calls[0], rel=0.1)


def test_a_restart_is_charged_and_its_targets_rule_from_then_on(lives: list[Life]) -> None:
    life = next(
        one for one in lives if one.pool is STEADY and one.born_s < 0 and one.until_s == SPAN_S
    )
    half = (SCORED_FROM_S + SPAN_S) // 2
    stays, changes = Course(AMPLE), Course(AMPLE, (Switch(half, LEAN),))
    before, after = play_course(life, stays, 1), play_course(life, changes, 1)
    lean = play_statics(life, [LEAN], 1)
    middle = (before.held[0] + lean.held[0]) / 2
    assert after.held[0] == pytest.approx(middle, rel=0.15)
    assert after.calls[0] - before.calls[0] > 2 + 2


# -- the operator at work -----------------------------------------------------------------------


def choice_of(fleet: WarmTargets, groups: Mapping[str, WarmTargets]) -> Choice:
    def advice(targets: WarmTargets) -> Advice:
        option = Option(targets, 10.0, 5.0, 1.0, 0.0, 0.1)
        return Advice(
            chosen=option,
            present=option,
            lower=targets,
            upper=targets,
            uncapped=targets,
            binding="demand",
            met=True,
            sure=1.0,
            present_met=True,
            held_interval=(10.0, 10.0),
            runners_up=(),
        )

    own = {group: advice(targets) for group, targets in groups.items()}
    return Choice(advice(fleet), own, 1, 1, 1, 1)


def operate_with(
    monkeypatch: pytest.MonkeyPatch, lives: Sequence[Life], *choices: Choice
) -> tuple[Operated, Operated]:
    """A choice a day; the last one stands from then on."""
    told = [*choices, *[choices[-1]] * DAYS]
    monkeypatch.setattr(cluster_view, "choose", lambda *_: told.pop(0))
    return operate(lives)


def test_a_change_for_all_restarts_all_and_one_of_a_group_only_where_it_repays(
    monkeypatch: pytest.MonkeyPatch, lives: list[Life]
) -> None:
    ample = choice_of(AMPLE, {"steady": AMPLE, "late": AMPLE})
    lean = choice_of(MIDDLE, {"steady": LEAN, "late": AMPLE})
    fleet, groups = operate_with(monkeypatch, lives, ample, lean)
    change_s = SCORED_FROM_S + DAY_S
    there = [life for life in lives if life.lives_at(change_s)]
    assert fleet.changes == groups.changes == 1
    assert fleet.restarts == len(there) == 2 * NODES_A_POOL
    assert groups.restarts == NODES_A_POOL
    for life in there:
        assert len(groups.courses[life.number].switches) == (life.pool is STEADY)
    for life in lives:
        if life.born_s > change_s:
            assert groups.courses[life.number] == Course(LEAN if life.pool is STEADY else AMPLE)
            assert fleet.courses[life.number] == Course(MIDDLE)


def test_a_change_that_saves_little_waits_for_new_nodes(
    monkeypatch: pytest.MonkeyPatch, lives: list[Life]
) -> None:
    less = replace(AMPLE, minimum_ip=29)
    before, after = (choice_of(AMPLE, {"steady": one, "late": AMPLE}) for one in (AMPLE, less))
    fleet, groups = operate_with(monkeypatch, lives, before, after)
    assert (fleet.changes, fleet.restarts, groups.changes, groups.restarts) == (0, 0, 1, 0)
    born_later = [one for one in lives if one.born_s > SCORED_FROM_S + DAY_S]
    assert {groups.courses[one.number].first for one in born_later if one.pool is STEADY} == {less}


def test_nodes_whose_targets_break_the_limit_are_restarted_without_a_saving(
    monkeypatch: pytest.MonkeyPatch, lives: list[Life]
) -> None:
    before, after = (choice_of(AMPLE, {"steady": AMPLE, "late": one}) for one in (LEAN, AMPLE))
    _, groups = operate_with(monkeypatch, lives, before, after)
    assert groups.restarts == groups.by_need == NODES_A_POOL


# -- what is made of it -------------------------------------------------------------------------


def made_up(
    *, ours: tuple[float, float, float], restarts: tuple[int, int] = (60, 12), seeds: int = 3
) -> ClusterResult:
    """A cluster in which setting number n of the grid holds 50 - n / 50 addresses a node, delays
    n of 10,000 starts and makes 1,000 calls a pool, all alike in every pool and seed. By group,
    each pool has (delayed, held a node, calls)."""
    names = [pool.name for pool in BY_WORKLOAD.pools]
    numbers = np.arange(len(GRID), dtype=np.float64)
    held = NODES_A_POOL * (50.0 - numbers / 50)
    grid = Tally(10_000, numbers, held, held / 2, np.full(len(GRID), 1_000.0))
    late, held_a_node, calls = (np.array([value]) for value in ours)
    group = Tally(10_000, late, NODES_A_POOL * held_a_node, held[:1] / 2, calls)
    work = {
        method: Work(count, 1, 2, dict.fromkeys(names, ("W=1", "W=2")))
        for method, count in zip(METHODS, restarts, strict=True)
    }
    runs = [
        GroupRun(
            seed,
            dict.fromkeys(names, grid),
            dict.fromkeys(names, grid.of([0])),
            {FLEET: dict.fromkeys(names, grid.of([0])), BY_GROUP: dict.fromkeys(names, group)},
            work,
        )
        for seed in range(seeds)
    ]
    return ClusterResult(BY_WORKLOAD, runs)


def test_the_best_single_setting_delays_no_more_and_calls_no_more() -> None:
    result = made_up(ours=(500.0, 30.0, 1_000.0))
    assert result.whole.best == 500  # the leanest of those that delay no more
    assert result.whole.saved.mean == pytest.approx(1 - 30 / 40)
    assert result.whole.saved_of_fleet.mean == pytest.approx(1 - 30 / 50)
    assert result.without("web").best == 500


def test_targets_are_met_and_missed() -> None:
    for held, restarts, met in (
        (29.0, (60, 20), [True, True]),
        (31.0, (60, 20), [False, True]),
        (29.0, (60, 21), [True, False]),
        (29.0, (0, 1), [True, False]),
    ):
        result = made_up(ours=(500.0, held, 1_000.0), restarts=restarts)
        assert [check.met for check in check_groups([result])] == met


def test_where_a_setting_a_group_loses_is_said() -> None:
    result = made_up(ours=(500.0, 36.0, 2_000.0), restarts=(60, 30))
    said = "\n".join(group_losses([result]))
    for part in ("only 10.0% less", "50% of the restarts", "**a pool a workload, calls.**"):
        assert part in said
    assert "5.00 % of the starts beyond the floor" in said


def test_the_section_has_every_pool_and_the_table_fits_80_columns(tmp_path: Path) -> None:
    result = made_up(ours=(500.0, 29.0, 1_000.0))
    section = pages.group_section([result], MACHINE)
    assert "$" not in section
    assert all(
        f"| {pool.name}, {pool.shape.instance_type} |" in section for pool in result.mix.pools
    )
    assert "**27.5% ± 0.0% less** than the best single one" in section
    table = group_pages.cluster_table(result)
    assert max(map(len, table.splitlines())) <= terminal.WIDTH
    plots.draw_clusters([result], tmp_path / "groups.svg")
    assert "<svg" in (tmp_path / "groups.svg").read_text("utf-8")
    assert set(result.data()["rows"]) >= {"default", *METHODS}


def test_the_grid_leaves_out_nothing_that_holds_less_than_the_default() -> None:
    beyond = WarmTargets(warm_ip=1, minimum_ip=max(one.minimum_ip for one in GRID) + 1)
    there = [life for life in lives_of(BY_WORKLOAD, 1) if life.until_s == SPAN_S]
    tally = Tally.together(play_statics(life, [DEFAULT, beyond], 1) for life in there)
    assert DEFAULT in GRID
    assert tally.held[1] > tally.held[0]
