"""What the bench prints, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill

from warmpool.checks import Check
from warmpool.fleets import FleetResult, SamplingResult
from warmpool.forecasts import Figures, percent
from warmpool.intervals import Estimate
from warmpool.results import FamilyResult
from warmpool.runs import CHOICE, POLICIES
from warmpool.terms import GRID, name_of

WIDTH = 80
_NAME = 24


def family_table(result: FamilyResult) -> str:
    """A row a policy: means over the seeds, with 95 % intervals where they count; `net` is delayed
    without the floor."""
    lines = [
        f"{result.family}: {len(result.runs)} seeds, {result.floor_pct.mean:.2f} % delayed on a "
        "node that is always full",
        f"{'':<{_NAME}}{'delayed %':>14}{'net':>7}{'idle':>14}{'calls':>7}"
        f"{'simple':>7}{'saved':>6}",
    ]
    lines += [_policy_row(result, policy) for policy in POLICIES]
    best = result.best_static(result.mean(CHOICE, "avoidable_pct").mean)
    delayed, idle, calls = result.grid_costs.mean(axis=0)[best]
    name = f"hindsight {name_of(GRID[best])}"
    lines.append(f"{name:<{_NAME}}{'':>14}{delayed:>7.2f}{idle:>7.2f}{'':>7}{calls:>7.0f}")
    lines.append(f"{'clairvoyant bound':<{_NAME}}{'':>14}{0:>7.2f}{result.least_idle.mean:>7.2f}")
    return "\n".join(lines)


def _policy_row(result: FamilyResult, policy: str) -> str:
    return (
        f"{policy:<{_NAME}}{_interval(result.mean(policy, 'delayed_pct')):>14}"
        f"{result.mean(policy, 'avoidable_pct').mean:>7.2f}"
        f"{_interval(result.mean(policy, 'idle')):>14}"
        f"{result.mean(policy, 'calls').mean:>7.0f}"
        f"{result.mean(policy, 'simple_calls').mean:>7.0f}"
        f"{result.saved_share(policy).mean:>6.0%}"
    )


def fleet_table(results: Sequence[FleetResult]) -> str:
    """A row a fleet."""
    lines = [
        f"{'nodes':<11}{'played':>7}{'settings':>9}{'CPU s':>7}{'wall s':>7}{'MiB':>5}"
        f"  {'choice':<11}{'held a node':>12}{'delayed':>9}"
    ]
    lines += [
        f"{f'{r.nodes} busy' if r.busy else f'{r.nodes} mixed':<11}{r.units_played:>7}"
        f"{r.settings:>9}{r.cpu_s:>7.1f}{r.wall_s:>7.1f}{r.peak_mib:>5.0f}  {r.choice:<11}"
        f"{r.true.held_a_node:>12.2f}{r.true.delayed_pct:>7.2f} %"
        for r in results
    ]
    return "\n".join(lines)


def sampling_table(results: Sequence[SamplingResult]) -> str:
    """A row a fleet that was searched on a sample and on all nodes."""
    lines = [f"{'of 100 nodes':<14}{'sample':>12}{'all':>12}{'held more':>11}{'delayed':>17}"]
    lines += [
        f"{f'{r.units_played} played':<14}{r.sampled:>12}{r.whole:>12}{r.held_more:>+11.1%}"
        f"{f'{r.sampled_true.delayed_pct:.2f} / {r.whole_true.delayed_pct:.2f} %':>17}"
        for r in results
    ]
    return "\n".join(lines)


def forecast_table(results: Sequence[Figures]) -> str:
    """A row a family of made-up use."""
    lines = [
        f"{'free addresses':<20}{'ran out':>8}{'within':>8}{'unforeseen':>12}{'lasted':>8}"
        f"{'false alarms':>14}"
    ]
    lines += [
        f"{r.family:<20}{r.running_out:>8}{percent(r.coverage):>8}{r.unforeseen:>12}{r.lasting:>8}"
        f"{percent(r.alarm_share):>14}"
        for r in results
    ]
    return "\n".join(lines)


def check_table(checks: Iterable[Check]) -> str:
    """A target and, below it, what was found."""
    return "\n".join(
        f"{'met   ' if check.met else 'MISSED'} {check.target}\n"
        + fill(check.found, WIDTH, initial_indent=" " * 7, subsequent_indent=" " * 7)
        for check in checks
    )


def _interval(value: Estimate) -> str:
    return f"{value.mean:.2f} +-{value.half_width:.2f}"
