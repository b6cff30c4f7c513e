"""The trials of groups as changes of the record, kept in line with the table. Pure.

    the table has                               the change of that trial is
    ------------------------------------------  -----------------------------------------------
    the trial, tried by some (Canary, Share)    ROLLING
    the trial, Promoted                         COMPLETE, from when it was promoted
    its targets as the group's proven ones      COMPLETE
    its targets refused                         undone, with the guard and its figures
    none of these (withdrawn, another table)    SUPERSEDED

Level-triggered: the record follows from the table on the cluster before the table goes on, so an
operator that dies in between loses no change. The id of a change is made of the group, the revision
of its targets and the moment the trial began, so none is written twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ippolicy.decide import proof
from ippolicy.decide.births.table import PolicyTable, Stage, Trial
from ippolicy.facts import Change, ChangePhase, Record, Writer

MAX_GROUP_CHANGES: Final = 100
"""Changes of groups that are kept on the cluster, the newest; each is about a kilobyte."""
_NO_TABLE: Final = PolicyTable("")


def change_id(group: str, trial: Trial) -> str:
    """The name of a trial's change: the same for whoever looks."""
    return f"{group}-{trial.targets.revision}-{int(trial.grounds.begun_s):x}"


def follow(record: Record, table: PolicyTable | None, now_s: float) -> Record:
    """The record with the changes of groups as `table` has them, None where there is none."""
    table = table or _NO_TABLE
    live = {change_id(group, trial): (group, trial) for group, trial in table.trials.items()}
    changes = {change.id: change for change in record.group_changes}
    for change in _newest(record).values():
        changes[change.id] = _followed(change, table, live, now_s)
    for name, (group, trial) in live.items():
        if name not in changes:
            begun = _begun(name, group, trial, table.policy)
            changes[name] = _of_trial(begun, trial)
    in_order = sorted(changes.values(), key=lambda change: (change.intended_at_s, change.id))
    return replace(record, group_changes=tuple(in_order[-MAX_GROUP_CHANGES:]))


def standing(record: Record) -> tuple[Change, ...]:
    """The newest change of each group, where all of it may have it, and none is tried since."""
    return tuple(one for one in _newest(record).values() if one.phase is ChangePhase.COMPLETE)


def in_force_s(record: Record) -> dict[str, float]:
    """Group -> since when all of its pods are to be born with what it has now."""
    return {one.group: one.completed_at_s or one.intended_at_s for one in standing(record)}


def due(record: Record, now_s: float) -> tuple[tuple[Change, int], ...]:
    """The changes that are to be measured now, each with the `after_s` of its measurement."""
    found = [(change, proof.due(change, now_s)) for change in standing(record)]
    return tuple((change, after_s) for change, after_s in found if after_s is not None)


def _newest(record: Record) -> dict[str, Change]:
    """Group -> its newest change that was not undone: then the one before stands again."""
    return {change.group: change for change in record.group_changes if not change.undone}


def _followed(
    change: Change, table: PolicyTable, live: dict[str, tuple[str, Trial]], now_s: float
) -> Change:
    if change.phase is ChangePhase.SUPERSEDED:
        return change
    if change.id in live:
        return _of_trial(change, live[change.id][1])
    own = table.groups.get(change.group)
    if own is not None and dict(own.env) == dict(change.after):
        return replace(
            change, phase=ChangePhase.COMPLETE, completed_at_s=change.completed_at_s or now_s
        )
    for refused in table.refused.get(change.group, ()):
        if dict(refused.targets.env) == dict(change.after):
            return _ended(replace(change, undone=refused.cause), now_s)
    return _ended(change, now_s)


def _begun(name: str, group: str, trial: Trial, policy: str) -> Change:
    grounds = trial.grounds
    return Change(
        id=name,
        policy=policy,
        phase=ChangePhase.ROLLING,
        before=grounds.before,
        after=dict(trial.targets.env),
        reason=grounds.reason,
        intended_at_s=grounds.begun_s,
        generation=trial.targets.revision,
        writer=Writer.ADMISSION,
        basis=grounds.proof.basis,
        binding=grounds.proof.binding,
        rejected=grounds.proof.rejected,
        present=grounds.proof.present,
        predicted=grounds.proof.predicted,
        group=group,
    )


def _of_trial(change: Change, trial: Trial) -> Change:
    if trial.stage is not Stage.PROMOTED:
        return change
    return replace(change, phase=ChangePhase.COMPLETE, completed_at_s=trial.since_s)


def _ended(change: Change, now_s: float) -> Change:
    return replace(
        change, phase=ChangePhase.SUPERSEDED, completed_at_s=change.completed_at_s or now_s
    )
