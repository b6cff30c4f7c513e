"""A method that changes nothing on the DaemonSet has the former writer's originals put back."""

from __future__ import annotations

from dataclasses import replace

from aws_node import CNI_ENV, AwsNode
from ippolicy.act import OutcomeKind
from ippolicy.facts import Change, ChangePhase, Record

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


def test_a_record_of_groups_alone_is_made_when_asked_for_and_ends_without_a_write(
    aws_node: AwsNode,
) -> None:
    facts, actor = aws_node.facts(), aws_node.actor()
    first = Record(facts.uid, "uid-default", originals={}, changes=())
    assert actor.note(aws_node.ref, lambda record: record) is None
    assert actor.note(aws_node.ref, lambda record: record, first=first) is None
    assert actor.follow(aws_node.ref, facts) is None, "nothing to be kept"

    change = Change("web-1-0", "default", ChangePhase.ROLLING, {}, {W: "2"}, "", 0.0, group="web")
    kept = actor.note(
        aws_node.ref, lambda record: replace(record, group_changes=(change,)), first=first
    )
    assert kept is not None
    assert actor.follow(aws_node.ref, facts) == kept
    before = aws_node.facts()
    assert actor.hand_over(aws_node.ref, "").kind is OutcomeKind.NOTHING
    assert actor.restore(aws_node.ref).settled
    assert actor.follow(aws_node.ref, facts) is None
    after = aws_node.facts()
    assert (after.generation, after.hands) == (before.generation, before.hands)
