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
from ippolicy.act.ownership import originals_for
from ippolicy.facts import Change, ChangePhase, DaemonSetFacts, Record

MAX_CHANGES = 20
# A request that its sender gave up may still be carried out for a moment. An intent younger than
# this is not dropped, so that no other change is decided on meanwhile.
IN_DOUBT_S = 15.0


def intended(
    live: Live, wanted: Mapping[str, str], *, policy: str, reason: str, now_s: float
) -> Change:
    """The change that writing `wanted` will be; the same facts and values give the same id."""
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
        reason=reason,
        intended_at_s=now_s,
    )


def begin(record: Record | None, live: Live, change: Change, *, policy_uid: str) -> Record:
    """The record to be written before `change` is sent.

    A record of another DaemonSet (deleted and made again since) gives its past changes only: what
    stands in the new one is original.
    """
    same = record is not None and record.daemon_set_uid == live.facts.uid
    known = record.originals if record is not None and same else {}
    wanted = {key: value for key, value in change.after.items() if value is not None}
    past = _closed(record, change.intended_at_s).changes if record is not None else ()
    return Record(
        daemon_set_uid=live.facts.uid,
        policy_uid=policy_uid,
        originals=originals_for(live, wanted, known),
        changes=(*past, change)[-MAX_CHANGES:],
    )


def rolling(record: Record, *, generation: int, after: Mapping[str, str | None]) -> Record:
    """The record once the patch was answered: `generation` and values of the DaemonSet then."""
    return _with_last(record, phase=ChangePhase.ROLLING, generation=generation, after=dict(after))


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
    if any(_value(facts, key) != value for key, value in change.after.items()):
        return _closed(record, now_s)
    if facts.rollout.complete(change.generation):
        return _with_last(record, phase=ChangePhase.COMPLETE, completed_at_s=now_s)
    return record


def without_last(record: Record) -> Record:
    """The record as if its last change had never been thought of; originals stay."""
    return replace(record, changes=record.changes[:-1])


def _closed(record: Record, now_s: float) -> Record:
    """The record with no change under way: one that was is superseded."""
    change = record.last_change
    if change is None or change.phase is not ChangePhase.ROLLING:
        return record
    return _with_last(record, phase=ChangePhase.SUPERSEDED, completed_at_s=now_s)


def _arrived(change: Change, live: Live) -> bool:
    """Whether the values are in force by our own hand."""
    in_force = all(_value(live.facts, key) == value for key, value in change.after.items())
    return in_force and any(live.value_is_ours(key) for key in change.after)


def _value(facts: DaemonSetFacts, key: str) -> str | None:
    entry = facts.env.get(key)
    return entry.value if entry else None


def _with_last(record: Record, **fields: object) -> Record:
    last = replace(record.changes[-1], **fields)  # type: ignore[arg-type]  # names are Change's own
    return replace(record, changes=(*record.changes[:-1], last))
