"""The status document: what it carries, how large it may get, and when it is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.account.difference import (
    changed,
    either,
    merge_patch,
    patch_over_any,
    worth_writing,
)
from ippolicy.account.status import MAX_BYTES, bounded, json_bytes, status_document
from ippolicy.account.view import View
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.api.crd import custom_resource_definition
from ippolicy.decide.types import Evidence, Reason
from ippolicy.facts import (
    ChangePhase,
    DaemonSetFacts,
    EnvEntry,
    LeftOut,
    PoolCounters,
    PoolFacts,
    SubnetFacts,
)
from ippolicy.ipamd import WarmTargets
from views import (
    NOW_S,
    a_change,
    a_daemon_set,
    a_decision,
    a_dire_ahead,
    a_recommendation,
    a_record,
    a_snapshot,
    a_view,
)


def document(view: View | None = None, now_s: float = NOW_S) -> dict[str, Any]:
    """The status after a pass, with no status before."""
    return status_document(view or a_view(), {}, now_s)


def fits(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value has the shape that the CRD's schema promises."""
    if schema["type"] == "object" and "properties" in schema:
        known = schema["properties"]
        return set(schema.get("required", ())) <= value.keys() <= known.keys() and all(
            fits(known[key], inner) for key, inner in value.items()
        )
    if schema["type"] == "object":
        return all(fits(schema["additionalProperties"], inner) for inner in value.values())
    if schema["type"] == "array":
        return all(fits(schema["items"], inner) for inner in value)
    return isinstance(value, {"string": str, "integer": int, "boolean": bool}[schema["type"]])


STATUS_SCHEMA = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"][
    "properties"
]["status"]


def test_an_ordinary_pass_is_shown_whole() -> None:
    status = document(a_view(record=a_record(a_change())))
    conditions = status.pop("conditions")
    assert conditions[0]["type"] == "Ready"
    assert status == {
        "observedGeneration": 3,
        "observedTime": "2026-11-18T11:06:40Z",
        "daemonSet": "kube-system/aws-node",
        "totals": {
            "nodes": 10,
            "leftOut": {"Fargate": 2},
            "pods": 200,
            "assigned": 200,
            "warm": 220,
            "held": 420,
            "enis": 30,
            "endpointsListed": 10,
            "endpointsRead": 10,
        },
        "inForce": [
            {"key": "WARM_ENI_TARGET", "value": "1", "owners": ["eks"], "kinds": ["EKS"]},
            {"key": "WARM_PREFIX_TARGET", "value": "1", "owners": ["eks"], "kinds": ["EKS"]},
        ],
        "recommendation": {
            "targets": {"warmIP": 2, "minimumIP": 20},
            "lower": {"warmIP": 1, "minimumIP": 19},
            "upper": {"warmIP": 3, "minimumIP": 22},
            "uncapped": {"warmIP": 2, "minimumIP": 20},
            "text": "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=20",
            "binding": "demand",
            "present": {
                "held": 420,
                "warm": 220,
                "enis": 30,
                "meanHeld": 419,
                "delayed": "0%",
                "callsPerMinute": "0.25",
            },
            "predicted": {
                "held": 220,
                "warm": 20,
                "enis": 20,
                "meanHeld": 219,
                "delayed": "0.31%",
                "callsPerMinute": "1.5",
            },
            "saves": 200,
            "observed": "2h",
            "evidence": "demand was watched for 7200 s",
            "options": [],
        },
        "decision": {
            "verdict": "Hold",
            "reason": "TargetsInPlace",
            "message": "because of TargetsInPlace",
        },
        "groups": [
            {
                "name": "group-0",
                "nodes": 1,
                "pods": 20,
                "held": 420,
                "assigned": 200,
                "text": "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=20",
                "saves": 200,
            }
        ],
        "moreGroups": 0,
        "subnets": [
            {
                "id": f"subnet-{i:017x}",
                "zone": "eu-west-1a",
                "cidr": "10.0.0.0/24",
                "free": 100 + i,
                "usable": 251,
                "readTime": "2026-11-18T11:06:40Z",
                "uses": [],
                "headroom": [],
            }
            for i in range(3)
        ],
        "moreSubnets": 0,
        "subnetLeft": "100 (subnet-00000000000000000)",
        "zones": [{"name": "eu-west-1a"}],
        "brake": {"step": 0, "steps": 3, "message": "no subnet is short of addresses"},
        "deadEnds": [],
        "changes": [
            {
                "id": "c1",
                "kind": "Tune",
                "time": "2026-11-18T10:06:40Z",
                "phase": "Complete",
                "before": {"WARM_IP_TARGET": "", "MINIMUM_IP_TARGET": ""},
                "after": {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "20"},
                "reason": "420 addresses held now, 220 expected",
                "took": "5m",
            }
        ],
        "traps": [],
    }


