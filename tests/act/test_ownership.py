"""The comment table of `act.ownership`, row by row."""

from __future__ import annotations

import re
from typing import Any

import pytest

import builders
from claims import US, read
from ippolicy.act.ownership import (
    Standing,
    check_ownership,
    conflicts,
    must_force,
    originals_for,
    regained,
    standing,
)
from ippolicy.errors import FieldConflict
from ippolicy.facts import ChangeKind, EnvEntry

KEY = "WARM_IP_TARGET"
FROM = {"configMapKeyRef": {"name": "cni", "key": "warm"}}


@pytest.mark.parametrize(
    ("value", "holders", "wanted", "expected"),
    [
        (None, {}, "5", Standing.FREE),
        ("2", {}, "5", Standing.FREE),
        ("2", {"helm": "name"}, "5", Standing.FREE),
        ("2", {US: "all"}, "5", Standing.OURS),
        ("2", {US: "all", "helm": "name"}, "5", Standing.OURS),
        ("5", {"eks:Apply": "all"}, "5", Standing.SHARED),
        ("5", {"eks:Apply": "all", US: "all"}, "5", Standing.SHARED),
        ("2", {"eks:Apply": "all"}, "5", Standing.FOREIGN),
        ("2", {"eks:Apply": "all", US: "all"}, "5", Standing.FOREIGN),
        ("2", {"kubectl-set": "value", US: "name"}, "5", Standing.FOREIGN),
        (FROM, {"helm": "from"}, "5", Standing.ELSEWHERE),
        (FROM, {}, "5", Standing.ELSEWHERE),
    ],
)
def test_every_case_of_the_table(
    value: Any, holders: dict[str, str], wanted: str, expected: Standing
) -> None:
    env = {} if value is None else {KEY: value}
    live = read(env, {"creator": {}} | {who: {KEY: part} for who, part in holders.items()})
    assert standing(live, KEY, wanted) is expected
    refused = {Standing.FOREIGN, Standing.ELSEWHERE}
    assert bool(conflicts(live, {KEY: wanted}, ())) == (expected in refused)
    assert bool(conflicts(live, {KEY: wanted}, (KEY,))) == (expected is Standing.ELSEWHERE)
    assert must_force(live, {KEY: wanted}) == (expected is Standing.FOREIGN)


def test_a_conflict_names_every_key_its_manager_and_the_ways_out() -> None:
    live = read(
        {KEY: "2", "WARM_ENI_TARGET": FROM},
        {"eks:Apply": {KEY: "all"}, "helm": {KEY: "all", "WARM_ENI_TARGET": "from"}},
    )
    with pytest.raises(FieldConflict) as caught:
        check_ownership(live, {KEY: "5", "WARM_ENI_TARGET": "0"}, ())
    assert caught.value.owners == {KEY: "eks, helm", "WARM_ENI_TARGET": "helm"}
    assert str(caught.value) == (
        "DaemonSet kube-system/aws-node: WARM_ENI_TARGET comes from a valueFrom (helm), "
        "WARM_IP_TARGET is set by eks, helm: set it in the configuration values of the EKS add-on "
        "vpc-cni, which spec.apply.method EKSAddon does; set it in the values of the Helm release; "
        "with spec.apply.method None the status has them to paste; or list the key in "
        "spec.apply.takeOver; make a valueFrom a literal, or remove the entry"
    )


