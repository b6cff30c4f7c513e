"""Which restarts repay: how long a node still lives, and what it saves until then."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.decide.births.gains import (
    CALL_ADDRESS_S,
    MOST_REMAINING_S,
    gain_address_s,
    remaining_life_s,
)

HOUR_S, DAY_S = 3_600.0, 86_400.0
AGES = st.lists(st.floats(min_value=-60.0, max_value=1e9), max_size=40)


def gain(
    *,
    held: float = 20.0,
    then: float = 10.0,
    remaining_s: float = DAY_S,
    calls: int = 8,
    min_saving: float = 0.05,
) -> float:
    return gain_address_s(
        held=held,
        held_then=then,
        remaining_s=remaining_s,
        restart_calls=calls,
        min_saving=min_saving,
    )


# -- how long a node still lives ----------------------------------------------------------------


def test_a_group_without_nodes_has_no_life_left() -> None:
    assert remaining_life_s([]) == 0.0


def test_a_single_node_is_expected_to_live_as_long_again() -> None:
    assert remaining_life_s([3 * HOUR_S]) == 3 * HOUR_S


@pytest.mark.parametrize("mean_s", [HOUR_S, 5 * DAY_S])
def test_of_memoryless_lives_the_mean_is_found(mean_s: float) -> None:
    # The quantiles of that distribution stand for a large group.
    ages = [-mean_s * math.log(1 - (number + 0.5) / 1_000) for number in range(1_000)]
    assert remaining_life_s(ages) == pytest.approx(mean_s, rel=0.01)


def test_a_few_nodes_that_never_go_say_nothing_about_the_others() -> None:
    short_lived = [HOUR_S] * 9
    assert remaining_life_s([*short_lived, 200 * DAY_S]) < 1.5 * HOUR_S


def test_a_node_of_years_is_not_believed_to_live_for_years() -> None:
    assert remaining_life_s([1_000 * DAY_S] * 3) == MOST_REMAINING_S


def test_a_clock_that_is_behind_makes_no_negative_life() -> None:
    assert remaining_life_s([-30.0]) == 0.0


@given(ages=AGES)
def test_it_is_never_negative_nor_beyond_the_oldest(ages: list[float]) -> None:
    oldest = max((max(0.0, age_s) for age_s in ages), default=0.0)
    found = remaining_life_s(ages)
    assert 0.0 <= found <= MOST_REMAINING_S
    assert found <= oldest / math.log(2)


# -- what a restart repays ----------------------------------------------------------------------


def test_a_node_that_stays_repays_a_day_of_what_it_saves_without_the_calls() -> None:
    saved = 10.0 * DAY_S - 8 * CALL_ADDRESS_S
    assert gain() == saved
    assert gain(remaining_s=7 * DAY_S) == saved


def test_a_node_that_is_about_to_go_repays_nothing() -> None:
    assert gain(remaining_s=HOUR_S) == 0.0
    assert gain(remaining_s=0.0) == 0.0


def test_half_a_day_repays_half_as_much_before_the_calls() -> None:
    assert gain(remaining_s=DAY_S / 2, calls=0) == gain(calls=0) / 2


@pytest.mark.parametrize(("then", "repays"), [(18.9, True), (19.1, False)])
def test_a_saving_below_the_least_share_of_a_day_is_none(then: float, repays: bool) -> None:
    assert (gain(then=then, calls=0) > 0) is repays


def test_calls_that_weigh_more_than_what_is_saved_are_not_repaid() -> None:
    # Two addresses for a day are 48 address-hours.
    assert gain(then=18.0, calls=47, min_saving=0.0) == pytest.approx(CALL_ADDRESS_S)
    assert gain(then=18.0, calls=48, min_saving=0.0) == 0.0


@pytest.mark.parametrize("then", [20.0, 30.0])
def test_targets_that_hold_as_much_or_more_repay_nothing(then: float) -> None:
    assert gain(then=then, calls=0, min_saving=0.0) == 0.0


@given(
    held=st.floats(0, 250),
    then=st.floats(0, 250),
    remaining_s=st.floats(-60, 1e7),
    calls=st.integers(0, 60),
    min_saving=st.floats(0, 1),
)
def test_more_life_and_fewer_calls_never_repay_less(
    held: float, then: float, remaining_s: float, calls: int, min_saving: float
) -> None:
    found = gain(held=held, then=then, remaining_s=remaining_s, calls=calls, min_saving=min_saving)
    longer = gain(
        held=held, then=then, remaining_s=remaining_s + HOUR_S, calls=calls, min_saving=min_saving
    )
    dearer = gain(
        held=held, then=then, remaining_s=remaining_s, calls=calls + 1, min_saving=min_saving
    )
    assert 0.0 <= dearer <= found
    if held > then:
        assert found <= longer