def test_the_document_has_the_shape_of_the_crd() -> None:
    decision = a_decision(traps=("a trap",))
    view = a_view(record=a_record(a_change()), decision=decision, ahead=a_dire_ahead())
    assert fits(STATUS_SCHEMA, document(view))
    empty = a_view(snapshot=a_snapshot(0, subnets=0, daemon_set=None), decision=None)
    assert fits(STATUS_SCHEMA, document(empty))


def test_a_daemon_set_that_is_left_behind_is_named_until_it_is_as_it_was() -> None:
    view = a_view(decision=None, left_behind="kube-system/aws-node-old")
    assert document(view)["daemonSet"] == "kube-system/aws-node-old"


def test_without_facts_nothing_is_made_up() -> None:
    status = document(a_view(snapshot=a_snapshot(0, subnets=0, daemon_set=None), decision=None))
    assert "recommendation" not in status
    assert "decision" not in status
    assert "subnetLeft" not in status
    assert status["inForce"] == []


def test_targets_that_are_put_aside_are_not_shown() -> None:
    targets = WarmTargets(warm_eni=1, warm_prefix=2)
    view = a_view(decision=a_decision(fleet=a_recommendation(targets=targets)))
    shown = document(view)["recommendation"]
    assert shown["targets"] == {"warmENI": 1, "warmPrefix": 2}
    assert shown["text"] == "WARM_ENI_TARGET=1 WARM_PREFIX_TARGET=2"


def test_an_entry_from_elsewhere_shows_its_source_and_owners() -> None:
    env = {"WARM_IP_TARGET": EnvEntry(None, {"configMapKeyRef": {"name": "c", "key": "k"}})}
    owners = {"WARM_IP_TARGET": ("helm", "kubectl-edit")}
    daemon_set = a_daemon_set(env, owners=owners)
    assert document(a_view(snapshot=a_snapshot(daemon_set=daemon_set)))["inForce"] == [
        {
            "key": "WARM_IP_TARGET",
            "valueFrom": "configMapKeyRef c/k",
            "owners": ["helm", "kubectl-edit"],
            "kinds": ["Helm", "Kubectl"],
        }
    ]


def test_the_tightest_subnet_is_the_one_with_the_least_share_free() -> None:
    subnets = (
        SubnetFacts("subnet-small", "a", "10.0.0.0/28", 16, 9, NOW_S),
        SubnetFacts("subnet-large", "a", "10.0.0.0/20", 4096, 40, NOW_S),
    )
    status = document(a_view(snapshot=replace(a_snapshot(), subnets=subnets)))
    assert status["subnetLeft"] == "40 (subnet-large)"


def test_a_change_just_written_is_shown_before_its_record_is_read_again() -> None:
    change = a_change(ChangePhase.ROLLING, id="c2", intended_at_s=NOW_S)
    outcome = Outcome(OutcomeKind.WRITTEN, "set", change=change)
    changes = document(a_view(record=a_record(a_change()), outcome=outcome))["changes"]
    assert [c["phase"] for c in changes] == ["Rolling", "Complete"]


def test_a_change_is_shown_once_with_its_newest_phase() -> None:
    outcome = Outcome(OutcomeKind.WRITTEN, "set", change=a_change(ChangePhase.ROLLING))
    view = a_view(record=a_record(a_change(ChangePhase.INTENDED)), outcome=outcome)
    assert [c["phase"] for c in document(view)["changes"]] == ["Rolling"]


def test_lists_are_cut_and_what_is_cut_is_counted() -> None:
    changes = [a_change(id=f"c{i}", intended_at_s=NOW_S - i) for i in range(30)]
    view = a_view(
        snapshot=a_snapshot(500, groups=60, subnets=130),
        decision=a_decision(groups=60),
        record=a_record(*changes),
    )
    status = document(view)
    assert (len(status["groups"]), status["moreGroups"]) == (50, 10)
    assert (len(status["subnets"]), status["moreSubnets"]) == (100, 30)
    assert len(status["changes"]) == 20
    assert status["groups"][0]["nodes"] == 60


