"""Objects of the API become facts."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from ippolicy.facts import Agent, Birth, LeftOut
from ippolicy.observe.records import (
    NodeRecord,
    read_aws_node_pod,
    read_daemon_set_record,
    read_node,
    read_pod,
)


def node(name: str = "ip-10-0-0-1", **fields: Any) -> NodeRecord:
    labels = {"node.kubernetes.io/instance-type": "m5.large"} | fields.pop("labels", {})
    created = "2026-01-02T03:04:05Z"
    metadata = {"name": name, "uid": "u", "resourceVersion": "7", "creationTimestamp": created}
    return read_node(json.dumps({"metadata": {**metadata, "labels": labels}, **fields}).encode())


def test_a_node_is_read_whole() -> None:
    facts = node(
        labels={
            "topology.kubernetes.io/zone": "eu-west-1a",
            "eks.amazonaws.com/nodegroup": "blue",
        },
        spec={"providerID": "aws:///eu-west-1a/i-0abc"},
        status={
            "capacity": {"pods": "29", "cpu": "2"},
            "addresses": [
                {"type": "Hostname", "address": "x"},
                {"type": "InternalIP", "address": "10.0.0.1"},
            ],
        },
    ).facts
    assert (facts.instance_type, facts.instance_id, facts.zone) == (
        "m5.large",
        "i-0abc",
        "eu-west-1a",
    )
    assert (facts.group, facts.max_pods, facts.address) == ("blue", 29, "10.0.0.1")
    assert facts.created_at_s == 1767323045.0
    assert not facts.unschedulable


def test_a_bare_node_is_read_too() -> None:
    record = read_node(b'{"metadata":{"name":"n","creationTimestamp":null}}')
    assert (record.facts.instance_type, record.facts.group) == ("", "unknown")
    assert (record.facts.max_pods, record.facts.instance_id) == (0, "")
    assert record.left_out is None


@pytest.mark.parametrize(
    ("labels", "group"),
    [
        ({"karpenter.sh/nodepool": "k", "eks.amazonaws.com/nodegroup": "m"}, "k"),
        ({"eks.amazonaws.com/nodegroup": "m", "alpha.eksctl.io/nodegroup-name": "e"}, "m"),
        ({"alpha.eksctl.io/nodegroup-name": "e"}, "e"),
        ({}, "m5.large"),
    ],
)
def test_a_group_is_named_by_who_made_the_node(labels: dict[str, str], group: str) -> None:
    assert node(labels=labels).facts.group == group


def test_the_old_instance_type_label_serves_where_the_new_one_is_missing() -> None:
    body = {"metadata": {"name": "n", "labels": {"beta.kubernetes.io/instance-type": "c4.large"}}}
    assert read_node(json.dumps(body).encode()).facts.instance_type == "c4.large"


@pytest.mark.parametrize(
    ("provider", "instance_id"),
    [
        ("aws:///eu-west-1a/i-0abc", "i-0abc"),
        ("aws:///us-east-1a/fargate-ip-10-0-0-9", ""),
        ("eks-hybrid:///eu-west-1/c/mi-0abc", ""),
        ("kind://docker/kind/i-0", ""),
    ],
)
def test_only_an_ec2_instance_has_an_instance_id(provider: str, instance_id: str) -> None:
    assert node(spec={"providerID": provider}).facts.instance_id == instance_id


@pytest.mark.parametrize(
    "spec",
    [
        {"unschedulable": True},
        {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
    ],
)
def test_a_cordoned_node_is_unschedulable(spec: dict[str, Any]) -> None:
    assert node(spec=spec).facts.unschedulable


@pytest.mark.parametrize(
    ("told", "ready"),
    [([], True), (["True"], True), (["False"], False), (["Unknown"], False)],
)
def test_a_node_is_ready_as_its_condition_says(told: list[str], *, ready: bool) -> None:
    said = [{"type": "DiskPressure", "status": "False"}]
    said += [{"type": "Ready", "status": status} for status in told]
    assert node(status={"conditions": said}).facts.ready is ready
    assert node().facts.ready


@pytest.mark.parametrize(
    ("name", "labels", "why"),
    [
        ("n", {"eks.amazonaws.com/compute-type": "fargate"}, LeftOut.FARGATE),
        ("fargate-ip-10-0-0-1", {}, LeftOut.FARGATE),
        ("n", {"eks.amazonaws.com/compute-type": "auto"}, LeftOut.AUTO_MODE),
        ("n", {"eks.amazonaws.com/compute-type": "hybrid"}, LeftOut.HYBRID),
        ("n", {"kubernetes.io/os": "windows"}, LeftOut.WINDOWS),
        ("n", {"kubernetes.io/os": "linux", "eks.amazonaws.com/compute-type": "ec2"}, None),
    ],
)
def test_nodes_without_a_warm_pool_are_told_apart(
    name: str, labels: dict[str, str], why: LeftOut | None
) -> None:
    assert node(name, labels=labels).left_out == why


def test_a_pod_is_kept_small() -> None:
    pod = read_pod(b'{"metadata":{"name":"p","namespace":"x","uid":"u"},"spec":{"nodeName":"n"}}')
    assert pod == ("x/p", "u", "", "n", True)
    assert read_pod(b'{"metadata":{"name":"p","namespace":"x"},"spec":{}}').node == ""


@pytest.mark.parametrize(
    ("spec", "status", "waiting"),
    [
        ({}, {"phase": "Pending"}, False),
        ({"nodeName": "n"}, {"phase": "Pending"}, True),
        ({"nodeName": "n"}, {"phase": "Running", "podIP": "10.0.0.9"}, False),
    ],
)
def test_a_pod_waits_from_its_binding_until_it_has_an_address(
    spec: dict[str, Any], status: dict[str, Any], *, waiting: bool
) -> None:
    body = {"metadata": {"name": "p", "namespace": "x"}, "spec": spec, "status": status}
    assert read_pod(json.dumps(body).encode()).waiting is waiting


def test_an_aws_node_pod_tells_where_it_is_and_what_it_runs() -> None:
    body = {
        "metadata": {
            "name": "aws-node-1",
            "namespace": "kube-system",
            "uid": "u",
            "deletionTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"controller-revision-hash": "abc"},
            "ownerReferences": [{"kind": "DaemonSet", "name": "aws-node", "controller": True}],
        },
        "spec": {"nodeName": "n"},
        "status": {
            "hostIP": "10.0.0.1",
            "startTime": "2026-01-02T03:04:05Z",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    pod = read_aws_node_pod(json.dumps(body).encode())
    assert (pod.node, pod.address, pod.owner, pod.revision) == ("n", "10.0.0.1", "aws-node", "abc")
    assert pod.ready
    assert pod.terminating
    assert pod.started_at_s == 1767323045.0


def test_an_aws_node_pod_tells_the_targets_that_it_was_given_as_literal_values() -> None:
    env = [
        {"name": "WARM_IP_TARGET", "value": "9"},
        {"name": "WARM_IP_TARGET", "value": "2"},
        {"name": "MINIMUM_IP_TARGET"},
        {"name": "WARM_ENI_TARGET", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "ENABLE_PREFIX_DELEGATION", "value": "true"},
    ]
    other = [{"name": "WARM_PREFIX_TARGET", "value": "1"}]
    conditions = [
        {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-02T03:04:15Z"},
        {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:04:25Z"},
    ]
    body = {
        "metadata": {
            "name": "aws-node-1",
            "uid": "u",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {
                "ippolicy.dev/policy": "default",
                "ippolicy.dev/group": "blue",
                "ippolicy.dev/revision": "3",
                "ippolicy.dev/digest": "0123456789",
            },
        },
        "spec": {
            "nodeName": "n",
            "containers": [{"name": "sidecar", "env": other}, {"name": "aws-node", "env": env}],
        },
        "status": {"phase": "Running", "conditions": conditions},
    }
    assert read_aws_node_pod(json.dumps(body).encode()).agent == Agent(
        name="aws-node-1",
        uid="u",
        created_at_s=1767323045.0,
        ready=False,
        turned_at_s=1767323065.0,
        ending=False,
        birth=Birth("default", "blue", "3", "0123456789"),
        targets={"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": ""},
    )


@pytest.mark.parametrize("spec", [{}, {"containers": []}, {"containers": [{"name": "aws-node"}]}])
def test_an_aws_node_pod_without_env_has_no_targets(spec: dict[str, Any]) -> None:
    pod = read_aws_node_pod(json.dumps({"metadata": {"name": "a"}, "spec": spec}).encode())
    assert (pod.agent.birth, pod.agent.targets) == (None, {})


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, True),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, False),
        ({"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}]}, True),
        ({"phase": "Running"}, True),
        ({"phase": "Pending"}, False),
        ({}, False),
    ],
)
def test_a_pod_is_ready_as_it_says_or_else_once_it_runs(
    status: dict[str, object], *, ready: bool
) -> None:
    body = {"metadata": {"name": "a", "namespace": "x", "uid": "u"}, "spec": {}, "status": status}
    assert read_aws_node_pod(json.dumps(body).encode()).ready is ready


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"metadata":{"name":"x"}}', b'{"metadata":1}'])
def test_what_is_no_daemon_set_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_daemon_set_record(body, at_s=0.0)
