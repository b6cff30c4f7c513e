"""A method that changes nothing on the DaemonSet has the former writer's originals put back."""

from __future__ import annotations

from aws_node import CNI_ENV, AwsNode
from ippolicy.act import OutcomeKind

W = "WARM_IP_TARGET"


def test_originals_are_put_back_once_and_the_past_is_kept(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    outcome = aws_node.actor().hand_over(aws_node.ref, "spec.apply.method is Admission")
    assert outcome.kind is OutcomeKind.RESTORED
    assert "spec.apply.method is Admission" in outcome.message
    assert aws_node.env() == CNI_ENV
    record = aws_node.actor().follow(aws_node.ref, aws_node.facts())
    assert record is not None
    assert not record.originals
    assert record.changes
    again = aws_node.actor().hand_over(aws_node.ref, "")
    assert again.kind is OutcomeKind.NOTHING
    assert aws_node.actor().restore(aws_node.ref).settled
    assert aws_node.env() == CNI_ENV


def test_where_nothing_was_changed_nothing_is_put_back(aws_node: AwsNode) -> None:
    assert aws_node.actor().hand_over(aws_node.ref, "").kind is OutcomeKind.NOTHING