def test_a_very_large_cluster_stays_below_64_kib() -> None:
    changes = [a_change(id=f"c{i}", reason="x" * 5_000) for i in range(40)]
    view = a_view(
        snapshot=a_snapshot(5_000, groups=500, subnets=1_000),
        decision=a_decision(groups=500, traps=("t" * 9_000,) * 50, message="m" * 9_000),
        record=a_record(*changes),
        outcome=Outcome(OutcomeKind.FAILED, "f" * 100_000),
    )
    status = document(view)
    assert json_bytes(status) < MAX_BYTES
    assert fits(STATUS_SCHEMA, status)


_wild = st.text(alphabet=st.sampled_from('a\n\x00\u2028é漢😀"\\'), min_size=40, max_size=400)


@settings(max_examples=20, deadline=None)
@given(_wild, st.integers(1, 500))
def test_no_names_make_the_document_too_large(text: str, count: int) -> None:
    snapshot = a_snapshot(3)
    subnets = tuple(SubnetFacts(f"{text}{i}", text, text, 256, 9, NOW_S) for i in range(count))
    daemon_set = a_daemon_set(
        {"WARM_IP_TARGET": EnvEntry(text)}, owners={"WARM_IP_TARGET": (text,) * 9}
    )
    advice = tuple(
        replace(group, group=f"{text}{i}")
        for i, group in enumerate(a_decision(groups=count).groups)
    )
    view = a_view(
        snapshot=replace(snapshot, subnets=subnets, daemon_set=daemon_set),
        decision=a_decision(message=text, groups=0, traps=(text,) * count)
        if count % 2
        else replace(a_decision(message=text, traps=(text,)), groups=advice),
        record=a_record(*(a_change(id=str(i), reason=text) for i in range(30))),
    )
    assert json_bytes(document(view)) <= MAX_BYTES


def test_the_longest_list_is_cut_first_and_what_is_cut_is_counted() -> None:
    status: dict[str, Any] = {
        "changes": ["c" * 50] * 4,
        "groups": ["g" * 30] * 4,
        "subnets": ["s"] * 4,
        "moreGroups": 5,
    }
    cut = bounded(status, max_bytes=200)
    assert {key: len(cut[key]) for key in ("changes", "groups", "subnets")} == {
        "changes": 1,
        "groups": 2,
        "subnets": 4,
    }
    assert cut["moreGroups"] == 7


def test_nodes_that_were_not_read_add_nothing() -> None:
    snapshot = a_snapshot(2)
    view = a_view(snapshot=replace(snapshot, pools={"node-1": snapshot.pools["node-1"]}))
    status = document(view)
    assert (status["totals"]["nodes"], status["totals"]["held"]) == (2, 42)
    assert status["groups"][0]["held"] == 42


def test_what_has_no_lists_is_left_as_it_is() -> None:
    status = {"conditions": ["x" * 100], "groups": []}
    assert bounded(status, max_bytes=10) == status


def test_nothing_new_is_nothing_to_write() -> None:
    before = document()
    after = status_document(a_view(), before, NOW_S + 600)
    assert not changed(before, after)
    assert not worth_writing(before, after, age_s=59, refresh_s=60)
    assert worth_writing(before, after, age_s=60, refresh_s=60)


def test_a_document_that_is_the_same_is_never_written() -> None:
    assert not worth_writing(document(), document(), age_s=1e9, refresh_s=60)


def _with_held(held: int) -> View:
    pool = PoolFacts("node-0", held, 20, 3, 4, 0, "v1", PoolCounters(), NOW_S)
    snapshot = a_snapshot()
    return a_view(snapshot=replace(snapshot, pools={**snapshot.pools, "node-0": pool}))


def _with_pods(pods: int) -> View:
    return a_view(snapshot=a_snapshot(pods_per_node={"node-0": pods}))


_LONGER = Evidence(7_215.0, 10, 41, True, "demand was watched for 7215 s")


def _with_daemon_set(daemon_set: DaemonSetFacts) -> View:
    return a_view(snapshot=a_snapshot(daemon_set=daemon_set))


@pytest.mark.parametrize(
    ("what", "view"),
    [
        ("a few addresses more", _with_held(47)),
        ("a pod more", _with_pods(201)),
        (
            "a longer watch",
            a_view(decision=a_decision(fleet=a_recommendation(evidence=_LONGER))),
        ),
    ],
)
def test_noise_waits_for_the_refresh(what: str, view: View) -> None:
    assert not changed(document(), document(view, NOW_S + 15)), what


