from __future__ import annotations

import pytest

from claims import US, managed_entry, read
from ippolicy.act.live import Claim


@pytest.mark.parametrize(
    ("part", "holds_value"),
    [("all", True), ("from", True), ("value", True), ("whole", True), ("name", False)],
)
def test_a_claim_covers_the_value_only_where_it_says_so(part: str, holds_value: bool) -> None:
    live = read({"WARM_IP_TARGET": "5"}, {"helm": {"WARM_IP_TARGET": part}})
    assert live.claims["WARM_IP_TARGET"] == (Claim("helm", ours=False, value=holds_value),)


def test_only_what_we_applied_is_ours() -> None:
    live = read(
        {"WARM_IP_TARGET": "5", "WARM_ENI_TARGET": "1"},
        {US: {"WARM_IP_TARGET": "all"}, "ippolicy-operator:Update": {"WARM_ENI_TARGET": "all"}},
    )
    assert live.value_is_ours("WARM_IP_TARGET")
    assert not live.value_is_ours("WARM_ENI_TARGET")
    assert live.value_holders("WARM_ENI_TARGET") == ("ippolicy-operator",)


def test_status_writers_hold_nothing_of_the_env() -> None:
    entry = managed_entry(US, {"WARM_IP_TARGET": "all"}, subresource="status")
    live = read({"WARM_IP_TARGET": "5"}, managedFields=[entry])
    assert not live.claims
    assert not live.holds_anything


def test_without_any_managed_fields_everything_is_held_by_the_name_the_server_will_give() -> None:
    live = read({"WARM_IP_TARGET": "5"}, managedFields=[])
    assert live.value_holders("WARM_IP_TARGET") == ("before-first-apply",)


def test_letting_go_takes_out_our_entry_and_no_other() -> None:
    live = read({}, {US: {"WARM_IP_TARGET": "all"}, "helm": {"WARM_ENI_TARGET": "all"}})
    assert [entry["manager"] for entry in live.managed_fields_without_ours()] == ["helm"]


def test_letting_go_of_the_last_entry_tells_the_server_to_forget() -> None:
    assert read({}, {US: {}}).managed_fields_without_ours() == [{}]
