"""Which events a pass gives: what its status says that the status before did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ippolicy.account import events
from ippolicy.account.changes import env_words, measured_text, predicted_text
from ippolicy.account.events import Event
from ippolicy.account.faults import faults
from ippolicy.account.status import saves, shown_value
from ippolicy.account.view import View
from ippolicy.account.words import env_text
from ippolicy.act.checkpoints import CheckpointTrouble
from ippolicy.act.outcome import OutcomeKind
from ippolicy.decide.births.roll import Step
from ippolicy.decide.drift import Drift
from ippolicy.decide.trust import Step as Trust
from ippolicy.decide.types import Decision
from ippolicy.facts import Change, ChangeKind, ChangePhase

_OWN_EVENT = {
    "TrapInForce": events.trap_found,
    "EnvUnreadable": events.env_unreadable,
    "WriteFailed": events.write_failed,
    "RecordUnreadable": events.write_failed,
}
_TRIAL_EVENT = {
    Step.BEGUN: events.trial_begun,
    Step.WIDENED: events.trial_widened,
    Step.PROMOTED: events.targets_promoted,
    Step.PROVEN: events.targets_proven,
    Step.REFUSED: events.trial_refused,
}


def transitions(
    view: View, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Event, ...]:
    """The events of a pass; `before` and `after` are the status documents before and after it.

    What the cluster's own status already tells is not told again, also by an operator that
    starts anew. What stays wrong comes again at each pass: a `Deduplicator` thins it.
    """
    return (
        *_recommendation(view, before),
        *_change(view, before),
        *_trials(view),
        *_drift(view, before),
        *_conflict(view),
        *_faults(view, before, after),
        *_ladder(view, before),
        *_checkpoint(view),
        *_pause(before, after),
    )


def _recommendation(view: View, before: Mapping[str, Any]) -> Iterator[Event]:
    if view.decision is None or view.decision.fleet is None:
        return
    fleet = view.decision.fleet
    confident = _status(before, "LowConfidence") == "False"
    was = (before.get("recommendation") or {}).get("text") if confident else None
    now = env_text(fleet.targets)
    if fleet.evidence.sufficient and was != now:
        yield events.recommendation_changed(was, now, saves(fleet))


def _change(view: View, before: Mapping[str, Any]) -> Iterator[Event]:
    outcome, newest = view.outcome, view.last_change
    if outcome is not None and outcome.kind is OutcomeKind.WRITTEN and outcome.change is not None:
        yield _started(outcome.change, view.decision)
    yield from _measured(view, before)
    if newest is None or newest.phase is not ChangePhase.COMPLETE or newest.completed_at_s is None:
        return
    if _status(before, "Progressing") == "True":
        took_s = newest.completed_at_s - newest.intended_at_s
        yield events.change_complete(_after(newest), took_s, predicted_text(newest))


def _trials(view: View) -> Iterator[Event]:
    for one in view.news:
        yield _TRIAL_EVENT[one.step](one.group, one.text)


def _started(change: Change, decision: Decision | None) -> Event:
    if change.kind is ChangeKind.ROLLBACK:
        return events.rolled_back(env_words(change.after), change.binding)
    pace = decision.pace if decision is not None else None
    why = f"{change.reason}; {pace.text()}" if pace is not None else change.reason
    return events.change_started(_after(change), why)


def _measured(view: View, before: Mapping[str, Any]) -> Iterator[Event]:
    """What was measured since the status before, which told of so many measurements."""
    if view.record is None:
        return
    shown = {one.get("id"): one for one in before.get("changes") or ()}
    for change in (*view.record.changes[-1:], *view.record.group_changes):
        if change.group and change.id not in shown:
            continue  # so many were begun since that the status has no room for it
        told = len(shown.get(change.id, {}).get("measured") or ())
        for found in change.measured[told:]:
            yield events.change_measured(_after(change), measured_text(change, found))


def new_drifts(view: View, before: Mapping[str, Any]) -> tuple[Drift, ...]:
    """What somebody else changed since the status `before` was written."""
    shown = {one.get("key"): one for one in before.get("inForce") or ()}
    return tuple(one for one in view.drifts if not _told(one, shown.get(one.key)))


def _told(drift: Drift, shown: Mapping[str, Any] | None) -> bool:
    """Whether the status shows the entry as it is now."""
    if drift.entry is None or shown is None:
        return drift.entry is None and shown is None
    return bool(shown.get("value") == shown_value(drift.entry))


def _drift(view: View, before: Mapping[str, Any]) -> Iterator[Event]:
    if found := new_drifts(view, before):
        yield events.targets_drifted("; ".join(one.text() for one in found))


def _conflict(view: View) -> Iterator[Event]:
    if view.rival is not None:
        yield events.policy_conflict(view.rival)
    if view.outcome is not None and view.outcome.kind is OutcomeKind.CONFLICT:
        yield events.conflict_found(view.outcome.owners)


def _faults(view: View, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Event]:
    found = faults(view)
    for fault in found:
        if fault.reason in _OWN_EVENT:
            yield _OWN_EVENT[fault.reason](fault.message)
    stuck = _reason(after, "Progressing") == "RolloutStuck"
    if stuck and _reason(before, "Progressing") != "RolloutStuck" and view.rollout is not None:
        yield events.rollout_stuck(view.rollout.message)
    told = {*_OWN_EVENT, "RolloutStuck"}
    others = [fault for fault in found if fault.reason not in told]
    if others and _reason(before, "Degraded") != _reason(after, "Degraded"):
        yield events.degraded("; ".join(fault.message for fault in others))
    if _status(before, "Degraded") == "True" and _status(after, "Degraded") == "False":
        yield events.recovered()


def _ladder(view: View, before: Mapping[str, Any]) -> Iterator[Event]:
    ladder = view.ladder
    if ladder is None:
        return
    was = (before.get("ladder") or {}).get("step", Trust.NORMAL.word)
    if was != ladder.step.word:
        yield events.ladder_changed(ladder.step.word, "; ".join(ladder.causes))


def _checkpoint(view: View) -> Iterator[Event]:
    if view.checkpoint.trouble is CheckpointTrouble.DROPPED:
        yield events.checkpoint_dropped(view.checkpoint.message)


def _pause(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Event]:
    was, now = _status(before, "Paused"), _status(after, "Paused")
    if now == "True" and was != "True":
        yield events.paused()
    if was == "True" and now == "False":
        yield events.resumed()


def _after(change: Change) -> str:
    entries = (f"{key}={value}" for key, value in sorted(change.after.items()) if value is not None)
    targets = " ".join(entries) or "no targets"
    return f"group {change.group}: {targets}" if change.group else targets


def _status(document: Mapping[str, Any], kind: str) -> str | None:
    return _condition(document, kind).get("status")


def _reason(document: Mapping[str, Any], kind: str) -> str | None:
    return _condition(document, kind).get("reason")


def _condition(document: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found = (c for c in document.get("conditions") or () if c.get("type") == kind)
    return next(found, {})