@pytest.mark.parametrize(
    ("what", "view"),
    [
        ("a condition", a_view(decision=a_decision(Reason.COOLDOWN))),
        ("many addresses more", _with_held(142)),
        (
            "a target by one",
            a_view(
                decision=a_decision(
                    fleet=a_recommendation(targets=WarmTargets(warm_ip=3, minimum_ip=20))
                )
            ),
        ),
        ("a setting in force", _with_daemon_set(a_daemon_set({"WARM_ENI_TARGET": EnvEntry("2")}))),
        (
            "an owner",
            _with_daemon_set(a_daemon_set(owners={"WARM_ENI_TARGET": ("helm",)})),
        ),
        ("a change", a_view(record=a_record(a_change()))),
        ("a trap", a_view(decision=a_decision(traps=("a trap",)))),
        ("a subnet", a_view(snapshot=a_snapshot(subnets=4))),
        (
            "nodes left out",
            a_view(snapshot=a_snapshot(left_out={LeftOut.FARGATE: 2, LeftOut.HYBRID: 1})),
        ),
        ("no recommendation", a_view(decision=None)),
    ],
)
def test_what_a_person_would_care_for_is_written_at_once(what: str, view: View) -> None:
    assert changed(document(), document(view)), what
    assert changed(document(view), document()), what


def test_figures_in_messages_are_noise_and_words_are_not() -> None:
    def said(message: str) -> dict[str, Any]:
        return {"conditions": [{"type": "Ready", "status": "True", "message": message}]}

    assert not changed(said("watched for 59m10s of 1h"), said("watched for 1h of 1h"))
    assert not changed(said("3 of 10 pods (30.0%)"), said("4 of 10 pods (40.5%)"))
    assert changed(said("metrics: timed out"), said("metrics: refused"))


def test_groups_that_change_places_are_no_change() -> None:
    groups = [{"name": "a", "nodes": 40}, {"name": "b", "nodes": 39}]
    swapped = [{"name": "b", "nodes": 41}, {"name": "a", "nodes": 40}]
    assert not changed({"groups": groups}, {"groups": swapped})


def test_a_slow_drift_is_measured_from_what_was_written() -> None:
    written = {"totals": {"held": 100}}
    assert not changed(written, {"totals": {"held": 110}})
    assert changed(written, {"totals": {"held": 111}})


_json = st.recursive(
    st.integers(0, 3) | st.text(max_size=2) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=9,
)
_documents = st.dictionaries(st.sampled_from("abc"), _json)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, as the API server applies it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


@settings(deadline=None)
@given(_documents, _documents)
def test_the_patch_makes_the_old_document_into_the_new(old: Any, new: Any) -> None:
    assert merged(old, merge_patch(old, new)) == new
    assert (merge_patch(old, new) == {}) is (old == new)


def test_a_patch_over_either_of_two_documents_makes_the_new_of_both() -> None:
    one, other = {"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"x": 1, "z": 4}, "c": 5}
    new = {"a": {"x": 1}, "d": {"e": 6}}
    patch = patch_over_any(either(one, other), new)
    assert patch == {"a": {"x": 1, "y": None, "z": None}, "b": None, "c": None, "d": {"e": 6}}
    assert merged(one, patch) == merged(other, patch) == new


_typed = st.fixed_dictionaries(
    {},
    optional={
        "a": st.integers(),
        "b": st.dictionaries(st.sampled_from("xyz"), st.integers()),
        "c": st.fixed_dictionaries(
            {}, optional={"d": st.dictionaries(st.sampled_from("xy"), _json)}
        ),
    },
)
"""Documents of one schema, as a status is: a field is an object in all of them or in none."""


@settings(deadline=None)
@given(_typed, _typed, _typed, _typed)
def test_a_patch_over_any_document_makes_the_new_of_each_and_of_what_they_came_to(
    first: Any, second: Any, third: Any, new: Any
) -> None:
    patch = patch_over_any(either(either(first, second), third), new)
    then = merged(first, merge_patch(first, second))
    for there in ({}, first, second, third, merged(then, merge_patch(first, third))):
        assert merged(there, patch) == new


@settings(deadline=None)
@given(_documents)
def test_a_document_never_differs_from_itself(status: Any) -> None:
    assert not changed(status, status)
