"""Nothing is started while anything rolls: this DaemonSet, another policy's, or the nodes."""

from __future__ import annotations

import pytest

from builders import change, daemon_set, node, record, rollout
from ippolicy.decide.gates import elsewhere_gate, nodes_gate, rollout_gate
from ippolicy.decide.types import Reason
from ippolicy.facts import ChangePhase, NodeFacts


def nodes(count: int, *, not_ready: int = 0, cordoned: int = 0) -> list[NodeFacts]:
    return [
        node(n, ready=n >= not_ready, unschedulable=n >= count - cordoned) for n in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "not_ready", "cordoned", "stopped"),
    [
        (10, 0, 0, False),
        (10, 1, 0, False),
        (1, 1, 0, False),  # one node is no roll
        (10, 1, 1, True),
        (20, 2, 0, False),  # a tenth is not more than a tenth
        (20, 3, 0, True),
        (20, 0, 3, True),
        (1_000, 100, 0, False),
        (1_000, 60, 41, True),
    ],
)
def test_nodes_roll_when_more_than_a_tenth_and_two_are_away(
    count: int, not_ready: int, cordoned: int, *, stopped: bool
) -> None:
    stop = nodes_gate(nodes(count, not_ready=not_ready, cordoned=cordoned))
    assert (stop is not None) is stopped


def test_the_first_nodes_that_are_away_are_named() -> None:
    stop = nodes_gate(nodes(10, not_ready=7))
    assert stop is not None
    assert stop.reason is Reason.NODES_ROLLING
    assert stop.message == (
        "7 of 10 nodes are not Ready or cordoned "
        "(node-0, node-1, node-2, node-3, node-4 and 2 more), at most 10% may be"
    )


def test_another_policy_that_rolls_is_told_as_it_was_seen() -> None:
    stop = elsewhere_gate("DaemonSet a/b of policy other is rolling out")
    assert stop is not None
    assert stop.reason is Reason.OTHER_ROLLOUT
    assert stop.message == "DaemonSet a/b of policy other is rolling out"
    assert elsewhere_gate("") is None


def test_a_change_that_the_user_restarts_for_says_so() -> None:
    mine = daemon_set(rollout=rollout(updated=3, strategy="OnDelete"))
    for past in (record(change(phase=ChangePhase.ROLLING)), None):
        stop = rollout_gate(mine, past)
        assert stop is not None
        assert stop.reason is Reason.ROLLOUT_IN_PROGRESS
        assert stop.message.endswith("(updateStrategy OnDelete: restart its pods yourself)")
