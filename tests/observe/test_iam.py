"""The policy documents in deploy/iam allow what is asked of EC2, no more and no less."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ippolicy.observe.ec2_client import OPERATIONS

ROOT = Path(__file__).parents[2]
FEATURES = {
    "base": {"ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeSubnets"},
    "split": {"ec2:DescribeNetworkInterfaces"},
    "prefix-room": {"ec2:GetSubnetCidrReservations"},
}


def allowed(feature: str) -> set[str]:
    """The actions of a feature's document."""
    (statement,) = json.loads((ROOT / f"deploy/iam/{feature}.json").read_text())["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Allow", "*")
    return set(statement["Action"])


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_has_a_document_with_its_actions_and_is_listed(feature: str) -> None:
    assert allowed(feature) == FEATURES[feature]
    guide = (ROOT / "docs/user/iam.md").read_text()
    (row,) = (line for line in guide.splitlines() if line.startswith(f"| [{feature}.json]"))
    assert all(f"`{action}`" in row for action in FEATURES[feature])


def test_all_documents_together_allow_what_is_asked() -> None:
    documents = {path.stem for path in (ROOT / "deploy/iam").glob("*.json")}
    assert {action for name in FEATURES for action in allowed(name)} == {
        f"ec2:{operation}" for operation in OPERATIONS
    }
    assert documents >= set(FEATURES)
