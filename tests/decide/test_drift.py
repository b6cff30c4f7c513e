"""What becomes of a key of ours that somebody else changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import builders
from builders import NOW_S, change, daemon_set, policy, rollout, snapshot, trace
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.drift import HOUR_S, DriftStep, drift_step, drifts, ours
from ippolicy.decide.gates import Limits
from ippolicy.decide.types import Reason, Verdict
from ippolicy.facts import (
    Change,
    ChangeKind,
    ChangePhase,
    DaemonSetFacts,
    EnvEntry,
    Hand,
    Record,
    Writer,
)

W, M = "WARM_IP_TARGET", "MINIMUM_IP_TARGET"
SET = {W: "2", M: "20"}
EDITED = Hand("kubectl-edit", "Update", NOW_S - 60)
MADE = change(generation=1)


def record(*changes: Change, **other: Any) -> Record:
    """The record of these changes, all of which found their keys absent."""
    originals = {key: None for one in changes for key in one.after}
    return builders.record(*changes, originals=originals, **other)


def found(
    env: dict[str, str | EnvEntry] | None = None, *hands: Hand, **changes: Any
) -> DaemonSetFacts:
    """aws-node with this env beside what we set; `hands` hold WARM_IP_TARGET."""
    values: dict[str, str | EnvEntry] = {**SET, **(env or {})}
    return daemon_set(values, hands={W: hands}, **changes)


def step(
    facts: DaemonSetFacts,
    spec: dict[str, Any] | None = None,
    made: Record | None = None,
    now_s: float = NOW_S,
) -> DriftStep | None:
    return drift_step(policy(spec), made or record(MADE), facts, now_s)


def test_what_was_set_and_stands_is_no_drift() -> None:
    assert step(found()) is None
    assert step(found(), made=record()) is None
    assert drift_step(policy(), None, found(), NOW_S) is None


@pytest.mark.parametrize(
    ("manager", "operation", "take_over", "reason"),
    [
        ("kubectl-edit", "Update", (), Reason.TARGETS_DRIFTED),
        ("kubectl-set", "Update", (), Reason.TARGETS_DRIFTED),
        ("kubectl-patch", "Update", (), Reason.TARGETS_DRIFTED),
        ("node-fetch", "Update", (), Reason.TARGETS_DRIFTED),
        ("kubectl", "Apply", (), Reason.FIELD_CONFLICT),
        ("kubectl-client-side-apply", "Update", (), Reason.FIELD_CONFLICT),
        ("some-controller", "Apply", (), Reason.FIELD_CONFLICT),
        ("eks", "Apply", (), Reason.FIELD_CONFLICT),
        ("eks", "Update", (), Reason.FIELD_CONFLICT),
        ("helm", "Update", (), Reason.FIELD_CONFLICT),
        ("argocd-controller", "Update", (), Reason.FIELD_CONFLICT),
        ("kustomize-controller", "Apply", (), Reason.FIELD_CONFLICT),
        ("HashiCorp", "Update", (), Reason.FIELD_CONFLICT),
        ("helm", "Update", (W,), Reason.TARGETS_DRIFTED),
        ("helm", "Update", (M,), Reason.FIELD_CONFLICT),
    ],
)
def test_every_case_of_the_table(
    manager: str, operation: str, take_over: tuple[str, ...], reason: Reason
) -> None:
    facts = found({W: "9"}, Hand(manager, operation, NOW_S - 60))
    found_step = step(facts, {"apply": {"takeOver": list(take_over)}})
    assert found_step is not None
    assert found_step.reason is reason
    assert found_step.env == ({W: "2"} if reason is Reason.TARGETS_DRIFTED else {})
    assert f"{manager} at 2027-01-15T07:59:00Z" in found_step.message


def test_a_change_of_the_eks_add_on_is_undone_where_that_is_written_to() -> None:
    facts = found({W: "9"}, Hand("eks", "Apply", NOW_S - 60))
    found_step = step(facts, made=record(MADE, writer=Writer.EKS_ADDON))
    assert found_step is not None
    assert found_step.env == {W: "2"}


def test_an_entry_that_was_removed_is_set_again() -> None:
    facts = daemon_set({M: "20"})
    found_step = step(facts)
    assert found_step is not None
    assert found_step.env == {W: "2"}
    assert "WARM_IP_TARGET, set to 2, was removed by somebody" in found_step.message


def test_one_owner_among_the_hands_is_enough_for_a_conflict() -> None:
    facts = found({W: "9"}, EDITED, Hand("helm", "Update"))
    found_step = step(facts)
    assert found_step is not None
    assert found_step.reason is Reason.FIELD_CONFLICT


@pytest.mark.parametrize(
    "facts",
    [
        found({W: "9"}, EDITED, uid="another"),
        found({W: "9"}, EDITED, generation=0),
        found({W: EnvEntry(None, {"configMapKeyRef": {"name": "cni", "key": "warm"}})}, EDITED),
    ],
    ids=["another-daemonset", "older-facts", "from-elsewhere"],
)
def test_nothing_is_set_again_on(facts: DaemonSetFacts) -> None:
    assert step(facts) is None


def test_a_change_that_may_not_be_written_yet_tells_of_no_drift() -> None:
    made = record(MADE, change(phase=ChangePhase.INTENDED, generation=0, after={W: "3"}))
    assert drifts(made, found({W: "9"}, EDITED)) == ()


def test_what_is_out_of_bounds_by_now_is_not_set_again() -> None:
    assert step(found({W: "9"}, EDITED), {"bounds": {"warmIPTarget": {"min": 3}}}) is None


def test_ours_is_what_we_set_last_and_did_not_remove() -> None:
    made = record(
        change(before={W: None, M: "20"}, after={W: "2", M: "20"}),
        change(before={"WARM_ENI_TARGET": "1"}, after={"WARM_ENI_TARGET": "0"}),
        change(before={"WARM_ENI_TARGET": "0"}, after={"WARM_ENI_TARGET": None}),
        change(before={W: "2"}, after={W: "3"}),
        change(before={W: "3"}, after={W: "4"}, phase=ChangePhase.INTENDED),
    )
    assert ours(made) == {W: "3"}


def test_what_was_set_on_a_daemon_set_that_is_gone_is_not_ours() -> None:
    made = record(change(before={W: None}, after={W: "2"}))
    assert ours(replace(made, originals={M: None})) == {}


def test_beyond_the_limit_the_manager_is_named_until_the_hour_has_passed() -> None:
    times_s = (NOW_S - 3_500.0, NOW_S - 1_000.0, NOW_S - 10.0)
    made, facts = record(MADE, reapplied_at_s=times_s), found({W: "9"}, EDITED)
    held = step(facts, made=made)
    assert held is not None
    assert (held.reason, held.env) == (Reason.DRIFT_LIMIT, {})
    assert "kubectl-edit" in held.message
    assert "tried again in 100 s" in held.message
    again = step(facts, made=made, now_s=NOW_S + 100.0)
    assert again is not None
    assert again.env == {W: "2"}


def test_with_a_limit_of_0_nothing_is_ever_set_again() -> None:
    held = step(found({W: "9"}, EDITED), {"change": {"maxReapply": 0}})
    assert held is not None
    assert (held.reason, held.env) == (Reason.DRIFT_LIMIT, {})
    assert "change.maxReapply is 0" in held.message


@given(
    limit=st.integers(0, 60),
    waits_s=st.lists(st.floats(0.0, 4_000.0) | st.just(30.0), min_size=1, max_size=200),
    keys=st.sets(st.sampled_from([W, M]), min_size=1),
)
def test_values_are_never_set_again_more_often_than_allowed_in_any_hour(
    limit: int, waits_s: list[float], keys: set[str]
) -> None:
    asked = policy({"change": {"maxReapply": limit}})
    facts = daemon_set(SET | dict.fromkeys(keys, "9"), hands=dict.fromkeys(keys, (EDITED,)))
    made, now_s, times_s = record(MADE), NOW_S, []
    for wait_s in waits_s:
        now_s += wait_s
        found_step = drift_step(asked, made, facts, now_s)
        assert found_step is not None
        if found_step.env:
            times_s.append(now_s)
            made = replace(made, reapplied_at_s=tuple(times_s))
    for end_s in times_s:
        assert sum(end_s - HOUR_S < at_s <= end_s for at_s in times_s) <= limit


def decided(facts: DaemonSetFacts, spec: dict[str, Any] | None = None, **changes: Any) -> Any:
    return decide(
        Inputs(
            policy=policy({"demand": {"minEvidence": "24h"}, **(spec or {})}),
            snapshot=snapshot(daemon_set=facts, **changes),
            traces=[trace(n) for n in range(10)],
            record=record(MADE),
            limits=Limits(),
        )
    )


def test_drift_is_undone_whatever_the_evidence_and_the_pace() -> None:
    decision = decided(found({W: "9"}, EDITED))
    assert (decision.verdict, decision.kind) == (Verdict.CHANGE, ChangeKind.REAPPLY)
    assert (decision.reason, decision.env) == (Reason.TARGETS_DRIFTED, {W: "2"})


def test_junk_is_replaced_by_what_was_set() -> None:
    assert decided(found({W: "many"}, EDITED)).env == {W: "2"}


@pytest.mark.parametrize("spec", [{"mode": "Off"}, {"mode": "Recommend"}])
def test_a_policy_that_does_not_write_sets_nothing_again(spec: dict[str, Any]) -> None:
    assert decided(found({W: "9"}, EDITED), spec).verdict is Verdict.HOLD


def test_drift_waits_for_the_rollout_that_it_started() -> None:
    facts = found({W: "9"}, EDITED, rollout=rollout(updated=3))
    assert decided(facts).reason is Reason.ROLLOUT_IN_PROGRESS


def test_an_owner_is_a_conflict_at_once() -> None:
    decision = decided(found({W: "9"}, Hand("argocd-controller", "Apply")))
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, Reason.FIELD_CONFLICT)
