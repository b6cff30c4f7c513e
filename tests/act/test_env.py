from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims import US, read
from ippolicy.act.env import env_patch, restoring_patch
from ippolicy.decide.safe_env import TARGET_KEYS
from ippolicy.errors import ActError, EntryPointRefused
from ippolicy.facts import EnvEntry
from ippolicy.ipamd import PoolSettings, check_entry_point

PD = "ENABLE_PREFIX_DELEGATION"
W, M, E, P = "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_ENI_TARGET", "WARM_PREFIX_TARGET"
FROM = {"configMapKeyRef": {"name": "cni", "key": "k"}}

values = st.sampled_from(["0", "1", "2", "16", "-1", "", "+5", "abc", "05", " 1", "1e3", "٣"])
envs = st.dictionaries(
    st.sampled_from([PD, W, M, E, P, "IP_COOLDOWN_PERIOD", "AWS_VPC_K8S_CNI_LOGLEVEL"]),
    values | st.sampled_from(["true", "false", "T"]) | st.just(FROM),
)
holders = st.dictionaries(
    st.sampled_from([US, "helm", "eks:Apply", "kubectl-set"]),
    st.dictionaries(
        st.sampled_from([W, M, E, P]), st.sampled_from(["all", "name", "value", "from"])
    ),
)
wishes = st.dictionaries(st.sampled_from([*TARGET_KEYS, PD]), values, min_size=1)


def put_in(env: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, str]:
    """The literal env once these entries are applied."""
    result = {key: value for key, value in env.items() if isinstance(value, str)}
    return result | {e["name"]: e["value"] for e in entries if "value" in e}


@given(envs, holders, wishes)
def test_no_trap_is_ever_written_whatever_is_there_and_whatever_is_asked(
    env: dict[str, Any], held: dict[str, dict[str, str]], wanted: dict[str, str]
) -> None:
    live = read(env, {"creator": {}, **held})
    try:
        entries = env_patch(live, wanted)
    except (ActError, EntryPointRefused):
        return
    assert set(wanted) <= TARGET_KEYS
    assert all(value.isascii() and value.isdigit() for value in wanted.values())
    result = put_in(env, entries) | wanted
    check_entry_point(result)
    if env.get(PD) == FROM:
        check_entry_point(result | {PD: "true"})
    targets = PoolSettings.from_env(result).targets
    assert targets.minimum_ip == 0 or targets.warm_ip > 0


@given(envs, holders, wishes)
def test_an_apply_names_what_is_wanted_or_ours_and_nothing_else(
    env: dict[str, Any], held: dict[str, dict[str, str]], wanted: dict[str, str]
) -> None:
    live = read(env, {"creator": {}, **held})
    try:
        entries = env_patch(live, wanted)
    except (ActError, EntryPointRefused):
        return
    by_key = {entry["name"]: entry for entry in entries}
    assert len(by_key) == len(entries)
    for key in live.facts.env:
        if live.named_by_us(key):
            assert key in by_key, "left out, an apply would remove it"
    for key, entry in by_key.items():
        assert key in wanted or live.named_by_us(key)
        if "value" in entry and key not in wanted:
            assert live.value_is_ours(key)
            assert entry["value"] == env[key]


@given(envs, st.dictionaries(st.sampled_from([W, M, E, P]), st.none() | values))
def test_restoring_never_writes_an_env_with_which_aws_node_could_not_start(
    env: dict[str, Any], originals: dict[str, str | None]
) -> None:
    live = read(env, {US: dict.fromkeys(originals, "all")})
    entries_of = {k: None if v is None else EnvEntry(v) for k, v in originals.items()}
    try:
        entries = restoring_patch(live, entries_of)
    except EntryPointRefused:
        return
    left = {key: value for key, value in env.items() if originals.get(key, "") is not None}
    check_entry_point(put_in(left, entries))


@pytest.mark.parametrize(
    ("env", "wanted", "error", "message"),
    [
        ({PD: "true"}, {W: "0", P: "0"}, EntryPointRefused, "ENABLE_PREFIX_DELEGATION is on"),
        ({PD: FROM}, {W: "0"}, EntryPointRefused, "ENABLE_PREFIX_DELEGATION is on"),
        ({}, {M: "20"}, ActError, "MINIMUM_IP_TARGET=20 without WARM_IP_TARGET"),
        ({W: FROM}, {M: "20"}, ActError, "set WARM_IP_TARGET to at least 1"),
        ({M: "20"}, {W: "0"}, ActError, "without addresses for ever"),
        ({}, {W: "-1"}, ActError, "WARM_IP_TARGET='-1' is not a count"),
        ({}, {W: "many"}, ActError, "is not a count"),
        ({}, {PD: "true"}, ActError, "ENABLE_PREFIX_DELEGATION is not a warm target"),
    ],
)
def test_a_trap_is_refused_with_its_name(
    env: dict[str, Any], wanted: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        env_patch(read(env), wanted)


def test_entries_keep_the_order_of_the_live_env_and_new_ones_come_last() -> None:
    live = read({W: "1", "X": "y", M: "4"}, {US: {W: "all", M: "all"}})
    names = [entry["name"] for entry in env_patch(live, {P: "1", E: "0", M: "5"})]
    assert names == [W, M, E, P]


def test_an_entry_of_which_we_hold_the_name_only_is_named_without_a_value() -> None:
    live = read({W: "9"}, {US: {W: "name"}, "kubectl-set": {W: "value"}})
    assert env_patch(live, {E: "0"}) == [{"name": W}, {"name": E, "value": "0"}]
    assert restoring_patch(live, {}) == [{"name": W}]


def test_a_value_from_of_ours_is_kept() -> None:
    live = read({W: FROM}, {US: {W: "from"}})
    assert restoring_patch(live, {}) == [{"name": W, "valueFrom": FROM}]


def test_what_others_hold_as_it_is_wanted_is_not_named() -> None:
    live = read({W: "2", M: "9"}, {"eks:Apply": {W: "all"}, US: {M: "all"}})
    assert env_patch(live, {W: "2", M: "20"}) == [{"name": M, "value": "20"}]
