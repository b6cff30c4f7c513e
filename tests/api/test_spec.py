"""The types of the spec: defaults, presets, and every rule the CRD holds too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bad_policies import BAD_POLICIES, GOOD_SPECS, BadPolicy, resource
from ippolicy.api import (
    EnvKey,
    Goal,
    IPPolicy,
    Method,
    Mode,
    Objective,
    OnDelete,
    PolicySpec,
    problems,
)
from ippolicy.errors import InvalidPolicy


def test_an_empty_spec_is_a_whole_policy_that_writes_nothing() -> None:
    spec = IPPolicy.from_raw({"metadata": {"name": "default"}}).spec
    assert spec.to_raw() == {
        "mode": "Recommend",
        "daemonSetRef": {"namespace": "kube-system", "name": "aws-node"},
        "objective": {"goal": "Balanced"},
        "bounds": {
            "warmIPTarget": {"min": 1, "max": 32},
            "minimumIPTarget": {"min": 0, "max": 110},
            "warmPrefixTarget": {"min": 1, "max": 4},
        },
        "demand": {"window": "24h", "minEvidence": "1h"},
        "subnets": {
            "brake": {"freeBelow": "10%", "exhaustedWithin": "6h"},
            "selector": {"ids": [], "tags": {}},
        },
        "groups": [],
        "change": {
            "minSaving": "5%",
            "stabilization": "30m",
            "cooldown": "1h",
            "maxPerDay": 2,
            "maxReapply": 3,
            "lowerMaxUnavailable": False,
            "windows": [],
            "urgent": "Grow",
            "rollback": {"within": "15m"},
            "restarts": {"canary": "2%", "atOnce": "5%", "most": 10},
        },
        "apply": {"method": "Auto", "takeOver": []},
        "onDelete": "Restore",
    }


def test_a_full_spec_is_read_into_its_types() -> None:
    spec = PolicySpec.model_validate(GOOD_SPECS["all-keys"])
    assert spec.mode is Mode.APPLY
    assert spec.apply.method is Method.DAEMON_SET
    assert spec.apply.take_over == tuple(EnvKey)
    assert spec.subnets.selector.tags["kubernetes.io/role/cni"] == "1"
    assert spec.on_delete is OnDelete.RETAIN
    assert str(spec.daemon_set_ref) == "kube-system/aws-node"


@pytest.mark.parametrize(
    ("goal", "share", "calls"),
    [(Goal.SAVE_ADDRESSES, 0.02, 120), (Goal.BALANCED, 0.005, 60), (Goal.FAST_START, 0.001, 30)],
)
def test_a_goal_presets_the_two_limits(goal: Goal, share: float, calls: int) -> None:
    objective = Objective(goal=goal)
    assert objective.delayed_starts_limit == pytest.approx(share)
    assert objective.ec2_calls_per_minute_limit == calls


def test_a_limit_that_is_given_wins_over_the_goal() -> None:
    raw = {"goal": "FastStart", "maxDelayedStarts": "0%", "maxEC2CallsPerMinute": 7}
    objective = Objective.model_validate(raw)
    assert objective.delayed_starts_limit == 0.0
    assert objective.ec2_calls_per_minute_limit == 7


@pytest.mark.parametrize("bad", BAD_POLICIES, ids=lambda bad: bad.name[:40])
def test_a_bad_policy_is_refused_with_its_field_and_fix(bad: BadPolicy) -> None:
    said = "; ".join(problems(bad.resource()))
    assert all(part in said for part in bad.says), said


@pytest.mark.parametrize("bad", BAD_POLICIES, ids=lambda bad: bad.name[:40])
def test_a_bad_policy_cannot_be_read(bad: BadPolicy) -> None:
    with pytest.raises(InvalidPolicy, match=bad.name):
        IPPolicy.from_raw(bad.resource())


@pytest.mark.parametrize("name", GOOD_SPECS)
def test_a_spec_at_the_edge_is_not_refused(name: str) -> None:
    assert problems(resource(name, GOOD_SPECS[name])) == []


def test_an_unknown_field_is_named() -> None:
    raw = resource("x", {"bounds": {"warmIpTarget": {"min": 1}}, "dryRun": True})
    assert problems(raw) == [
        'unknown field "spec.bounds.warmIpTarget": remove it, or correct its name',
        'unknown field "spec.dryRun": remove it, or correct its name',
    ]


def test_every_fault_is_told_at_once() -> None:
    raw = resource("x", {"mode": "Auto", "change": {"maxPerDay": 0, "cooldown": "1d"}})
    assert len(problems(raw)) == 3


@pytest.mark.parametrize("value", [True, 1.0, "1"])
def test_a_count_takes_whole_numbers_only(value: Any) -> None:
    assert problems(resource("x", {"change": {"maxPerDay": value}})) != []


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PolicySpec().mode = Mode.APPLY


def test_a_policy_keeps_its_identity_and_age() -> None:
    policy = IPPolicy.from_raw(
        {
            "metadata": {
                "name": "default",
                "uid": "u-1",
                "generation": 7,
                "creationTimestamp": "2026-11-22T16:49:00Z",
                "annotations": {"ippolicy.dev/paused": "true"},
            },
            "spec": {"mode": "Apply"},
        }
    )
    assert (policy.name, policy.uid, policy.generation) == ("default", "u-1", 7)
    assert policy.created_at_s == 1_795_366_140.0
    assert policy.paused
    assert not policy.deleting


@pytest.mark.parametrize(
    ("annotations", "paused"),
    [
        (None, False),
        ({}, False),
        ({"ippolicy.dev/paused": "false"}, False),
        ({"ippolicy.dev/paused": ""}, False),
        ({"ippolicy.dev/paused": "True"}, True),
    ],
)
def test_only_the_word_true_pauses(annotations: Any, paused: bool) -> None:
    raw = {"metadata": {"name": "default", "annotations": annotations}}
    assert IPPolicy.from_raw(raw).paused is paused


def test_a_policy_with_a_deletion_timestamp_is_being_deleted() -> None:
    metadata = {"name": "default", "deletionTimestamp": "2026-11-22T16:49:00Z"}
    assert IPPolicy.from_raw({"metadata": metadata}).deleting


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*PolicySpec().to_raw(), "min", "window", "ids"]), inner)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(_json)
def test_any_spec_is_either_read_or_refused_in_single_lines(spec: Any) -> None:
    found = problems(resource("x", spec))
    assert all("\n" not in line or "\n" in str(spec) for line in found)
    if not found:
        policy = IPPolicy.from_raw(resource("x", spec))
        assert policy.spec == PolicySpec.model_validate(policy.spec.to_raw())


_bounds = st.builds(
    lambda least, most: {"min": least, "max": most}, st.integers(0, 40), st.integers(0, 40)
)


@settings(deadline=None)
@given(_bounds)
def test_bounds_are_accepted_only_when_a_safe_value_lies_between_them(
    bounds: dict[str, int],
) -> None:
    accepted = problems(resource("x", {"bounds": {"warmIPTarget": bounds}})) == []
    assert accepted is (1 <= bounds["min"] <= bounds["max"])
