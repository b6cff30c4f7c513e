"""docs/benchmarks.md: the template beside this file, filled with what was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

from warmpool import group_pages
from warmpool.checks import Check
from warmpool.fleets import FleetResult, SamplingResult
from warmpool.forecasts import Figures as ForecastFigures
from warmpool.forecasts import check_forecasts, percent
from warmpool.group_checks import check_groups
from warmpool.group_results import ClusterResult
from warmpool.intervals import Estimate
from warmpool.losses import losses
from warmpool.machine import Machine
from warmpool.published import PUBLISHED, Figures
from warmpool.results import FamilyResult
from warmpool.runs import CHOICE, POLICIES, PROFILES
from warmpool.terms import GRID, name_of

TEMPLATE = Path(__file__).with_name("benchmarks.md.template")
FORECASTS = Path(__file__).with_name("forecasts.md.template")


def page(
    results: Sequence[FamilyResult],
    fleets: Sequence[FleetResult],
    samplings: Sequence[SamplingResult],
    forecasts: Sequence[ForecastFigures],
    checks: Sequence[Check],
    *,
    clusters: Sequence[ClusterResult],
    machine: Machine,
) -> str:
    """The whole page."""
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        date=machine.date,
        processor=machine.processor,
        cores=machine.cores,
        python=machine.python,
        numpy=machine.numpy,
        numba=machine.numba,
        seeds=len(results[0].runs),
        settings=len(GRID),
        families="\n".join(_family(result) for result in results),
        published="\n".join(_published(results)),
        losses="\n".join(f"- {line}" for line in losses(results)),
        fleets="\n".join(_fleets(fleets)),
        samplings="\n".join(_samplings(samplings)),
        groups=group_section(clusters, machine),
        forecasts=forecast_section(forecasts, machine),
        checks="\n".join(_checks(checks)),
    )


def forecast_section(forecasts: Sequence[ForecastFigures], machine: Machine) -> str:
    """The section of the page that is about forecasts."""
    return Template(FORECASTS.read_text("utf-8")).substitute(
        date=machine.date,
        forecasts="\n".join(_forecasts(forecasts)),
        checks="\n".join(_checks(check_forecasts(forecasts))),
    )


def group_section(clusters: Sequence[ClusterResult], machine: Machine) -> str:
    """The section of the page that is about settings by group."""
    checks = list(_checks(check_groups(clusters)))
    return group_pages.group_section(clusters, date=machine.date, checks=checks)


def with_section(text: str, section: str) -> str:
    """The page `text` with that section as it was measured now, and all else as it was.

    Raises:
        ValueError: the page has no such section.
    """
    heading = section.partition("\n")[0]
    old = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## )", re.DOTALL | re.MULTILINE)
    page, found = old.subn(lambda _: f"{section}\n", text)
    if not found:
        raise ValueError(f"the page has no section {heading!r}: write all of it, without --only")
    return page


def _family(result: FamilyResult) -> str:
    lines = [
        f"### {result.family}",
        "",
        f"![Pareto plot of {result.family}](images/bench-{result.family}.svg)",
        "",
        f"Floor: {_interval(result.floor_pct)} % of the starts are delayed on a node that always "
        f"holds all it can. Clairvoyant bound: {result.least_idle.mean:.3f} idle.",
        "",
        "| policy | delayed % | without the floor | idle | EC2 calls | counted simply | saved |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_policy(result, policy) for policy in POLICIES]
    lines += [_hindsight(result), "", f"The choices: {_choices(result)}.", ""]
    return "\n".join(lines)


def _policy(result: FamilyResult, policy: str) -> str:
    figures = (
        _interval(result.mean(policy, "delayed_pct")),
        _interval(result.mean(policy, "avoidable_pct")),
        _interval(result.mean(policy, "idle")),
        f"{result.mean(policy, 'calls').mean:.0f}",
        f"{result.mean(policy, 'simple_calls').mean:.0f}",
        f"{result.saved_share(policy).mean:.0%}",
    )
    return f"| {policy} | {' | '.join(figures)} |"


def _hindsight(result: FamilyResult) -> str:
    best = result.best_static(result.mean(CHOICE, "avoidable_pct").mean)
    delayed, idle, calls = result.grid_costs.mean(axis=0)[best]
    name = f"{name_of(GRID[best])}, in hindsight"
    return f"| {name} | | {delayed:.2f} | {idle:.2f} | {calls:.0f} | | |"


def _choices(result: FamilyResult) -> str:
    parts = []
    for policy in (CHOICE, PROFILES):
        named = [run.settings[policy] for run in result.runs]
        counted = sorted({name: named.count(name) for name in named}.items(), key=lambda n: -n[1])
        shown = ", ".join(f"{name} ({times}x)" for name, times in counted[:3])
        parts.append(f"{policy} {shown}{', ...' if len(counted) > 3 else ''}")
    return "; ".join(parts)


def _published(results: Sequence[FamilyResult]) -> Iterator[str]:
    for result in results:
        theirs = PUBLISHED[result.family]
        yield (
            f"| {result.family} | {_figures(theirs.default)} | {theirs.static_name}: "
            f"{_figures(theirs.static)} | {_figures(theirs.controller)} | "
            f"{_ours(result, CHOICE)} | {_ours(result, PROFILES)} |"
        )


def _ours(result: FamilyResult, policy: str) -> str:
    return _figures(
        Figures(
            result.mean(policy, "delayed_pct").mean,
            result.mean(policy, "idle").mean,
            round(result.mean(policy, "simple_calls").mean),
        )
    )


def _figures(figures: Figures) -> str:
    return f"{figures.delayed_pct:.2f} / {figures.idle:.2f} / {figures.calls}"


def _fleets(fleets: Sequence[FleetResult]) -> Iterator[str]:
    for fleet in fleets:
        yield (
            f"| {fleet.nodes} {'busy' if fleet.busy else 'mixed'} | {fleet.events_a_node} | "
            f"{fleet.units_played} | {fleet.settings} | {fleet.cpu_s:.1f} | {fleet.wall_s:.1f} | "
            f"{fleet.peak_mib:.0f} | {fleet.choice} | {fleet.predicted.held_a_node:.2f}, "
            f"{fleet.predicted.delayed_pct:.2f} % | {fleet.true.held_a_node:.2f}, "
            f"{fleet.true.delayed_pct:.2f} % |"
        )


def _samplings(samplings: Sequence[SamplingResult]) -> Iterator[str]:
    for one in samplings:
        yield (
            f"| {one.seed} | {one.units_played} of {one.nodes} | {one.sampled} | "
            f"{one.sampled_true.held_a_node:.2f}, {one.sampled_true.delayed_pct:.2f} % | "
            f"{one.whole} | {one.whole_true.held_a_node:.2f}, {one.whole_true.delayed_pct:.2f} % | "
            f"{one.held_more:+.1%} | {one.cpu_sampled_s:.1f} and {one.cpu_whole_s:.1f} s |"
        )


def _forecasts(forecasts: Sequence[ForecastFigures]) -> Iterator[str]:
    for row in forecasts:
        width = "-" if math.isnan(row.width) else f"{row.width:.2f}"
        yield (
            f"| {row.family} | {row.running_out} | {percent(row.coverage)} | {row.unforeseen} | "
            f"{percent(row.foreseen_coverage)} | {width} | {row.lasting} | "
            f"{percent(row.alarm_share)} |"
        )


def _checks(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        yield f"| {check.target} | {check.found} | {'met' if check.met else '**missed**'} |"


def _interval(value: Estimate) -> str:
    return f"{value.mean:.2f} ± {value.half_width:.2f}"
