"""What the operator asks of AWS, feature by feature, is what the documents of deploy/iam allow.

A feature is a policy that uses it. A new one needs documents, their rows in docs/user/iam.md, and
an entry in `FEATURES`; what answers for another service than EC2 goes into `AwsRecorder.answers`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aws_recorder import AwsRecorder, action_of
from eks_sandbox import install_addon
from ippolicy.observe.ec2_client import OPERATIONS
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.eks import EksStandIn
from worlds import small

ROOT = Path(__file__).parents[2]
DOCUMENTS = ROOT / "deploy/iam"
ROLE = "arn:aws:iam::111122223333:role/prometheus-reader"
# Auto would look whether the add-on that sets the env of this cluster can be read.
WATCHING: Mapping[str, Any] = {"mode": "Off", "apply": {"method": "DaemonSet"}}
LONGER = 5
"""Requests for which is waited to see anything that is not allowed."""


@dataclass(frozen=True)
class Feature:
    """Its documents, and its policy's spec where AWS is at some URL.

    `elsewhere` is asked with a role that the operator assumes, and allowed by that role's account.
    """

    documents: tuple[str, ...]
    spec: Callable[[str], Mapping[str, Any]]
    elsewhere: frozenset[str] = frozenset()


def prometheus(url: str, **sig_v4: str) -> dict[str, Any]:
    """The spec of a policy that has its demand from Managed Prometheus."""
    asked = {"url": f"{url}/workspaces/ws-1", "sigV4": {"region": "us-west-2", **sig_v4}}
    return {**WATCHING, "demand": {"prometheus": asked}}


EC2 = ("base", "split", "prefix-room")
FEATURES = {
    "subnets": Feature(EC2, lambda _: WATCHING),
    "prometheus": Feature((*EC2, "prometheus"), prometheus),
    "prometheus of another account": Feature(
        (*EC2, "prometheus-role"),
        lambda url: prometheus(url, roleArn=ROLE),
        elsewhere=frozenset({"aps:QueryMetrics"}),
    ),
    "the EKS add-on": Feature(
        (*EC2, "eks-addon"),
        lambda _: {
            "mode": "Apply",
            "apply": {"method": "EKSAddon"},
            "demand": {"minEvidence": "1s"},
            "change": {"stabilization": "0s"},
        },
    ),
}


def allowed(documents: Iterable[str]) -> set[str]:
    """The actions of some documents."""
    actions: set[str] = set()
    for name in documents:
        for statement in json.loads((DOCUMENTS / f"{name}.json").read_text())["Statement"]:
            assert statement["Effect"] == "Allow"
            actions |= set(statement["Action"])
    return actions


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Sandbox, AwsRecorder]]:
    """A cluster with its operator, in an account that writes down what is asked."""
    often = {f"IPPOLICY_EC2_{name}_INTERVAL": "1s" for name in ("INTERFACES", "RESERVATIONS")}
    with AwsRecorder() as aws, EksStandIn() as eks:
        settings = {
            **often,
            "IPPOLICY_CHOICE": "rule",
            "IPPOLICY_CLUSTER_NAME": eks.cluster,
            "AWS_ENDPOINT_URL": aws.url,
        }
        with Sandbox(small(nodes=1, operator_settings=settings)) as sandbox:
            eks.addon = install_addon(sandbox)
            aws.answers |= {"ec2": sandbox.ec2.endpoint_url, "eks": eks.url}
            yield sandbox, aws


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_asks_for_all_that_its_documents_allow_and_nothing_else(
    cluster: tuple[Sandbox, AwsRecorder], name: str
) -> None:
    sandbox, aws = cluster
    feature = FEATURES[name]
    granted = allowed(feature.documents)
    aws.asked.clear()
    sandbox.apply_policy(feature.spec(aws.url))
    sandbox.operator.start()
    try:
        sandbox.wait(
            lambda: granted | feature.elsewhere <= set(aws.asked),
            f"{name} to use {sorted(granted)}",
        )
        until = len(aws.asked) + LONGER
        sandbox.wait(lambda: len(aws.asked) >= until, "more requests")
    finally:
        sandbox.operator.stop()
    assert set(aws.asked) - granted - feature.elsewhere == set()


def test_each_document_is_of_a_feature_and_in_the_guide_with_its_actions() -> None:
    documents = {path.stem for path in DOCUMENTS.glob("*.json")}
    assert documents == {name for one in FEATURES.values() for name in one.documents}
    guide = (ROOT / "docs/user/iam.md").read_text()
    for document in documents:
        (row,) = (line for line in guide.splitlines() if line.startswith(f"| [{document}.json]"))
        assert all(f"`{action}`" in row for action in allowed([document]))


def test_nothing_is_asked_of_ec2_but_the_operations_that_are_listed() -> None:
    assert allowed(EC2) == {f"ec2:{operation}" for operation in OPERATIONS}


@pytest.mark.parametrize(
    ("request_line", "action"),
    [
        ("eks POST /clusters/mine/addons/vpc-cni/update", "eks:UpdateAddon"),
        ("eks GET /clusters/mine/addons/vpc-cni", "eks:DescribeAddon"),
        ("eks GET /addons/configuration-schemas", "eks:DescribeAddonConfiguration"),
        ("aps POST /workspaces/ws-1/api/v1/query", "aps:QueryMetrics"),
    ],
)
def test_requests_are_known_by_method_and_path(request_line: str, action: str) -> None:
    service, method, path = request_line.split()
    assert action_of(service, method, path, b"", "application/json") == action


def test_nothing_but_the_add_on_of_the_cni_may_be_written() -> None:
    for path in DOCUMENTS.glob("*.json"):
        for statement in json.loads(path.read_text())["Statement"]:
            reads = all(
                action.split(":")[1].startswith(("Describe", "Get", "Query", "AssumeRole"))
                for action in statement["Action"]
            )
            assert reads or statement["Resource"] == "arn:*:eks:*:*:addon/*/vpc-cni/*", path.name
