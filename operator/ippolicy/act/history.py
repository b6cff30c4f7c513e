"""How a record grows, and how the changes in it come to their ends. Pure.

    INTENDED ──patch answered──────────────────────────> ROLLING ──all pods updated──> COMPLETE
       ├─ found in force after a crash ────────────────>    └─ values set anew ──────> SUPERSEDED
       └─ not in force, and nothing can be on its way any more: dropped

Only the last change can be open. Originals outlive all changes: they go when they were put back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from ippolicy.act.live import Live
from ippolicy.act.ownership import originals_for, regained
from ippolicy.decide.back_off import rolled_back
from ippolicy.decide.drift import lately
from ippolicy.decide.types import Decision, Proof
from ippolicy.facts import Change, ChangeKind, ChangePhase, DaemonSetFacts, Record, Writer

MAX_CHANGES = 20
# A request that its sender gave up may still be carried out for a moment. An intent younger than
# this is not dropped, so that no other change is decided on meanwhile.
IN_DOUBT_S = 15.0
# So far apart the clocks of two operators may be, one of which goes on from the other's record.
AHEAD_S = 60.0


def intended(live: Live, decision: Decision, *, policy: str, now_s: float) -> Change:
    """The change that carrying out a decision will be; the same facts and values give the same
    id."""
    wanted, proof = decision.env, decision.proof or Proof(basis="")
    facts = live.facts
    seed = json.dumps([facts.uid, facts.resource_version, sorted(wanted.items())])
    digest = hashlib.sha256(seed.encode()).hexdigest()[:8]
    before = {key: live.entry(key) for key in wanted}
    return Change(
        id=f"{facts.generation + 1}-{digest}",
        policy=policy,
        phase=ChangePhase.INTENDED,
        before={key: entry.value if entry else None for key, entry in before.items()},
        after=dict(wanted),
        reason=decision.reason.value,
        intended_at_s=now_s,
        kind=decision.kind,
        basis=proof.basis,
        binding=proof.binding,
        rejected=proof.rejected,
        present=proof.present,
        predicted=proof.predicted,
    )


def begin(record: Record | None, live: Live, change: Change, *, policy_uid: str) -> Record:
    """The record to be written before `change` is sent.

    A record of another DaemonSet (deleted and made again since) gives its past only: what stands in
    the new one is original.
    """
    same = record is not None and record.daemon_set_uid == live.facts.uid
    known = record.originals if record is not None and same else {}
    wanted = {key: value for key, value in change.after.items() if value is not None}
    past = record or Record(live.facts.uid, policy_uid, originals={}, changes=())
    again = regained(live, record, change.kind, wanted)
    return replace(
        past,
        daemon_set_uid=live.facts.uid,
        policy_uid=policy_uid,
        originals=originals_for(live, wanted, known, regained=again),
        changes=(*past.changes, change)[-MAX_CHANGES:],
        max_unavailable=past.max_unavailable if same else None,
        reapplied_at_s=_reapplied(past, change),
    )


def _reapplied(past: Record, change: Change) -> tuple[float, ...]:
    """When values were set again in the last hour, this change included; a write that is refused
    is taken out of the record with its change."""
    again = (change.intended_at_s,) if change.kind is ChangeKind.REAPPLY else ()
    return (*lately(past, change.intended_at_s), *again)


def rolling(record: Record, *, generation: int, after: Mapping[str, str | None]) -> Record:
    """The record once the patch was answered: `generation` and values of the DaemonSet then.

    Only now is the change before it closed: had the patch been refused, that one would go on.
    """
    change = replace(
        record.changes[-1], phase=ChangePhase.ROLLING, generation=generation, after=dict(after)
    )
    past = _closed(without_last(record), change.intended_at_s)
    if change.kind is ChangeKind.ROLLBACK:
        past = rolled_back(past, change)
    return replace(past, changes=(*past.changes, change))


def settle(record: Record, live: Live, *, now_s: float) -> Record:
    """The record with a last change that was only intended brought to what came of it."""
    change = record.last_change
    if change is None or change.phase is not ChangePhase.INTENDED:
        return record
    if record.daemon_set_uid == live.facts.uid and _arrived(change, live):
        return rolling(record, generation=live.facts.generation, after=change.after)
    if abs(now_s - change.intended_at_s) < IN_DOUBT_S:
        return record
    return without_last(record)


def advance(record: Record, facts: DaemonSetFacts, *, now_s: float) -> Record:
    """The record with a last change that is rolling brought to its end, where it has come.

    Facts from before the change say nothing about it and change nothing.
    """
    change = record.last_change
    if change is None or change.phase is not ChangePhase.ROLLING:
        return record
    if record.daemon_set_uid != facts.uid:
        return _closed(record, now_s)
    if facts.generation < change.generation:
        return record
    if not _in_force(change, facts):
        return _closed(record, now_s)
    if facts.rollout.complete(change.generation):
        return with_last(record, phase=ChangePhase.COMPLETE, completed_at_s=now_s)
    return record


def not_ahead(record: Record, now_s: float) -> Record:
    """The record with no change later than now: what a clock that was ahead has written would
    hold up the next change until that time, and its pace after that."""
    if all(_last_s(change) <= now_s + AHEAD_S for change in record.changes):
        return record
    changes = tuple(
        replace(
            change,
            intended_at_s=min(change.intended_at_s, now_s),
            completed_at_s=None
            if change.completed_at_s is None
            else min(change.completed_at_s, now_s),
        )
        for change in record.changes
    )
    return replace(record, changes=changes)


def _last_s(change: Change) -> float:
    return max(change.intended_at_s, change.completed_at_s or 0.0)


def handed_over(record: Record, now_s: float) -> Record:
    """The record once its originals are back, so that another writer may begin."""
    change = record.last_change
    if change is not None:
        ended_at_s = change.completed_at_s or now_s
        record = with_last(record, phase=ChangePhase.SUPERSEDED, completed_at_s=ended_at_s)
    return replace(record, originals={}, max_unavailable=None)


def without_last(record: Record) -> Record:
    """The record as if its last change had never been thought of; originals stay."""
    return replace(record, changes=record.changes[:-1])


def _closed(record: Record, now_s: float) -> Record:
    """The record with no change under way: one that was is superseded."""
    change = record.last_change
    if change is None or change.phase is not ChangePhase.ROLLING:
        return record
    return with_last(record, phase=ChangePhase.SUPERSEDED, completed_at_s=now_s)


def _arrived(change: Change, live: Live) -> bool:
    """Whether the values are in force by our own hand; what was removed tells of no hand."""
    kept = [key for key, value in change.after.items() if value is not None]
    by_us = not kept or any(live.value_is_ours(key) for key in kept)
    return by_us and _in_force(change, live.facts)


def _in_force(change: Change, facts: DaemonSetFacts) -> bool:
    """Whether the values of a change stand; the EKS add-on has defaults for what is removed."""
    by_addon = change.writer is Writer.EKS_ADDON
    return all(
        _value(facts, key) == value
        for key, value in change.after.items()
        if value is not None or not by_addon
    )


def _value(facts: DaemonSetFacts, key: str) -> str | None:
    entry = facts.env.get(key)
    return entry.value if entry else None


def with_last(record: Record, **fields: object) -> Record:
    """The record with these fields of its last change set."""
    last = replace(record.changes[-1], **fields)  # type: ignore[arg-type]  # names are Change's own
    return replace(record, changes=(*record.changes[:-1], last))
