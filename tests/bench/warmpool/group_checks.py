"""The targets of settings by group, and where they gain little or lose.

held       in a cluster with a pool a workload, a setting a group holds 25 % less addresses than
           the best single setting with no more delayed starts and no more EC2 calls, restarts
           charged, with the whole of the 95 % interval
restarts   it takes at most a third of the restarts of one setting that a DaemonSet rolls out
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from warmpool.checks import Check
from warmpool.clusters import RENEWED_A_DAY
from warmpool.group_results import CALLS, DEFAULT_NUMBER, DELAYED, HELD, ClusterResult
from warmpool.groups import BY_GROUP, FLEET, GRID
from warmpool.losses import LIMIT_PCT
from warmpool.mixes import BY_WORKLOAD
from warmpool.terms import name_of

LEAST_SAVED: Final = 0.25
MOST_RESTARTS: Final = 1 / 3


def check_groups(results: Sequence[ClusterResult]) -> list[Check]:
    """Both targets, for the cluster that they are about."""
    return [
        check
        for result in results
        if result.mix is BY_WORKLOAD
        for check in (_held(result), _restarts(result))
    ]


def group_losses(results: Sequence[ClusterResult]) -> list[str]:
    """A sentence each, found and not written."""
    return [line for result in results for line in _losses(result)]


def _held(result: ClusterResult) -> Check:
    part = result.whole
    ours, single = part.method(BY_GROUP).mean(axis=0), part.grid[:, part.best].mean(axis=0)
    return Check(
        f"{result.mix.name}: a setting a group holds {LEAST_SAVED:.0%} less than the best single",
        f"{ours[HELD]:.2f} a node against {single[HELD]:.2f} of {name_of(GRID[part.best])}, "
        f"{part.saved.mean:.1%} +-{part.saved.half_width:.1%} less (delayed {ours[DELAYED]:.2f} "
        f"and {single[DELAYED]:.2f} %, calls {ours[CALLS]:.0f} and {single[CALLS]:.0f})",
        part.saved.mean - part.saved.half_width >= LEAST_SAVED,
    )


def _restarts(result: ClusterResult) -> Check:
    ours, rollouts = (result.work(method, "restarts").mean for method in (BY_GROUP, FLEET))
    return Check(
        f"{result.mix.name}: at most a third of the restarts, {RENEWED_A_DAY:.0%} of nodes new "
        "each day",
        f"{ours:.1f} against {rollouts:.1f}, {result.restart_share:.0%}",
        result.restart_share <= MOST_RESTARTS,
    )


def _losses(result: ClusterResult) -> Iterator[str]:
    name, part = result.mix.name, result.whole
    ours, default = part.method(BY_GROUP).mean(axis=0), part.grid[:, DEFAULT_NUMBER].mean(axis=0)
    if part.saved.mean < LEAST_SAVED:
        yield (
            f"**{name}, addresses.** A setting a group holds only {part.saved.mean:.1%} less than "
            f"{name_of(GRID[part.best])} for all would have."
        )
    for pool in result.mix.pools:
        rest = result.without(pool.name).saved
        if rest.mean < LEAST_SAVED <= part.saved.mean:
            yield (
                f"**{name}, what it hangs on.** Without the pool {pool.name} it would be "
                f"{rest.mean:.1%} ± {rest.half_width:.1%}: one setting suits the others better."
            )
    if result.restart_share > MOST_RESTARTS:
        yield (
            f"**{name}, restarts.** It takes {result.restart_share:.0%} of the restarts of the "
            "rollouts, for one setting that suits all seldom changes."
        )
    if result.restart_share <= MOST_RESTARTS < result.restart_share_from_the_start:
        yield (
            f"**{name}, restarts.** Counted with the restart of every node that both methods begin "
            f"with, it takes {result.restart_share_from_the_start:.0%} of those of the rollouts in "
            "these days."
        )
    if ours[CALLS] > default[CALLS]:
        yield (
            f"**{name}, calls.** It makes {ours[CALLS]:.0f} EC2 calls a node and day, the default "
            f"{default[CALLS]:.0f}."
        )
    late = part.method(BY_GROUP)[:, DELAYED] - part.floor_pct.mean
    if late.mean() > LIMIT_PCT:
        yield (
            f"**{name}, the limit.** It delays {late.mean():.2f} % of the starts beyond the floor, "
            f"where {LIMIT_PCT:g} % is allowed: each day's targets come from the days before, and "
            "demand goes on."
        )
    if ours[DELAYED] > part.method(FLEET)[:, DELAYED].mean():
        yield (
            f"**{name}, starts.** It delays {ours[DELAYED]:.2f} % of the starts, one setting by "
            f"the operator {part.method(FLEET)[:, DELAYED].mean():.2f} %."
        )
