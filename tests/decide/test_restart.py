"""What a change costs by itself: calls, and time."""

from __future__ import annotations

import pytest

from builders import rollout
from ippolicy.decide.restart import STEP_S, change_calls, rollout_s


@pytest.mark.parametrize(
    ("enis", "then", "calls"),
    [
        (3, 3, 2 + 6 + 3),
        (3, 2, 2 + 6 + 2 + 3),
        (1, 2, 2 + 2 + 1 + 6),
    ],
)
def test_restarts_and_what_becomes_of_enis_take_calls(enis: int, then: int, calls: int) -> None:
    assert change_calls(nodes=1, enis=enis, enis_then=then) == calls


@pytest.mark.parametrize(
    ("desired", "max_unavailable", "steps"),
    [
        (10, "10%", 10),
        (11, "10%", 6),  # two at once: shares are rounded up
        (5_000, "10%", 10),
        (100, "1", 100),
        (100, "200", 1),
        (7, "0", 7),
        (7, "0%", 7),
        (7, "many", 7),
        (0, "10%", 0),
    ],
)
def test_a_rollout_takes_a_step_for_the_pods_that_are_down_at_once(
    desired: int, max_unavailable: str, steps: int
) -> None:
    facts = rollout(desired=desired, max_unavailable=max_unavailable)
    assert rollout_s(facts) == steps * STEP_S
