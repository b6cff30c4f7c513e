"""The last changes as status, conditions, gauges and events show them: what was predicted, what
was measured, what was saved, and what was undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ippolicy.account import change_metrics
from ippolicy.account.metric import Metric
from ippolicy.account.view import View
from ippolicy.account.words import one_line, percent, span, timestamp
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.api import EnvKey
from ippolicy.api.change_status import (
    ChangeStatus,
    ForecastStatus,
    MeasuredStatus,
    SavedStatus,
)
from ippolicy.facts import Change, ChangeKind, ChangePhase, Forecast, Measured, Record

MAX_CHANGES = 20
_VALUE_LENGTH = 40
_NAME_LENGTH = 63
_ID_LENGTH = 90
_TEXT_LENGTH = 300
_REJECTED_LENGTH = 120


def change_statuses(view: View) -> tuple[ChangeStatus, ...]:
    """The last changes, of the DaemonSet and of groups, newest first."""
    record = view.record
    changes = [*record.changes, *record.group_changes] if record is not None else []
    newest = view.last_change
    if newest is not None:
        changes = [*(change for change in changes if change.id != newest.id), newest]
    newest_first = sorted(changes, key=lambda change: -change.intended_at_s)
    return tuple(_change(change) for change in newest_first[:MAX_CHANGES])


def saved_status(record: Record | None) -> SavedStatus | None:
    """What all changes together have saved; None before it was first counted."""
    if record is None or record.ledger.since_s is None:
        return None
    return SavedStatus(
        address_hours=round(record.ledger.saved_address_s / 3_600),
        since=timestamp(record.ledger.since_s),
    )


def undone(record: Record | None) -> Change | None:
    """The last change that was rolled back, unless one has come through well since then."""
    for change in reversed(record.changes if record is not None else ()):
        if change.undone:
            return change
        if change.phase is ChangePhase.COMPLETE and change.kind is not ChangeKind.ROLLBACK:
            return None
    return None


def env_words(env: Mapping[str, str | None]) -> str:
    """Entries of an env as they are said: "WARM_IP_TARGET=2, MINIMUM_IP_TARGET unset"."""
    entries = (f"{key} unset" if value is None else f"{key}={value}" for key, value in env.items())
    return ", ".join(sorted(entries))


def rolled_back_by(outcome: Outcome) -> str | None:
    """The guard that had a change undone just now."""
    change = outcome.change
    if outcome.kind is not OutcomeKind.WRITTEN or change is None:
        return None
    return guard_of(change.binding) if change.kind is ChangeKind.ROLLBACK else None


def guard_of(text: str) -> str:
    """The guard that a text of what it saw begins with."""
    return text.partition(":")[0]


def predicted_text(change: Change) -> str:
    """What was predicted of a change: "84 addresses, 80 to 91"; empty where nothing was."""
    return _forecast_text(change.predicted) if change.predicted is not None else ""


def measured_text(change: Change, found: Measured) -> str:
    """What was measured of a change, beside what was predicted and what the model makes of it."""
    parts = [f"{span(found.after_s)} after it {found.held:.0f} addresses are held in the mean"]
    if change.predicted is not None:
        parts.append(f"{_forecast_text(change.predicted)} were predicted")
    if found.expected_held is not None:
        fits = "as" if found.as_expected else "not as"
        parts.append(
            f"the model makes {found.expected_held:.0f} of the demand there was: {fits} expected"
        )
    if found.delayed_share is not None:
        parts.append(f"{percent(found.delayed_share)} of starts waited")
    return ", ".join(parts)


def change_rows(view: View) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    """The series of the last change, and of all together."""
    name, record = view.policy.name, view.record
    if record is None:
        return
    yield change_metrics.MISPREDICTED, (name,), float(record.mispredicted)
    if record.ledger.since_s is not None:
        yield change_metrics.SAVED, (name,), record.ledger.saved_address_s / 3_600
    change = record.last_change
    if change is None:
        return
    if change.predicted is not None:
        yield change_metrics.CHANGE_PREDICTED, (name,), change.predicted.held
    for found in change.measured:
        labels = (name, span(found.after_s))
        yield change_metrics.CHANGE_MEASURED, labels, found.held
        if found.expected_held is not None:
            yield change_metrics.CHANGE_EXPECTED, labels, found.expected_held


def _change(change: Change) -> ChangeStatus:
    took_s = None if change.completed_at_s is None else change.completed_at_s - change.intended_at_s
    return ChangeStatus(
        id=one_line(change.id, _ID_LENGTH),
        group=one_line(change.group, _NAME_LENGTH) or None,
        kind=change.kind.value,
        time=timestamp(change.intended_at_s),
        phase=change.phase.value,
        before=_entries(change.before),
        after=_entries(change.after),
        reason=one_line(change.reason, _TEXT_LENGTH),
        took=None if took_s is None else span(took_s),
        basis=one_line(change.basis, _TEXT_LENGTH) or None,
        binding=one_line(change.binding, _TEXT_LENGTH) or None,
        rejected=tuple(one_line(text, _REJECTED_LENGTH) for text in change.rejected) or None,
        present=_forecast(change.present),
        predicted=_forecast(change.predicted),
        measured=tuple(_measured(one) for one in change.measured) or None,
        undone=one_line(change.undone, _TEXT_LENGTH) or None,
    )


def _entries(env: Mapping[str, str | None]) -> dict[str, str]:
    return {key: one_line(env[key] or "", _VALUE_LENGTH) for key in EnvKey if key in env}


def _forecast(one: Forecast | None) -> ForecastStatus | None:
    if one is None:
        return None
    calls = one.ec2_calls_per_minute
    return ForecastStatus(
        held=round(one.held),
        low=round(one.held_low),
        high=round(one.held_high),
        delayed=None if one.delayed_share is None else percent(one.delayed_share),
        calls_per_minute=None if calls is None else f"{calls:.3g}",
    )


def _measured(one: Measured) -> MeasuredStatus:
    calls = one.ec2_calls_per_minute
    return MeasuredStatus(
        after=span(one.after_s),
        time=timestamp(one.at_s),
        pods=one.pods,
        held=round(one.held),
        expected=None if one.expected_held is None else round(one.expected_held),
        delayed=None if one.delayed_share is None else percent(one.delayed_share),
        calls_per_minute=None if calls is None else f"{calls:.3g}",
        as_expected=one.as_expected,
    )


def _forecast_text(one: Forecast) -> str:
    text = f"{one.held:.0f} addresses"
    if round(one.held_low) < round(one.held_high):
        text += f" ({one.held_low:.0f} to {one.held_high:.0f})"
    return text
