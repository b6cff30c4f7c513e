"""What the nodes of a cluster come to over the scored days, with settings that stay or change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ippolicy.ipamd import PoolSettings, WarmTargets
from ippolicy.ipamd.fast import Trace, replay_grid
from ippolicy.ipamd.replay import TraceRun
from warmpool.clusters import SCORED_FROM_S, SPAN_S, Life
from warmpool.families import HOUR_S, Pods
from warmpool.operated import Course
from warmpool.restarts import RestartedNode, Switch
from warmpool.statics import Floats

LEAD_FROM_S: Final = SCORED_FROM_S - 6 * HOUR_S
"""What is played of a node before the scored days, so that its pool is what it would be."""
SCORED_S: Final = SPAN_S - SCORED_FROM_S


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What settings came to on some nodes over the scored days: arrays [setting].

    `delayed` of `pods` pods found no address at their first ADD; `held` and `assigned` addresses
    are means over time, of all nodes together; `calls` are EC2 calls of any kind.
    """

    pods: int
    delayed: Floats
    held: Floats
    assigned: Floats
    calls: Floats

    @classmethod
    def together(cls, parts: Iterable[Tally]) -> Tally:
        """That of the nodes of all parts."""
        columns = zip(
            *([getattr(part, name) for name in cls.__slots__] for part in parts), strict=True
        )
        return cls(*(sum(column[1:], start=column[0]) for column in columns))

    @property
    def delayed_pct(self) -> Floats:
        """Share of the pods that were delayed, in percent."""
        return 100.0 * self.delayed / self.pods

    def of(self, numbers: slice | Sequence[int]) -> Tally:
        """That of some settings."""
        arrays = (getattr(self, name)[numbers] for name in self.__slots__[1:])
        return Tally(self.pods, *arrays)


def play_statics(life: Life, settings: Sequence[WarmTargets], seed: int) -> Tally:
    """A node that keeps its setting, under each of `settings`."""
    play = _Play.of(life)
    result = replay_grid(
        [life.pool.shape],
        [Trace.of_pods(play.pods, play.span_s)],
        [PoolSettings(targets) for targets in settings],
        seed=seed,
        score_from_s=play.score_from_s,
    )
    share = (play.span_s - play.score_from_s) / SCORED_S
    return Tally(
        pods=int(result.pods[0, 0]),
        delayed=result.delayed[0].astype(np.float64),
        held=result.mean_held[0] * share,
        assigned=result.mean_assigned[0] * share,
        calls=result.total_calls[0].astype(np.float64),
    )


def play_course(life: Life, course: Course, seed: int) -> Tally:
    """A node with its restarts; by the fast model, which knows none, where it has none."""
    if not course.switches:
        return play_statics(life, [course.first], seed)
    return play_restarted(life, course, seed)


def play_restarted(life: Life, course: Course, seed: int) -> Tally:
    """The same by the step-by-step model."""
    play = _Play.of(life)
    switches = [Switch(one.at_s - play.starts_s, one.targets) for one in course.switches]
    node = RestartedNode(switches, seed=seed, shape=life.pool.shape)
    node.boot(PoolSettings(course.first))
    run = TraceRun(node, play.pods.tolist(), retry_s=1)
    before = (0, 0, 0.0, 0.0, 0)  # of a node that is new, the start counts
    if play.score_from_s:
        run.until(play.score_from_s)
        before = _counts(run)
    run.until(play.span_s)
    pods, delayed, held, assigned, calls = (
        after - first for after, first in zip(_counts(run), before, strict=True)
    )
    return Tally(
        pods=int(pods),
        delayed=np.array([float(delayed)]),
        held=np.array([held / SCORED_S]),
        assigned=np.array([assigned / SCORED_S]),
        calls=np.array([float(calls)]),
    )


def _counts(run: TraceRun) -> tuple[int, int, float, float, int]:
    levels = run.node.settle()
    calls = run.node.cloud.calls.total()
    return run.arrived, run.delayed, levels.held, levels.assigned, calls


@dataclass(frozen=True, slots=True)
class _Play:
    """What is played of a node: `span_s` seconds, of which those before `score_from_s` do not
    count."""

    starts_s: int
    span_s: int
    score_from_s: int
    pods: Pods

    @classmethod
    def of(cls, life: Life) -> _Play:
        starts_s = life.starts_s(LEAD_FROM_S)
        return cls(
            starts_s=starts_s,
            span_s=round(life.until_s) - starts_s,
            score_from_s=max(0, SCORED_FROM_S - starts_s),
            pods=life.rows(LEAD_FROM_S),
        )
