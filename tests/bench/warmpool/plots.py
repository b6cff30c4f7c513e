"""The Pareto plot of a family: every setting of the grid, and the policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from warmpool import pareto
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
_LINEAR_BELOW_PCT: Final = 0.1
"""Below this share the scale of delays is linear, so that none at all has a place."""


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
        _draw_grid(figure, axes, result)
        _draw_policies(axes, result)
        bound = result.least_idle.mean
        axes.axvline(bound, color="#2ca02c", lw=1.2, ls="--", label="clairvoyant bound")
        axes.axhline(LIMIT_PCT, color="#777777", lw=0.8, ls=":", label="limit of the choice")
        axes.set_yscale("symlog", linthresh=_LINEAR_BELOW_PCT)
        axes.set_ylim(-0.03, 100)
        axes.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
        axes.set_xlim(-1, 40)
        axes.set_xlabel("idle addresses (mean over time)")
        axes.set_ylabel("delayed starts beyond the floor, %")
        axes.set_title(f"{result.family}: {len(result.runs)} seeds, days 8 to 10")
        axes.grid(visible=True, lw=0.3, alpha=0.6)
        figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
        figure.savefig(path, dpi=110, metadata=_metadata(path))


def _draw_grid(figure: Any, axes: Any, result: FamilyResult) -> None:
    delayed, idle, calls = result.grid_costs.mean(axis=0).T
    order = np.argsort(-calls)
    points = axes.scatter(
        idle[order], delayed[order], c=calls[order], s=5, cmap="viridis_r", rasterized=True
    )
    figure.colorbar(points, ax=axes, label="EC2 calls in three days", pad=0.01)
    best = np.flatnonzero(pareto.front(np.column_stack([delayed, idle])))
    best = best[np.argsort(idle[best])]
    axes.plot(
        idle[best],
        delayed[best],
        color="#555555",
        lw=0.9,
        drawstyle="steps-post",
        label="least idle of any single setting",
    )


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
