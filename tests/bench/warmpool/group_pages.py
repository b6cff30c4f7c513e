"""The section of docs/benchmarks.md on settings by group, and what the bench prints of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

from warmpool.cluster_view import WINDOW_DAYS
from warmpool.clusters import (
    FURTHEST,
    MOST_DRIFT,
    NODES_A_POOL,
    RENEWED_A_DAY,
    NodePool,
)
from warmpool.families import FAMILIES
from warmpool.group_checks import group_losses
from warmpool.group_results import CALLS, DELAYED, HELD, ClusterResult
from warmpool.groups import BY_GROUP, GRID, METHODS, MOST_MINIMUM
from warmpool.intervals import Estimate, estimate
from warmpool.results import Floats

TEMPLATE = Path(__file__).with_name("groups.md.template")
_SHOWN = 5


def group_section(results: Sequence[ClusterResult], *, date: str, checks: Sequence[str]) -> str:
    """The whole section; `checks` are the rows of its table of targets."""
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        date=date,
        places=NODES_A_POOL,
        drift=round(100 * (MOST_DRIFT - 1)),
        furthest=" to ".join(f"{part:.0%}" for part in FURTHEST),
        renewed=f"{RENEWED_A_DAY:.0%}",
        window=24 * WINDOW_DAYS,
        settings=len(GRID),
        minimum=MOST_MINIMUM,
        assigned=" and ".join(f"{result.whole.assigned_a_node:.1f}" for result in results),
        seeds=len(results[0].runs) if results else 0,
        clusters="\n".join(line for result in results for line in _cluster(result)),
        losses="\n".join(f"- {line}" for line in group_losses(results)),
        checks="\n".join(checks),
    )


def cluster_table(result: ClusterResult) -> str:
    """A row for each that is compared, in 80 columns."""
    lines = [
        f"{result.mix.name}: {len(result.runs)} seeds, {result.whole.floor_pct.mean:.2f} % delayed "
        "on nodes that are always full",
        f"{'':<26}{'delayed %':>14}{'held a node':>15}{'calls a day':>13}{'restarts':>10}",
    ]
    for name, values in result.rows():
        late, held = (_interval(estimate(values[:, n]), "+-") for n in (DELAYED, HELD))
        lines.append(
            f"{name:<26}{late:>14}{held:>15}{values[:, CALLS].mean():>13.0f}"
            f"{_restarts(result, name):>10}"
        )
    saved = result.whole.saved
    lines.append(f"a setting a group holds {saved.mean:.1%} +-{saved.half_width:.1%} less")
    return "\n".join(lines)


def _cluster(result: ClusterResult) -> Iterator[str]:
    saved, of_fleet = result.whole.saved, result.whole.saved_of_fleet
    yield f"### {result.mix.name[0].upper()}{result.mix.name[1:]}"
    yield ""
    yield (
        f"A setting a group holds **{_share(saved)} less** than the best single one, and "
        f"{_share(of_fleet)} less than the operator's own for all. Floor: "
        f"{_interval(result.whole.floor_pct)} % of the starts are delayed on nodes that always "
        "hold all they can."
    )
    yield ""
    yield "| | delayed % | held a node | EC2 calls a node and day | restarts | changes |"
    yield "|---|---|---|---|---|---|"
    yield from (_row(result, name, values) for name, values in result.rows())
    yield ""
    yield (
        "| pool | demand of a node | held by the best single | by group | delayed % | by group "
        "| settings of seed "
        f"{result.runs[0].seed if result.runs else 0} | less, without this pool |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    yield from (_pool(result, pool) for pool in result.mix.pools)
    yield ""


def _row(result: ClusterResult, name: str, values: Floats) -> str:
    late, held, calls = (_interval(estimate(column)) for column in values.T)
    changes = f"{result.work(name, 'changes').mean:.1f}" if name in METHODS else ""
    return f"| {name} | {late} | {held} | {calls} | {_restarts(result, name)} | {changes} |"


def _restarts(result: ClusterResult, name: str) -> str:
    return f"{result.work(name, 'restarts').mean:.1f}" if name in METHODS else ""


def _pool(result: ClusterResult, pool: NodePool) -> str:
    part = result.alone(pool.name)
    single = part.grid[:, result.whole.best].mean(axis=0)
    ours = part.method(BY_GROUP).mean(axis=0)
    named = result.runs[0].work[BY_GROUP].settings[pool.name]
    shown = ", ".join(named[:_SHOWN]) + (", ..." if len(named) > _SHOWN else "")
    return (
        f"| {_named(pool)} | {_demand(pool)} | {single[HELD]:.2f} | "
        f"{ours[HELD]:.2f} | {single[DELAYED]:.2f} | {ours[DELAYED]:.2f} | {shown} | "
        f"{_share(result.without(pool.name).saved)} |"
    )


def _named(pool: NodePool) -> str:
    names = dict.fromkeys((pool.name, pool.shape.instance_type))
    return ", ".join(names)


def _demand(pool: NodePool) -> str:
    """ "0.4 of steady, 0.5 of diurnal", families of equal parts together."""
    families: dict[float, list[str]] = {}
    for family, part in pool.parts.items():
        families.setdefault(part, []).append(family)
    return ", ".join(
        ("" if part == 1 else f"{part:g} of ")
        + ("each family" if len(named) == len(FAMILIES) else " and ".join(named))
        for part, named in families.items()
    )


def _share(value: Estimate) -> str:
    return f"{value.mean:.1%} ± {value.half_width:.1%}"


def _interval(value: Estimate, sign: str = "± ") -> str:
    return f"{value.mean:.2f} {sign}{value.half_width:.2f}"
