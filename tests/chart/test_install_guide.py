"""The snippets of the guide to installing can be read, and grant what deploy/iam says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/user/install.md").read_text()
READS = ("base", "split", "prefix-room")
GRANTED = [
    statement
    for feature in READS
    for statement in json.loads((ROOT / f"deploy/iam/{feature}.json").read_text())["Statement"]
]
ACTIONS = {action for statement in GRANTED for action in statement["Action"]}
READ_ALL = {"Sid": "", "Effect": "Allow", "Action": [], "Resource": "*"}
ACCOUNT = "system:serviceaccount:kube-system:ippolicy-operator"


class Template(yaml.SafeLoader):
    """YAML with CloudFormation's functions, whose arguments stand for their results."""


def scalar(loader: Template, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


for name in ("!Ref", "!GetAtt", "!Sub"):
    Template.add_constructor(name, scalar)


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


DOCUMENTS = [yaml.load(text, Template) for text in snippets("yaml")]  # noqa: S506  (a safe loader)
EKSCTL = [one["iam"] for one in DOCUMENTS if one.get("kind") == "ClusterConfig"]
STACKS = [one["Resources"] for one in DOCUMENTS if "AWSTemplateFormatVersion" in one]
PODS = {"Service": "pods.eks.amazonaws.com"}


def is_what_the_operator_needs(document: dict[str, Any]) -> bool:
    """Whether a policy document grants what those of deploy/iam do, in one statement."""
    (statement,) = document["Statement"]
    allowed = (statement["Effect"], statement["Resource"]) == ("Allow", "*")
    return allowed and sorted(statement["Action"]) == sorted(ACTIONS)


def test_what_is_granted_only_reads() -> None:
    assert all({**one, "Sid": "", "Action": []} == READ_ALL for one in GRANTED)
    assert all(action.startswith(("ec2:Describe", "ec2:Get")) for action in ACTIONS)


def test_there_is_one_of_each_tool_for_each_way() -> None:
    assert (len(EKSCTL), len(STACKS), len(snippets("hcl"))) == (2, 2, 2)
    assert len(DOCUMENTS) == 4


def test_eksctl_grants_what_the_operator_needs_to_its_service_account() -> None:
    (association,) = EKSCTL[0]["podIdentityAssociations"]
    assert association["namespace"] == "kube-system"
    assert association["serviceAccountName"] == "ippolicy-operator"
    assert is_what_the_operator_needs(association["permissionPolicy"])
    (account,) = EKSCTL[1]["serviceAccounts"]
    assert account["metadata"] == {"name": "ippolicy-operator", "namespace": "kube-system"}
    assert account["roleOnly"] is True
    assert is_what_the_operator_needs(account["attachPolicy"])


@pytest.mark.parametrize("stack", STACKS)
def test_cloudformation_grants_what_the_operator_needs(stack: dict[str, Any]) -> None:
    role = stack["Role"]
    assert role["Type"] == "AWS::IAM::Role"
    (policy,) = role["Properties"]["Policies"]
    assert is_what_the_operator_needs(policy["PolicyDocument"])


def test_cloudformation_trusts_the_service_account_only() -> None:
    by_pod_identity, by_issuer = STACKS
    (trust,) = by_pod_identity["Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == PODS
    association = by_pod_identity["Association"]["Properties"]
    assert association["Namespace"] == "kube-system"
    assert association["ServiceAccount"] == "ippolicy-operator"
    (trust,) = json.loads(by_issuer["Role"]["Properties"]["AssumeRolePolicyDocument"])["Statement"]
    conditions = trust["Condition"]["StringEquals"]
    assert conditions == {"${Issuer}:aud": "sts.amazonaws.com", "${Issuer}:sub": ACCOUNT}


@pytest.mark.parametrize("text", snippets("hcl"))
def test_terraform_grants_what_the_operator_needs(text: str) -> None:
    assert sorted(re.findall(r'"(ec2:\w+)"', text)) == sorted(ACTIONS)
    assert '"kube-system"' in text or ACCOUNT in text


def test_every_value_that_the_guide_names_is_one_of_the_chart() -> None:
    schema = json.loads((ROOT / "charts/ippolicy-operator/values.schema.json").read_text())
    named = set(re.findall(r"`((?:[a-zA-Z]+\.)*[a-zA-Z]+)=", GUIDE))
    assert {"policy.create", "hostNetwork", "settings.scrapeVia"} <= named
    for path in named:
        found = schema
        for step in path.split("."):
            found = found["properties"][step]
