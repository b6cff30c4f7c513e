"""What becomes of a pod: its group's targets and marks, or nothing at all with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.admission import Tables, Verdict, answer
from ippolicy.admission.review import read_review
from ippolicy.decide.births.table import GroupTargets, NodePlace
from ippolicy.decide.safe_env import TARGET_KEYS
from ippolicy.errors import EntryPointRefused
from ippolicy.ipamd import PoolSettings, WarmTargets, check_entry_point
from reviews import LEAN, asked, aws_node_pod, entries, env_of, patch_of, patched, tables

CHART_ENV = {
    "ENABLE_PREFIX_DELEGATION": "false",
    "WARM_ENI_TARGET": "1",
    "WARM_PREFIX_TARGET": "1",
}
PREFIXES = GroupTargets(WarmTargets(warm_prefix=2), 3)


def test_a_pod_gets_the_targets_of_its_nodes_group() -> None:
    pod = aws_node_pod(env=entries(CHART_ENV))
    given = asked(pod)
    assert given.verdict is Verdict.MUTATED
    env = env_of(patched(pod, given))
    assert env == CHART_ENV | {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "10"}


def test_a_pod_is_marked_with_policy_group_revision_and_digest() -> None:
    pod = aws_node_pod(env=entries(CHART_ENV))
    metadata = patched(pod, asked(pod))["metadata"]
    assert metadata["labels"] == pod["metadata"]["labels"] | {
        "ippolicy.dev/policy": "default",
        "ippolicy.dev/group": "batch",
        "ippolicy.dev/revision": "7",
        "ippolicy.dev/digest": LEAN.digest,
    }
    assert metadata["annotations"] == {"ippolicy.dev/targets-of": "group"}


def test_everything_else_about_the_pod_stays() -> None:
    pod = aws_node_pod(env=entries(CHART_ENV), annotations={"a/b~c": "d"})
    after = patched(pod, asked(pod))
    assert after["metadata"]["annotations"]["a/b~c"] == "d"
    for name in ("labels", "annotations"):
        after["metadata"][name] = pod["metadata"][name]
    after["spec"]["containers"][1]["env"] = pod["spec"]["containers"][1]["env"]
    assert after == pod


def test_asked_a_second_time_it_changes_nothing() -> None:
    pod = aws_node_pod(env=entries(CHART_ENV))
    again = asked(patched(pod, asked(pod)))
    assert again.verdict is Verdict.IN_PLACE
    assert patch_of(again) == []


@pytest.mark.parametrize("env", [None, []])
def test_a_container_without_env_gets_one(env: list[Any] | None) -> None:
    pod = aws_node_pod(env=env)
    assert env_of(patched(pod, asked(pod))) == {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "10"}


def test_targets_that_would_rule_over_those_wanted_are_taken_out() -> None:
    pod = aws_node_pod(
        env=entries(
            {
                "MINIMUM_IP_TARGET": "20",
                "ENABLE_PREFIX_DELEGATION": "true",
                "WARM_IP_TARGET": "5",
                "OTHER": "x",
            }
        )
    )
    env = env_of(patched(pod, asked(pod, tables(batch=PREFIXES))))
    assert env == {"ENABLE_PREFIX_DELEGATION": "true", "OTHER": "x", "WARM_PREFIX_TARGET": "2"}


def test_a_bound_pod_is_of_the_node_that_it_is_bound_to() -> None:
    pod = aws_node_pod("elsewhere", env=[])
    pod["spec"]["nodeName"] = "node-1"
    assert asked(pod).verdict is Verdict.MUTATED


def container(**fields: Any) -> dict[str, Any]:
    pod = aws_node_pod(env=[])
    pod["spec"]["containers"][1] |= fields
    return pod


def affinity(*terms: Any) -> dict[str, Any]:
    pod = aws_node_pod()
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    pod["spec"]["affinity"] = {"nodeAffinity": required}
    return pod


def pin(*nodes: str, key: str = "metadata.name", operator: str = "In") -> dict[str, Any]:
    return {"matchFields": [{"key": key, "operator": operator, "values": list(nodes)}]}


FROM_MAP = {"configMapKeyRef": {"name": "cni", "key": "warm"}}
LET_THROUGH: dict[str, tuple[Verdict, dict[str, Any], dict[str, Any]]] = {
    "an update": (Verdict.NOT_CREATE, aws_node_pod(), {"operation": "UPDATE"}),
    "a subresource": (Verdict.NOT_CREATE, aws_node_pod(), {"subResource": "eviction"}),
    "another kind": (
        Verdict.NOT_CREATE,
        aws_node_pod(),
        {"resource": {"group": "apps", "version": "v1", "resource": "pods"}},
    ),
    "a rehearsal": (Verdict.DRY_RUN, aws_node_pod(), {"dryRun": True}),
    "no object": (Verdict.MALFORMED, None, {}),
    "a number for labels": (Verdict.MALFORMED, aws_node_pod(labels=3), {}),
    "another namespace": (Verdict.NO_POLICY, aws_node_pod(), {"namespace": "default"}),
    "nobody's pod": (Verdict.NO_POLICY, aws_node_pod(ownerReferences=None), {}),
    "a Job's pod": (
        Verdict.NO_POLICY,
        aws_node_pod(ownerReferences=[{"kind": "Job", "name": "aws-node", "controller": True}]),
        {},
    ),
    "no container aws-node": (Verdict.NO_CONTAINER, container(name="other"), {}),
    "no affinity": (Verdict.NO_NODE, affinity(), {}),
    "one of two nodes": (Verdict.NO_NODE, affinity(pin("node-1", "node-2")), {}),
    "this node or that": (Verdict.NO_NODE, affinity(pin("node-1"), pin("node-2")), {}),
    "this node or any": (Verdict.NO_NODE, affinity(pin("node-1"), {}), {}),
    "not on this node": (Verdict.NO_NODE, affinity(pin("node-1", operator="NotIn")), {}),
    "by another field": (Verdict.NO_NODE, affinity(pin("node-1", key="metadata.uid")), {}),
    "a node not seen yet": (Verdict.UNKNOWN_NODE, aws_node_pod("node-9"), {}),
    "a group without targets": (Verdict.UNKNOWN_GROUP, aws_node_pod("node-2"), {}),
    "a target from a ConfigMap": (
        Verdict.VALUE_FROM,
        aws_node_pod(env=[{"name": "WARM_ENI_TARGET", "valueFrom": FROM_MAP}]),
        {},
    ),
    "all of a ConfigMap": (
        Verdict.UNCLEAR_ENV,
        container(envFrom=[{"configMapRef": {"name": "cni"}}]),
        {},
    ),
    "a key twice": (
        Verdict.UNCLEAR_ENV,
        aws_node_pod(env=[*entries({"WARM_IP_TARGET": "1"}), *entries({"WARM_IP_TARGET": "2"})]),
        {},
    ),
    "a cooldown with which aws-node cannot start": (
        Verdict.TRAP,
        aws_node_pod(env=entries({"IP_COOLDOWN_PERIOD": "soon"})),
        {},
    ),
}


@pytest.mark.parametrize("case", LET_THROUGH)
def test_what_is_not_understood_is_let_through_unchanged(case: str) -> None:
    verdict, pod, request = LET_THROUGH[case]
    given = asked(pod, **request)
    assert given.verdict is verdict
    assert given.review is not None
    assert given.review["response"] == {"uid": "3f2b", "allowed": True}


def test_values_from_the_pod_itself_are_no_doubt() -> None:
    field = {"fieldRef": {"fieldPath": "spec.nodeName"}}
    pod = aws_node_pod(env=[{"name": "MY_NODE_NAME", "valueFrom": field}])
    assert env_of(patched(pod, asked(pod)))["MY_NODE_NAME"] == field


def test_prefix_delegation_of_unknown_value_must_suit_the_targets_either_way() -> None:
    flag = {"name": "ENABLE_PREFIX_DELEGATION", "valueFrom": FROM_MAP}
    without = tables(batch=GroupTargets(WarmTargets(warm_prefix=0), 1))
    assert asked(aws_node_pod(env=[flag])).verdict is Verdict.MUTATED
    assert asked(aws_node_pod(env=[flag]), without).verdict is Verdict.TRAP


def test_a_minimum_without_a_warm_target_is_never_set() -> None:
    held = tables(batch=GroupTargets(WarmTargets(minimum_ip=10), 1))
    assert asked(aws_node_pod(), held).verdict is Verdict.TRAP


def test_a_group_that_no_label_can_name_costs_no_pod() -> None:
    review = read_review(json.dumps({**REVIEW}).encode())
    odd = NodePlace("a b", "m5.large")
    held = tables(**{"a b": LEAN})
    assert answer(review, held, lambda *_: odd).verdict is Verdict.UNKNOWN_GROUP


REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "1",
        "operation": "CREATE",
        "namespace": "kube-system",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "object": aws_node_pod(),
    },
}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        json.dumps({**REVIEW, "apiVersion": "admission.k8s.io/v1beta1"}).encode(),
        json.dumps({**REVIEW, "kind": "Pod"}).encode(),
        json.dumps({**REVIEW, "request": None}).encode(),
        json.dumps({**REVIEW, "request": {"uid": ""}}).encode(),
    ],
)
def test_what_is_no_review_gets_none_back(body: bytes) -> None:
    given = answer(read_review(body), Tables(), lambda *_: None)
    assert given.verdict is Verdict.MALFORMED
    assert given.review is None


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_are_too_odd_to_be_answered(body: bytes) -> None:
    assert answer(read_review(body), Tables(), lambda *_: None).verdict is Verdict.MALFORMED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(odd=JSON, place=st.sampled_from(["metadata", "spec", "labels", "env", "affinity"]))
def test_no_pod_is_too_odd_to_be_let_through(odd: Any, place: str) -> None:
    pod: Any = aws_node_pod(env=[])
    if place == "env":
        pod["spec"]["containers"][1]["env"] = odd
    elif place == "labels":
        pod["metadata"]["labels"] = odd
    elif place == "affinity":
        pod["spec"]["affinity"] = odd
    else:
        pod[place] = odd
    given = asked(pod)
    assert given.review is not None
    assert given.review["response"]["allowed"] is True


NAMES = [*sorted(TARGET_KEYS), "ENABLE_PREFIX_DELEGATION", "IP_COOLDOWN_PERIOD", "OTHER"]
VALUES = st.sampled_from(["0", "1", "5", "-1", "", "true", "false", "x", "30"])


@given(
    env=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=7),
    targets=st.builds(
        WarmTargets,
        warm_ip=st.integers(0, 3),
        minimum_ip=st.integers(0, 3),
        warm_prefix=st.integers(0, 3),
    ),
)
def test_a_changed_pod_starts_grows_and_keeps_all_but_the_targets(
    env: list[tuple[str, str]], targets: WarmTargets
) -> None:
    held = tables(batch=GroupTargets(targets, 1))
    pod = aws_node_pod(env=[{"name": key, "value": value} for key, value in env])
    given = asked(pod, held)
    if given.verdict is not Verdict.MUTATED:
        assert patch_of(given) == []
        return
    after = patched(pod, given)
    result = env_of(after)
    others = {key: value for key, value in env if key not in TARGET_KEYS}
    assert {key: value for key, value in result.items() if key not in TARGET_KEYS} == others
    reached = PoolSettings.from_env(result).targets
    assert (reached.warm_ip, reached.minimum_ip) == (targets.warm_ip, targets.minimum_ip)
    if not targets.counts_addresses:
        assert reached.warm_prefix == targets.warm_prefix
    assert not (reached.minimum_ip and not reached.warm_ip)
    try:
        check_entry_point(result)
    except EntryPointRefused as error:
        pytest.fail(str(error))
    assert asked(after, held).verdict is Verdict.IN_PLACE
