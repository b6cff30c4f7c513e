"""What was predicted, measured, saved and undone is shown where people look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ippolicy.account.changes import undone
from ippolicy.account.conditions import conditions
from ippolicy.account.samples import samples
from ippolicy.account.status import MAX_BYTES, json_bytes, status_document
from ippolicy.account.transitions import transitions
from ippolicy.account.view import View
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.facts import Change, ChangeKind, ChangePhase, Ledger
from views import NOW_S, a_change, a_decision, a_proven_change, a_record, a_view

HARM = "DelayedStarts: 12 of 40 starts waited for EC2"
UNDONE = a_change(ChangePhase.SUPERSEDED, id="c2", undone=HARM)
ROLLBACK = a_change(
    id="c3",
    kind=ChangeKind.ROLLBACK,
    binding=HARM,
    after={"WARM_IP_TARGET": None, "MINIMUM_IP_TARGET": "4"},
)


def document(view: View) -> dict[str, Any]:
    return status_document(view, {}, NOW_S)


def condition(view: View, kind: str) -> tuple[str, str, str]:
    found = next(one for one in conditions(view, (), NOW_S) if one.type == kind)
    return found.status, found.reason, found.message


def events(before: View, after: View) -> list[tuple[str, str, str]]:
    shown = document(before)
    found = transitions(after, shown, document(after))
    return [(event.type.value, event.reason, event.message) for event in found]


def test_a_change_is_shown_with_what_was_predicted_and_measured() -> None:
    (shown,) = document(a_view(record=a_record(a_proven_change())))["changes"]
    assert shown["basis"].startswith("spec=1f2e3d4c present=WARM_ENI_TARGET=1")
    assert shown["binding"] == "objective.maxDelayedStarts"
    assert shown["rejected"] == [
        "WARM_IP_TARGET=1 MINIMUM_IP_TARGET=20: 218 held, 0.9% late: starts wait"
    ]
    assert shown["predicted"] == {
        "held": 219,
        "low": 210,
        "high": 230,
        "delayed": "0.31%",
        "callsPerMinute": "1.5",
    }
    assert shown["measured"] == [
        {
            "after": "15m",
            "time": "2026-11-18T10:26:40Z",
            "pods": 201,
            "held": 222,
            "expected": 221,
            "delayed": "0.2%",
            "callsPerMinute": "1.2",
            "asExpected": True,
        },
        {
            "after": "1h",
            "time": "2026-11-18T11:06:40Z",
            "pods": 260,
            "held": 280,
            "expected": 301,
            "callsPerMinute": "1.2",
            "asExpected": False,
        },
    ]


def test_twenty_changes_with_all_that_is_known_of_them_fit() -> None:
    long = a_proven_change(
        basis="b" * 400,
        binding="b" * 400,
        reason="r" * 400,
        undone="u" * 400,
        rejected=("r" * 400,) * 3,
    )
    changes = [replace(long, id=f"c{n}", intended_at_s=NOW_S + n) for n in range(20)]
    shown = document(a_view(record=a_record(*changes)))
    assert len(shown["changes"]) == 20
    assert json_bytes(shown) < MAX_BYTES


def test_what_was_saved_is_told_since_when() -> None:
    nothing = a_view(record=a_record(a_change()))
    assert "saved" not in document(nothing)
    record = replace(a_record(a_change()), ledger=Ledger(7.2e6, NOW_S, NOW_S - 86_400))
    view = a_view(record=record)
    assert document(view)["saved"] == {"addressHours": 2_000, "since": "2026-11-17T11:06:40Z"}
    found = {sample.metric.name: sample.value for sample in samples(view, ())}
    assert found["ippolicy_saved_address_hours"] == 2_000.0


def test_the_gauges_of_the_last_change_tell_predicted_from_measured() -> None:
    view = a_view(record=a_record(a_change(), a_proven_change(id="c2")))
    found = {
        (sample.metric.name, *sample.labels[1:]): sample.value
        for sample in samples(view, ())
        if sample.metric.name.startswith("ippolicy_change_")
    }
    assert found == {
        ("ippolicy_change_predicted_held_addresses",): 219.4,
        ("ippolicy_change_measured_held_addresses", "15m"): 222.3,
        ("ippolicy_change_expected_held_addresses", "15m"): 221.0,
        ("ippolicy_change_measured_held_addresses", "1h"): 280.0,
        ("ippolicy_change_expected_held_addresses", "1h"): 301.0,
    }


def test_each_measurement_is_an_event_once() -> None:
    first = a_proven_change(measured=a_proven_change().measured[:1])
    none, one, two = (
        a_view(record=a_record(change))
        for change in (replace(first, measured=()), first, a_proven_change())
    )
    assert events(none, one) == [
        (
            "Normal",
            "ChangeMeasured",
            "MINIMUM_IP_TARGET=20 WARM_IP_TARGET=2: 15m after it 222 addresses are held in the "
            "mean, 219 addresses (210 to 230) were predicted, the model makes 221 of the demand "
            "there was: as expected, 0.2% of starts waited",
        )
    ]
    assert "not as expected" in events(one, two)[0][2]
    assert events(two, two) == []


def test_the_end_of_a_rollout_says_what_is_predicted() -> None:
    rolling = a_view(record=a_record(a_proven_change(phase=ChangePhase.ROLLING, measured=())))
    through = a_view(record=a_record(a_proven_change(measured=())))
    ((_, reason, message),) = events(rolling, through)
    assert reason == "ChangeComplete"
    assert message.endswith("; 219 addresses (210 to 230) are predicted to be held")


def test_a_rollback_is_an_event_with_the_guard_and_its_figures() -> None:
    outcome = Outcome(OutcomeKind.WRITTEN, "back", change=ROLLBACK)
    view = a_view(decision=a_decision(), record=a_record(UNDONE), outcome=outcome)
    assert events(a_view(), view) == [
        ("Warning", "RolledBack", f"back to MINIMUM_IP_TARGET=4, WARM_IP_TARGET unset: {HARM}")
    ]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ((), "False"),
        ((a_change(),), "False"),
        ((a_change(), UNDONE), "True"),
        ((UNDONE, ROLLBACK), "True"),
        ((UNDONE, ROLLBACK, a_change(ChangePhase.ROLLING, id="c4")), "True"),
        ((UNDONE, ROLLBACK, a_change(id="c4")), "False"),
        ((UNDONE, ROLLBACK, a_change(id="c4", undone=HARM)), "True"),
    ],
)
def test_rolled_back_stays_true_until_a_later_change_comes_through(
    changes: tuple[Change, ...], status: str
) -> None:
    record = a_record(*changes)
    assert (undone(record) is not None) is (status == "True")
    found = condition(a_view(record=record), "RolledBack")
    if status == "True":
        text = f"MINIMUM_IP_TARGET=20, WARM_IP_TARGET=2 was undone, {HARM}"
        assert found == ("True", "DelayedStarts", text)
    else:
        assert found[:2] == ("False", "NotRolledBack")


def test_a_rollback_is_told_at_once() -> None:
    outcome = Outcome(
        OutcomeKind.WRITTEN, "back", change=replace(ROLLBACK, phase=ChangePhase.ROLLING)
    )
    view = a_view(record=a_record(a_change()), outcome=outcome)
    assert condition(view, "RolledBack") == ("True", "DelayedStarts", HARM)


def test_three_mispredictions_are_low_confidence() -> None:
    record = replace(a_record(a_change()), mispredicted=3)
    assert condition(a_view(record=record), "LowConfidence")[:2] == ("True", "Mispredicted")
    record = replace(record, mispredicted=2)
    assert condition(a_view(record=record), "LowConfidence")[:2] == ("False", "EnoughEvidence")
