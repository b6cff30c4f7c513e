"""Each step of the ladder is told by status, condition, Event and metric, with its cause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ippolicy.account import metrics
from ippolicy.account.conditions import conditions
from ippolicy.account.events import EventType
from ippolicy.account.samples import samples
from ippolicy.account.status import status_document
from ippolicy.account.transitions import transitions
from ippolicy.account.view import View
from ippolicy.decide.trust import Cause, Ladder, Step, Trouble
from ippolicy.decide.types import Reason
from ippolicy.facts import Coverage
from views import NOW_S, a_decision, a_view

LOAD = Trouble(Step.GROW_ONLY, Cause.EC2_LOAD, "EC2 refuses calls", NOW_S)
STALE = Trouble(Step.FROZEN, Cause.FACTS_STALE, "pods was last read 200 s ago", NOW_S)
GROW_ONLY = Ladder((LOAD,), well_once=True)
FROZEN = Ladder((STALE, LOAD), well_once=True)
NORMAL = Ladder(well_once=True)


def a_pass(ladder: Ladder) -> View:
    return a_view(decision=replace(a_decision(Reason.TARGETS_IN_PLACE), ladder=ladder))


@pytest.mark.parametrize(
    ("ladder", "reason", "shown", "value"),
    [
        (NORMAL, "AllSourcesAnswer", None, 0.0),
        (GROW_ONLY, "GrowOnly", {"step": "GrowOnly", "causes": [LOAD.text]}, 1.0),
        (FROZEN, "Frozen", {"step": "Frozen", "causes": [STALE.text]}, 2.0),
    ],
)
def test_a_step_is_in_condition_status_and_metric(
    ladder: Ladder, reason: str, shown: dict[str, Any] | None, value: float
) -> None:
    view = a_pass(ladder)
    told = conditions(view, (), NOW_S)
    (degraded,) = (one for one in told if one.type == "Degraded")
    assert degraded.reason == reason
    assert all(cause in degraded.message for cause in ladder.causes)
    assert status_document(view, {}, NOW_S).get("ladder") == shown
    (sample,) = (one for one in samples(view, told) if one.metric is metrics.LADDER_STEP)
    assert (sample.labels, sample.value) == (("default",), value)


def test_each_change_of_the_step_is_an_event_with_its_cause() -> None:
    status: dict[str, Any] = {}
    told = []
    for ladder in (NORMAL, GROW_ONLY, GROW_ONLY, FROZEN, GROW_ONLY, NORMAL, NORMAL):
        view = a_pass(ladder)
        after = status_document(view, status, NOW_S)
        events = transitions(view, status, after)
        told.append([(e.type, e.message) for e in events if e.reason == "LadderChanged"])
        status = after
    assert told == [
        [],
        [(EventType.WARNING, "GrowOnly: EC2 refuses calls")],
        [],
        [(EventType.WARNING, "Frozen: pods was last read 200 s ago")],
        [(EventType.WARNING, "GrowOnly: EC2 refuses calls")],
        [(EventType.NORMAL, "Normal: all changes are written again")],
        [],
    ]


def test_a_look_without_a_decision_tells_of_the_step_too() -> None:
    view = a_view(decision=None, trusted=FROZEN)
    told = conditions(view, (), NOW_S)
    after = status_document(view, {}, NOW_S)
    assert after["ladder"]["step"] == "Frozen"
    assert [e.reason for e in transitions(view, {}, after)].count("LadderChanged") == 1
    (sample,) = (one for one in samples(view, told) if one.metric is metrics.LADDER_STEP)
    assert sample.value == 2.0


@pytest.mark.parametrize(("stale", "status"), [(0, "False"), (1, "True")])
def test_pods_that_have_just_restarted_are_no_fault_until_they_are_missed(
    stale: int, status: str
) -> None:
    view = a_pass(NORMAL)
    covered = replace(view.snapshot, coverage=Coverage(listed=3, read=2, stale=stale))
    told = conditions(replace(view, snapshot=covered), (), NOW_S)
    (degraded,) = (one for one in told if one.type == "Degraded")
    assert degraded.status == status
