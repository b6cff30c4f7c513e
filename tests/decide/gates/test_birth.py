"""When new aws-node pods may be born with other targets: no restart is weighed, all else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import builders
from decided import story
from ippolicy.api import IPPolicy
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.types import Decision, Reason, Verdict
from ippolicy.facts import Change

AT_BIRTH = {"mode": "Apply", "apply": {"method": "Admission"}}


def decided(told: Inputs, **spec: Any) -> Decision:
    raw = {"metadata": {"name": "default"}, "spec": {**AT_BIRTH, **spec}}
    return decide(replace(told, policy=IPPolicy.from_raw(raw)))


def watched() -> Inputs:
    return story(traces=[builders.trace(number) for number in range(6)])


def test_targets_are_published_and_no_env_is_written() -> None:
    decision = decided(watched())
    assert (decision.verdict, decision.reason) == (Verdict.CHANGE, Reason.AT_BIRTH)
    assert not decision.env
    assert decision.groups


def test_a_change_a_moment_ago_is_no_reason_to_wait() -> None:
    change: Change = builders.change(intended_at_s=builders.NOW_S - 1)
    told = replace(watched(), record=builders.record(change))
    assert decided(told).verdict is Verdict.CHANGE


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"mode": "Recommend"}, Reason.MODE_RECOMMEND),
        ({"demand": {"minEvidence": "24h"}}, Reason.LOW_CONFIDENCE),
        (
            {"change": {"windows": [{"cron": "0 0 1 1 *", "duration": "1m"}]}},
            Reason.OUTSIDE_WINDOW,
        ),
    ],
)
def test_what_the_user_wants_and_what_is_known_count(spec: Any, reason: Reason) -> None:
    decision = decided(watched(), **spec)
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, reason)
