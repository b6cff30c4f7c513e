"""How EC2 does sets the latency of the replay and the budget of calls, in steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.decide.ec2 import LEAST_BUDGET, STEPS_S, budget_share, latency_of
from ippolicy.facts import ApiFacts
from ippolicy.ipamd.cloud import Latency

ASSIGN, CREATE = "AssignPrivateIpAddresses", "CreateNetworkInterface"
ATTACH, WAIT = "AttachNetworkInterface", "waitForENIAndIPsAttached"


def took(seconds: float | None, calls: int = 20) -> ApiFacts:
    return ApiFacts(calls=calls, overloaded=0, mean_s=seconds)


def test_what_was_not_measured_keeps_the_defaults_of_the_model() -> None:
    assert latency_of({}) == Latency()
    assert latency_of({ASSIGN: took(None), ATTACH: took(1.0)}) == Latency()


def test_each_latency_is_the_mean_of_its_calls_at_the_nearest_step() -> None:
    measured = latency_of(
        {
            ASSIGN: took(1.1),
            CREATE: took(2.6),
            ATTACH: took(0.9),
            WAIT: took(4.0, calls=0),
            "GetMetadata": took(0.0001, calls=0),
            "DescribeSubnets": took(0.1, calls=30),
            "UnassignPrivateIpAddresses": took(0.9, calls=10),
        }
    )
    assert measured == Latency(assign_s=1.0, create_s=3.0, attach_s=5.0, other_s=0.2)


@given(st.floats(0, 1e6))
def test_latency_stays_within_sane_limits(seconds: float) -> None:
    assert latency_of({ASSIGN: took(seconds)}).assign_s in STEPS_S


@pytest.mark.parametrize("mean_s", [1.05, 1.1, 0.95])
def test_a_small_difference_asks_nothing_new_of_the_search(mean_s: float) -> None:
    assert latency_of({ASSIGN: took(mean_s)}) == latency_of({ASSIGN: took(1.0)})


@pytest.mark.parametrize(
    ("overloaded", "share"), [(0, 1.0), (1, 0.9), (5, 0.65), (20, 0.25), (100, LEAST_BUDGET)]
)
def test_the_budget_shrinks_with_the_tries_that_ec2_refused(overloaded: int, share: float) -> None:
    facts = {ASSIGN: ApiFacts(100, overloaded, 1.0), "DescribeSubnets": ApiFacts(900, 900, None)}
    assert budget_share(facts) == pytest.approx(share)


@given(calls=st.integers(0, 10_000), overloaded=st.integers(0, 10_000))
def test_some_of_the_budget_is_always_left(calls: int, overloaded: int) -> None:
    share = budget_share({ASSIGN: ApiFacts(calls, overloaded, None)})
    assert LEAST_BUDGET <= share <= 1.0
    assert (share == 1.0) is (min(calls, overloaded) == 0)