@pytest.mark.parametrize(
    ("manager", "says"),
    [
        ("eks:Apply", "set it in the configuration values of the EKS add-on vpc-cni"),
        ("helm", "set it in the values of the Helm release"),
        ("argocd-controller", "set it in the Git repository that Argo CD syncs from"),
        ("kustomize-controller:Apply", "set it in the Git repository that Flux syncs from"),
        ("helm-controller", "set it in the Git repository that Flux syncs from"),
        ("Terraform:Apply", "set it in the Terraform configuration"),
        ("HashiCorp", "set it in the Terraform configuration"),
        ("kubectl-client-side-apply", "set it in the manifest if it comes from one"),
        ("kubectl-edit", "set it in the manifest if it comes from one"),
        ("before-first-apply", "nobody is known to want it"),
        ("node-fetch", "change it there"),
    ],
)
def test_a_conflict_says_what_to_do_with_that_kind_of_owner(manager: str, says: str) -> None:
    live = read({KEY: "2"}, {manager: {KEY: "all"}})
    with pytest.raises(FieldConflict, match=re.escape(says)) as caught:
        check_ownership(live, {KEY: "5"}, ())
    assert str(caught.value).endswith("; or list the key in spec.apply.takeOver")


@pytest.mark.parametrize(
    ("holders", "kind", "expected"),
    [
        ({"kubectl-edit": "value", US: "name"}, ChangeKind.REAPPLY, True),
        ({"kubectl-edit": "value", US: "name"}, ChangeKind.TUNE, False),
        ({"somebody": "value", US: "name"}, ChangeKind.REAPPLY, True),
        ({}, ChangeKind.REAPPLY, True),
        ({"helm": "all"}, ChangeKind.REAPPLY, False),
        ({"kubectl:Apply": "all"}, ChangeKind.REAPPLY, False),
        ({"kubectl-client-side-apply": "all"}, ChangeKind.REAPPLY, False),
        ({"kubectl-edit": "value", "eks:Apply": "all"}, ChangeKind.REAPPLY, False),
    ],
)
def test_what_was_ours_and_changed_by_hand_may_be_taken_again_by_a_change_for_that(
    holders: dict[str, str], kind: ChangeKind, expected: bool
) -> None:
    env = {KEY: "9"} if holders else {}
    live = read(env, {"creator": {}} | {who: {KEY: part} for who, part in holders.items()})
    made = builders.record(builders.change(), originals={KEY: None})
    assert (KEY in regained(live, made, kind, [KEY])) is expected


def test_without_managed_fields_nothing_was_changed_by_hand() -> None:
    made = builders.record(builders.change(), originals={KEY: None})
    live = read({KEY: "9"}, {})
    assert regained(live, made, ChangeKind.REAPPLY, [KEY]) == set()


def test_what_is_not_in_the_record_is_nobodys_to_take_again() -> None:
    live = read({KEY: "9"}, {"kubectl-edit": {KEY: "value"}})
    assert regained(live, None, ChangeKind.REAPPLY, [KEY]) == set()
    assert regained(live, builders.record(), ChangeKind.REAPPLY, [KEY]) == set()


def test_one_listed_key_does_not_let_the_others_pass() -> None:
    live = read(
        {KEY: "2", "WARM_ENI_TARGET": "1"}, {"helm": {KEY: "all", "WARM_ENI_TARGET": "all"}}
    )
    wanted = {KEY: "5", "WARM_ENI_TARGET": "0"}
    assert conflicts(live, wanted, (KEY,)) == {"WARM_ENI_TARGET": "helm"}


@pytest.mark.parametrize(
    ("holders", "recorded", "expected"),
    [
        ({}, {}, EnvEntry("2")),
        ({US: "all"}, {KEY: None}, None),
        ({US: "all"}, {}, EnvEntry("2")),
        ({"kubectl-set": "value", US: "name"}, {KEY: None}, EnvEntry("2")),
        ({"eks:Apply": "all", US: "all"}, {KEY: None}, EnvEntry("2")),
    ],
    ids=["first", "ours", "record-lost", "set-since", "taken-over"],
)
def test_the_original_is_what_stood_there_when_last_it_was_not_ours(
    holders: dict[str, str], recorded: dict[str, EnvEntry | None], expected: EnvEntry | None
) -> None:
    live = read({KEY: "2"}, {"creator": {}} | {who: {KEY: part} for who, part in holders.items()})
    others = {"WARM_ENI_TARGET": EnvEntry("1")}
    originals = originals_for(live, {KEY: "5"}, recorded | others)
    assert originals == {KEY: expected} | others
