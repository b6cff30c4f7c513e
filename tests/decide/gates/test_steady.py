"""A shrink goes to the most generous recommendation of the last change.stabilization."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S
from ippolicy.api import Duration
from ippolicy.decide.gates import most_generous, noted, steady_gate
from ippolicy.decide.gates.steady import BINDING, GAP_S, MOST
from ippolicy.decide.types import (
    DayPlan,
    Evidence,
    Prediction,
    Reason,
    Recommendation,
    Recommendations,
)
from ippolicy.ipamd import WarmTargets

SPAN = Duration("30m")
IN_FORCE = 400


def holds(targets: WarmTargets) -> Prediction:
    """With the pods of these tests, targets hold as many addresses as their minimum."""
    return Prediction(held=targets.minimum_ip, warm=0, enis=1)


def advice(held: int, *, plan: DayPlan | None = None) -> Recommendation:
    targets = WarmTargets(warm_ip=1, minimum_ip=held)
    return Recommendation(
        targets=targets,
        lower=targets,
        upper=targets,
        uncapped=targets,
        binding="demand",
        present=Prediction(held=IN_FORCE, warm=0, enis=0),
        predicted=holds(targets),
        evidence=Evidence(7_200, 10, 0, sufficient=True, message=""),
        plan=plan,
    )


def known(*seen: tuple[float, int], since_s: float = -3_600.0) -> Recommendations:
    """What is known once (seconds from now, addresses held) were recommended one by one."""
    memory = Recommendations(NOW_S + since_s)
    for at_s, held in seen:
        # Nothing is missing in between: each stands until the next.
        memory = noted(replace(memory), advice(held), NOW_S + at_s, span_s=SPAN.seconds)
    return memory


def test_the_most_generous_of_the_window_is_what_a_shrink_goes_to() -> None:
    memory = known((-3_000, 390), (-1_500, 300), (-900, 200), (-400, 250), (0, 100))
    most = most_generous(memory, advice(100), holds)
    assert most.targets.minimum_ip == 300
    assert most.predicted.held == 300
    assert most.binding == BINDING
    assert steady_gate(memory, advice(100), most, SPAN) is None


def test_what_was_recommended_all_along_is_gone_to_as_it_is() -> None:
    memory = known((-1_800, 100), (-900, 100), (0, 100))
    assert most_generous(memory, advice(100), holds) == advice(100)


def test_nothing_shrinks_before_recommendations_are_known_for_as_long() -> None:
    memory = known((-1_799, 100), (-900, 100), (0, 100), since_s=-1_799)
    stop = steady_gate(memory, advice(100), advice(100), SPAN)
    assert stop is not None
    assert stop.reason is Reason.STABILIZING
    assert stop.message == (
        "fewer addresses are advised; recommendations are known for 1799 s of "
        "change.stabilization 30m"
    )


def test_nothing_shrinks_while_as_much_as_is_held_was_recommended_lately() -> None:
    memory = known((-2_500, 100), (-1_000, IN_FORCE + 50), (-500, 100), (0, 100))
    most = most_generous(memory, advice(100), holds)
    stop = steady_gate(memory, advice(100), most, SPAN)
    assert stop is not None
    assert stop.reason is Reason.STABILIZING
    assert "targets that hold 450 were within" in stop.message


def test_growth_does_not_wait() -> None:
    memory = known((0, 500), since_s=0.0)
    grown = advice(500)
    assert most_generous(memory, grown, holds) is grown
    assert steady_gate(memory, grown, grown, SPAN) is None


def test_a_schedule_of_the_day_does_not_wait() -> None:
    memory = known((-600, 390), (0, 100), since_s=-600)
    due = advice(100, plan=cast("DayPlan", SimpleNamespace()))
    assert most_generous(memory, due, holds) is due
    assert steady_gate(memory, due, due, SPAN) is None


def test_more_pods_make_lean_targets_more_generous_than_they_were() -> None:
    def more_pods(targets: WarmTargets) -> Prediction:
        return Prediction(held=600 - targets.minimum_ip, warm=0, enis=1)

    memory = known((-600, 390), (-300, 350), (0, 380))
    today = replace(advice(380), predicted=more_pods(advice(380).targets))
    most = most_generous(memory, today, more_pods)
    assert most.targets.minimum_ip == 350
    assert most.predicted.held == 250


@pytest.mark.parametrize("at_s", [-1.0, GAP_S * 4])
def test_after_a_gap_or_a_clock_that_jumps_it_starts_anew(at_s: float) -> None:
    memory = noted(known((-900, 390), (0, 100)), advice(100), NOW_S + at_s, span_s=SPAN.seconds)
    assert memory.since_s == NOW_S + at_s
    assert [one.targets.minimum_ip for one in memory.seen] == [100]


def test_passes_that_are_further_apart_than_the_stabilization_shrink_all_the_same() -> None:
    memory = Recommendations(NOW_S)
    for at_s in (0.0, 15.0):
        memory = noted(memory, advice(100), NOW_S + at_s, span_s=2.0)
    assert steady_gate(memory, advice(100), advice(100), Duration("2s")) is None


def test_what_is_kept_is_bounded_and_keeps_the_most_generous() -> None:
    memory = known(*((-MOST * 2 + n, 100 + n) for n in range(MOST * 2)))
    assert len(memory.seen) == MOST
    assert min(one.targets.minimum_ip for one in memory.seen) == 100 + MOST


@given(st.lists(st.tuples(st.floats(1, 599), st.integers(1, 399)), min_size=1, max_size=40))
def test_it_is_the_largest_of_all_that_were_recommended_in_the_window(
    steps: list[tuple[float, int]],
) -> None:
    now_s, made, memory = NOW_S, [], Recommendations(NOW_S)
    for after_s, held in steps:
        now_s += after_s
        made.append((now_s, held))
        memory = noted(memory, advice(held), now_s, span_s=SPAN.seconds)
        most = most_generous(memory, advice(held), holds)
        assert most.predicted.held == max(h for at_s, h in made if at_s >= now_s - SPAN.seconds)
        waits = steady_gate(memory, advice(held), most, SPAN) is not None
        assert waits is (now_s - NOW_S < SPAN.seconds)
