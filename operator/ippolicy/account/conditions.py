"""The conditions of a policy, worked out anew at every pass from what the pass saw.

condition                True when
-----------------------  ---------------------------------------------------------------
Ready                    the policy does what its mode says
RecommendationProvided   there are targets
LowConfidence            too little demand was seen
Applied                  the targets in force are the recommended ones
Progressing              aws-node is being restarted with new targets, or born with them
RolledBack               the last change but what undid it was harmful
SubnetPressure           a subnet is short of addresses, or no targets can save it
APIBudgetExceeded        even the recommended targets make too many EC2 calls
Conflict                 an older policy, or another owner of an env entry, stands in the way
Paused                   the annotation says so
Degraded                 something is missing or fails; each fault is named with its fix
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ippolicy.account.births import progress_text, refusal_text, refusals, trials_text
from ippolicy.account.changes import env_words, guard_of, rolled_back_by, undone
from ippolicy.account.condition_types import CONDITION_TYPES
from ippolicy.account.faults import ROLLOUT_FAULTS, faults
from ippolicy.account.notes import notes
from ippolicy.account.reasons import DECISION_REASONS
from ippolicy.account.view import View
from ippolicy.account.words import MESSAGE_LENGTH, env_text, one_line, span, timestamp
from ippolicy.act.outcome import OutcomeKind
from ippolicy.api import PAUSED_ANNOTATION, Method
from ippolicy.api.status import Condition
from ippolicy.decide.proof import MOST_WRONG
from ippolicy.decide.types import Reason


@dataclass(frozen=True, slots=True)
class _Finding:
    status: str
    reason: str
    message: str


def conditions(
    view: View, previous: Sequence[Mapping[str, Any]], now_s: float
) -> tuple[Condition, ...]:
    """All conditions of a policy, in the order of `CONDITION_TYPES`.

    `previous` are the conditions that its status shows now, as raw objects: a condition whose
    status stays keeps its lastTransitionTime.
    """
    findings = {
        "Ready": _ready(view),
        "RecommendationProvided": _recommendation_provided(view),
        "LowConfidence": _low_confidence(view),
        "Applied": _applied(view),
        "Progressing": _progressing(view),
        "RolledBack": _rolled_back(view),
        "SubnetPressure": _subnet_pressure(view),
        "APIBudgetExceeded": _api_budget_exceeded(view),
        "Conflict": _conflict(view) or _Finding("False", "NoConflict", "no other owner"),
        "Paused": _paused(view),
        "Degraded": _degraded(view),
    }
    return _stamp(findings, previous, view.policy.generation, now_s)


def invalid_policy_conditions(
    problem: str, generation: int, previous: Sequence[Mapping[str, Any]], now_s: float
) -> tuple[Condition, ...]:
    """The conditions of an object that cannot be read as a policy; `problem` says why."""
    finding = _Finding("False", "InvalidPolicy", problem)
    degraded = _Finding("True", "InvalidPolicy", problem)
    return _stamp({"Ready": finding, "Degraded": degraded}, previous, generation, now_s)


def _ready(view: View) -> _Finding:
    stopped = _stopped(view)
    if stopped is not None:
        return stopped
    reason, message = _standing(view)
    return _Finding(str(DECISION_REASONS[reason].ready), reason.value, message)


def _recommendation_provided(view: View) -> _Finding:
    if view.rival is not None:
        return _Finding("False", "PolicyConflict", _rival_message(view.rival))
    decision = view.decision
    if decision is None:
        return _Finding("False", Reason.FACTS_STALE.value, "no decision was made yet")
    if decision.fleet is None:
        return _Finding("False", decision.reason.value, decision.message)
    fleet = decision.fleet
    return _Finding(
        "True",
        "Provided",
        f"{env_text(fleet.targets)} would hold {fleet.predicted.held} addresses, the settings in"
        f" force hold {fleet.present.held}; set by {fleet.binding}",
    )


def _low_confidence(view: View) -> _Finding:
    if view.decision is None or view.decision.fleet is None:
        return _Finding("Unknown", "NoRecommendation", "there is no recommendation to judge")
    wrong = view.record.mispredicted if view.record is not None else 0
    if wrong >= MOST_WRONG:
        message = f"{wrong} changes in a row came to something else than was predicted"
        return _Finding("True", Reason.MISPREDICTED.value, message)
    evidence = view.decision.fleet.evidence
    if evidence.sufficient:
        return _Finding("False", "EnoughEvidence", evidence.message)
    return _Finding("True", "TooLittleEvidence", evidence.message)


def _applied(view: View) -> _Finding:
    stopped = _stopped(view)
    if stopped is not None:
        return stopped
    reason, message = _standing(view)
    return _Finding(str(reason is Reason.TARGETS_IN_PLACE), reason.value, message)


def _stopped(view: View) -> _Finding | None:
    """What keeps a policy from doing what was decided."""
    conflict = _conflict(view)
    if conflict is not None:
        return _Finding("False", conflict.reason, conflict.message)
    if view.outcome is not None and view.outcome.kind is OutcomeKind.FAILED:
        return _Finding("False", "WriteFailed", view.outcome.message)
    return None


def _standing(view: View) -> tuple[Reason, str]:
    """Where the policy stands once the decision was carried out."""
    outcome, decision = view.outcome, view.decision
    if outcome is not None and outcome.kind is OutcomeKind.WRITTEN:
        if view.policy.spec.apply.method is Method.ADMISSION:
            return Reason.AT_BIRTH, outcome.message
        return Reason.ROLLOUT_IN_PROGRESS, outcome.message
    if outcome is not None and outcome.kind is OutcomeKind.IN_PLACE:
        return Reason.TARGETS_IN_PLACE, outcome.message
    if decision is None:
        return Reason.FACTS_STALE, "no decision was made yet"
    return decision.reason, decision.message


def _progressing(view: View) -> _Finding:
    change = view.change_under_way
    if change is None:
        tried, outstanding = trials_text(view), progress_text(view)
        message = "; ".join(text for text in (tried, outstanding) if text)
        if message:
            reason = "TrialUnderWay" if tried else Reason.AT_BIRTH.value
            return _Finding("True", reason, message)
        return _Finding("False", "Idle", "no change is under way")
    if view.rollout is not None:
        reason = ROLLOUT_FAULTS.get(view.rollout.phase, "RollingOut")
        return _Finding("True", reason, view.rollout.message)
    daemon_set = view.snapshot.daemon_set
    if daemon_set is None:
        return _Finding("True", "RollingOut", "the DaemonSet is gone in the middle of a rollout")
    rollout = daemon_set.rollout
    return _Finding(
        "True",
        "RollingOut",
        f"{rollout.updated} of {rollout.desired} aws-node pods updated, {rollout.available}"
        f" available, {span(max(0.0, view.now_s - change.intended_at_s))} after the change",
    )


def _rolled_back(view: View) -> _Finding:
    if refused := refusals(view):
        return _Finding("True", guard_of(refused[0].refused.cause), refusal_text(refused))
    # What another writer had to undo says nothing of what pods are born with since.
    by_groups = view.policy.spec.apply.method is Method.ADMISSION and view.table is not None
    change = None if by_groups else undone(view.record)
    if change is None and view.outcome is not None and rolled_back_by(view.outcome) is not None:
        newest = view.outcome.change  # its record follows with the next look
        text = newest.binding if newest is not None else ""
        return _Finding("True", guard_of(text), text)
    if change is None:
        return _Finding("False", "NotRolledBack", "no change was rolled back")
    text = f"{env_words(change.after)} was undone, {change.undone}"
    return _Finding("True", guard_of(change.undone), text)


def _subnet_pressure(view: View) -> _Finding:
    braking = view.decision.braking if view.decision is not None else None
    if view.ahead is None or braking is None or not view.ahead.outlook.rooms:
        return _Finding("Unknown", "NotWatched", "no subnet was watched yet")
    ends = view.ahead.dead_ends
    if ends:
        more = f", and {len(ends) - 1} more subnets do" if len(ends) > 1 else ""
        ways = "; ".join(way.text for way in ends[0].ways if way.open)
        return _Finding("True", "NoTargetsSaveSubnet", f"{ends[0].text()}{more}: {ways}")
    if braking.pressures:
        return _Finding("True", "SubnetsShort", braking.text())
    return _Finding("False", "EnoughAddresses", braking.text())


def _api_budget_exceeded(view: View) -> _Finding:
    fleet = view.decision.fleet if view.decision is not None else None
    calls = fleet.predicted.ec2_calls_per_minute if fleet is not None else None
    if calls is None:
        return _Finding("Unknown", "NotReplayed", "no demand was replayed to count EC2 calls")
    allowed: float = view.policy.spec.objective.ec2_calls_per_minute_limit
    left = allowed if fleet is None or fleet.calls_limit is None else fleet.calls_limit
    message = (
        f"the recommended targets make {calls:.3g} EC2 calls a minute,"
        f" objective.maxEC2CallsPerMinute is {allowed}"
    )
    if left < allowed:
        message += f", of which {left:.3g} are left, as EC2 refuses calls for load"
    if calls <= left:
        return _Finding("False", "WithinBudget", message)
    return _Finding("True", "NoSettingWithinBudget", message)


def _conflict(view: View) -> _Finding | None:
    if view.rival is not None:
        return _Finding("True", "PolicyConflict", _rival_message(view.rival))
    if view.outcome is not None and view.outcome.kind is OutcomeKind.CONFLICT:
        return _Finding("True", "FieldConflict", view.outcome.message)
    decision = view.decision
    if decision is not None and decision.reason in (Reason.FIELD_CONFLICT, Reason.DRIFT_LIMIT):
        return _Finding("True", decision.reason.value, decision.message)
    return None


def _rival_message(rival: str) -> str:
    return (
        f"the older IPPolicy {rival} acts on the same DaemonSet: delete one of the two, or set"
        " another spec.daemonSetRef"
    )


def _paused(view: View) -> _Finding:
    if view.policy.paused:
        message = f"annotation {PAUSED_ANNOTATION} is true: remove it to go on"
        return _Finding("True", "PausedByAnnotation", message)
    return _Finding("False", "NotPaused", f"annotation {PAUSED_ANNOTATION} is not true")


def _degraded(view: View) -> _Finding:
    found, besides = faults(view), notes(view)
    messages = (*(fault.message for fault in found), *(note.message for note in besides))
    message = "; ".join(messages)
    if found:
        return _Finding("True", found[0].reason, message)
    if besides:
        return _Finding("False", besides[0].reason, message)
    return _Finding("False", "AllSourcesAnswer", "all sources answer")


def _stamp(
    findings: Mapping[str, _Finding],
    previous: Sequence[Mapping[str, Any]],
    generation: int,
    now_s: float,
) -> tuple[Condition, ...]:
    before = {condition.get("type"): condition for condition in previous}
    stamped = []
    for kind in (kind.name for kind in CONDITION_TYPES if kind.name in findings):
        finding, old = findings[kind], before.get(kind, {})
        same = old.get("status") == finding.status
        since = old.get("lastTransitionTime") if same else None
        stamped.append(
            Condition(
                type=kind,
                status=finding.status,
                reason=finding.reason,
                message=one_line(finding.message, MESSAGE_LENGTH),
                observed_generation=generation,
                last_transition_time=since or timestamp(now_s),
            )
        )
    return tuple(stamped)
