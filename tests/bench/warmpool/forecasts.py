"""How well exhaustion is foreseen: made-up traces, what was forecast of each, and what came."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from free_traces import DAY_S, free_trace
from ippolicy.decide.subnets.forecast import forecast
from warmpool.checks import Check

RUNNING_OUT = ("trend", "trend+daily", "trend+bursts", "trend+daily+bursts", "trend+shift")
STEADY = ("steady", "daily", "bursts", "daily+bursts", "shift", "daily+shift")
HARD = ("walk", "stairs", "ramp")
"""What no trend tells of beforehand."""
FAMILIES = (*RUNNING_OUT, *STEADY, *HARD)
RUNS = 200
LEAST_COVERED: Final = 0.9
FAR_S = 21 * DAY_S
"""What runs out later than that is left out: the horizon may end before."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How the forecasts of one family did.

    Of `running_out` traces that ran out in time, `covered` did so between early and late, and
    `unforeseen` were not foreseen to; `width` is the median of (late - early) / time left of those
    covered with a late moment. Of `lasting` ones, `alarms` were foreseen to run out.
    """

    family: str
    days: float
    running_out: int
    covered: int
    unforeseen: int
    width: float
    lasting: int
    alarms: int

    @property
    def coverage(self) -> float:
        """Share of the traces that ran out which did so between early and late."""
        return self.covered / self.running_out if self.running_out else math.nan

    @property
    def foreseen_coverage(self) -> float:
        """The same of those that were foreseen to."""
        foreseen = self.running_out - self.unforeseen
        return self.covered / foreseen if foreseen else math.nan

    @property
    def alarm_share(self) -> float:
        """Share of the traces that lasted which were foreseen to run out."""
        return self.alarms / self.lasting if self.lasting else math.nan


def figures(family: str, runs: int = RUNS, *, days: float = 14.0) -> Figures:
    """The figures of `runs` traces of one family, `days` days of each of which were seen."""
    running_out = covered = unforeseen = lasting = alarms = 0
    widths: list[float] = []
    for seed in range(runs):
        trace = free_trace(family, seed, days=days)
        if trace is None:
            continue
        told = forecast(trace.history())
        assert told is not None
        found, left_s = told.exhaustion, trace.runs_out_s
        if left_s <= min(FAR_S, 0.75 * told.horizon_s):
            running_out += 1
            unforeseen += found is None
            if found is not None and found.early_s <= left_s <= (found.late_s or math.inf):
                covered += 1
                if found.late_s is not None and left_s:
                    widths.append((found.late_s - found.early_s) / left_s)
        elif left_s > told.horizon_s:
            lasting += 1
            alarms += found is not None
    width = float(np.median(widths)) if widths else math.nan
    return Figures(family, days, running_out, covered, unforeseen, width, lasting, alarms)


def foreseen(runs: int = RUNS, *, families: Sequence[str] = FAMILIES) -> list[Figures]:
    """The figures of all families, on all cores that this process may use."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=spawn) as pool:
        return list(pool.map(partial(figures, runs=runs), families))


def check_forecasts(rows: Sequence[Figures]) -> list[Check]:
    """Both targets, for each family that they are about."""
    covered = (
        Check(
            f"{row.family}: {LEAST_COVERED:.0%} within early..late",
            f"{percent(row.coverage)} of {row.running_out}",
            met=row.coverage >= LEAST_COVERED,
        )
        for row in rows
        if row.family in RUNNING_OUT
    )
    steady = (
        Check(
            f"{row.family}: nothing foreseen",
            f"foreseen in {row.alarms} of {row.lasting}",
            met=not row.alarms,
        )
        for row in rows
        if row.family == "steady"
    )
    return [*covered, *steady]


def percent(share: float) -> str:
    """A share as a person reads it; "-" for that of nothing."""
    return "-" if math.isnan(share) else f"{share:.1%}"
