"""One cluster and one seed: every single setting for all nodes, and the operator's two methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ippolicy.ipamd import WarmTargets
from warmpool.clusters import SCORED_FROM_S, Life, Mix, lives_of
from warmpool.operated import Operated, operate
from warmpool.plays import Tally, play_course, play_statics
from warmpool.terms import FULL, name_of

MOST_MINIMUM: Final = 32
GRID: Final = tuple(WarmTargets(warm_eni=warm_eni) for warm_eni in range(5)) + tuple(
    WarmTargets(warm_ip=warm, minimum_ip=minimum)
    for warm in range(1, 33)
    for minimum in range(MOST_MINIMUM + 1)
)
"""Every single setting that may be of use: what keeps more than `MOST_MINIMUM` on every node holds
more than the CNI's default does."""
FLEET: Final = "one setting, DaemonSet"
BY_GROUP: Final = "a setting a group"
METHODS: Final = (FLEET, BY_GROUP)
_LIVES_A_SEED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Work:
    """What a method did in the scored days: restarts of aws-node, `by_need` of them for the limit
    on delayed starts, and changes of targets, of the fleet's or of any group's. `settings` are what
    each pool began with and what came after."""

    restarts: int
    by_need: int
    changes: int
    settings: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, eq=False)
class GroupRun:
    """What all came to with one seed, by pool: the settings of `GRID`, those of a node that always
    holds all it can, and each method."""

    seed: int
    grid: Mapping[str, Tally]
    full: Mapping[str, Tally]
    methods: Mapping[str, Mapping[str, Tally]]
    work: Mapping[str, Work]


def run_cluster(mix: Mix, seed: int) -> GroupRun:
    """Operate a cluster of `mix`, and play it under everything."""
    lives = lives_of(mix, seed)
    operated = dict(zip(METHODS, operate(lives), strict=True))
    scored = [life for life in lives if life.until_s > SCORED_FROM_S]

    def by_pool(play: Callable[[Life, int], Tally]) -> dict[str, Tally]:
        return {
            pool.name: Tally.together(
                play(life, seed * _LIVES_A_SEED + life.number)
                for life in scored
                if life.pool is pool
            )
            for pool in mix.pools
        }

    played = by_pool(lambda life, draw: play_statics(life, (*GRID, FULL), draw))
    return GroupRun(
        seed=seed,
        grid={name: tally.of(slice(0, len(GRID))) for name, tally in played.items()},
        full={name: tally.of([len(GRID)]) for name, tally in played.items()},
        methods={name: by_pool(partial(_play, done)) for name, done in operated.items()},
        work={name: _work(done, scored) for name, done in operated.items()},
    )


def _play(done: Operated, life: Life, draw: int) -> Tally:
    return play_course(life, done.courses[life.number], draw)


def _work(done: Operated, scored: Sequence[Life]) -> Work:
    settings: dict[str, dict[str, None]] = {}
    for life in sorted(scored, key=lambda life: life.born_s):
        course = done.courses[life.number]
        named = settings.setdefault(life.pool.name, {})
        for targets in (course.first, *(switch.targets for switch in course.switches)):
            named[name_of(targets)] = None
    return Work(
        done.restarts, done.by_need, done.changes, {k: tuple(v) for k, v in settings.items()}
    )
