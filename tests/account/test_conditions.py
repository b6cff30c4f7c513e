"""Conditions say what holds, why, since when, and what to do; from the catalogue only."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.account.catalogue import CATALOGUE
from ippolicy.account.condition_types import CONDITION_TYPES
from ippolicy.account.conditions import conditions, invalid_policy_conditions
from ippolicy.account.reasons import DECISION_REASONS
from ippolicy.account.view import View
from ippolicy.act.checkpoints import CheckpointState, CheckpointTrouble
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.act.rollout import RolloutPhase, RolloutState
from ippolicy.api.status import Condition
from ippolicy.decide.births.progress import GroupProgress, State
from ippolicy.decide.types import Evidence, Prediction, Reason
from ippolicy.facts import ChangePhase, Coverage, EnvEntry, SourceName, SourceState
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

KNOWN = {(row.type, row.status, row.reason) for row in CATALOGUE}
NO_FLEET = (Reason.NO_DAEMON_SET, Reason.NO_CONTAINER, Reason.NO_NODES)


def found(view: View, kind: str) -> Condition:
    """The condition of this type after a pass."""
    return next(c for c in conditions(view, (), NOW_S) if c.type == kind)


def degraded(view: View) -> str:
    """The message of the condition Degraded, which must be True."""
    condition = found(view, "Degraded")
    assert condition.status == "True"
    return condition.message


def a_failing_source(name: SourceName, **state: Any) -> View:
    """A pass with one source that does not answer."""
    sources = {n: SourceState(NOW_S - 5) for n in SourceName}
    sources[name] = SourceState(NOW_S - 300, **state)
    return a_view(snapshot=a_snapshot(sources=sources))


def test_all_is_well_in_an_ordinary_pass() -> None:
    good = {kind.name: kind.good_when for kind in CONDITION_TYPES}
    assert {c.type: c.status for c in conditions(a_view(), (), NOW_S)} == good


@pytest.mark.parametrize("reason", Reason)
def test_ready_and_applied_carry_the_reason_of_the_decision(reason: Reason) -> None:
    view = a_view(decision=a_decision(reason))
    ready, applied = found(view, "Ready"), found(view, "Applied")
    assert (ready.reason, ready.message) == (reason.value, f"because of {reason.value}")
    assert ready.status == str(DECISION_REASONS[reason].ready)
    assert (applied.status == "True") is (reason is Reason.TARGETS_IN_PLACE)


@pytest.mark.parametrize(
    ("calls", "status", "reason"),
    [
        (60.0, "False", "WithinBudget"),
        (60.1, "True", "NoSettingWithinBudget"),
        (None, "Unknown", "NotReplayed"),
    ],
)
def test_calls_that_no_targets_avoid_are_named(
    calls: float | None, status: str, reason: str
) -> None:
    predicted = Prediction(220, 20, 20, 219.4, 0.0, calls)
    view = a_view(decision=a_decision(fleet=a_recommendation(predicted=predicted)))
    budget = found(view, "APIBudgetExceeded")
    assert (budget.status, budget.reason) == (status, reason)


def test_a_policy_that_may_not_write_is_ready_all_the_same() -> None:
    for reason in (Reason.MODE_OFF, Reason.MODE_RECOMMEND, Reason.PAUSED, Reason.WRITER_NONE):
        assert found(a_view(decision=a_decision(reason)), "Ready").status == "True"


def test_before_the_first_decision_the_policy_is_not_ready() -> None:
    ready = found(a_view(decision=None), "Ready")
    assert (ready.status, ready.reason) == ("False", "FactsStale")


def test_a_written_change_is_progress_and_not_yet_ready() -> None:
    change = a_change(ChangePhase.ROLLING)
    outcome = Outcome(OutcomeKind.WRITTEN, "two entries set", change=change)
    view = a_view(decision=a_decision(Reason.SAVES_ADDRESSES), outcome=outcome)
    assert found(view, "Ready").reason == "RolloutInProgress"
    assert found(view, "Progressing").status == "True"
    assert found(view, "Applied").status == "False"


def test_values_that_were_already_there_count_as_applied() -> None:
    outcome = Outcome(OutcomeKind.IN_PLACE, "the values are there")
    view = a_view(decision=a_decision(Reason.SAVES_ADDRESSES), outcome=outcome)
    assert found(view, "Applied").status == "True"
    assert found(view, "Ready").status == "True"


def test_a_rollout_shows_how_far_it_is() -> None:
    change = a_change(ChangePhase.ROLLING, intended_at_s=NOW_S - 90)
    view = a_view(record=a_record(change), decision=a_decision(Reason.ROLLOUT_IN_PROGRESS))
    progressing = found(view, "Progressing")
    assert progressing.reason == "RollingOut"
    assert progressing.message == (
        "10 of 10 aws-node pods updated, 10 available, 1m30s after the change"
    )


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        (RolloutPhase.ROLLING, "RollingOut"),
        (RolloutPhase.NOT_STARTED, "RollingOut"),
        (RolloutPhase.STUCK, "RolloutStuck"),
        (RolloutPhase.BLOCKED, "RolloutBlocked"),
        (RolloutPhase.UNHEALTHY, "RolloutUnhealthy"),
    ],
)
def test_a_rollout_that_goes_wrong_says_how(phase: RolloutPhase, reason: str) -> None:
    rollout = RolloutState(phase, 3, 10, "3 of 10 pods updated: look at its pods")
    view = a_view(record=a_record(a_change(ChangePhase.ROLLING)), rollout=rollout)
    progressing = found(view, "Progressing")
    assert (progressing.status, progressing.reason) == ("True", reason)
    assert progressing.message == rollout.message
    harmless = reason in {"RollingOut", "RolloutBlocked"}
    assert (found(view, "Degraded").reason == reason) is not harmless


def test_a_rollout_goes_on_when_the_daemon_set_is_gone() -> None:
    view = a_view(
        snapshot=a_snapshot(daemon_set=None),
        decision=a_decision(Reason.NO_DAEMON_SET, fleet=None),
        record=a_record(a_change(ChangePhase.ROLLING)),
    )
    assert "gone in the middle of a rollout" in found(view, "Progressing").message


def test_a_finished_change_is_no_progress_any_more() -> None:
    view = a_view(record=a_record(a_change()))
    assert found(view, "Progressing").reason == "Idle"


@pytest.mark.parametrize(("have", "status"), [(2, "False"), (1, "True")])
def test_it_progresses_while_nodes_are_to_have_other_targets(have: int, status: str) -> None:
    assert found(born(have), "Progressing").status == status


def born(have: int) -> View:
    """Two nodes, so many of which have the targets of their group."""
    nodes = {**dict.fromkeys(State, 0), State.CURRENT: have, State.TEMPLATE: 2 - have}
    return a_view(births=(GroupProgress("blue", 1, "group", nodes, 2),))


def test_a_conflict_names_the_manager_and_the_key() -> None:
    message = "WARM_IP_TARGET is owned by helm: name it in spec.apply.takeOver"
    outcome = Outcome(OutcomeKind.CONFLICT, message, owners={"WARM_IP_TARGET": "helm"})
    view = a_view(decision=a_decision(Reason.SAVES_ADDRESSES), outcome=outcome)
    for kind in ("Conflict", "Ready", "Applied"):
        assert (found(view, kind).reason, found(view, kind).message) == ("FieldConflict", message)


def test_of_two_policies_the_younger_names_the_older() -> None:
    view = a_view(decision=None, rival="first")
    for kind in ("Conflict", "Ready", "Applied", "RecommendationProvided"):
        assert found(view, kind).reason == "PolicyConflict"
        assert "IPPolicy first acts on the same DaemonSet" in found(view, kind).message


def test_a_failed_write_is_told_with_its_cause() -> None:
    outcome = Outcome(OutcomeKind.FAILED, "the API server answered 500", error="ActError")
    view = a_view(decision=a_decision(Reason.SAVES_ADDRESSES), outcome=outcome)
    for kind in ("Ready", "Applied", "Degraded"):
        assert found(view, kind).reason == "WriteFailed"
        assert found(view, kind).message == "the API server answered 500"


def test_an_unreadable_record_is_a_reason_of_its_own() -> None:
    outcome = Outcome(OutcomeKind.FAILED, "ConfigMap x is not ours", error="RecordUnreadable")
    assert found(a_view(outcome=outcome), "Degraded").reason == "RecordUnreadable"


@pytest.mark.parametrize("trouble", [CheckpointTrouble.FAILED, CheckpointTrouble.NEWER])
def test_demand_that_is_not_kept_degrades_and_nothing_more(trouble: CheckpointTrouble) -> None:
    view = a_view(checkpoint=CheckpointState(NOW_S, 9, trouble, "no answer"))
    assert degraded(view) == "no answer"
    assert found(view, "Degraded").reason == trouble.value
    assert found(view, "Ready").status == "True"


def test_demand_that_was_lost_is_no_lasting_fault() -> None:
    view = a_view(checkpoint=CheckpointState(None, 0, CheckpointTrouble.DROPPED, "damaged"))
    assert found(view, "Degraded").status == "False"


def test_the_recommendation_is_said_in_one_line() -> None:
    assert found(a_view(), "RecommendationProvided").message == (
        "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=20 would hold 220 addresses, the settings in force"
        " hold 420; set by demand"
    )


@pytest.mark.parametrize("reason", NO_FLEET)
def test_without_a_recommendation_the_decision_says_why(reason: Reason) -> None:
    view = a_view(decision=a_decision(reason, fleet=None))
    assert found(view, "RecommendationProvided").reason == reason.value
    assert found(view, "LowConfidence").status == "Unknown"
    assert found(view, "Degraded").reason == reason.value


def test_too_little_evidence_is_low_confidence() -> None:
    evidence = Evidence(60.0, 10, 3, False, "demand was watched for 60 s")
    view = a_view(decision=a_decision(fleet=a_recommendation(evidence=evidence)))
    assert found(view, "LowConfidence").status == "True"
    assert found(view, "LowConfidence").message == "demand was watched for 60 s"


def test_a_paused_policy_says_how_to_go_on() -> None:
    paused = found(a_view(policy=a_policy(annotations={"ippolicy.dev/paused": "true"})), "Paused")
    assert paused.status == "True"
    assert "remove it to go on" in paused.message


def test_a_missing_permission_is_named() -> None:
    view = a_failing_source(
        SourceName.EC2_SUBNETS, error="UnauthorizedOperation", permission="ec2:DescribeSubnets"
    )
    assert degraded(view) == (
        "ec2-subnets: no permission: allow ec2:DescribeSubnets in the operator's IAM role (last"
        " read 5m ago)"
    )
    assert found(view, "Degraded").reason == "EC2PermissionMissing"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (SourceName.NODES, "ClusterUnavailable"),
        (SourceName.PODS, "ClusterUnavailable"),
        (SourceName.AWS_NODE, "ClusterUnavailable"),
        (SourceName.DAEMON_SET, "ClusterUnavailable"),
        (SourceName.METRICS, "MetricsUnavailable"),
        (SourceName.EC2_SUBNETS, "EC2Unavailable"),
        (SourceName.EC2_INSTANCE_TYPES, "EC2Unavailable"),
        (SourceName.EC2_INSTANCES, "EC2Unavailable"),
        (SourceName.PROMETHEUS, "PrometheusUnavailable"),
    ],
)
def test_each_source_that_fails_is_named_with_its_age(source: SourceName, reason: str) -> None:
    view = a_failing_source(source, error="timed out\nafter 10 s")
    assert found(view, "Degraded").reason == reason
    assert degraded(view) == f"{source}: timed out after 10 s (last read 5m ago)"


def test_a_cluster_permission_names_the_service_account() -> None:
    view = a_failing_source(SourceName.NODES, error="403", permission="list nodes")
    assert "allow list nodes to the operator's service account" in degraded(view)


def test_a_source_that_never_answered_says_so() -> None:
    sources = {SourceName.METRICS: SourceState(None, error="connection refused")}
    assert degraded(a_view(snapshot=a_snapshot(sources=sources))).endswith("(never read)")


def test_low_coverage_is_told_with_its_numbers() -> None:
    view = a_view(snapshot=a_snapshot(coverage=Coverage(listed=10, read=3, stale=7)))
    assert "3 of 10 aws-node pods could be read, of 80% needed, and 7 are stale" in degraded(view)


def test_coverage_of_no_pods_at_all_is_no_fault() -> None:
    view = a_view(snapshot=a_snapshot(coverage=Coverage(0, 0, 0)))
    assert found(view, "Degraded").status == "False"


def test_unknown_instance_types_are_named_and_counted() -> None:
    view = a_view(snapshot=a_snapshot(unknown_types=frozenset({"r5.xlarge", "x9.huge"})))
    assert "instance type r5.xlarge (10 nodes), x9.huge (0 nodes)," in degraded(view)


def test_many_unknown_types_are_cut_short() -> None:
    unknown = frozenset(f"x{i}.huge" for i in range(9))
    assert " and 4 more" in degraded(a_view(snapshot=a_snapshot(unknown_types=unknown)))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            EnvEntry(None, {"configMapKeyRef": {"name": "cni", "key": "warm"}}),
            "WARM_IP_TARGET comes from configMapKeyRef cni/warm, so its value is not known",
        ),
        (
            EnvEntry(None, {"fieldRef": {"fieldPath": "spec.nodeName"}}),
            "comes from fieldRef spec.nodeName",
        ),
        (EnvEntry(None), "comes from valueFrom"),
        (EnvEntry("five"), "WARM_IP_TARGET='five' is not a whole number"),
        (EnvEntry(""), "WARM_IP_TARGET='' is not a whole number"),
    ],
)
def test_an_env_entry_that_cannot_be_read_is_named(entry: EnvEntry, said: str) -> None:
    daemon_set = a_daemon_set({"WARM_IP_TARGET": entry})
    view = a_view(snapshot=a_snapshot(daemon_set=daemon_set))
    assert found(view, "Degraded").reason == "EnvUnreadable"
    assert said in degraded(view)


def test_other_env_entries_are_nobodys_business() -> None:
    daemon_set = a_daemon_set({"MY_NODE_NAME": EnvEntry(None, {"fieldRef": {}})})
    assert found(a_view(snapshot=a_snapshot(daemon_set=daemon_set)), "Degraded").status == "False"


def test_a_trap_in_force_degrades() -> None:
    view = a_view(decision=a_decision(traps=("MINIMUM_IP_TARGET=5 without WARM_IP_TARGET",)))
    assert found(view, "Degraded").reason == "TrapInForce"
    assert degraded(view) == "MINIMUM_IP_TARGET=5 without WARM_IP_TARGET"


def test_an_unhealthy_daemon_set_degrades() -> None:
    view = a_view(decision=a_decision(Reason.DAEMON_SET_UNHEALTHY))
    assert found(view, "Degraded").reason == "DaemonSetUnhealthy"


def test_the_gravest_fault_gives_the_reason_and_all_are_named() -> None:
    view = a_view(
        snapshot=a_snapshot(coverage=Coverage(10, 3, 7), unknown_types=frozenset({"x9.huge"})),
        decision=a_decision(traps=("a trap",)),
        outcome=Outcome(OutcomeKind.FAILED, "refused"),
    )
    assert found(view, "Degraded").reason == "WriteFailed"
    assert degraded(view).startswith("refused; a trap; metrics of 3 of 10")
    assert "x9.huge" in degraded(view)


def test_a_condition_whose_status_stays_keeps_its_time() -> None:
    old = [c.to_raw() for c in conditions(a_view(), (), NOW_S - 600)]
    view = a_view(decision=a_decision(Reason.LOW_CONFIDENCE))
    now = {c.type: c for c in conditions(view, old, NOW_S)}
    assert now["Ready"].last_transition_time == "2026-11-18T11:06:40Z"
    assert now["Paused"].last_transition_time == "2026-11-18T10:56:40Z"


def test_every_condition_is_about_the_generation_at_hand() -> None:
    assert {c.observed_generation for c in conditions(a_view(), (), NOW_S)} == {3}


def test_a_policy_that_cannot_be_read_is_neither_ready_nor_sound() -> None:
    stamped = invalid_policy_conditions("spec.mode: Unsupported value", 4, (), NOW_S)
    assert [(c.type, c.status, c.reason) for c in stamped] == [
        ("Ready", "False", "InvalidPolicy"),
        ("Degraded", "True", "InvalidPolicy"),
    ]
    assert {(c.type, c.status, c.reason) for c in stamped} <= KNOWN


def test_the_catalogue_names_each_reason_once() -> None:
    assert len(KNOWN) == len(CATALOGUE)
    assert set(DECISION_REASONS) == set(Reason)


_outcomes = st.none() | st.builds(
    Outcome,
    st.sampled_from(OutcomeKind),
    st.text(max_size=20),
    change=st.none() | st.builds(a_change, st.sampled_from(ChangePhase)),
    error=st.sampled_from([None, "RecordUnreadable", "ActError"]),
)
_troubles = st.none() | st.sampled_from(CheckpointTrouble)
_rollouts = st.none() | st.builds(
    RolloutState, st.sampled_from(RolloutPhase), st.just(1), st.just(2), st.text(max_size=20)
)
_sources = st.dictionaries(
    st.sampled_from(SourceName),
    st.builds(
        SourceState,
        st.none() | st.just(NOW_S),
        error=st.none() | st.text(max_size=20),
        permission=st.sampled_from([None, "ec2:DescribeSubnets"]),
    ),
)


@st.composite
def views(draw: st.DrawFn) -> View:
    """Any pass, also one that cannot be."""
    reason = draw(st.sampled_from(Reason))
    fleet = None if reason in (*NO_FLEET, Reason.NO_WARM_POOLS) else a_recommendation()
    traps = tuple(draw(st.lists(st.text(max_size=9), max_size=2)))
    decision = draw(st.none() | st.just(a_decision(reason, fleet=fleet, traps=traps)))
    phase = draw(st.sampled_from(ChangePhase))
    entry = draw(st.sampled_from([EnvEntry("1"), EnvEntry("x"), EnvEntry(None, {"a": "b"})]))
    daemon_set = draw(st.none() | st.just(a_daemon_set({"WARM_IP_TARGET": entry})))
    return a_view(
        decision=decision,
        record=draw(st.none() | st.just(a_record(a_change(phase)))),
        outcome=draw(_outcomes),
        rival=draw(st.none() | st.just("first")),
        rollout=draw(_rollouts),
        checkpoint=CheckpointState(None, 0, draw(_troubles), draw(st.text(max_size=20))),
        snapshot=a_snapshot(
            2,
            daemon_set=daemon_set,
            sources=draw(_sources),
            coverage=Coverage(4, draw(st.integers(0, 4)), 0),
            unknown_types=frozenset(draw(st.sets(st.sampled_from("ab")))),
        ),
    )


@settings(deadline=None)
@given(views())
def test_whatever_a_pass_found_only_catalogued_reasons_are_given(view: View) -> None:
    stamped = conditions(view, (), NOW_S)
    assert [c.type for c in stamped] == [kind.name for kind in CONDITION_TYPES]
    assert {(c.type, c.status, c.reason) for c in stamped} <= KNOWN
    assert all(c.message.isprintable() and len(c.message) <= 1_000 for c in stamped)


@settings(deadline=None)
@given(views())
def test_ready_never_goes_with_a_conflict_or_a_failed_write(view: View) -> None:
    stamped = {c.type: c for c in conditions(view, (), NOW_S)}
    if stamped["Ready"].status == "True":
        assert stamped["Conflict"].status == "False"
        assert stamped["Degraded"].reason not in ("WriteFailed", "RecordUnreadable")
