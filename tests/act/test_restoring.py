"""The comment table of `act.restoring`, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from claims import US, read
from ippolicy.act.env import restoring_patch
from ippolicy.act.restoring import restoration
from ippolicy.facts import EnvEntry

KEY = "WARM_IP_TARGET"
FROM = {"configMapKeyRef": {"name": "cni", "key": "warm"}}


@pytest.mark.parametrize(
    ("holders", "originals", "entries", "left"),
    [
        ({US: "all"}, {KEY: None}, [], {}),
        ({US: "all"}, {KEY: EnvEntry("2")}, [{"name": KEY, "value": "2"}], {}),
        (
            {US: "all"},
            {KEY: EnvEntry(None, FROM)},
            [{"name": KEY, "valueFrom": FROM}],
            {},
        ),
        ({US: "all"}, {}, [{"name": KEY, "value": "5"}], {}),
        (
            {US: "all", "eks:Apply": "all"},
            {KEY: None},
            [{"name": KEY, "value": "5"}],
            {KEY: "eks"},
        ),
        (
            {US: "name", "kubectl-set": "value"},
            {KEY: None},
            [{"name": KEY}],
            {KEY: "kubectl-set"},
        ),
        ({"kubectl-set": "all"}, {KEY: None}, [], {KEY: "kubectl-set"}),
        ({}, {KEY: None}, [], {KEY: "somebody else"}),
        ({"kubectl-set": "all"}, {KEY: EnvEntry("5")}, [], {}),
    ],
)
def test_every_case_of_the_table(
    holders: dict[str, str],
    originals: dict[str, EnvEntry | None],
    entries: list[dict[str, Any]],
    left: dict[str, str],
) -> None:
    live = read({KEY: "5"}, {"creator": {}} | {who: {KEY: part} for who, part in holders.items()})
    plan = restoration(live, originals)
    assert restoring_patch(live, plan.put_back) == entries
    assert plan.left == left


def test_nothing_is_needed_where_the_originals_are_in_force() -> None:
    live = read({KEY: "5"}, {US: {KEY: "all"}})
    assert not restoration(live, {KEY: EnvEntry("5"), "WARM_ENI_TARGET": None}).needed(live)
    assert restoration(live, {KEY: EnvEntry("4")}).needed(live)


def test_it_is_told_in_one_line() -> None:
    live = read(
        {KEY: "5", "WARM_ENI_TARGET": "0", "MINIMUM_IP_TARGET": "9", "WARM_PREFIX_TARGET": "3"},
        {
            US: {KEY: "all", "WARM_ENI_TARGET": "all", "WARM_PREFIX_TARGET": "all"},
            "kubectl-set": {"MINIMUM_IP_TARGET": "all"},
        },
    )
    originals = {
        KEY: None,
        "WARM_ENI_TARGET": EnvEntry("1"),
        "MINIMUM_IP_TARGET": None,
        "WARM_PREFIX_TARGET": EnvEntry(None, FROM),
    }
    assert restoration(live, originals).describe() == (
        "WARM_ENI_TARGET=1, WARM_IP_TARGET removed, WARM_PREFIX_TARGET from its valueFrom, "
        "MINIMUM_IP_TARGET left as kubectl-set set it"
    )
    assert restoration(live, {}).describe() == "nothing of ours was left"
