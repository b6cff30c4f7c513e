"""The targets that the bench sets itself, and whether they are met.

front      a choice is on the Pareto front of the whole grid, in delayed starts beyond the
           floor, idle addresses and EC2 calls (a setting dominates it that is at most equal in
           all three and less in one): on the learning days exactly, as the search sees them,
           for every seed; on the scored days no setting dominates it beyond doubt, that is with
           the whole of the 95 % intervals of the paired differences
default    the choice that may delay as many starts as the default delays no more of them on the
           scored days (the interval of the paired difference reaches 0 or lies below), and
           saves so much of the default's idle addresses: 75 % on steady and diurnal, 30 % on
           the other two
profiles   on hourly-batch the choice by time of day has 20 % less idle addresses than the best
           single setting of the grid with no more delayed starts, all restarts charged
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from warmpool.fleets import FleetResult
from warmpool.results import FamilyResult
from warmpool.runs import CHOICE, NO_LATER, PROFILES
from warmpool.terms import name_of

LEAST_SAVED: Final[Mapping[str, float]] = {
    "steady": 0.75,
    "diurnal": 0.75,
    "hourly-batch": 0.30,
    "bursty-rollout": 0.30,
}
PROFILE_FAMILY: Final = "hourly-batch"
LEAST_SAVED_BY_PROFILES: Final = 0.20
LARGE_FLEET, MOST_CPU_S, MOST_MIB, LEAST_SETTINGS = 5_000, 10.0, 512.0, 150
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One target: what it asks, what was found, and whether it is met."""

    target: str
    found: str
    met: bool


def check_all(results: Sequence[FamilyResult], fleets: Sequence[FleetResult]) -> list[Check]:
    """All targets for the families and fleets given."""
    checks = []
    for result in results:
        for policy in (CHOICE, NO_LATER):
            checks += [_front_learning(result, policy), _front_scored(result, policy)]
        checks.append(_against_default(result))
        if result.family == PROFILE_FAMILY:
            checks.append(_profiles(result))
    return checks + [_fleet(fleet) for fleet in fleets if fleet.nodes == LARGE_FLEET]


def _front_learning(result: FamilyResult, policy: str) -> Check:
    bad = [(run.seed, run.dominated_by[policy]) for run in result.runs if run.dominated_by[policy]]
    named = "; ".join(f"seed {seed}: {', '.join(by[:_SHOWN])}" for seed, by in bad)
    return Check(
        f"{result.family}: {policy} on the front, learning days",
        f"dominated in {len(bad)} of {len(result.runs)}" + (f" ({named})" if bad else ""),
        not bad,
    )


def _front_scored(result: FamilyResult, policy: str) -> Check:
    better = [name_of(targets) for targets in result.surely_better(policy)]
    return Check(
        f"{result.family}: {policy} on the front, scored days",
        f"surely dominated by {len(better)}"
        + (f" ({', '.join(better[:_SHOWN])})" if better else ""),
        not better,
    )


def _against_default(result: FamilyResult) -> Check:
    least = LEAST_SAVED[result.family]
    saved = result.saved_share(NO_LATER)
    later = result.paired(NO_LATER, "avoidable_pct")
    return Check(
        f"{result.family}: saves {least:.0%} at the default's delays",
        f"saves {saved.mean:.1%} +-{saved.half_width:.1%}, "
        f"delayed {later.mean:+.2f} +-{later.half_width:.2f} points",
        saved.mean >= least and later.mean - later.half_width <= 0,
    )


def _profiles(result: FamilyResult) -> Check:
    idle = result.mean(PROFILES, "idle").mean
    delayed = result.mean(PROFILES, "avoidable_pct").mean
    best = result.best_static(delayed)
    single = float(result.grid_costs[:, best, 1].mean())
    saved = 1.0 - idle / single
    return Check(
        f"{result.family}: by time of day {LEAST_SAVED_BY_PROFILES:.0%} below the best setting",
        f"{idle:.2f} against {single:.2f}, {saved:.1%} below (delayed {delayed:.2f} %)",
        saved >= LEAST_SAVED_BY_PROFILES,
    )


def _fleet(fleet: FleetResult) -> Check:
    kind = "busy" if fleet.busy else "mixed"
    return Check(
        f"{fleet.nodes} {kind} nodes: at most {MOST_CPU_S:.0f} s and {MOST_MIB:.0f} MiB",
        f"{fleet.cpu_s:.1f} s of one core, {fleet.peak_mib:.0f} MiB, {fleet.settings} settings",
        fleet.cpu_s <= MOST_CPU_S
        and fleet.peak_mib <= MOST_MIB
        and fleet.settings >= LEAST_SETTINGS,
    )
