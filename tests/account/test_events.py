"""Events come when something happened, once, and say what to do."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.account import events
from ippolicy.account.events import Deduplicator, Event, EventType
from ippolicy.account.status import status_document
from ippolicy.account.transitions import transitions
from ippolicy.account.view import View
from ippolicy.act.checkpoints import CheckpointState, CheckpointTrouble
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.act.rollout import RolloutPhase, RolloutState
from ippolicy.decide.types import Evidence, Reason
from ippolicy.facts import ChangePhase, EnvEntry, SourceName, SourceState
from ippolicy.ipamd import WarmTargets
from views import (
    NOW_S,
    a_change,
    a_daemon_set,
    a_decision,
    a_policy,
    a_recommendation,
    a_record,
    a_snapshot,
    a_view,
)


def passes(*views: View) -> list[list[Event]]:
    """The events of one pass after another, each with the status that the one before left."""
    status: dict[str, Any] = {}
    given_events = []
    for view in views:
        after = status_document(view, status, NOW_S)
        given_events.append(list(transitions(view, status, after)))
        status = after
    return given_events


def reasons(given_events: list[Event]) -> list[str]:
    """The reasons of some events."""
    return [event.reason for event in given_events]


def test_the_first_pass_tells_the_recommendation_and_the_second_nothing() -> None:
    first, second = passes(a_view(), a_view())
    assert first == [
        Event(
            "RecommendationChanged",
            EventType.NORMAL,
            "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=20 gives back 200 addresses",
        )
    ]
    assert second == []


def test_a_recommendation_is_told_once_it_rests_on_enough() -> None:
    thin = a_recommendation(evidence=Evidence(60.0, 1, 0, False, "60 s"))
    first, second = passes(a_view(decision=a_decision(fleet=thin)), a_view())
    assert reasons(first) == []
    assert reasons(second) == ["RecommendationChanged"]


def test_another_recommendation_names_the_one_before() -> None:
    other = a_recommendation(targets=WarmTargets(warm_ip=4, minimum_ip=20))
    _, second = passes(a_view(), a_view(decision=a_decision(fleet=other)))
    assert "WARM_IP_TARGET=4 MINIMUM_IP_TARGET=20 (was WARM_IP_TARGET=2" in second[0].message


def test_a_change_is_told_from_its_start_to_its_end() -> None:
    rolling = a_change(ChangePhase.ROLLING)
    outcome = Outcome(OutcomeKind.WRITTEN, "set", change=rolling)
    start = a_view(decision=a_decision(Reason.SAVES_ADDRESSES), outcome=outcome)
    under_way = a_view(record=a_record(rolling))
    end = a_view(record=a_record(a_change()))
    first, second, third, fourth = passes(start, under_way, end, end)
    assert reasons(first) == ["RecommendationChanged", "ChangeStarted"]
    assert first[1].message == (
        "set MINIMUM_IP_TARGET=20 WARM_IP_TARGET=2: 420 addresses held now, 220 expected"
    )
    assert reasons(second) == []
    assert [e.message for e in third] == [
        "MINIMUM_IP_TARGET=20 WARM_IP_TARGET=2 in force on all nodes after 5m"
    ]
    assert reasons(fourth) == []


def test_a_rollout_that_gets_stuck_is_told_once() -> None:
    record = a_record(a_change(ChangePhase.ROLLING))
    going = a_view(record=record, rollout=RolloutState(RolloutPhase.ROLLING, 3, 10, "3 of 10"))
    stuck = a_view(record=record, rollout=RolloutState(RolloutPhase.STUCK, 3, 10, "for 600 s"))
    longer = a_view(record=record, rollout=RolloutState(RolloutPhase.STUCK, 3, 10, "for 615 s"))
    _, second, third = passes(going, stuck, longer)
    assert second == [Event("RolloutStuck", EventType.WARNING, "for 600 s")]
    assert third == []


def test_conflicts_name_the_other_side() -> None:
    outcome = Outcome(OutcomeKind.CONFLICT, "no", owners={"WARM_IP_TARGET": "helm"})
    (found,) = passes(a_view(decision=a_decision(fleet=None), outcome=outcome))
    assert found[0].reason == "ConflictFound"
    assert "WARM_IP_TARGET is owned by helm: name the keys in spec.apply.takeOver" in (
        found[0].message
    )
    (rival,) = passes(a_view(decision=None, rival="first"))
    assert reasons(rival) == ["PolicyConflict"]


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (a_view(decision=a_decision(fleet=None, traps=("a trap",))), "TrapFound"),
        (
            a_view(
                decision=None,
                snapshot=a_snapshot(daemon_set=a_daemon_set({"WARM_IP_TARGET": EnvEntry("x")})),
            ),
            "EnvUnreadable",
        ),
        (a_view(decision=None, outcome=Outcome(OutcomeKind.FAILED, "refused")), "WriteFailed"),
    ],
)
def test_a_fault_with_an_event_of_its_own_is_not_told_twice(view: View, reason: str) -> None:
    (found,) = passes(view)
    assert reasons(found) == [reason]


def test_a_source_that_fails_and_comes_back_is_told_both_times() -> None:
    sources = {SourceName.EC2_SUBNETS: SourceState(None, error="timed out")}
    failing = a_view(snapshot=a_snapshot(sources=sources))
    _, second, third, fourth = passes(a_view(), failing, failing, a_view())
    assert reasons(second) == ["Degraded"]
    assert "ec2-subnets: timed out" in second[0].message
    assert reasons(third) == []
    assert reasons(fourth) == ["Recovered"]


def test_demand_that_was_lost_is_told() -> None:
    state = CheckpointState(None, 0, CheckpointTrouble.DROPPED, "ConfigMap a/b is damaged")
    (told,) = passes(a_view(decision=None, checkpoint=state))
    assert [(event.reason, event.message) for event in told] == [
        ("CheckpointDropped", "ConfigMap a/b is damaged")
    ]


def test_a_pause_and_its_end_are_told() -> None:
    paused = a_view(policy=a_policy(annotations={"ippolicy.dev/paused": "true"}))
    _, second, third, fourth = passes(a_view(), paused, paused, a_view())
    assert (reasons(second), reasons(third), reasons(fourth)) == (["Paused"], [], ["Resumed"])


def test_every_event_is_in_the_catalogue_under_a_reason_of_its_own() -> None:
    made = {
        function
        for name, function in inspect.getmembers(events, inspect.isfunction)
        if not name.startswith("_") and function.__annotations__.get("return") == "Event"
    }
    assert made == set(events.CATALOGUE)


def test_a_message_is_one_line_that_the_api_server_takes() -> None:
    event = events.degraded("a\nb\t" + "x" * 5_000)
    assert event.message.startswith("a b x")
    assert len(event.message) == 1_024


def test_messages_say_what_a_restore_came_to() -> None:
    assert events.originals_restored("2 entries").type is EventType.NORMAL
    assert events.originals_retained("kept").reason == "OriginalsRetained"
    assert events.restore_failed("refused").type is EventType.WARNING
    assert events.policy_invalid("spec.mode").type is EventType.WARNING


def test_a_recommendation_that_takes_more_says_so() -> None:
    event = events.recommendation_changed(None, "WARM_IP_TARGET=9", -12)
    assert event.message == "WARM_IP_TARGET=9 takes 12 more addresses"


EVENT = events.degraded("metrics: timed out")


def test_equal_events_are_thinned_to_one_an_hour_and_counted() -> None:
    seen = Deduplicator()
    assert seen.admit("default", EVENT, 0.0) == 1
    assert [seen.admit("default", EVENT, t) for t in (15.0, 30.0, 3_599.0)] == [0, 0, 0]
    assert seen.admit("default", EVENT, 3_600.0) == 4
    assert seen.admit("default", EVENT, 3_615.0) == 0


def test_events_of_another_object_reason_or_message_are_their_own() -> None:
    seen = Deduplicator()
    assert seen.admit("default", EVENT, 0.0) == 1
    assert seen.admit("other", EVENT, 0.0) == 1
    assert seen.admit("default", events.degraded("metrics: refused"), 0.0) == 1
    assert seen.admit("default", events.write_failed(EVENT.message), 0.0) == 1


def test_what_is_forgotten_may_come_again() -> None:
    seen = Deduplicator()
    seen.admit("default", EVENT, 0.0)
    seen.admit("other", EVENT, 0.0)
    seen.forget("default")
    assert len(seen) == 1
    assert seen.admit("default", EVENT, 1.0) == 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 5_000)), max_size=60))
def test_the_deduplicator_is_bounded_and_loses_no_first_event(
    arrivals: list[tuple[int, float]],
) -> None:
    seen, told = Deduplicator(window_s=100.0, most=4), set()
    for number, at_s in sorted(arrivals, key=lambda arrival: arrival[1]):
        admitted = seen.admit("default", events.degraded(str(number)), at_s)
        assert admitted > 0 or number in told
        told.add(number)
        assert len(seen) <= 4
