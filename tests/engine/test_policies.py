"""Which policies there are, and which of them acts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_fakes import OTHER, REF, invalid_policy, raw_policy
from ippolicy.api import IPPolicy
from ippolicy.engine.policies import Policies, former_ref, ref_of, selection_of
from ippolicy.facts import DaemonSetRef, SubnetSelection

OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def holding(*raws: dict[str, Any]) -> Policies:
    policies = Policies()
    for raw in raws:
        policies.put(raw)
    return policies


def acting(policies: Policies) -> dict[str, str | None]:
    """Policy -> the older one that acts in its place."""
    return {standing.policy.name: standing.rival for standing in policies.standings()}


def test_of_two_policies_for_one_daemon_set_the_oldest_acts() -> None:
    policies = holding(
        raw_policy("a", created=NEW), raw_policy("b", created=OLD), raw_policy("c", created=NEW)
    )
    assert acting(policies) == {"b": None, "a": "b", "c": "b"}


def test_of_two_policies_of_one_age_the_first_by_name_acts() -> None:
    assert acting(holding(raw_policy("b"), raw_policy("a"))) == {"a": None, "b": "a"}


def test_policies_for_different_daemon_sets_are_no_rivals() -> None:
    policies = holding(raw_policy("a"), raw_policy("b", OTHER))
    assert acting(policies) == {"a": None, "b": None}
    assert [standing.ref for standing in policies.standings()] == [REF, OTHER]


def test_a_policy_that_is_being_deleted_acts_no_more() -> None:
    policies = holding(raw_policy("a", created=OLD, deleting=True), raw_policy("b", created=NEW))
    assert acting(policies) == {"b": None}
    assert policies.standing("a") is None
    standing = policies.standing("b")
    assert standing is not None
    assert (standing.policy.name, standing.rival) == ("b", None)


def test_an_object_that_breaks_the_rules_is_kept_out_and_named() -> None:
    policies = holding(invalid_policy(created=OLD), raw_policy("a", created=NEW))
    assert acting(policies) == {"a": None}
    assert list(policies.invalid) == ["broken"]
    assert "spec.mode" in policies.invalid["broken"]
    assert policies.raw("broken")["spec"]["mode"] == "Sometimes"
    policies.put(raw_policy("broken", created=OLD))
    assert policies.invalid == {}
    assert acting(policies) == {"broken": None, "a": "broken"}


def test_a_policy_that_becomes_invalid_acts_no_more_and_keeps_its_status() -> None:
    policies = holding(raw_policy("a", created=OLD), raw_policy("b", created=NEW))
    policies.put(invalid_policy("a", status={"daemonSet": "kube-system/aws-node"}))
    assert acting(policies) == {"b": None}
    assert policies.status("a") == {"daemonSet": "kube-system/aws-node"}


def test_putting_tells_whether_anything_that_matters_is_new() -> None:
    policies = Policies()
    steps: tuple[tuple[dict[str, Any], bool], ...] = (
        (raw_policy("a"), True),
        (raw_policy("a"), False),
        (raw_policy("a", status={"totals": {"nodes": 3}}), False),
        (raw_policy("a", metadata={"resourceVersion": "7"}), False),
        (raw_policy("a", mode="Off"), True),
        (raw_policy("a", metadata={"annotations": {"ippolicy.dev/paused": "true"}}), True),
        (raw_policy("a", deleting=True), True),
        (invalid_policy("a"), True),
        (invalid_policy("a", status={"totals": {"nodes": 3}}), False),
        (raw_policy("a", mode="Never"), True),
        (raw_policy("a"), True),
    )
    assert [policies.put(raw) for raw, _ in steps] == [new for _, new in steps]


@pytest.mark.parametrize("raw", [raw_policy("a"), invalid_policy("a")])
def test_what_is_removed_leaves_nothing_behind(raw: dict[str, Any]) -> None:
    policies = holding(raw)
    policies.remove("a")
    assert (policies.standings(), policies.invalid, policies.status("a")) == ([], {}, {})
    policies.remove("a")


@pytest.mark.parametrize(
    ("shown", "ref"),
    [
        ("kube-system/aws-node", REF),
        ("aws-node", None),
        ("kube-system/", None),
        ("", None),
        (None, None),
    ],
)
def test_the_former_daemon_set_is_the_one_in_status(
    shown: str | None, ref: DaemonSetRef | None
) -> None:
    assert former_ref({"daemonSet": shown}) == ref
    assert former_ref({}) is None


def test_the_daemon_sets_of_a_policy_are_the_one_it_names_and_the_one_it_named() -> None:
    policies = holding(
        raw_policy("stays", status={"daemonSet": str(REF)}),
        raw_policy("moves", OTHER, status={"daemonSet": str(REF)}),
        raw_policy("new"),
    )
    refs = {s.policy.name: policies.refs(s.policy) for s in policies.standings()}
    assert refs == {"stays": (REF,), "moves": (OTHER, REF), "new": (REF,)}


def test_a_selection_says_the_same_whatever_the_order_of_its_tags() -> None:
    ids = ["subnet-01234567", "subnet-12345678"]
    for tags in ({"b": "2", "a": "1"}, {"a": "1", "b": "2"}):
        raw = raw_policy(subnets={"selector": {"ids": ids, "tags": tags}})
        selection = selection_of(IPPolicy.from_raw(raw))
        assert selection == SubnetSelection(tuple(ids), (("a", "1"), ("b", "2")))
    assert not selection_of(IPPolicy.from_raw(raw_policy()))


def test_the_successor_is_the_oldest_of_those_that_stay() -> None:
    policies = holding(
        raw_policy("a", created=OLD),
        raw_policy("b", created=OLD, deleting=True),
        raw_policy("d", created=NEW),
        raw_policy("c", created=NEW),
        raw_policy("e", OTHER, created=OLD),
    )

    def successor(name: str, ref: DaemonSetRef = REF) -> str | None:
        found = policies.successor(IPPolicy.from_raw(policies.raw(name)), ref)
        return found.name if found is not None else None

    assert successor("a") == "c"
    assert successor("c") == "a"
    assert successor("b") == "a"
    assert successor("e", OTHER) is None
    assert successor("e", REF) == "a"


def test_another_policy_sees_to_a_record_of_its_own() -> None:
    policies = holding(
        raw_policy("a"),
        raw_policy("b", created=NEW),
        raw_policy("leaving", deleting=True),
        raw_policy("moved", OTHER, status={"daemonSet": str(OTHER)}),
        raw_policy("moving", OTHER, status={"daemonSet": str(REF)}),
    )
    b = IPPolicy.from_raw(policies.raw("b"))
    seen_to = {
        name: policies.has_other(f"uid-{name}", REF, than=b)
        for name in ("a", "b", "leaving", "moved", "moving", "gone")
    }
    assert seen_to == {
        "a": True,
        "b": False,
        "leaving": True,
        "moved": False,
        "moving": True,
        "gone": False,
    }


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.sampled_from([REF, OTHER]),
            st.sampled_from([OLD, NEW]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_one_policy_acts_on_each_daemon_set_and_the_others_name_it(
    puts: list[tuple[str, DaemonSetRef, str, bool]],
) -> None:
    policies = holding(
        *(raw_policy(n, ref, created=created, deleting=gone) for n, ref, created, gone in puts)
    )
    staying = {name: (ref, created) for name, ref, created, gone in puts if not gone}
    for name, _, _, gone in puts:
        if gone and policies.standing(name) is None:
            staying.pop(name, None)
    standings = policies.standings()
    assert {standing.policy.name for standing in standings} == set(staying)
    for standing in standings:
        assert standing.ref == ref_of(standing.policy)
        rivals = [(created, n) for n, (ref, created) in staying.items() if ref == standing.ref]
        oldest = min(rivals)[1]
        assert standing.rival == (None if standing.policy.name == oldest else oldest)
