"""A family over all seeds: means with their intervals, and settings in hindsight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ippolicy.ipamd import WarmTargets
from warmpool import pareto
from warmpool.intervals import Estimate, estimate, estimates
from warmpool.runs import DEFAULT_POLICY, POLICIES, SeedRun
from warmpool.terms import GRID, Score, name_of

Floats = NDArray[np.float64]
FIGURES = tuple(field.name for field in fields(Score))


@dataclass(frozen=True)
class FamilyResult:
    """What all policies came to on one family; `runs` has an item a seed."""

    family: str
    runs: Sequence[SeedRun]

    def figures(self, policy: str, figure: str) -> Floats:
        """One figure of a policy, an item a seed."""
        return np.array([getattr(run.policies[policy], figure) for run in self.runs])

    def mean(self, policy: str, figure: str) -> Estimate:
        """Over the seeds."""
        return estimate(self.figures(policy, figure))

    def paired(self, policy: str, figure: str, other: str = DEFAULT_POLICY) -> Estimate:
        """How much more than `other` it came to, seed by seed."""
        return estimate(self.figures(policy, figure) - self.figures(other, figure))

    def saved_share(self, policy: str) -> Estimate:
        """Share of the default's idle addresses that a policy saves."""
        base = self.figures(DEFAULT_POLICY, "idle").mean()
        saved = self.paired(policy, "idle")
        return Estimate(0.0 - saved.mean / base, saved.half_width / base)

    @property
    def floor_pct(self) -> Estimate:
        """Delayed even on a node that always holds all it can."""
        return estimate(np.array([run.grid.floor_pct for run in self.runs]))

    @property
    def least_idle(self) -> Estimate:
        """The clairvoyant bound."""
        return estimate(np.array([run.least_idle for run in self.runs]))

    @cached_property
    def grid_costs(self) -> Floats:
        """Avoidable delays in percent, idle addresses, calls: [seed, setting of `GRID`, figure]."""
        return np.stack(
            [
                np.column_stack([run.grid.avoidable_pct, run.grid.idle, run.grid.calls])
                for run in self.runs
            ]
        )

    def costs(self, policy: str) -> Floats:
        """The same of a policy: [seed, figure]."""
        names = ("avoidable_pct", "idle", "calls")
        return np.column_stack([self.figures(policy, name) for name in names])

    def best_static(self, most_avoidable_pct: float) -> int:
        """The setting of the grid with least idle addresses and no more delays, in the means over
        all seeds: what one would have chosen who knew how it would turn out."""
        delayed, idle, _ = self.grid_costs.mean(axis=0).T
        return int(np.where(delayed <= most_avoidable_pct + 1e-12, idle, np.inf).argmin())

    def surely_better(self, policy: str) -> list[WarmTargets]:
        """Settings of the grid that dominate a policy on the scored days beyond doubt."""
        differences = self.grid_costs - self.costs(policy)[:, None, :]
        means, half_widths = estimates(differences)
        better = pareto.surely_better(means, half_widths)
        return [GRID[number] for number in np.flatnonzero(better)]

    def data(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "seeds": [run.seed for run in self.runs],
            "floor_pct": vars_of(self.floor_pct),
            "clairvoyant_idle": vars_of(self.least_idle),
            "policies": {policy: self._policy_data(policy) for policy in POLICIES},
            "grid": self._grid_data(),
        }

    def _policy_data(self, policy: str) -> dict[str, Any]:
        return {
            "settings": [run.settings[policy] for run in self.runs],
            **{name: vars_of(self.mean(policy, name)) for name in FIGURES},
            "minus_default": {name: vars_of(self.paired(policy, name)) for name in FIGURES},
            "saved_share": vars_of(self.saved_share(policy)),
            "by_seed": {name: self.figures(policy, name).tolist() for name in FIGURES},
        }

    def _grid_data(self) -> list[dict[str, Any]]:
        columns: Mapping[str, Floats] = {
            name: np.mean([read(run) for run in self.runs], axis=0)
            for name, read in _GRID_FIGURES.items()
        }
        return [
            {
                "setting": name_of(targets),
                **{name: round(float(column[number]), 4) for name, column in columns.items()},
            }
            for number, targets in enumerate(GRID)
        ]


def vars_of(value: Estimate) -> dict[str, float]:
    """A mean and its interval, for JSON."""
    return {"mean": round(value.mean, 5), "plus_minus": round(value.half_width, 5)}


_GRID_FIGURES: Mapping[str, Callable[[SeedRun], Floats]] = {
    "delayed_pct": lambda run: run.grid.delayed_pct,
    "avoidable_pct": lambda run: run.grid.avoidable_pct,
    "idle": lambda run: run.grid.idle,
    "calls": lambda run: run.grid.calls,
    "simple_calls": lambda run: run.grid.simple_calls,
}
