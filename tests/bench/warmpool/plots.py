"""The Pareto plots of families and of clusters: every setting of a grid, and what is compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from warmpool import pareto
from warmpool.group_results import DELAYED, HELD, ClusterResult
from warmpool.groups import BY_GROUP, FLEET
from warmpool.intervals import Estimate, estimate
from warmpool.losses import LIMIT_PCT
from warmpool.results import FamilyResult
from warmpool.runs import CHOICE, DEFAULT_POLICY, NEWSVENDOR, NO_LATER, PROFILES

MARKS: Final = {
    DEFAULT_POLICY: ("s", "#d62728"),
    CHOICE: ("*", "#000000"),
    NO_LATER: ("P", "#000000"),
    PROFILES: ("D", "#9467bd"),
    NEWSVENDOR: ("^", "#ff7f0e"),
}
CLUSTER_MARKS: Final = {
    DEFAULT_POLICY: ("s", "#d62728"),
    FLEET: ("D", "#9467bd"),
    BY_GROUP: ("*", "#000000"),
}
"""The one that is not named is the best single setting."""
_LINEAR_BELOW_PCT: Final = 0.1
"""Below this share the scale of delays is linear, so that none at all has a place."""


Floats = NDArray[np.float64]


def draw(result: FamilyResult, path: Path) -> None:
    """Write the plot of `result` to `path`, in the format that its suffix names.

    Idle addresses go to the right, delayed starts beyond the floor upwards; the colour is the EC2
    calls over the scored days.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": result.family, "font.size": 9}):
        figure = Figure(figsize=(7.2, 4.8), layout="constrained")
        axes = figure.subplots()
        points = _draw_grid(axes, result.grid_costs.mean(axis=0))
        figure.colorbar(points, ax=axes, label="EC2 calls in three days", pad=0.01)
        _draw_policies(axes, result)
        bound = result.least_idle.mean
        axes.axvline(bound, color="#2ca02c", lw=1.2, ls="--", label="clairvoyant bound")
        axes.axhline(LIMIT_PCT, color="#777777", lw=0.8, ls=":", label="limit of the choice")
        _scale_delays(axes)
        axes.set_xlim(-1, 40)
        axes.set_xlabel("idle addresses (mean over time)")
        axes.set_ylabel("delayed starts beyond the floor, %")
        axes.set_title(f"{result.family}: {len(result.runs)} seeds, days 8 to 10")
        figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
        figure.savefig(path, dpi=110, metadata=_metadata(path))


def draw_clusters(results: Sequence[ClusterResult], path: Path) -> None:
    """Write one picture of all clusters: addresses held to the right, delayed starts upwards."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "groups", "font.size": 9}):
        figure = Figure(figsize=(9.6, 4.8), layout="constrained")
        panels = figure.subplots(1, len(results), squeeze=False, sharey=True)[0]
        for axes, result in zip(panels, results, strict=True):
            points = _draw_grid(axes, result.whole.grid.mean(axis=0))
            figure.colorbar(points, ax=axes, label="EC2 calls a node and day", pad=0.01)
            for name, values in result.rows():
                _mark(axes, name, estimate(values[:, HELD]), estimate(values[:, DELAYED]))
            _scale_delays(axes)
            axes.set_xlim(10, 45)
            axes.set_xlabel("addresses held a node (mean over time)")
            axes.set_title(f"{result.mix.name}: {len(result.runs)} seeds")
        panels[0].set_ylabel("delayed starts, %")
        handles, labels = panels[0].get_legend_handles_labels()
        shown = ["best single" if "best single" in label else label for label in labels]
        figure.legend(
            handles, shown, loc="outside lower center", ncols=3, fontsize=8, frameon=False
        )
        figure.savefig(path, dpi=110, metadata=_metadata(path))


def _mark(axes: Any, name: str, held: Estimate, late: Estimate) -> None:
    marker, colour = CLUSTER_MARKS.get(name, ("o", "#2ca02c"))
    axes.errorbar(
        held.mean,
        late.mean,
        xerr=held.half_width,
        yerr=late.half_width,
        fmt=marker,
        color=colour,
        ms=11 if marker == "*" else 7,
        elinewidth=0.8,
        zorder=6,
        label=name,
    )


def _scale_delays(axes: Any) -> None:
    axes.set_yscale("symlog", linthresh=_LINEAR_BELOW_PCT)
    axes.set_ylim(-0.03, 100)
    axes.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    axes.grid(visible=True, lw=0.3, alpha=0.6)


def _draw_grid(axes: Any, costs: Floats) -> Any:
    """All settings of a grid, of `costs` [setting, (delayed, addresses, calls)]; the points."""
    delayed, idle, calls = costs.T
    order = np.argsort(-calls)
    points = axes.scatter(
        idle[order], delayed[order], c=calls[order], s=5, cmap="viridis_r", rasterized=True
    )
    best = np.flatnonzero(pareto.front(np.column_stack([delayed, idle])))
    best = best[np.argsort(idle[best])]
    axes.plot(
        idle[best],
        delayed[best],
        color="#555555",
        lw=0.9,
        drawstyle="steps-post",
        label="least of any single setting",
    )
    return points


def _draw_policies(axes: Any, result: FamilyResult) -> None:
    for policy, (marker, colour) in MARKS.items():
        delayed, idle = result.mean(policy, "avoidable_pct"), result.mean(policy, "idle")
        axes.errorbar(
            idle.mean,
            delayed.mean,
            xerr=idle.half_width,
            yerr=delayed.half_width,
            fmt=marker,
            color=colour,
            mfc=colour if policy != NO_LATER else "white",
            ms=11 if marker == "*" else 7,
            elinewidth=0.8,
            zorder=6 if policy == CHOICE else 5,
            label=policy,
        )


def _metadata(path: Path) -> dict[str, None]:
    return {"Date": None} if path.suffix == ".svg" else {}
