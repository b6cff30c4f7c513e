"""Down the ladder at once, back only after a steady while, and each step with its causes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, snapshot
from ippolicy.decide.gates import Limits, climb, ladder_gate
from ippolicy.decide.trust import Cause, Ladder, Step
from ippolicy.decide.types import Reason
from ippolicy.facts import ApiFacts, Coverage, Signals, Snapshot, SourceName, SourceState

LIMITS = Limits()
STEADY_S = LIMITS.facts_max_age_s
LOADED = Signals(ec2={"AssignPrivateIpAddresses": ApiFacts(100, 5, 0.5)})


def with_source(name: SourceName, age_s: float | None, error: str | None = None) -> Snapshot:
    facts = snapshot()
    state = SourceState(None if age_s is None else NOW_S - age_s, error)
    return replace(facts, sources={**facts.sources, name: state})


def covered(read: int) -> Snapshot:
    return snapshot(coverage=Coverage(listed=100, read=read, stale=100 - read))


@pytest.mark.parametrize(
    ("facts", "signals", "step", "cause"),
    [
        (snapshot(), Signals(), Step.NORMAL, None),
        (snapshot(), LOADED, Step.GROW_ONLY, Cause.EC2_LOAD),
        (with_source(SourceName.EC2_SUBNETS, 901), Signals(), Step.GROW_ONLY, Cause.SUBNETS_STALE),
        (with_source(SourceName.EC2_SUBNETS, 900), Signals(), Step.NORMAL, None),
        # Never read at all: no rights to, and no fault.
        (with_source(SourceName.EC2_SUBNETS, None), Signals(), Step.NORMAL, None),
        (covered(80), Signals(), Step.NORMAL, None),
        (covered(79), Signals(), Step.GROW_ONLY, Cause.COVERAGE_LOW),
        (covered(40), Signals(), Step.GROW_ONLY, Cause.COVERAGE_LOW),
        (covered(39), Signals(), Step.FROZEN, Cause.COVERAGE_NONE),
        (with_source(SourceName.PODS, 181), Signals(), Step.FROZEN, Cause.FACTS_STALE),
        (with_source(SourceName.METRICS, None), Signals(), Step.FROZEN, Cause.FACTS_STALE),
        (with_source(SourceName.NODES, 61, "503"), Signals(), Step.FROZEN, Cause.API_ERRORS),
        (with_source(SourceName.NODES, 60, "503"), Signals(), Step.NORMAL, None),
        (with_source(SourceName.NODES, 61), Signals(), Step.NORMAL, None),
    ],
)
def test_each_cause_calls_for_its_step(
    facts: Snapshot, signals: Signals, step: Step, cause: Cause | None
) -> None:
    ladder = climb(None, facts, signals, LIMITS)
    assert ladder.step is step
    assert [trouble.cause for trouble in ladder.troubles] == ([cause] if cause else [])
    assert len(ladder.causes) == (cause is not None)


def test_pods_that_are_new_do_not_count_as_unread() -> None:
    new = snapshot(coverage=Coverage(listed=100, read=10, stale=0))
    assert climb(None, new, Signals(), LIMITS).step is Step.NORMAL


def at(facts: Snapshot, now_s: float) -> Snapshot:
    """The same facts, all of them as old, at another moment."""
    later_s = now_s - facts.taken_at_s
    sources = {
        name: replace(state, succeeded_at_s=(state.succeeded_at_s or 0.0) + later_s)
        for name, state in facts.sources.items()
    }
    return replace(facts, taken_at_s=now_s, sources=sources)


def climbed(*seen: tuple[float, Snapshot]) -> Ladder:
    ladder: Ladder | None = None
    for at_s, facts in seen:
        ladder = climb(ladder, at(facts, NOW_S + at_s), Signals(), LIMITS)
    assert ladder is not None
    return ladder


def test_it_goes_down_at_once_and_back_after_a_steady_while() -> None:
    well, bad = (0.0, snapshot()), (15.0, covered(50))
    assert climbed(well, bad).step is Step.GROW_ONLY
    assert climbed(well, bad, (15.0 + STEADY_S - 1, snapshot())).step is Step.GROW_ONLY
    assert climbed(well, bad, (15.0 + STEADY_S, snapshot())).step is Step.NORMAL


def test_it_stands_on_the_worst_step_of_the_last_while() -> None:
    frozen = climbed((0.0, snapshot()), (15.0, covered(10)), (60.0, covered(50)))
    assert frozen.step is Step.FROZEN
    assert frozen.causes == ("90 of 100 aws-node pods cannot be read",)
    later = climbed(
        (0.0, snapshot()), (15.0, covered(10)), (60.0, covered(50)), (200.0, snapshot())
    )
    assert later.step is Step.GROW_ONLY


def test_a_start_is_not_held_up_by_what_was_not_read_yet() -> None:
    unread = with_source(SourceName.METRICS, None)
    ladder = climb(None, unread, Signals(), LIMITS)
    assert ladder.step is Step.FROZEN
    assert climb(ladder, snapshot(), Signals(), LIMITS).step is Step.NORMAL


def test_pods_that_are_not_read_at_first_are_no_sign_that_all_was_well() -> None:
    unread = snapshot(coverage=Coverage(listed=10, read=3, stale=0))
    first = climb(None, unread, Signals(), LIMITS)
    assert (first.step, first.well_once) == (Step.NORMAL, False)
    failing = climb(first, covered(30), Signals(), LIMITS)
    assert failing.step is Step.FROZEN
    assert climb(failing, snapshot(), Signals(), LIMITS).step is Step.NORMAL


def test_a_clock_that_is_put_back_freezes_nothing_for_longer() -> None:
    ladder = climbed((0.0, snapshot()), (3_600.0, covered(10)))
    back = climb(ladder, at(snapshot(), NOW_S), Signals(), LIMITS)
    assert back.step is Step.FROZEN
    over = climb(back, at(snapshot(), NOW_S + STEADY_S), Signals(), LIMITS)
    assert over.step is Step.NORMAL


@given(
    st.lists(
        st.tuples(st.floats(1, 120), st.sampled_from([100, 100, 100, 60, 20])),
        min_size=1,
        max_size=30,
    )
)
def test_the_step_is_the_worst_that_was_called_for_in_the_last_while(
    looks: list[tuple[float, int]],
) -> None:
    ladder, now_s, called = climb(None, snapshot(), Signals(), LIMITS), NOW_S, [(NOW_S, 0)]
    for after_s, read in looks:
        now_s += after_s
        called.append((now_s, {100: 0, 60: 1, 20: 2}[read]))
        ladder = climb(ladder, at(covered(read), now_s), Signals(), LIMITS)
        assert ladder.step == max(step for at_s, step in called if at_s > now_s - STEADY_S)
        assert bool(ladder.causes) is (ladder.step > 0)


@pytest.mark.parametrize(
    ("facts", "signals", "change", "reason"),
    [
        (snapshot(), Signals(), {}, None),
        (covered(50), Signals(), {}, Reason.GROW_ONLY),
        (covered(50), Signals(), {"growing": True}, None),
        (covered(50), Signals(), {"braked": True}, Reason.GROW_ONLY),
        (snapshot(), LOADED, {"braked": True}, None),
        (snapshot(), LOADED, {}, Reason.GROW_ONLY),
        (covered(10), Signals(), {"growing": True}, Reason.FROZEN),
        (covered(10), LOADED, {"braked": True}, Reason.FROZEN),
    ],
)
def test_what_each_step_lets_through(
    facts: Snapshot, signals: Signals, change: dict[str, Any], reason: Reason | None
) -> None:
    ladder = climb(None, facts, signals, LIMITS)
    stop = ladder_gate(ladder, **{"growing": False, "braked": False, **change})
    assert (stop.reason if stop else None) is reason
    assert stop is None or ladder.causes[0] in stop.message


def test_sources_heard_of_on_a_clock_that_was_ahead_are_not_fresh() -> None:
    ladder = climb(None, with_source(SourceName.PODS, -3_600), Signals(), LIMITS)
    assert ladder.step is Step.FROZEN
