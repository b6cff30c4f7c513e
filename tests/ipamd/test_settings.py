"""The environment is read as ipamd and the container's entry point read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.errors import EntryPointRefused, ModelError
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets, check_entry_point
from ippolicy.ipamd.settings import parse_bool, parse_int


def test_an_empty_environment_holds_the_defaults() -> None:
    settings = PoolSettings.from_env({})
    assert settings == PoolSettings()
    assert settings.targets == WarmTargets(warm_eni=1, warm_ip=0, minimum_ip=0, warm_prefix=0)
    assert settings.subnet_discovery
    assert settings.cooldown_s == 30


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("+5", 5),
        ("-5", -5),
        ("007", 7),
        ("", None),
        (" 5", None),
        ("5 ", None),
        ("5\n", None),
        ("1_000", None),
        ("0x10", None),
        ("5.0", None),
        ("٥", None),
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", None),
    ],
)
def test_numbers_are_those_that_go_reads(text: str, value: int | None) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("t", True), ("TRUE", True), ("False", False), ("0", False), ("yes", None)],
)
def test_truth_values_are_those_that_go_reads(text: str, value: bool | None) -> None:
    assert parse_bool(text) is value


@pytest.mark.parametrize("text", ["-1", "x", "", "1.5"])
def test_unusable_targets_fall_back_without_a_word(text: str) -> None:
    names = ("WARM_ENI_TARGET", "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_PREFIX_TARGET")
    settings = PoolSettings.from_env(dict.fromkeys(names, text) | {"MAX_ENI": text})
    assert settings == PoolSettings()


def test_every_variable_is_read() -> None:
    settings = PoolSettings.from_env(
        {
            "WARM_ENI_TARGET": "0",
            "WARM_IP_TARGET": "5",
            "MINIMUM_IP_TARGET": "16",
            "WARM_PREFIX_TARGET": "2",
            "ENABLE_PREFIX_DELEGATION": "true",
            "MAX_ENI": "2",
            "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true",
            "ENABLE_SUBNET_DISCOVERY": "false",
            "ENABLE_POD_ENI": "true",
            "AWS_MANAGE_ENIS_NON_SCHEDULABLE": "true",
            "IP_COOLDOWN_PERIOD": "0",
        }
    )
    assert settings == PoolSettings(
        targets=WarmTargets(0, 5, 16, 2),
        prefix_delegation=True,
        max_eni=2,
        custom_networking=True,
        subnet_discovery=False,
        pod_eni=True,
        manage_non_schedulable=True,
        cooldown_s=0,
    )


def test_a_truth_value_that_go_cannot_read_counts_as_unset() -> None:
    assert PoolSettings.from_env({"ENABLE_SUBNET_DISCOVERY": "off"}).subnet_discovery


PREFIXES = {"ENABLE_PREFIX_DELEGATION": "true"}


@pytest.mark.parametrize(
    "env",
    [
        PREFIXES,
        PREFIXES | {"WARM_PREFIX_TARGET": "0"},
        PREFIXES | {"WARM_PREFIX_TARGET": "-1", "WARM_IP_TARGET": "", "MINIMUM_IP_TARGET": "0"},
        PREFIXES | {"WARM_PREFIX_TARGET": "+5"},
        {"IP_COOLDOWN_PERIOD": "-1"},
        {"IP_COOLDOWN_PERIOD": "30s"},
        {"IP_COOLDOWN_PERIOD": ""},
    ],
)
def test_the_entry_point_refuses(env: dict[str, str]) -> None:
    with pytest.raises(EntryPointRefused, match="set one"):
        check_entry_point(env)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"WARM_IP_TARGET": "0", "WARM_PREFIX_TARGET": "0"},
        PREFIXES | {"WARM_PREFIX_TARGET": "1"},
        PREFIXES | {"WARM_PREFIX_TARGET": "00"},
        PREFIXES | {"MINIMUM_IP_TARGET": "x"},
        {"ENABLE_PREFIX_DELEGATION": "nonsense"},
        {"IP_COOLDOWN_PERIOD": "0"},
    ],
)
def test_the_entry_point_lets_pass_by_comparing_text(env: dict[str, str]) -> None:
    check_entry_point(env)


@given(st.dictionaries(st.sampled_from(["WARM_IP_TARGET", "WARM_ENI_TARGET"]), st.text()))
def test_no_environment_stops_the_reading(env: dict[str, str]) -> None:
    targets = PoolSettings.from_env(env).targets
    assert targets.warm_ip >= 0
    assert targets.warm_eni >= 0


def test_an_impossible_shape_is_refused() -> None:
    with pytest.raises(ModelError, match="no node"):
        NodeShape("t9.zero", eni_limit=0, addresses_per_eni=2, max_pods=1)


def test_one_address_of_each_eni_is_its_own() -> None:
    assert NodeShape("m5.large", 3, 10, 29).slots == 9
