"""Pictures of levels over time and of plans: the one place that needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ippolicy.cli.environment import Setting
from ippolicy.cli.replayed import Levels
from ippolicy.errors import InvalidInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#222222"
ASSIGNED: Final = "#2f6fab"
COOLING: Final = "#e0a030"
WARM: Final = "#cfe3d4"
HELD: Final = "#3c8d5a"
PRESENT: Final = "#c0392b"
FRONT: Final = "#999999"
_NO_DATE: Final = {"png": {"Software": None}, "svg": {"Date": None}}
_FINE_PERCENT: Final = 0.1  # below it the axis of delayed starts is linear
_FINE_CALLS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Dot:
    """A setting in the picture of a plan."""

    label: str
    held: float
    delayed_share: float
    calls_per_minute: float


def draw_levels(shown: Sequence[tuple[Setting, Levels]], title: str, kind: str) -> bytes:
    """Addresses assigned, cooling down and held over time, a panel a setting; png or svg.

    Raises:
        InvalidInput: matplotlib is not installed.
    """

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        panels = figure.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (setting, levels) in zip(panels, shown, strict=True):
            _draw_panel(axes, setting, levels)
        panels[-1].set_xlabel("hours")
        panels[-1].xaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 3, 6, 10]))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)

    return _drawn(draw, title, (9.0, 1.3 + 2.1 * len(shown)), kind)


def _draw_panel(axes: Axes, setting: Setting, levels: Levels) -> None:
    hours = [number * levels.every_s / 3600 for number in range(len(levels.held))]
    used = [a + c for a, c in zip(levels.assigned, levels.cooling, strict=True)]
    for low, high, color, label in (
        ([0] * len(hours), levels.assigned, ASSIGNED, "assigned to pods"),
        (levels.assigned, used, COOLING, "cooling down"),
        (used, levels.held, WARM, "warm"),
    ):
        axes.fill_between(hours, low, high, step="post", color=color, label=label, linewidth=0)
    axes.step(hours, levels.held, where="post", color=HELD, linewidth=1.2, label="held")
    axes.set_title(f"{setting.label}  {setting.text}", loc="left", fontsize=9, color=INK)
    axes.set_ylabel("addresses")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)


def draw_plan(
    dots: Sequence[Dot],
    *,
    front: Sequence[Dot],
    present: Dot,
    choice: Dot,
    delayed_limit: float,
    title: str,
    kind: str,
) -> bytes:
    """Addresses held against delayed starts, coloured by EC2 calls, with the `front` and two
    settings marked; png or svg.

    Raises:
        InvalidInput: matplotlib is not installed.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _draw_cloud(figure, axes, dots)
        axes.step(
            [100 * dot.delayed_share for dot in front],
            [dot.held for dot in front],
            where="pre",
            color=FRONT,
            linewidth=1.0,
            label="nothing holds less with fewer delays",
            zorder=0,
        )
        limit = 100 * delayed_limit
        axes.axvline(limit, color=INK, linewidth=0.8, linestyle="--", label="limit on delays")
        _mark(axes, present, "X", PRESENT, f"in force: {present.label}")
        _mark(axes, choice, "*", INK, f"choice: {choice.label}")
        axes.set_xscale("symlog", linthresh=_FINE_PERCENT)
        axes.set_xlim(left=-_FINE_PERCENT / 5)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("delayed pod starts, %")
        axes.set_ylabel("addresses held, mean over time")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", frameon=False)

    return _drawn(draw, title, (8.0, 5.8), kind)


def _draw_cloud(figure: Figure, axes: Axes, dots: Sequence[Dot]) -> None:
    from matplotlib.colors import SymLogNorm

    calls = [dot.calls_per_minute for dot in dots]
    cloud = axes.scatter(
        [100 * dot.delayed_share for dot in dots],
        [dot.held for dot in dots],
        c=calls,
        cmap="viridis_r",
        norm=SymLogNorm(_FINE_CALLS, vmin=0.0, vmax=max(1.0, *calls)),
        s=22,
        linewidths=0,
    )
    bar = figure.colorbar(cloud, ax=axes, label="changing EC2 calls a minute")
    bar.ax.yaxis.set_major_formatter("{x:g}")


def _mark(axes: Axes, dot: Dot, marker: str, color: str, label: str) -> None:
    axes.scatter(
        [100 * dot.delayed_share],
        [dot.held],
        marker=marker,
        s=150,
        color=color,
        edgecolors="white",
        linewidths=1.0,
        label=label,
        zorder=3,
        clip_on=False,
    )


def _drawn(
    draw: Callable[[Figure], None], title: str, size: tuple[float, float], kind: str
) -> bytes:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"a picture needs {error.name}: pip install 'ippolicy-operator[plot]'"
        ) from error
    style: Any = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.hashsalt": "ippolicy",  # the same picture is the same file
        "svg.fonttype": "none",
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=size, dpi=120, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
        draw(figure)
        out = io.BytesIO()
        figure.savefig(out, format=kind, metadata=_NO_DATE[kind])
        return out.getvalue()
