"""A cluster over all seeds: what each method came to, and the best single setting in hindsight."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from warmpool.clusters import NODES_A_POOL, Mix
from warmpool.families import DAY_S
from warmpool.groups import BY_GROUP, FLEET, GRID, METHODS, GroupRun
from warmpool.intervals import Estimate, estimate
from warmpool.plays import SCORED_S, Tally
from warmpool.results import Floats, vars_of
from warmpool.terms import DEFAULT, name_of

DELAYED, HELD, CALLS = range(3)
FIGURES: Final = ("delayed_pct", "held_a_node", "calls_a_node_day")
DEFAULT_NUMBER: Final = GRID.index(DEFAULT)
_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Part:
    """Some pools of a cluster taken as a cluster of their own: all of it, or what is left without
    one. `runs` has an item a seed."""

    runs: Sequence[GroupRun]
    pools: Collection[str]

    @cached_property
    def grid(self) -> Floats:
        """Delayed starts in percent, addresses held a node, EC2 calls a node and day under each
        setting of `GRID`: [seed, setting, figure]."""
        return np.stack([self._figures(run.grid) for run in self.runs])

    def method(self, name: str) -> Floats:
        """The same of a method: [seed, figure]."""
        return np.stack([self._figures(run.methods[name])[0] for run in self.runs])

    @property
    def floor_pct(self) -> Estimate:
        """Delayed even on nodes that always hold all they can, in percent."""
        return estimate(np.array([self._figures(run.full)[0, DELAYED] for run in self.runs]))

    @property
    def assigned_a_node(self) -> float:
        """Addresses of pods, in the mean over time."""
        return float(
            np.mean([self._tally(run.full).assigned[0] / self._nodes for run in self.runs])
        )

    @cached_property
    def best(self) -> int:
        """The setting of the grid that holds least of all that, in the means over all seeds,
        delay no more starts and make no more calls than a setting a group does."""
        limits = self.method(BY_GROUP).mean(axis=0) + _ROUNDING
        means = self.grid.mean(axis=0)
        within = (means[:, DELAYED] <= limits[DELAYED]) & (means[:, CALLS] <= limits[CALLS])
        return int(np.where(within, means[:, HELD], np.inf).argmin())

    @property
    def saved(self) -> Estimate:
        """Share by which a setting a group holds less than the best single one, paired by seed."""
        return estimate(1.0 - self.method(BY_GROUP)[:, HELD] / self.grid[:, self.best, HELD])

    @property
    def saved_of_fleet(self) -> Estimate:
        """The same beside the operator's own single setting."""
        return estimate(1.0 - self.method(BY_GROUP)[:, HELD] / self.method(FLEET)[:, HELD])

    @property
    def _nodes(self) -> int:
        return NODES_A_POOL * len(self.pools)

    def _tally(self, tallies: Mapping[str, Tally]) -> Tally:
        return Tally.together(tallies[pool] for pool in self.pools)

    def _figures(self, tallies: Mapping[str, Tally]) -> Floats:
        tally, node_days = self._tally(tallies), self._nodes * SCORED_S / DAY_S
        return np.column_stack(
            [tally.delayed_pct, tally.held / self._nodes, tally.calls / node_days]
        )


@dataclass(frozen=True)
class ClusterResult:
    """What all came to in a cluster of `mix`; `runs` has an item a seed."""

    mix: Mix
    runs: Sequence[GroupRun]

    @cached_property
    def whole(self) -> Part:
        """All pools."""
        return Part(self.runs, [pool.name for pool in self.mix.pools])

    def alone(self, pool: str) -> Part:
        """One pool."""
        return Part(self.runs, [pool])

    def without(self, pool: str) -> Part:
        """All other pools."""
        return Part(self.runs, [one.name for one in self.mix.pools if one.name != pool])

    def work(self, method: str, figure: str) -> Estimate:
        """`restarts`, `by_need` or `changes` of a method."""
        return estimate(np.array([float(getattr(run.work[method], figure)) for run in self.runs]))

    @property
    def restart_share(self) -> float:
        """Restarts of a setting a group, in parts of those of the rollouts of one setting."""
        ours, rollouts = (self.work(method, "restarts").mean for method in (BY_GROUP, FLEET))
        return ours / max(1.0, rollouts)

    @property
    def restart_share_from_the_start(self) -> float:
        """The same with the restart of every node that either method begins with."""
        ours, rollouts = (self.work(method, "restarts").mean for method in (BY_GROUP, FLEET))
        places = NODES_A_POOL * len(self.mix.pools)
        return (places + ours) / (places + rollouts)

    def rows(self) -> list[tuple[str, Floats]]:
        """What is compared, each with its figures: [seed, figure]."""
        best = self.whole.best
        return [
            ("default", self.whole.grid[:, DEFAULT_NUMBER]),
            (f"{name_of(GRID[best])}, best single", self.whole.grid[:, best]),
            *((method, self.whole.method(method)) for method in METHODS),
        ]

    def data(self) -> dict[str, Any]:
        """All figures, for JSON."""
        grid = self.whole.grid.mean(axis=0)
        return {
            "seeds": [run.seed for run in self.runs],
            "floor_pct": vars_of(self.whole.floor_pct),
            "saved": vars_of(self.whole.saved),
            "saved_of_fleet": vars_of(self.whole.saved_of_fleet),
            "saved_without": {
                pool.name: vars_of(self.without(pool.name).saved) for pool in self.mix.pools
            },
            "rows": {
                name: {
                    figure: vars_of(estimate(values[:, number]))
                    for number, figure in enumerate(FIGURES)
                }
                for name, values in self.rows()
            },
            "work": {
                method: {
                    figure: vars_of(self.work(method, figure))
                    for figure in ("restarts", "by_need", "changes")
                }
                for method in METHODS
            },
            "settings": {
                method: [dict(run.work[method].settings) for run in self.runs] for method in METHODS
            },
            "grid": [
                {
                    "setting": name_of(targets),
                    **{
                        figure: round(float(grid[number, column]), 4)
                        for column, figure in enumerate(FIGURES)
                    },
                }
                for number, targets in enumerate(GRID)
            ],
        }
