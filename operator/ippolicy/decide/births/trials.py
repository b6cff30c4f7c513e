"""One group's trial of new targets: begun, widened, promoted, proven, or refused.

    stage      who tries                              goes on to, once watched for long enough
    ---------  -------------------------------------  ----------------------------------------
    none       nobody                                 Canary, when demand asks for other targets
    Canary     `restarts.canary` of the group, 1 at   Share; Promoted where nobody else would be
               least: those that gain most            restarted for it
    Share      `SHARE` of the group, of those that    Promoted
               their restart repays
    Promoted   whoever is born, and whoever repays    the group's proven targets
               the restart
    any        a guard trips                          refused: back to the proven ones, and not
                                                      tried again for a while

Long enough is `change.rollback.within`, counted while somebody watches, with `LEAST_STARTS` on the
nodes that try; up to `LONGEST` times as long where fewer pods start. Targets that the group is in
need of, as its pods start late or its subnets run dry, are widened after `SHORT_S`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import ceil, floor
from typing import Final

from ippolicy.decide.back_off import FIRST_S, FORGOTTEN_S, LONGEST_S, no_more_generous
from ippolicy.decide.basis import has_changed
from ippolicy.decide.births.cohorts import LEAST_STARTS, Cohort
from ippolicy.decide.births.members import Member
from ippolicy.decide.births.table import Grounds, GroupTargets, Refused, Stage, Trial
from ippolicy.decide.guards import Trip

SHARE: Final = 0.25
LONGEST: Final = 4.0
SHORT_S: Final = 60.0
MOST_REFUSED: Final = 4


def begin(
    targets: GroupTargets,
    members: Sequence[Member],
    now_s: float,
    *,
    share: float,
    grounds: Grounds,
    urgent: bool = False,
) -> Trial | None:
    """The trial of `targets` by a `share` of the group; None where no node is fit to try them."""
    nodes = _chosen(members, _canaries(members, share))
    if not nodes:
        return None
    return Trial(targets, Stage.CANARY, now_s, nodes, grounds, urgent)


def advance(
    trial: Trial,
    members: Sequence[Member],
    cohort: Cohort,
    now_s: float,
    *,
    within_s: float,
    missed: Collection[str] = (),
    away: Collection[str] = (),
) -> Trial | None:
    """The trial as it is now, wider if it is time; None once its targets are proven.

    `missed` names nodes whose aws-node was made anew and got other targets all the same: nobody
    waits for them. Those that are `away` while theirs is made anew are waited for.
    """
    enough = _watched_enough(trial, cohort, within_s)
    if trial.stage is Stage.PROMOTED:
        return None if enough else trial
    there = {one.name: one for one in members}
    if any(name in away for name in trial.nodes):
        return trial
    nodes = tuple(name for name in trial.nodes if name in there and name not in missed)
    if len(nodes) < len(trial.nodes):
        able = [one for one in members if one.name not in missed]
        count = min(len(trial.nodes), _most(members))
        return replace(trial, nodes=_chosen(able, count, keep=nodes))
    trying = [there[name] for name in nodes]
    digest = trial.targets.digest
    if not nodes or not enough or any(m.digest != digest or not m.settled for m in trying):
        return trial
    if trial.stage is Stage.CANARY:
        paying = [one for one in members if one.gain_address_s > 0 and one.name not in missed]
        count = min(ceil(SHARE * len(members)), _most(members))
        wider = _chosen(paying, count, keep=nodes)
        if len(wider) > len(nodes):
            return replace(trial, stage=Stage.SHARE, since_s=now_s, nodes=wider)
    return replace(trial, stage=Stage.PROMOTED, since_s=now_s, nodes=())


def refuse(known: Sequence[Refused], trial: Trial, trip: Trip, now_s: float) -> tuple[Refused, ...]:
    """What is refused of a group, with the targets of `trial` for longer each time."""
    kept = [one for one in known if now_s < one.until_s + FORGOTTEN_S]
    alike = [one for one in kept if one.targets.digest == trial.targets.digest]
    times = 1 + max((one.times for one in alike), default=0)
    newest = Refused(
        targets=trial.targets,
        until_s=now_s + min(FIRST_S * 2.0 ** (times - 1), LONGEST_S),
        times=times,
        basis=trial.grounds.proof.basis,
        cause=f"{trip.guard}: {trip.text}",
    )
    others = [one for one in kept if one.targets.digest != trial.targets.digest]
    return (*others, newest)[-MOST_REFUSED:]


def held_back(
    known: Sequence[Refused], targets: GroupTargets, basis: str, now_s: float
) -> Refused | None:
    """What keeps `targets`, decided on `basis`, from being tried, if anything does."""
    for one in known:
        # A wait is never longer than the longest: one that looks so is of a clock that was ahead.
        waits = now_s < one.until_s <= now_s + LONGEST_S
        leaner = no_more_generous(targets.env, one.targets.env)
        if waits and leaner and not has_changed(one.basis, basis):
            return one
    return None


def watch_s(trial: Trial, within_s: float) -> float:
    """How long this stage is watched at least."""
    return min(within_s, SHORT_S) if trial.urgent else within_s


def _watched_enough(trial: Trial, cohort: Cohort, within_s: float) -> bool:
    needed_s = watch_s(trial, within_s)
    if not needed_s:
        return True
    lately = cohort.lately
    if lately.watched_s < needed_s:
        return False
    return trial.urgent or lately.starts >= LEAST_STARTS or lately.watched_s >= LONGEST * needed_s


def _canaries(members: Sequence[Member], share: float) -> int:
    return max(1, floor(share * len(members)))


def _most(members: Sequence[Member]) -> int:
    """So many that others are left to hold them against, where there are others."""
    return max(1, len(members) - 1)


def _chosen(members: Sequence[Member], count: int, keep: Collection[str] = ()) -> tuple[str, ...]:
    """Those kept, and others that are fit, the ones that gain most first."""
    fit = [one for one in members if one.fit() and one.name not in keep]
    fit.sort(key=lambda one: (-one.gain_address_s, one.name))
    more = fit[: max(0, count - len(keep))]
    return tuple(sorted((*keep, *(one.name for one in more))))
