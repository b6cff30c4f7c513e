"""A rollout whose restarts make too many EC2 calls is said, and paced where that is allowed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import daemon_set, policy, record, rollout
from ippolicy.decide.pacing import pace_of, paced
from ippolicy.decide.restart import STEP_S, change_calls, pods_at_once
from ippolicy.decide.types import Decision, Pace
from ippolicy.facts import EnvEntry
from views import a_decision, a_recommendation

LOWER = {"change": {"lowerMaxUnavailable": True}}


def decided(enis: int = 3_000, then: int = 2_000, **other: Any) -> Decision:
    """A change for so many ENIs of all nodes together."""
    fleet = a_recommendation(**other)
    return a_decision(
        fleet=replace(
            fleet,
            present=replace(fleet.present, enis=enis),
            predicted=replace(fleet.predicted, enis=then),
        )
    )


def pace(
    nodes: int = 1_000,
    spec: dict[str, Any] | None = None,
    max_unavailable: str = "10%",
    decision: Decision | None = None,
    **other: Any,
) -> Pace | None:
    facts = daemon_set(
        rollout=rollout(desired=nodes, max_unavailable=max_unavailable, **other.pop("rollout", {})),
        **other,
    )
    return pace_of(decision or decided(), policy(spec), facts, record(), nodes)


def test_the_restarts_of_a_small_cluster_are_within_the_limit() -> None:
    assert pace(4, decision=decided(12, 8)) is None


def test_a_large_cluster_at_ten_percent_is_not() -> None:
    found = pace()
    # 2 calls a restart, 2 an ENI, 1 for each of the 2,000 that stay, 3 for each freed: 13,000
    assert found == Pace(calls_per_minute=1_300.0, budget=60.0, max_unavailable="10%")
    assert found is not None
    assert found.text() == (
        "the rollout makes 1300 EC2 calls a minute with maxUnavailable 10%, the limit is 60"
    )


def test_where_the_policy_allows_it_fewer_pods_are_restarted_at_once() -> None:
    found = pace(spec=LOWER)
    assert found is not None
    assert found.lowered == 4
    assert found.text().endswith(": maxUnavailable is 4 until it is complete")


def test_one_pod_at_a_time_is_the_least() -> None:
    found = pace(10, LOWER | {"objective": {"maxEC2CallsPerMinute": 1}}, "50%", decided(30, 20))
    assert found is not None
    assert found.lowered == 1


def test_what_is_at_one_pod_already_is_only_said() -> None:
    found = pace(10, LOWER | {"objective": {"maxEC2CallsPerMinute": 1}}, "1", decided(30, 20))
    assert found is not None
    assert found.lowered is None


def test_what_ec2_has_left_is_what_counts_where_it_is_overloaded() -> None:
    found = pace(decision=decided(calls_limit=30.0), spec=LOWER)
    assert found is not None
    assert (found.budget, found.lowered) == (30.0, 2)


def test_on_delete_has_no_pace_of_its_own() -> None:
    assert pace(rollout={"strategy": "OnDelete"}) is None


@pytest.mark.parametrize(
    ("method", "owner"), [("EKSAddon", "helm"), ("Auto", "eks")], ids=["asked", "found"]
)
def test_max_unavailable_of_the_eks_add_on_is_left_alone(method: str, owner: str) -> None:
    found = pace(
        spec=LOWER | {"apply": {"method": method}},
        env={"WARM_ENI_TARGET": EnvEntry("1")},
        owners={"WARM_ENI_TARGET": (owner,)},
    )
    assert found is not None
    assert found.lowered is None


def test_the_decision_says_it() -> None:
    facts = daemon_set(rollout=rollout(desired=1_000))
    decision = decided()
    found = paced(decision, policy(), facts, None, 1_000)
    assert found.message == f"{decision.message}; {found.pace and found.pace.text()}"
    few = paced(decided(12, 8), policy(), daemon_set(rollout=rollout(desired=4)), None, 4)
    assert few.pace is None


@given(
    nodes=st.integers(1, 5_000),
    enis=st.integers(1, 8),
    then=st.integers(1, 8),
    limit=st.integers(1, 2_000),
    share=st.sampled_from(["1", "10%", "100%", "25", "0"]),
)
def test_a_lowered_rollout_keeps_the_limit_or_restarts_one_pod_at_a_time(
    nodes: int, enis: int, then: int, limit: int, share: str
) -> None:
    spec = LOWER | {"objective": {"maxEC2CallsPerMinute": limit}}
    found = pace(nodes, spec, share, decided(enis * nodes, then * nodes))
    calls = change_calls(nodes=nodes, enis=enis * nodes, enis_then=then * nodes)
    each = calls / nodes * 60.0 / STEP_S
    at_once = min(nodes, pods_at_once(rollout(desired=nodes, max_unavailable=share)))
    if found is None:
        assert each * at_once <= limit
    elif found.lowered is not None:
        assert found.lowered < at_once
        assert found.lowered == 1 or each * found.lowered <= limit
    else:
        assert at_once == 1
