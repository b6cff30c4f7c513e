"""The comment table of `act.ownership`, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from claims import US, read
from ippolicy.act.ownership import (
    Standing,
    check_ownership,
    conflicts,
    must_force,
    originals_for,
    standing,
)
from ippolicy.errors import FieldConflict
from ippolicy.facts import EnvEntry

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
        "WARM_IP_TARGET is set by eks, helm: change it there, or list the key in "
        "spec.apply.takeOver; make a valueFrom a literal, or remove the entry"
    )


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
