"""The plain manifests are accepted by a real API server and grant what they should, no more."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

import ippolicy
from controlplane import ControlPlane, ControlPlaneError

DEPLOY = Path(__file__).parents[2] / "deploy"
USER = "system:serviceaccount:kube-system:ippolicy-operator"

Right = tuple[str, str, str, str]
"""Verb, group/resource/subresource, namespace or "" for all, name or "" for any."""

ALLOWED: list[Right] = [
    ("list", "nodes", "", ""),
    ("watch", "pods", "", ""),
    ("watch", "ippolicy.dev/ippolicies", "", ""),
    ("patch", "ippolicy.dev/ippolicies", "", "default"),
    ("patch", "ippolicy.dev/ippolicies/status", "", "default"),
    ("watch", "apiextensions.k8s.io/customresourcedefinitions", "", ""),
    ("create", "events", "default", ""),
    ("watch", "apps/daemonsets", "kube-system", ""),
    ("get", "apps/daemonsets", "kube-system", "aws-node"),
    ("patch", "apps/daemonsets", "kube-system", "aws-node"),
    ("create", "configmaps", "kube-system", ""),
    ("get", "configmaps", "kube-system", "ippolicy-record-aws-node"),
    ("patch", "configmaps", "kube-system", "ippolicy-record-aws-node"),
    ("delete", "configmaps", "kube-system", "ippolicy-record-aws-node"),
    ("get", "configmaps", "kube-system", "ippolicy-checkpoint-aws-node"),
    ("create", "configmaps", "kube-system", "ippolicy-checkpoint-aws-node"),
    ("patch", "configmaps", "kube-system", "ippolicy-checkpoint-aws-node"),
    ("delete", "configmaps", "kube-system", "ippolicy-checkpoint-aws-node"),
    ("get", "configmaps", "kube-system", "cilium-config"),
    ("get", "configmaps", "kube-system", "amazon-vpc-cni"),
    ("list", "crd.k8s.amazonaws.com/eniconfigs", "", ""),
]
DENIED: list[Right] = [
    ("watch", "crd.k8s.amazonaws.com/eniconfigs", "", ""),
    ("create", "events", "kube-system", ""),
    ("get", "secrets", "kube-system", "any"),
    ("list", "secrets", "", ""),
    ("patch", "nodes", "", "node-a"),
    ("delete", "pods", "kube-system", "aws-node-x"),
    ("create", "pods/exec", "kube-system", "aws-node-x"),
    ("get", "pods/proxy", "kube-system", "aws-node-x"),
    ("patch", "apps/daemonsets", "kube-system", "kube-proxy"),
    ("patch", "apps/daemonsets", "default", "aws-node"),
    ("update", "apps/daemonsets", "kube-system", "aws-node"),
    ("delete", "apps/daemonsets", "kube-system", "aws-node"),
    ("list", "apps/daemonsets", "", ""),
    ("get", "configmaps", "kube-system", "coredns"),
    ("update", "configmaps", "kube-system", "ippolicy-checkpoint-aws-node"),
    ("list", "configmaps", "kube-system", ""),
    ("create", "configmaps", "default", ""),
    ("create", "ippolicy.dev/ippolicies", "", ""),
    ("delete", "ippolicy.dev/ippolicies", "", "default"),
    ("patch", "apiextensions.k8s.io/customresourcedefinitions", "", "ippolicies.ippolicy.dev"),
    ("list", "namespaces", "", ""),
    ("create", "rbac.authorization.k8s.io/clusterroles", "", ""),
]


def manifest(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def may(admin: client.ApiClient, right: Right) -> bool:
    """What the API server's authorizer answers for the operator's service account."""
    verb, target, namespace, name = right
    match = re.fullmatch(
        r"(?:(?P<group>[^/]*\.[^/]*|apps)/)?(?P<kind>[^/]+)(?:/(?P<sub>.+))?", target
    )
    assert match is not None
    attributes = client.V1ResourceAttributes(
        verb=verb,
        group=match["group"] or "",
        resource=match["kind"],
        subresource=match["sub"] or "",
        namespace=namespace,
        name=name,
    )
    groups = [
        "system:serviceaccounts",
        "system:serviceaccounts:kube-system",
        "system:authenticated",
    ]
    review = client.V1SubjectAccessReview(
        spec=client.V1SubjectAccessReviewSpec(
            user=USER, groups=groups, resource_attributes=attributes
        )
    )
    answer = client.AuthorizationV1Api(admin).create_subject_access_review(review)
    assert answer.status is not None
    return bool(answer.status.allowed)


def test_everything_is_applied_without_a_field_the_server_does_not_know(
    deployed: ControlPlane,
) -> None:
    for again in (["--server-side"], []):  # the second way stores the object in an annotation
        arguments = ["apply", "--dry-run=server", "--validate=strict", *again, "-k", str(DEPLOY)]
        deployed.kubectl(*arguments)


@pytest.mark.parametrize("name", ["policy-sample.yaml", "rbac-proxy-scrape.yaml", "webhook.yaml"])
def test_what_is_applied_by_hand_is_accepted(deployed: ControlPlane, name: str) -> None:
    deployed.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(DEPLOY / name))


def test_a_policy_that_makes_no_sense_is_refused(deployed: ControlPlane) -> None:
    policy = manifest("policy-sample.yaml") | {"spec": {"mode": "Sometimes"}}
    with pytest.raises(ControlPlaneError, match=r"spec\.mode"):
        deployed.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(policy))


def test_the_deployment_makes_its_pods_under_the_service_account(deployed: ControlPlane) -> None:
    selector = "app.kubernetes.io/name=ippolicy-operator"
    two = "--for=jsonpath={.status.replicas}=2"
    deployed.kubectl("-n", "kube-system", "wait", two, "deployment/ippolicy-operator")
    listed = deployed.kubectl("-n", "kube-system", "get", "pods", "-l", selector, "-o", "json")
    pods = json.loads(listed)["items"]
    assert [pod["spec"]["serviceAccountName"] for pod in pods] == ["ippolicy-operator"] * 2
    assert [pod["spec"]["priority"] for pod in pods] == [2_000_000_000] * 2


def test_the_pod_meets_the_restricted_pod_security_standard(deployed: ControlPlane) -> None:
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "restricted",
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    deployed.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    spec = manifest("deployment.yaml")["spec"]["template"]["spec"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "operator", "namespace": "restricted"},
        "spec": spec | {"serviceAccountName": "operator"},
    }
    deployed.kubectl("-n", "restricted", "create", "serviceaccount", "operator")
    deployed.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    pod["spec"] = spec | {"serviceAccountName": "operator", "hostNetwork": True}
    with pytest.raises(ControlPlaneError, match="violates PodSecurity"):
        deployed.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


@pytest.mark.parametrize("right", ALLOWED, ids=" ".join)
def test_the_operator_may(deployed: ControlPlane, admin: client.ApiClient, right: Right) -> None:
    assert may(admin, right)


@pytest.mark.parametrize("right", DENIED, ids=" ".join)
def test_the_operator_may_not(
    deployed: ControlPlane, admin: client.ApiClient, right: Right
) -> None:
    assert not may(admin, right)


def test_the_pod_proxy_is_granted_in_kube_system_only_by_its_own_file(
    deployed: ControlPlane, admin: client.ApiClient
) -> None:
    path = str(DEPLOY / "rbac-proxy-scrape.yaml")
    deployed.kubectl("apply", "-f", path)
    try:
        assert may(admin, ("get", "pods/proxy", "kube-system", "aws-node-x"))
        assert not may(admin, ("get", "pods/proxy", "default", "any"))
        assert not may(admin, ("create", "pods/proxy", "kube-system", "aws-node-x"))
    finally:
        deployed.kubectl("delete", "-f", path)


def test_pods_may_be_deleted_in_kube_system_only_and_by_the_webhooks_own_file(
    deployed: ControlPlane, admin: client.ApiClient
) -> None:
    path = str(DEPLOY / "webhook.yaml")
    deployed.kubectl("apply", "-f", path)
    try:
        assert may(admin, ("delete", "pods", "kube-system", "aws-node-x"))
        assert not may(admin, ("delete", "pods", "default", "any"))
        assert not may(admin, ("deletecollection", "pods", "kube-system", ""))
        assert not may(admin, ("create", "pods/eviction", "kube-system", "aws-node-x"))
        assert may(admin, ("patch", "secrets", "kube-system", "ippolicy-operator-webhook"))
        assert not may(admin, ("get", "secrets", "kube-system", "any"))
    finally:
        deployed.kubectl("delete", "-f", path)


def test_the_image_is_that_of_this_version() -> None:
    [container] = manifest("deployment.yaml")["spec"]["template"]["spec"]["containers"]
    assert container["image"].rpartition(":")[2] == ippolicy.__version__


def test_the_aws_permissions_only_read() -> None:
    policy = json.loads((DEPLOY / "iam/base.json").read_text())
    actions = [action for each in policy["Statement"] for action in each["Action"]]
    assert actions == [
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeSubnets",
    ]


def test_the_readme_tells_of_every_file() -> None:
    told = set(re.findall(r"^\| `([^`]+)` \|", (DEPLOY / "README.md").read_text(), re.MULTILINE))
    there = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.is_file()}
    assert told == there - {"README.md", "kustomization.yaml"}
