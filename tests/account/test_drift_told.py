"""What somebody else changed is told once, by name and time, and counted."""

from __future__ import annotations

from typing import Any

from ippolicy.account.conditions import conditions
from ippolicy.account.events import Event, EventType
from ippolicy.account.status import status_document
from ippolicy.account.transitions import new_drifts, transitions
from ippolicy.account.view import View
from ippolicy.decide.types import Reason
from ippolicy.facts import EnvEntry, Hand
from views import (
    NOW_S,
    a_change,
    a_daemon_set,
    a_decision,
    a_policy,
    a_record,
    a_snapshot,
    a_view,
)

W, M = "WARM_IP_TARGET", "MINIMUM_IP_TARGET"
SET = {W: EnvEntry("2"), M: EnvEntry("20")}


def seen(env: dict[str, EnvEntry], mode: str = "Apply", **other: Any) -> View:
    """A pass over what is in force after WARM_IP_TARGET was set to 2."""
    hands = {W: (Hand("kubectl-edit", "Update", NOW_S - 60),)}
    facts = a_daemon_set(env, hands=hands)
    made = a_record(a_change(after={W: "2"}, before={W: None}))
    policy = a_policy({"mode": mode})
    return a_view(policy=policy, snapshot=a_snapshot(daemon_set=facts), record=made, **other)


def drift_events(*views: View) -> list[Event]:
    status: dict[str, Any] = {}
    told: list[Event] = []
    for view in views:
        after = status_document(view, status, NOW_S)
        told += [e for e in transitions(view, status, after) if e.reason == "TargetsDrifted"]
        status = after
    return told


def test_drift_is_told_once_with_who_did_it_and_when() -> None:
    drifted = seen(SET | {W: EnvEntry("9")})
    assert drift_events(seen(SET), drifted, drifted) == [
        Event(
            "TargetsDrifted",
            EventType.WARNING,
            "WARM_IP_TARGET, set to 2, was changed to 9 by kubectl-edit at 2026-11-18T11:05:40Z",
        )
    ]


def test_each_time_anew_is_told_again() -> None:
    drifted = seen(SET | {W: EnvEntry("9")})
    assert len(drift_events(seen(SET), drifted, seen(SET), drifted)) == 2


def test_an_entry_that_was_removed_is_told_of_once() -> None:
    without = seen({M: EnvEntry("20")})
    (event,) = drift_events(seen(SET), without, without)
    assert "was removed by kubectl-edit" in event.message


def test_a_policy_that_sets_nothing_tells_of_no_drift() -> None:
    drifted = seen(SET | {W: EnvEntry("9")}, mode="Recommend")
    assert drift_events(seen(SET, mode="Recommend"), drifted) == []
    assert new_drifts(drifted, {}) == ()


def test_long_values_are_counted_once_as_well() -> None:
    drifted = seen(SET | {W: EnvEntry("9" * 100)})
    assert len(drift_events(drifted, drifted)) == 1


def test_the_limit_and_an_owner_that_came_back_are_conflicts() -> None:
    for reason in (Reason.DRIFT_LIMIT, Reason.FIELD_CONFLICT):
        view = seen(SET | {W: EnvEntry("9")}, decision=a_decision(reason))
        found = {c.type: c for c in conditions(view, (), NOW_S)}
        assert (found["Conflict"].status, found["Conflict"].reason) == ("True", reason.value)
        assert (found["Ready"].status, found["Ready"].reason) == ("False", reason.value)
        assert (found["Applied"].status, found["Applied"].reason) == ("False", reason.value)
