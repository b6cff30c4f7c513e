"""Targets through the EKS add-on: one update, followed to its end, and undone the same way."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aws_node import CNI_ENV, decision, policy
from eks_addon import UPDATE_S, AddonNode
from ippolicy.act import OutcomeKind
from ippolicy.act.history import IN_DOUBT_S
from ippolicy.act.requests import CallFailed
from ippolicy.act.writers.updates import SHOWN_WITHIN_S, UpdateFailed
from ippolicy.facts import ChangeKind, ChangePhase, EnvEntry, Record, Writer
from ippolicy.sandbox.eks import EksCallError, Failure

W, M, E = "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_ENI_TARGET"
WANTED = {W: "2", M: "20"}
OTHER = {"enableNetworkPolicy": "true", "nodeAgent": {"cpu": 1.10}}


def phase(record: Record | None) -> ChangePhase | None:
    return record.last_change.phase if record and record.last_change else None


@pytest.mark.parametrize("eager", [True, False])
def test_a_change_is_one_update_and_rolls_once_the_daemon_set_shows_it(
    node: AddonNode, eager: bool
) -> None:
    node.install(json.dumps(OTHER), eager=eager)
    outcome = node.carry_out(WANTED)
    assert outcome.kind is OutcomeKind.WRITTEN
    record = node.look()
    assert record is not None
    change = record.changes[-1]
    assert (phase(record), change.writer, record.writer) == (
        ChangePhase.INTENDED,
        Writer.EKS_ADDON,
        Writer.EKS_ADDON,
    )
    assert change.update_id in outcome.message
    assert record.originals == {W: None, M: None}
    assert node.env() == CNI_ENV
    node.pass_time()
    assert phase(node.look()) in (ChangePhase.ROLLING, ChangePhase.COMPLETE)
    assert phase(node.look()) is ChangePhase.COMPLETE
    assert node.env() == CNI_ENV | WANTED
    assert node.owners(W) == {"eks"}
    (request,) = node.addon.updates_taken
    assert json.loads(request["configurationValues"]) == {**OTHER, "env": WANTED}
    assert request["resolveConflicts"] == "PRESERVE"


def test_version_role_and_pod_identity_stay(addon: AddonNode) -> None:
    before = addon.addon.describe()
    addon.complete(WANTED)
    after = addon.addon.describe()
    kept = ("addonVersion", "serviceAccountRoleArn", "podIdentityAssociations")
    assert [after[key] for key in kept] == [before[key] for key in kept]


def test_yaml_stays_yaml_and_what_stood_there_is_put_back(node: AddonNode) -> None:
    values = 'enableNetworkPolicy: "true"\nenv:\n  WARM_IP_TARGET: "5"\n'
    node.install(values)
    node.complete(WANTED)
    assert node.addon.values == (
        'enableNetworkPolicy: "true"\nenv:\n  WARM_IP_TARGET: "2"\n  MINIMUM_IP_TARGET: "20"\n'
    )
    assert node.actor().restore(node.ref).kind is OutcomeKind.UNDER_WAY
    node.pass_time()
    outcome = node.actor().restore(node.ref)
    assert (outcome.kind, outcome.settled) == (OutcomeKind.RESTORED, True)
    assert node.addon.values == values
    assert node.env() == CNI_ENV | {W: "5"}
    assert node.record_text() is None


def test_restoring_asks_eks_once_and_waits(addon: AddonNode) -> None:
    addon.complete(WANTED)
    for _ in range(3):
        outcome = addon.actor().restore(addon.ref)
        assert (outcome.kind, outcome.settled) == (OutcomeKind.UNDER_WAY, False)
        assert addon.record_text() is not None
    addon.pass_time()
    assert addon.actor().restore(addon.ref).settled
    assert len(addon.addon.updates_taken) == 2
    assert addon.configured() == {}
    assert addon.env() == CNI_ENV


def test_a_value_that_somebody_set_since_is_not_put_back(addon: AddonNode) -> None:
    addon.complete(WANTED)
    addon.addon.values = json.dumps({"env": WANTED | {W: "9"}})
    addon.actor().restore(addon.ref)
    addon.pass_time()
    outcome = addon.actor().restore(addon.ref)
    assert "WARM_IP_TARGET left as somebody set it since" in outcome.message
    assert addon.configured() == {W: "9"}


def test_retaining_leaves_the_values(addon: AddonNode) -> None:
    addon.complete(WANTED)
    outcome = addon.actor().retain(addon.ref)
    assert outcome.settled
    assert (addon.configured(), addon.record_text()) == (WANTED, None)


def test_an_add_on_that_is_gone_holds_nothing_up(addon: AddonNode) -> None:
    addon.complete(WANTED)
    addon.eks.addon = None
    assert addon.actor().restore(addon.ref).settled
    assert addon.record_text() is None


def test_the_originals_outlive_a_daemon_set_that_is_made_anew(addon: AddonNode) -> None:
    addon.complete(WANTED)
    addon.delete()
    addon.actor().restore(addon.ref)
    addon.create({}, manager="eks")
    addon.pass_time()
    assert addon.actor().restore(addon.ref).settled
    assert addon.configured() == {}


def test_removing_an_entry_takes_it_out_and_keeps_the_original(addon: AddonNode) -> None:
    addon.complete(WANTED)
    addon.complete({W: None, M: None})
    record = addon.look()
    assert (phase(record), addon.configured()) == (ChangePhase.COMPLETE, {})
    assert record is not None
    assert record.originals == {W: None, M: None}


def test_values_that_stand_already_are_not_sent(addon: AddonNode) -> None:
    addon.complete(WANTED)
    assert addon.carry_out(WANTED).kind is OutcomeKind.IN_PLACE
    assert len(addon.addon.updates_taken) == 1


@pytest.mark.parametrize("status", ["CREATING", "UPDATING"])
def test_an_add_on_that_eks_is_at_work_on_is_waited_for(addon: AddonNode, status: str) -> None:
    addon.addon.busy_with(status, UPDATE_S)
    outcome = addon.carry_out(WANTED)
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FACTS_CHANGED, True)
    assert f"EKS add-on vpc-cni is {status}" in outcome.message
    assert addon.record_text() is None


def test_no_other_change_starts_while_an_update_is_on_its_way(addon: AddonNode) -> None:
    addon.carry_out(WANTED)
    outcome = addon.carry_out({W: "3"})
    assert outcome.kind is OutcomeKind.FACTS_CHANGED
    assert len(addon.addon.updates_taken) == 1


# Updates that fail


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("applied", [True, False])
def test_an_update_that_fails_is_told_and_undone_once(
    node: AddonNode, eager: bool, applied: bool
) -> None:
    node.install(json.dumps(OTHER), eager=eager)
    said = "role arn:aws:iam::111122223333:role/x of 111122223333 is not allowed"
    node.addon.failures.append(Failure("AdmissionRequestDenied", said, applied=applied))
    node.carry_out(WANTED)
    node.pass_time()
    with pytest.raises(UpdateFailed) as failed:
        node.look()
    assert "AdmissionRequestDenied: role (ARN) of (account) is not allowed" in str(failed.value)
    for _ in range(4):
        record = node.look()
        node.pass_time()
    assert phase(record) is ChangePhase.SUPERSEDED
    assert record is not None
    assert "AdmissionRequestDenied" in record.changes[-1].undone
    assert len(node.addon.updates_taken) == 2
    assert node.env() == CNI_ENV
    assert json.loads(node.addon.values) == OTHER
    assert node.addon.describe()["status"] == "ACTIVE"


def test_an_undoing_that_fails_as_well_is_not_tried_again(addon: AddonNode) -> None:
    addon.addon.failures += [Failure("Unknown", "once"), Failure("Unknown", "twice")]
    addon.carry_out(WANTED)
    addon.pass_time()
    with pytest.raises(UpdateFailed):
        addon.look()
    for _ in range(4):
        record = addon.look()
        addon.pass_time()
    assert record is not None
    undone = (
        "EKSUpdateFailed: Unknown: once; the former values could not be put back: Unknown: twice"
    )
    assert record.changes[-1].undone == undone
    assert len(addon.addon.updates_taken) == 2


def test_a_restart_in_the_middle_of_undoing_sends_nothing_twice(addon: AddonNode) -> None:
    addon.addon.failures.append(Failure("Unknown", "no"))
    addon.carry_out(WANTED)
    addon.pass_time()
    with pytest.raises(UpdateFailed):
        addon.look()
    addon.eks.lost = ["UpdateAddon"] * 2  # the client asks twice
    with pytest.raises(CallFailed):
        addon.look()
    for _ in range(3):
        record = addon.look()
        addon.pass_time()
    assert phase(record) is ChangePhase.SUPERSEDED
    assert len(addon.addon.updates_taken) == 2


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("noticed", [True, False])
def test_a_failed_update_loses_no_original_when_its_policy_goes(
    node: AddonNode, eager: bool, noticed: bool
) -> None:
    values = json.dumps({"env": {W: "5"}})
    node.install(values, eager=eager)
    node.complete({W: "3"})
    node.addon.failures.append(Failure("Unknown", "no", applied=True))
    node.carry_out(WANTED)
    node.pass_time()
    if noticed:
        with pytest.raises(UpdateFailed):
            node.look()
    for _ in range(2):
        outcome = node.actor().restore(node.ref)
        node.pass_time()
    assert outcome.settled
    assert node.addon.values == values
    assert node.env() == CNI_ENV | {W: "5"}


def test_an_update_that_the_daemon_set_does_not_show_is_undone(addon: AddonNode) -> None:
    addon.carry_out(WANTED)
    addon.kubectl_set({W: "7"})  # right after EKS was asked
    addon.pass_time(SHOWN_WITHIN_S)
    with pytest.raises(UpdateFailed, match="WARM_IP_TARGET as kubectl-set"):
        addon.look()
    for _ in range(3):
        addon.look()
        addon.pass_time()
    assert addon.configured() == {}
    assert addon.env()[W] == "7"


# A request whose end nobody knows


def test_an_answer_that_was_lost_is_found_by_looking(addon: AddonNode) -> None:
    addon.eks.lost = ["UpdateAddon"] * 2
    outcome = addon.carry_out(WANTED)
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FAILED, True)
    assert phase(addon.look()) is ChangePhase.INTENDED
    addon.pass_time()
    addon.look()
    assert phase(addon.look()) is ChangePhase.COMPLETE
    assert len(addon.addon.updates_taken) == 1


def test_an_update_that_never_arrived_is_dropped(addon: AddonNode) -> None:
    addon.eks.refusals["UpdateAddon"] = [
        EksCallError("ServerException", "no", 500) for _ in range(2)
    ]
    assert addon.carry_out(WANTED).kind is OutcomeKind.FAILED
    assert phase(addon.look()) is ChangePhase.INTENDED
    assert addon.actor().restore(addon.ref).kind is OutcomeKind.FACTS_CHANGED
    addon.pass_time(IN_DOUBT_S)
    assert phase(addon.look()) is None
    assert addon.carry_out(WANTED).kind is OutcomeKind.WRITTEN


@pytest.mark.parametrize("code", ["InvalidParameterException", "AccessDeniedException"])
def test_an_update_that_was_refused_leaves_nothing_behind(addon: AddonNode, code: str) -> None:
    addon.eks.refusals["UpdateAddon"] = [EksCallError(code, "account 111122223333")]
    outcome = addon.carry_out(WANTED)
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FAILED, False)
    assert "eks:UpdateAddon" in outcome.message
    assert "111122223333" not in outcome.message
    assert addon.record_text() is None


def test_throttling_is_waited_out(addon: AddonNode) -> None:
    refusal = EksCallError("ThrottlingException", "Rate exceeded", 429)
    addon.eks.refusals["UpdateAddon"] = [refusal] * 2
    outcome = addon.carry_out(WANTED)
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FAILED, True)
    assert addon.carry_out(WANTED).kind is OutcomeKind.WRITTEN


# What EKS would refuse, or others hold


def test_what_the_schema_refuses_is_not_sent_and_not_shown(node: AddonNode) -> None:
    node.install()
    node.addon.values = json.dumps({"env": {"NEW_KEY": "hush"}})
    outcome = node.carry_out(WANTED)
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FAILED, False)
    assert "$.env breaks the rule additionalProperties" in outcome.message
    assert "hush" not in outcome.message
    assert (node.addon.updates_taken, node.record_text()) == ([], None)


def test_a_schema_that_is_none_is_said(addon: AddonNode) -> None:
    addon.eks.schema = "]"
    assert "cannot be used (JSONDecodeError)" in addon.carry_out(WANTED).message


def test_a_trap_is_not_sent(addon: AddonNode) -> None:
    assert "without WARM_IP_TARGET" in addon.carry_out({M: "20"}).message
    assert addon.addon.updates_taken == []


def test_an_entry_of_another_manager_is_a_conflict(addon: AddonNode) -> None:
    addon.kubectl_set({W: "7"})
    outcome = addon.carry_out(WANTED)
    assert (outcome.kind, outcome.owners) == (OutcomeKind.CONFLICT, {W: "kubectl-set"})
    assert addon.addon.updates_taken == []


def test_an_entry_that_is_taken_over_goes_back_as_it_was(addon: AddonNode) -> None:
    addon.kubectl_set({W: "7"})
    addon.complete(WANTED, take_over=[W])
    assert addon.addon.updates_taken[-1]["resolveConflicts"] == "OVERWRITE"
    assert addon.env() == CNI_ENV | WANTED
    record = addon.look()
    assert record is not None
    assert record.originals == {W: EnvEntry("7"), M: None}
    addon.actor().restore(addon.ref)
    addon.pass_time()
    assert addon.actor().restore(addon.ref).settled
    assert addon.env() == CNI_ENV | {W: "7"}


def test_what_was_changed_by_hand_is_set_again_and_the_original_stays(addon: AddonNode) -> None:
    addon.complete(WANTED)
    addon.kubectl_set({W: "7"})
    assert addon.carry_out(WANTED).kind is OutcomeKind.CONFLICT
    outcome = addon.actor().carry_out(
        policy=policy(),
        ref=addon.ref,
        decision=replace(decision(**WANTED), kind=ChangeKind.REAPPLY),
        decided_on=addon.facts(),
        now_s=addon.clock(),
    )
    assert outcome.kind is OutcomeKind.WRITTEN
    assert addon.addon.updates_taken[-1]["resolveConflicts"] == "OVERWRITE"
    addon.pass_time()
    addon.look()
    assert addon.env() == CNI_ENV | WANTED
    record = addon.look()
    assert record is not None
    assert record.originals == {W: None, M: None}


def test_a_paused_policy_does_not_even_undo_an_update(addon: AddonNode) -> None:
    addon.addon.failures.append(Failure("Unknown", "no"))
    addon.carry_out(WANTED)
    addon.pass_time()
    with pytest.raises(UpdateFailed):
        addon.look()
    for _ in range(2):
        record = addon.actor().follow(addon.ref, addon.facts(), may_write=False)
    assert phase(record) is ChangePhase.INTENDED
    assert len(addon.addon.updates_taken) == 1
    addon.look()
    assert len(addon.addon.updates_taken) == 2


def test_nothing_is_taken_over_where_eks_would_take_more(addon: AddonNode) -> None:
    addon.kubectl_set({W: "7", "ENABLE_PREFIX_DELEGATION": "true"})
    outcome = addon.carry_out(WANTED, take_over=[W])
    assert outcome.kind is OutcomeKind.CONFLICT
    assert "ENABLE_PREFIX_DELEGATION" in outcome.message
    assert addon.addon.updates_taken == []


def test_what_others_set_besides_stays(addon: AddonNode) -> None:
    addon.kubectl_set({"ENABLE_PREFIX_DELEGATION": "true"})
    addon.complete(WANTED)
    assert addon.env() == CNI_ENV | WANTED | {"ENABLE_PREFIX_DELEGATION": "true"}


# Which way


def test_another_method_puts_the_originals_back_first(addon: AddonNode) -> None:
    addon.carry_out(WANTED | {E: "0"}, method="DaemonSet", take_over=[E])
    addon.look()
    outcome = addon.carry_out({W: "3"}, method="EKSAddon")
    assert outcome.kind is OutcomeKind.RESTORED
    assert "spec.apply.method is EKSAddon: decided anew" in outcome.message
    assert (addon.env(), addon.our_fields()) == (CNI_ENV, {})
    assert phase(addon.look()) is ChangePhase.SUPERSEDED
    addon.carry_out({W: "3"}, method="EKSAddon")
    addon.pass_time()
    addon.look()
    assert addon.env() == CNI_ENV | {W: "3"}
    back = addon.carry_out({W: "4"}, method="DaemonSet", take_over=[W])
    assert back.kind is OutcomeKind.UNDER_WAY
    addon.pass_time()
    addon.carry_out({W: "4"}, method="DaemonSet")
    assert addon.env() == CNI_ENV
    record = addon.look()
    assert record is not None
    assert (record.originals, record.writer) == ({}, Writer.DAEMON_SET)
    assert len(record.changes) == 2


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException"])
def test_an_add_on_that_cannot_be_read_leaves_the_daemon_set(addon: AddonNode, code: str) -> None:
    addon.eks.refusals["DescribeAddon"] = [EksCallError(code, "no", 404 if "Not" in code else 403)]
    outcome = addon.carry_out(WANTED)
    assert outcome.kind is OutcomeKind.WRITTEN
    assert addon.ours() == {W, M}
    assert addon.addon.updates_taken == []


def test_an_eks_that_does_not_answer_changes_no_way(addon: AddonNode) -> None:
    addon.eks.refusals["DescribeAddon"] = [
        EksCallError("ServerException", "no", 500) for _ in range(4)
    ]
    outcome = addon.carry_out(WANTED)
    assert (outcome.kind, outcome.retryable) == (OutcomeKind.FAILED, True)
    assert addon.record_text() is None


def test_a_policy_that_wants_nothing_written_has_nothing_written(addon: AddonNode) -> None:
    outcome = addon.carry_out(WANTED, method="None")
    assert (outcome.kind, outcome.message) == (OutcomeKind.NOTHING, "spec.apply.method is None")
