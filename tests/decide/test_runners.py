"""The next best settings come with the reason why they are not the best."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.decide.objective import Case, Objective, Pick, Scores
from ippolicy.decide.runners import (
    ALIKE,
    DEAR,
    FARTHER,
    HOLDS_MORE,
    LATE,
    LATE_GROUP,
    MORE_CALLS,
    MOST,
    TOO_LEAN,
    UNSURE,
    Rivals,
)

OBJECTIVE = Objective(delayed_share=0.01, calls_per_minute=10.0)
COLUMNS = ("held", "late", "calls", "served", "sure", "allowed")
CHOSEN = (100.0, 0.0, 1.0, True, 1.0, True)


def rivals(*settings: tuple[float, float, float, bool, float, bool], met: bool = True) -> Rivals:
    """Settings by `COLUMNS`, of which the first is the choice. `served` says that every group is;
    a setting is within the limits in the first resamples, up to a share of `sure`."""
    held, late, calls, served, sure, allowed = (
        np.array(column) for column in zip(*settings, strict=True)
    )
    count = len(held)
    scores = Scores(
        held=held[None],
        assigned=held[None] - 1.0,
        enis=np.ones((1, count)),
        starts=np.ones((1, count)),
        delayed=late[None],
        calls_per_minute=calls[None],
        nodes=1,
    )
    kept = (late <= OBJECTIVE.delayed_share) & (calls <= OBJECTIVE.calls_per_minute) & served
    draws = np.arange(100)[:, None] < 100 * sure
    case = Case(
        held=held,
        # Each is worse than any other in one of these, so that none is as sure as another.
        idle=np.arange(count, dtype=float),
        late=-np.arange(count, dtype=float),
        within=np.vstack([kept, draws]),
        calls=calls,
        few_calls=0.5,
        excess=np.maximum(*scores.excess(OBJECTIVE)),
    )
    return Rivals(
        case=case,
        picked=Pick(0, 0, 0, met=met, sure=float(case.sure[0])),
        scores=(scores,),
        objective=OBJECTIVE,
        writable=np.ones(count, dtype=bool),
        allowed=allowed.astype(bool),
    )


def test_each_reason_is_named() -> None:
    found = rivals(
        CHOSEN,
        (90.0, 0.02, 1.0, True, 1.0, True),
        (90.0, 0.0, 20.0, True, 1.0, True),
        (90.0, 0.0, 1.0, False, 1.0, True),
        (90.0, 0.0, 1.0, True, 1.0, False),
        (90.0, 0.0, 1.0, True, 0.4, True),
        (110.0, 0.0, 1.0, True, 1.0, True),
        (100.1, 0.0, 2.0, True, 1.0, True),
        (100.1, 0.0, 1.2, True, 1.0, True),
    )
    assert [found.why(number) for number in range(1, 9)] == [
        LATE,
        DEAR,
        LATE_GROUP,
        TOO_LEAN,
        UNSURE,
        HOLDS_MORE,
        MORE_CALLS,
        ALIKE,
    ]


def test_where_no_setting_keeps_the_limits_the_others_are_farther_away() -> None:
    found = rivals(
        (100.0, 0.0, 1.0, False, 0.0, True), (90.0, 0.0, 1.0, True, 0.0, True), met=False
    )
    assert found.why(1) == FARTHER


def test_the_two_leaner_ones_nearest_to_being_allowed_come_first() -> None:
    found = rivals(
        CHOSEN,
        (60.0, 0.05, 1.0, True, 0.0, True),
        (70.0, 0.03, 1.0, True, 0.0, True),
        (80.0, 0.02, 1.0, True, 0.0, True),
        (70.3, 0.031, 1.0, True, 0.0, True),  # nearly what another holds
        (120.0, 0.0, 1.0, True, 1.0, True),
        (110.0, 0.0, 1.0, True, 1.0, True),
        (99.9, 0.0, 1.0, True, 1.0, True),  # nearly what the choice holds
        (130.0, 0.0, 1.0, True, 1.0, True),
        (140.0, 0.0, 1.0, True, 1.0, True),
    )
    assert found.numbers() == [3, 2, 6, 5, 8]


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1_000),
            st.floats(0, 1),
            st.floats(0, 100),
            st.booleans(),
            st.floats(0, 1),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_there_are_few_of_them_and_the_choice_is_none(
    others: list[tuple[float, float, float, bool, float, bool]],
) -> None:
    found = rivals(CHOSEN, *others)
    numbers = found.numbers()
    assert len(numbers) <= MOST
    assert len(set(numbers) | {0}) == len(numbers) + 1
    assert all(found.why(number) for number in numbers)
