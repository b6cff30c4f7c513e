"""The actor against an API that misbehaves, and facts that moved on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aws_node import CNI_ENV, AwsNode, decision, policy
from ippolicy.act import OutcomeKind, requests
from ippolicy.act.history import IN_DOUBT_S
from ippolicy.act.requests import CallFailed
from ippolicy.decide.types import Verdict
from ippolicy.errors import DaemonSetMissing, RecordUnreadable
from ippolicy.facts import ChangePhase, DaemonSetRef
from ippolicy.sandbox.kube import EmbeddedKube, Fault
from kubeapi import daemon_set

Fail = Callable[..., None]
W, M, E = "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_ENI_TARGET"
GET, PATCH = ("get", "daemonsets"), ("patch", "daemonsets")
GET_RECORD, CREATE_RECORD = ("get", "configmaps"), ("create", "configmaps")
PATCH_RECORD, DELETE_RECORD = ("patch", "configmaps"), ("delete", "configmaps")


@pytest.fixture
def fail(kube: tuple[EmbeddedKube, Path]) -> Fail:
    """Make the API fail for requests that match, once unless said otherwise."""

    def add(match: tuple[str, ...], times: int | None = 1, **fault: Any) -> None:
        kube[0].faults.add(Fault(match=match, times=times, **fault))

    return add


def phase(node: AwsNode) -> ChangePhase | None:
    record = node.actor().follow(node.ref, node.facts())
    return record.last_change.phase if record and record.last_change else None


# What was decided on


def test_a_decision_to_hold_asks_nothing_of_the_api(aws_node: AwsNode, fail: Fail) -> None:
    facts, actor = aws_node.facts(), aws_node.actor()
    fail(("*",), times=None, status=500)
    for held in (replace(decision(WARM_IP_TARGET="2"), verdict=Verdict.HOLD), decision()):
        outcome = actor.carry_out(
            policy=policy(), ref=aws_node.ref, decision=held, decided_on=facts, now_s=0.0
        )
        assert outcome.kind is OutcomeKind.NOTHING


def test_a_decision_on_other_values_is_not_carried_out(aws_node: AwsNode) -> None:
    facts = aws_node.facts()
    aws_node.kubectl_set({W: "7"})
    outcome = aws_node.carry_out({W: "2"}, take_over=[W], decided_on=facts)
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FACTS_CHANGED, True)
    assert "(WARM_IP_TARGET): decide again" in outcome.message
    assert aws_node.env()[W] == "7"


def test_a_decision_from_before_someone_elses_rollout_is_not_carried_out(
    aws_node: AwsNode,
) -> None:
    facts = aws_node.facts()
    aws_node.merge({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}})
    outcome = aws_node.carry_out({W: "2"}, decided_on=facts)
    assert outcome.kind is OutcomeKind.FACTS_CHANGED
    assert "generation 1 to 2" in outcome.message


def test_a_decision_on_a_former_daemon_set_is_not_carried_out(aws_node: AwsNode) -> None:
    facts = aws_node.facts()
    aws_node.delete()
    aws_node.create()
    outcome = aws_node.carry_out({W: "2"}, decided_on=facts)
    assert outcome.kind is OutcomeKind.FACTS_CHANGED
    assert "was recreated" in outcome.message


def test_a_missing_daemon_set_is_named_with_the_fix(aws_node: AwsNode) -> None:
    facts = aws_node.facts()
    outcome = aws_node.actor().carry_out(
        policy=policy(),
        ref=DaemonSetRef(aws_node.namespace, "nothing"),
        decision=decision(WARM_IP_TARGET="2"),
        decided_on=facts,
        now_s=0.0,
    )
    assert (outcome.kind, outcome.error) == (OutcomeKind.FAILED, "DaemonSetMissing")
    assert outcome.message.endswith("nothing not found: set spec.daemonSetRef, or mode Off")


def test_a_daemon_set_without_aws_node_is_left_alone(kube_api: Any) -> None:
    node = AwsNode(kube_api)
    body = daemon_set()
    body["spec"]["template"]["spec"]["containers"][0]["name"] = "other"
    node.create_raw(body)
    outcome = node.carry_out({W: "2"})
    assert (outcome.kind, outcome.error) == (OutcomeKind.FAILED, "ActError")
    assert "has no container aws-node" in outcome.message
    assert node.record_text() is None


def test_a_trap_is_not_written(aws_node: AwsNode) -> None:
    outcome = aws_node.carry_out({M: "20"})
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FAILED, False)
    assert "MINIMUM_IP_TARGET=20 without WARM_IP_TARGET" in outcome.message
    assert (aws_node.env(), aws_node.record_text()) == (CNI_ENV, None)


# An API that says no, or nothing


@pytest.mark.parametrize("step", [GET, GET_RECORD, CREATE_RECORD, PATCH])
@pytest.mark.parametrize("status", [403, 429])
def test_a_refusal_at_any_step_leaves_nothing_behind(
    aws_node: AwsNode, fail: Fail, step: tuple[str, ...], status: int
) -> None:
    facts, actor = aws_node.facts(), aws_node.actor()
    fail(step, status=status, retry_after_s=3)
    outcome = actor.carry_out(
        policy=policy(),
        ref=aws_node.ref,
        decision=decision(WARM_IP_TARGET="2"),
        decided_on=facts,
        now_s=aws_node.clock(),
    )
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.retryable == (status == 429)
    assert outcome.retry_after_s == 3.0
    assert (aws_node.env(), aws_node.record_text()) == (CNI_ENV, None)


@pytest.mark.parametrize("fault", [{"status": 500}, {"drop_connection": True}, {"garbage": b"<"}])
def test_a_write_without_an_answer_is_in_doubt_until_it_cannot_arrive_any_more(
    aws_node: AwsNode, fail: Fail, fault: dict[str, Any]
) -> None:
    fail(PATCH, **fault)
    outcome = aws_node.carry_out({W: "2"})
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FAILED, True)
    assert phase(aws_node) is ChangePhase.INTENDED
    again = aws_node.carry_out({W: "2"})
    assert again.kind is OutcomeKind.FACTS_CHANGED
    assert "may still be on its way" in again.message
    aws_node.clock.now_s += IN_DOUBT_S
    assert phase(aws_node) is None
    assert aws_node.carry_out({W: "2"}).kind is OutcomeKind.WRITTEN
    assert aws_node.generation == 2


def test_an_intent_that_never_arrived_gives_way_to_the_next_change(
    aws_node: AwsNode, fail: Fail
) -> None:
    fail(PATCH, status=500)
    aws_node.carry_out({W: "2"})
    aws_node.clock.now_s += IN_DOUBT_S
    assert aws_node.carry_out({W: "3"}).kind is OutcomeKind.WRITTEN
    record = aws_node.actor().follow(aws_node.ref, None)
    assert record is not None
    assert [change.after for change in record.changes] == [{W: "3"}]


def test_an_intent_that_arrived_is_found_rolling_by_the_next_change(
    aws_node: AwsNode, fail: Fail
) -> None:
    fail(PATCH_RECORD, status=500)
    aws_node.carry_out({W: "2"})
    outcome = aws_node.carry_out({W: "2"})
    assert outcome.kind is OutcomeKind.IN_PLACE
    assert outcome.change is not None
    assert (outcome.change.phase, outcome.change.generation) == (ChangePhase.ROLLING, 2)


def test_a_removal_waits_as_well_while_a_write_is_in_doubt(aws_node: AwsNode, fail: Fail) -> None:
    fail(PATCH, status=500)
    aws_node.carry_out({W: "2"})
    for end in (aws_node.actor().restore, aws_node.actor().retain):
        assert end(aws_node.ref).kind is OutcomeKind.FACTS_CHANGED
    aws_node.clock.now_s += IN_DOUBT_S
    assert aws_node.actor().restore(aws_node.ref).kind is OutcomeKind.RESTORED
    assert aws_node.record_text() is None


def test_a_server_that_never_answers_is_not_waited_for_longer_than_the_timeout(
    aws_node: AwsNode, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "TIMEOUT_S", (0.2, 0.2))
    fail(GET_RECORD, hang=True)
    outcome = aws_node.carry_out({W: "2"})
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FAILED, True)
    assert "no answer from the API server" in outcome.message


@pytest.mark.parametrize("garbage", [b"[]", b"{}", b'{"metadata": {}}', b'{"metadata": []}', b"x"])
@pytest.mark.parametrize("step", [GET, GET_RECORD])
def test_garbage_is_told_and_nothing_is_written_on_it(
    aws_node: AwsNode, fail: Fail, step: tuple[str, ...], garbage: bytes
) -> None:
    facts, actor = aws_node.facts(), aws_node.actor()
    fail(step, garbage=garbage)
    outcome = actor.carry_out(
        policy=policy(),
        ref=aws_node.ref,
        decision=decision(WARM_IP_TARGET="2"),
        decided_on=facts,
        now_s=aws_node.clock(),
    )
    assert outcome.kind is OutcomeKind.FAILED
    assert aws_node.env() == CNI_ENV


def test_the_change_stands_when_only_its_record_could_not_be_written(
    aws_node: AwsNode, fail: Fail
) -> None:
    fail(PATCH_RECORD, status=503)
    outcome = aws_node.carry_out({W: "2"})
    assert outcome.kind is OutcomeKind.WRITTEN
    assert "its record follows with the next look" in outcome.message
    assert '"Intended"' in (aws_node.record_text() or "")
    assert phase(aws_node) is ChangePhase.COMPLETE


def test_an_intent_that_could_not_be_taken_back_is_dropped_later(
    aws_node: AwsNode, fail: Fail
) -> None:
    fail(PATCH, status=403)
    fail(DELETE_RECORD, status=500)
    outcome = aws_node.carry_out({W: "2"})
    assert "HTTP 403" in outcome.message, "the first reason is the one that is told"
    aws_node.clock.now_s += IN_DOUBT_S
    assert phase(aws_node) is None


def test_a_refused_change_leaves_the_record_as_it_was(aws_node: AwsNode, fail: Fail) -> None:
    aws_node.carry_out({W: "2"})
    phase(aws_node)
    before = aws_node.record_text()
    fail(PATCH, status=422)
    assert aws_node.carry_out({W: "3"}).kind is OutcomeKind.FAILED
    assert aws_node.record_text() == before


def test_a_change_that_admission_takes_back_is_told(
    aws_node: AwsNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    unchanged = aws_node.live()
    actor = aws_node.actor()
    monkeypatch.setattr(actor._daemon_sets, "apply", lambda *_, **__: unchanged)
    outcome = aws_node.carry_out({W: "2"}, actor=actor)
    assert (outcome.kind, outcome.error) == (OutcomeKind.FAILED, "NoEffect")
    assert "admission webhook" in outcome.message
    assert aws_node.record_text() is None


# The record


def test_a_record_that_cannot_be_trusted_stops_everything(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    aws_node.write_record_text("{}")
    for outcome in (
        aws_node.carry_out({W: "3"}),
        aws_node.actor().restore(aws_node.ref),
        aws_node.actor().retain(aws_node.ref),
    ):
        assert (outcome.kind, outcome.error) == (OutcomeKind.FAILED, "RecordUnreadable")
        assert not outcome.retryable
        assert "put it right, or delete it" in outcome.message
    with pytest.raises(RecordUnreadable):
        aws_node.actor().follow(aws_node.ref, aws_node.facts())
    assert aws_node.env() == CNI_ENV | {W: "2"}


def test_a_config_map_without_data_is_no_record(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    aws_node.merge_record({"data": None})
    with pytest.raises(RecordUnreadable):
        aws_node.actor().follow(aws_node.ref, aws_node.facts())


def test_without_a_record_there_is_nothing_to_follow_or_to_end(aws_node: AwsNode) -> None:
    actor = aws_node.actor()
    assert actor.follow(aws_node.ref, aws_node.facts()) is None
    assert actor.restore(aws_node.ref).kind is OutcomeKind.NOTHING
    assert actor.retain(aws_node.ref).kind is OutcomeKind.NOTHING


def test_a_lost_record_takes_the_values_in_force_as_originals(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    aws_node.delete_record()
    aws_node.carry_out({W: "3"})
    aws_node.actor().restore(aws_node.ref)
    assert aws_node.env() == CNI_ENV | {W: "2"}


def test_a_change_is_followed_to_its_end(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    actor = aws_node.actor()
    aws_node.clock.now_s += 60
    rolling = replace(aws_node.facts(), generation=1)
    record = actor.follow(aws_node.ref, rolling)
    assert record is not None
    assert record.changes[-1].phase is ChangePhase.ROLLING
    record = actor.follow(aws_node.ref, aws_node.facts())
    assert record is not None
    assert record.changes[-1].phase is ChangePhase.COMPLETE
    assert record.changes[-1].completed_at_s == aws_node.clock()


def test_without_facts_the_record_is_given_as_it_is(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    record = aws_node.actor().follow(aws_node.ref, None)
    assert record is not None
    assert record.changes[-1].phase is ChangePhase.ROLLING


def test_following_says_when_the_api_is_away(aws_node: AwsNode, fail: Fail) -> None:
    facts, actor = aws_node.facts(), aws_node.actor()
    fail(GET_RECORD, status=500)
    with pytest.raises(CallFailed):
        actor.follow(aws_node.ref, facts)
    fail(PATCH, status=500)
    aws_node.carry_out({W: "2"})
    aws_node.delete()
    with pytest.raises(DaemonSetMissing):
        actor.follow(aws_node.ref, facts)


# Putting back


def test_a_daemon_set_that_is_gone_takes_its_record_with_it(aws_node: AwsNode) -> None:
    for end in (aws_node.actor().restore, aws_node.actor().retain):
        aws_node.carry_out({W: "2"})
        aws_node.delete()
        outcome = end(aws_node.ref)
        assert outcome.kind is OutcomeKind.NOTHING
        assert "ConfigMap ippolicy-record-aws-node was removed" in outcome.message
        assert aws_node.record_text() is None
        aws_node.create()


def test_a_daemon_set_made_anew_is_not_given_the_originals_of_the_former(
    aws_node: AwsNode,
) -> None:
    aws_node.carry_out({W: "2"})
    aws_node.delete()
    aws_node.create({E: "3"})
    assert aws_node.actor().restore(aws_node.ref).kind is OutcomeKind.NOTHING
    assert aws_node.env() == {E: "3"}


def test_originals_that_would_crash_aws_node_are_not_put_back(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    aws_node.kubectl_set({"WARM_PREFIX_TARGET": None, "ENABLE_PREFIX_DELEGATION": "true"})
    outcome = aws_node.actor().restore(aws_node.ref)
    assert (outcome.kind, outcome.error) == (OutcomeKind.FAILED, "EntryPointRefused")
    assert "set one of them" in outcome.message
    assert aws_node.env()[W] == "2"
    assert aws_node.record_text() is not None


@pytest.mark.parametrize("step", [GET, GET_RECORD, PATCH, DELETE_RECORD])
def test_a_removal_that_failed_can_be_asked_for_again(
    aws_node: AwsNode, fail: Fail, step: tuple[str, ...]
) -> None:
    aws_node.carry_out({W: "2"})
    fail(step, status=500)
    first = aws_node.actor().restore(aws_node.ref)
    assert (first.kind, first.settled) == (OutcomeKind.FAILED, False)
    assert aws_node.actor().restore(aws_node.ref).settled
    assert (aws_node.env(), aws_node.record_text()) == (CNI_ENV, None)
    assert aws_node.generation == 3


def test_letting_go_is_tried_again_while_the_status_moves(aws_node: AwsNode, fail: Fail) -> None:
    aws_node.carry_out({W: "2"})
    fail(PATCH, times=2, status=409)
    assert aws_node.actor().retain(aws_node.ref).settled
    assert aws_node.our_fields() == {}


def test_putting_back_is_tried_again_while_the_status_moves(aws_node: AwsNode, fail: Fail) -> None:
    aws_node.carry_out({W: "2"})
    fail(PATCH, times=2, status=409)
    assert aws_node.actor().restore(aws_node.ref).kind is OutcomeKind.RESTORED
    assert (aws_node.env(), aws_node.record_text()) == (CNI_ENV, None)
    assert aws_node.generation == 3


def test_letting_go_is_given_up_when_the_status_never_rests(aws_node: AwsNode, fail: Fail) -> None:
    aws_node.carry_out({W: "2"})
    fail(PATCH, times=None, status=409)
    assert aws_node.actor().retain(aws_node.ref).kind is OutcomeKind.FACTS_CHANGED
    assert aws_node.record_text() is not None


def test_a_daemon_set_that_goes_while_it_is_let_go_of_is_no_obstacle(
    aws_node: AwsNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws_node.carry_out({W: "2"})
    actor = aws_node.actor()
    release = actor._daemon_sets.release

    def deleted_first(*args: Any) -> None:
        aws_node.delete()
        release(*args)

    monkeypatch.setattr(actor._daemon_sets, "release", deleted_first)
    assert actor.retain(aws_node.ref).settled
    assert aws_node.record_text() is None
