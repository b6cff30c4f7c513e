"""maxUnavailable is lowered with the change, and is as it was when its rollout is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aws_node import API, AwsNode, decision, policy
from ippolicy.act import Outcome, OutcomeKind
from ippolicy.act.document import read_document, write_document
from ippolicy.act.history import IN_DOUBT_S
from ippolicy.decide.types import Pace
from ippolicy.facts import ChangePhase, Record
from kubeapi import daemon_set

W, M = "WARM_IP_TARGET", "MINIMUM_IP_TARGET"
STRATEGY = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}


@pytest.fixture
def aws_node(kube_api: API) -> AwsNode:
    """aws-node with the chart's update strategy, as Helm installed it."""
    node = AwsNode(kube_api)
    body = daemon_set(WARM_ENI_TARGET="1")
    body["spec"]["updateStrategy"] = STRATEGY
    node.create_raw(body)
    return node


def change(node: AwsNode, lowered: int | None, **env: str) -> Outcome:
    """Carry out a decision whose rollout is too fast."""
    node.clock.now_s += IN_DOUBT_S
    outcome = node.actor().carry_out(
        policy=policy(),
        ref=node.ref,
        decision=replace(decision(**env), pace=Pace(400.0, 60.0, "10%", lowered)),
        decided_on=node.facts(),
        now_s=node.clock(),
    )
    node.quiet()
    return outcome


def max_unavailable(node: AwsNode) -> Any:
    return node.raw()["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"]


def recorded(node: AwsNode) -> Record:
    text = node.record_text()
    assert text is not None
    return read_document(text)


def roll_out(node: AwsNode) -> None:
    """Let the rollout be complete, as far as the record goes."""
    record = recorded(node)
    last = replace(record.changes[-1], phase=ChangePhase.COMPLETE, completed_at_s=node.clock())
    node.write_record_text(write_document(replace(record, changes=(*record.changes[:-1], last))))


def test_it_is_lowered_in_the_one_apply_and_recorded(aws_node: AwsNode) -> None:
    generation = aws_node.generation
    assert change(aws_node, 2, **{W: "5"}).kind is OutcomeKind.WRITTEN
    assert aws_node.generation == generation + 1
    assert max_unavailable(aws_node) == 2
    assert recorded(aws_node).max_unavailable == "10%"


def test_it_is_left_alone_where_it_may_not_be_lowered(aws_node: AwsNode) -> None:
    change(aws_node, None, **{W: "5"})
    assert max_unavailable(aws_node) == "10%"
    assert recorded(aws_node).max_unavailable is None


def test_it_stays_lowered_while_the_rollout_goes_on(aws_node: AwsNode) -> None:
    change(aws_node, 2, **{W: "5"})
    aws_node.actor().put_back_pace(aws_node.ref)
    assert max_unavailable(aws_node) == 2


def test_a_second_change_meanwhile_keeps_what_was_recorded_first(aws_node: AwsNode) -> None:
    change(aws_node, 2, **{W: "5"})
    change(aws_node, None, **{W: "6"})
    assert max_unavailable(aws_node) == 2
    change(aws_node, 1, **{W: "7"})
    assert max_unavailable(aws_node) == 1
    assert recorded(aws_node).max_unavailable == "10%"


def test_after_the_rollout_it_is_as_it_was_and_not_ours(aws_node: AwsNode) -> None:
    change(aws_node, 2, **{W: "5"})
    roll_out(aws_node)
    template = aws_node.raw()["spec"]["template"]
    aws_node.actor().put_back_pace(aws_node.ref)
    aws_node.quiet()
    assert max_unavailable(aws_node) == "10%"
    assert not aws_node.live().holds_max_unavailable
    assert aws_node.ours() == {W}
    assert aws_node.raw()["spec"]["template"] == template
    assert recorded(aws_node).max_unavailable is None
    version = aws_node.facts().resource_version
    aws_node.actor().put_back_pace(aws_node.ref)
    assert aws_node.facts().resource_version == version


def test_a_later_change_leaves_it_as_it_was(aws_node: AwsNode) -> None:
    change(aws_node, 2, **{W: "5"})
    roll_out(aws_node)
    aws_node.actor().put_back_pace(aws_node.ref)
    aws_node.quiet()
    change(aws_node, None, **{W: "6", M: "9"})
    assert max_unavailable(aws_node) == "10%"


def test_a_death_before_it_is_let_go_of_is_made_good(aws_node: AwsNode) -> None:
    change(aws_node, 2, **{W: "5"})
    roll_out(aws_node)
    text = aws_node.record_text()
    assert text is not None
    aws_node.actor().put_back_pace(aws_node.ref)
    aws_node.quiet()
    aws_node.write_record_text(text)  # as if the last write had not come
    aws_node.actor().put_back_pace(aws_node.ref)
    aws_node.quiet()
    assert max_unavailable(aws_node) == "10%"
    assert recorded(aws_node).max_unavailable is None


def test_somebody_elses_value_stays(aws_node: AwsNode) -> None:
    change(aws_node, 2, **{W: "5"})
    aws_node.merge({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "33%"}}}})
    aws_node.quiet()
    roll_out(aws_node)
    aws_node.actor().put_back_pace(aws_node.ref)
    assert max_unavailable(aws_node) == "33%"
    assert recorded(aws_node).max_unavailable is None


@pytest.mark.parametrize("end", ["restore", "retain"])
def test_the_end_of_the_policy_puts_it_back_in_the_middle_of_a_rollout(
    aws_node: AwsNode, end: str
) -> None:
    change(aws_node, 2, **{W: "5"})
    generation = aws_node.generation
    outcome = getattr(aws_node.actor(), end)(aws_node.ref)
    assert outcome.settled
    aws_node.quiet()
    assert max_unavailable(aws_node) == "10%"
    assert aws_node.our_fields() == {}
    assert aws_node.record_text() is None
    assert aws_node.generation == generation + 1
    assert (W in aws_node.env()) is (end == "retain")
