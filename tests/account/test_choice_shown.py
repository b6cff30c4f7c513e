"""People see the next best targets, the schedule of the day, and what forbids leaner targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ippolicy.account.conditions import conditions
from ippolicy.account.status import MAX_OPTIONS, status_document
from ippolicy.decide.profiles import Part, Schedule
from ippolicy.decide.question import RunnerUp
from ippolicy.decide.types import DayPlan, Recommendation
from ippolicy.ipamd import WarmTargets
from views import NOW_S, a_decision, a_policy, a_recommendation, a_view

DAY = Part(
    start_hour=8,
    targets=WarmTargets(warm_ip=2, minimum_ip=24),
    held=260.4,
    grows=True,
    wait_s=0.0,
    present_held=250.0,
    present_meets=False,
)
NIGHT = replace(
    DAY, start_hour=20, targets=WarmTargets(warm_ip=1, minimum_ip=5), held=80.0, grows=False
)
PLAN = DayPlan(
    schedule=Schedule((DAY, NIGHT), 171.6, 0.001, 1.2, single_held=262.0),
    part=DAY,
    since_s=NOW_S - 3_600,
    until_s=NOW_S + 7_200,
    in_turn=True,
)


def shown(fleet: Recommendation) -> dict[str, Any]:
    """The recommendation in the status."""
    document = status_document(a_view(decision=a_decision(fleet=fleet)), {}, NOW_S)
    recommendation: dict[str, Any] = document["recommendation"]
    return recommendation


def test_the_next_best_targets_are_shown_with_why_they_were_not_chosen() -> None:
    option = RunnerUp(
        targets=WarmTargets(warm_ip=1, minimum_ip=16),
        held=179.6,
        assigned=170.0,
        enis=20.0,
        delayed_share=0.0055,
        calls_per_minute=1.234,
        why="over objective.maxDelayedStarts",
    )
    first, *rest = shown(a_recommendation(runners_up=(option,) * 9))["options"]
    assert first == {
        "text": "WARM_IP_TARGET=1 MINIMUM_IP_TARGET=16",
        "held": 180,
        "delayed": "0.55%",
        "callsPerMinute": "1.23",
        "why": "over objective.maxDelayedStarts",
    }
    assert len(rest) == MAX_OPTIONS - 1


def test_a_schedule_is_shown_with_what_it_saves_and_when_it_switches() -> None:
    assert shown(a_recommendation(plan=PLAN))["schedule"] == {
        "parts": [
            {"start": "08:00", "text": "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=24", "held": 260},
            {"start": "20:00", "text": "WARM_IP_TARGET=1 MINIMUM_IP_TARGET=5", "held": 80},
        ],
        "now": "08:00",
        "nextSwitch": "2026-11-18T13:06:40Z",
        "held": 172,
        "saves": 90,
    }
    assert "schedule" not in shown(a_recommendation())


def test_late_starts_that_forbid_leaner_targets_are_named() -> None:
    said = "12 of 240 starts waited under WARM_IP_TARGET=1 MINIMUM_IP_TARGET=20 in the last day"
    assert shown(a_recommendation(raised=said))["raised"] == said
    assert "raised" not in shown(a_recommendation())


def test_a_budget_that_ec2_does_not_leave_counts_as_spent() -> None:
    fleet = a_recommendation(calls_limit=1.0)
    made = replace(fleet, predicted=replace(fleet.predicted, ec2_calls_per_minute=1.5))
    view = a_view(policy=a_policy(), decision=a_decision(fleet=made))
    (told,) = (c for c in conditions(view, (), NOW_S) if c.type == "APIBudgetExceeded")
    assert told.status == "True"
    assert told.message == (
        "the recommended targets make 1.5 EC2 calls a minute, objective.maxEC2CallsPerMinute is 60,"
        " of which 1 are left, as EC2 refuses calls for load"
    )
