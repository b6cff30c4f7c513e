"""How well exhaustion is foreseen: made-up traces, what was forecast of each, and what came.

python tests/bench/forecast.py [RUNS]     prints the table; 200 runs of each family by default
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ippolicy.decide.subnets.forecast import forecast

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from free_traces import DAY_S, free_trace

RUNNING_OUT = ("trend", "trend+daily", "trend+bursts", "trend+daily+bursts", "trend+shift")
STEADY = ("steady", "daily", "bursts", "daily+bursts", "shift", "daily+shift")
HARD = ("walk", "stairs", "ramp")
"""What no trend tells of beforehand."""
RUNS = 200
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


def table(runs: int = RUNS) -> list[Figures]:
    """The figures of all families."""
    return [figures(family, runs) for family in (*RUNNING_OUT, *STEADY, *HARD)]


def lines(rows: Sequence[Figures]) -> list[str]:
    """The rows as a Markdown table."""
    head = (
        "| Family | Ran out | Within early..late | Not foreseen | Width / time left |"
        " Lasted | False alarms |",
        "|---|---|---|---|---|---|---|",
    )
    body = (
        f"| {row.family} | {row.running_out} | {_percent(row.coverage)} | {row.unforeseen} |"
        f" {'-' if math.isnan(row.width) else f'{row.width:.2f}'} | {row.lasting} |"
        f" {_percent(row.alarm_share)} |"
        for row in rows
    )
    return [*head, *body]


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"


if __name__ == "__main__":
    print(*lines(table(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)), sep="\n")  # noqa: T201
