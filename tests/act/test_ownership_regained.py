"""What was changed by hand is set again, counted, and put back to what it was at first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aws_node import AwsNode, decision, policy
from ippolicy.act import Outcome, OutcomeKind
from ippolicy.act.document import read_document
from ippolicy.act.history import IN_DOUBT_S
from ippolicy.facts import ChangeKind, Record

W, E = "WARM_IP_TARGET", "WARM_ENI_TARGET"
US = {"ippolicy-operator"}


def set_again(node: AwsNode, **env: str) -> Outcome:
    """Carry out a decision to set these values again."""
    node.clock.now_s += IN_DOUBT_S
    outcome = node.actor().carry_out(
        policy=policy(),
        ref=node.ref,
        decision=replace(decision(**env), kind=ChangeKind.REAPPLY),
        decided_on=node.facts(),
        now_s=node.clock(),
    )
    node.quiet()
    return outcome


def recorded(node: AwsNode) -> Record:
    text = node.record_text()
    assert text is not None
    return read_document(text)


@pytest.fixture
def drifted(aws_node: AwsNode) -> AwsNode:
    """aws-node after we set WARM_IP_TARGET, and `kubectl set env` changed it."""
    aws_node.carry_out({W: "5"})
    aws_node.kubectl_set({W: "9"})
    assert aws_node.owners(W) == {"kubectl-set"}
    return aws_node


def test_it_is_ours_again_and_counted(drifted: AwsNode) -> None:
    outcome = set_again(drifted, **{W: "5"})
    assert outcome.kind is OutcomeKind.WRITTEN
    assert drifted.env()[W] == "5"
    assert drifted.owners(W) == US
    record = recorded(drifted)
    assert record.reapplied_at_s == (drifted.clock(),)
    assert record.originals == {W: None}


def test_its_original_is_put_back_and_not_what_was_set_by_hand(drifted: AwsNode) -> None:
    set_again(drifted, **{W: "5"})
    drifted.clock.now_s += IN_DOUBT_S
    assert drifted.actor().restore(drifted.ref).settled
    drifted.quiet()
    assert W not in drifted.env()
    assert drifted.our_fields() == {}


def test_an_entry_that_was_removed_comes_back(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "5"})
    aws_node.kubectl_set({W: None})
    assert set_again(aws_node, **{W: "5"}).kind is OutcomeKind.WRITTEN
    assert aws_node.owners(W) == US
    assert recorded(aws_node).originals == {W: None}


def test_an_owner_that_came_back_is_not_overwritten(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "5"})
    aws_node.apply_as("argocd-controller", {W: "9"}, force=True)
    outcome = set_again(aws_node, **{W: "5"})
    assert outcome.kind is OutcomeKind.CONFLICT
    assert outcome.owners == {W: "argocd-controller"}
    assert aws_node.env()[W] == "9"
    assert recorded(aws_node).reapplied_at_s == ()


def test_what_never_was_ours_is_not_taken(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "5"})
    aws_node.kubectl_set({E: "3"})
    outcome = set_again(aws_node, **{E: "0"})
    assert outcome.kind is OutcomeKind.CONFLICT
    assert aws_node.env()[E] == "3"


def test_times_are_forgotten_after_an_hour(drifted: AwsNode) -> None:
    set_again(drifted, **{W: "5"})
    drifted.clock.now_s += 3_600.0
    drifted.kubectl_set({W: "9"})
    set_again(drifted, **{W: "5"})
    assert recorded(drifted).reapplied_at_s == (drifted.clock(),)
