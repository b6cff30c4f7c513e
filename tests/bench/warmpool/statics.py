"""Settings that stay as they are, played by the fast replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ippolicy.ipamd import PoolSettings, WarmTargets
from ippolicy.ipamd.fast import Trace, replay_grid
from warmpool.families import Pods
from warmpool.terms import FULL, LEARN_S, NODE, SPAN_S, Score

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """`Score` of many settings on one trace: arrays [setting]; `floor` is in delayed pods."""

    pods: int
    floor: float
    delayed_pct: Floats
    idle: Floats
    calls: Floats
    simple_calls: Floats

    @property
    def floor_pct(self) -> float:
        """Pods delayed on a node that always holds all it can, in percent."""
        return 100.0 * self.floor / self.pods

    @property
    def avoidable_pct(self) -> Floats:
        """Pods delayed beyond the floor, in percent."""
        return np.maximum(self.delayed_pct - self.floor_pct, 0.0)

    def first(self, count: int) -> Scores:
        """Those of the first settings."""
        return replace(
            self,
            delayed_pct=self.delayed_pct[:count],
            idle=self.idle[:count],
            calls=self.calls[:count],
            simple_calls=self.simple_calls[:count],
        )

    def of(self, number: int) -> Score:
        """The score of one setting."""
        return Score(
            delayed_pct=float(self.delayed_pct[number]),
            avoidable_pct=float(self.avoidable_pct[number]),
            idle=float(self.idle[number]),
            calls=float(self.calls[number]),
            simple_calls=float(self.simple_calls[number]),
        )


def play_statics(pods: Pods, settings: Sequence[WarmTargets], *, seed: int) -> Scores:
    """Play each setting from the first day on, and score the last ones."""
    result = replay_grid(
        [NODE],
        [Trace.of_pods(pods, SPAN_S)],
        [PoolSettings(targets) for targets in (*settings, FULL)],
        seed=seed,
        score_from_s=LEARN_S,
    )
    count = int(result.pods[0, 0])
    delayed = result.delayed[0].astype(np.float64)
    return Scores(
        pods=count,
        floor=float(delayed[-1]),
        delayed_pct=100.0 * delayed[:-1] / count,
        idle=result.mean_idle[0, :-1],
        calls=result.total_calls[0, :-1].astype(np.float64),
        simple_calls=result.simple_calls[0, :-1].astype(np.float64),
    )
