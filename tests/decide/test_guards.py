"""Guards: they trip on harm, not on chance, and not on what was there before."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, change, policy, rollout
from ippolicy.decide.guards import (
    LEAST_LATE,
    ODDS,
    SHORT_S,
    Trip,
    Watched,
    guarded,
    missing,
    tail,
    trip,
)
from ippolicy.decide.measure import Counts
from ippolicy.decide.types import Reason
from ippolicy.facts import ChangeKind, ChangePhase, Forecast, RolloutFacts

QUIET = Counts(watched_s=3_600, node_s=36_000, starts=200, calls=100)
SINCE = replace(QUIET, watched_s=600, node_s=6_000, starts=40, calls=60)
MADE = change(phase=ChangePhase.ROLLING, completed_at_s=None)


def tripped(
    before: Counts = QUIET,
    since: Counts = SINCE,
    pods: RolloutFacts | None = None,
    made: Any = MADE,
    **watched: Any,
) -> str | None:
    found = trip(policy(), made, pods or rollout(), Watched(before, since, **watched))
    return found.guard if found else None


def late(count: int, of: int, *, incidents: int = 3) -> Counts:
    return replace(SINCE, late=count, starts=of, incidents=incidents)


def test_a_change_without_harm_trips_nothing() -> None:
    assert tripped() is None
    assert tripped(Counts(), Counts()) is None


def test_late_starts_above_the_limit_and_clearly_more_than_before_trip() -> None:
    found = trip(policy(), MADE, rollout(), Watched(QUIET, late(12, 40)))
    assert found == Trip(
        "DelayedStarts",
        "12 of 40 starts waited for EC2 (30.0%), the limit is 0.50%, before the change it was "
        "0.00%",
    )


@pytest.mark.parametrize(
    ("since", "why"),
    [
        (late(LEAST_LATE - 1, LEAST_LATE - 1), "too few to tell"),
        (late(20, 20, incidents=1), "one burst on one node"),
        (late(6, 1_000), "within the limit, give or take chance"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_may_be_chance_does_not_trip(since: Counts, why: str) -> None:
    assert tripped(since=since) is None, why


def test_late_starts_as_often_as_before_do_not_trip() -> None:
    assert tripped(before=replace(QUIET, late=60), since=late(12, 40)) is None


def test_without_a_before_the_model_says_what_was_usual() -> None:
    unwatched = Counts()
    assert tripped(unwatched, late(12, 40)) == "DelayedStarts"
    usual = replace(MADE, present=Forecast(90.0, 90.0, 90.0, delayed_share=0.3))
    assert tripped(unwatched, late(12, 40), made=usual) is None
    assert tripped(unwatched, late(40, 40), made=usual) == "DelayedStarts"


def test_the_brake_trades_late_starts_for_addresses() -> None:
    braked = replace(MADE, reason=Reason.SUBNET_PRESSURE.value)
    assert tripped(since=replace(late(12, 40), failed_adds=500), made=braked) is None
    assert tripped(since=replace(SINCE, errors=60), made=braked) == "EC2Errors"


def test_tries_without_an_address_far_more_often_than_before_trip() -> None:
    since = replace(SINCE, failed_adds=120, late=2, incidents=2)
    assert tripped(since=since) == "NoAddresses"
    assert tripped(before=replace(QUIET, failed_adds=600), since=since) is None
    assert tripped(before=Counts(), since=since) is None, "there is nothing to compare with"


def test_refused_calls_far_more_often_than_before_trip() -> None:
    assert tripped(since=replace(SINCE, errors=40)) == "EC2Errors"
    assert tripped(before=replace(QUIET, errors=90), since=replace(SINCE, errors=40)) is None


def test_refused_calls_that_grow_as_the_calls_do_are_no_worse() -> None:
    before = replace(QUIET, calls=100, errors=10)
    assert tripped(before, replace(SINCE, calls=600, errors=60)) is None


def test_pods_beyond_max_unavailable_that_stay_away_trip() -> None:
    down = rollout(available=7)
    assert missing(down) == 1
    assert tripped(pods=down, short_s=SHORT_S - 1) is None
    assert tripped(pods=down, short_s=SHORT_S) == "PodsNotReady"
    assert tripped(pods=rollout(available=8), short_s=9e9) is None


@pytest.mark.parametrize(
    ("text", "count"), [("10%", 1), ("1", 1), ("4", 4), ("100%", 10), ("odd", 1)]
)
def test_max_unavailable_is_read_as_kubernetes_does(text: str, count: int) -> None:
    assert missing(rollout(available=0, max_unavailable=text)) == max(0, 10 - count - 1)


def test_a_stuck_rollout_trips_with_its_own_words() -> None:
    found = trip(policy(), MADE, rollout(), Watched(QUIET, SINCE, stuck="no progress for 600 s"))
    assert found == Trip("RolloutStuck", "no progress for 600 s")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"phase": ChangePhase.ROLLING, "completed_at_s": None}, True),
        ({"completed_at_s": NOW_S - 900}, True),
        ({"completed_at_s": NOW_S - 901}, False),
        ({"completed_at_s": NOW_S + 3_600}, True),
        ({"phase": ChangePhase.INTENDED, "completed_at_s": None}, False),
        ({"phase": ChangePhase.SUPERSEDED, "completed_at_s": NOW_S}, False),
        ({"phase": ChangePhase.ROLLING, "kind": ChangeKind.ROLLBACK}, False),
        ({"phase": ChangePhase.ROLLING, "kind": ChangeKind.REAPPLY}, False),
    ],
)
def test_guards_watch_while_it_rolls_and_for_a_while_after(
    fields: dict[str, Any], expected: bool
) -> None:
    assert guarded(policy(), change(**fields), NOW_S) is expected
    off = policy({"change": {"rollback": {"within": "0s"}}})
    assert not guarded(off, change(**fields), NOW_S)


def test_nothing_to_guard_without_a_change() -> None:
    assert not guarded(policy(), None, NOW_S)


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.001, 0.999))
def test_the_tail_is_that_of_the_binomial_where_it_matters(
    events: int, more: int, share: float
) -> None:
    trials = events + more
    exact = sum(
        math.comb(trials, k) * share**k * (1 - share) ** (trials - k)
        for k in range(events, trials + 1)
    )
    found = tail(events, trials, share)
    if events > share * trials:
        assert found == pytest.approx(exact, rel=1e-6, abs=1e-12)
    else:
        assert found == 1.0
        assert exact > ODDS


@given(
    st.builds(
        Counts,
        watched_s=st.floats(300, 4_000),
        node_s=st.floats(300, 1e6),
        starts=st.integers(500, 10_000),
        late=st.integers(0, 500),
        incidents=st.integers(0, 500),
        failed_adds=st.integers(0, 5_000),
        calls=st.integers(0, 5_000),
        errors=st.integers(0, 5_000),
    )
)
def test_what_is_no_worse_than_before_never_trips(counts: Counts) -> None:
    assert tripped(before=counts, since=counts) is None
