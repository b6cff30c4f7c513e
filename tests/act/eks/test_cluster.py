"""The name of the EKS cluster, as nodes and their instances tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from ippolicy.act.eks.client import without_names
from ippolicy.act.eks.cluster import cluster_name
from ippolicy.act.requests import CallFailed


def node(name: str | None = None, instance: str = "i-0a") -> dict[str, Any]:
    """A node, labelled by eksctl or not."""
    labels = {"alpha.eksctl.io/cluster-name": name} if name else {}
    provider = f"aws:///us-west-2a/{instance}"
    return {"metadata": {"labels": labels}, "spec": {"providerID": provider}}


def named(nodes: list[dict[str, Any]], *tags: Mapping[str, str]) -> str:
    """The name for these nodes, whose instances have these tags."""
    data = json.dumps({"items": nodes})
    core = SimpleNamespace(list_node=lambda **_: SimpleNamespace(data=data))
    return cluster_name(core, lambda ids: tags if ids else ())


def test_the_label_of_eksctl_goes_first() -> None:
    assert named([node("one"), node()], {"eks:cluster-name": "two"}) == "one"


@pytest.mark.parametrize(
    "tags",
    [
        {"eks:cluster-name": "one", "kubernetes.io/cluster/another": "shared"},
        {"aws:eks:cluster-name": "one"},
        {"kubernetes.io/cluster/one": "owned", "Name": "x"},
    ],
)
def test_the_tags_of_instances_tell_it(tags: dict[str, str]) -> None:
    assert named([node()], tags, {}) == "one"


@pytest.mark.parametrize(
    ("nodes", "tags", "says"),
    [
        ([], (), "no node names it"),
        ([node()], ({"Name": "x"},), "no node names it"),
        ([node("a"), node("b")], (), "nodes name several (a, b)"),
        (
            [node()],
            ({"kubernetes.io/cluster/a": "shared", "kubernetes.io/cluster/b": "shared"},),
            "nodes name several (a, b)",
        ),
        ([{"metadata": {}, "spec": {"providerID": "kind://x"}}], (), "no node names it"),
    ],
)
def test_without_one_name_it_says_what_to_set(
    nodes: list[dict[str, Any]], tags: tuple[Mapping[str, str], ...], says: str
) -> None:
    with pytest.raises(CallFailed) as failed:
        named(nodes, *tags)
    assert says in str(failed.value)
    assert str(failed.value).endswith("set IPPOLICY_CLUSTER_NAME")
    assert (failed.value.refused, failed.value.retryable) == (True, False)


def test_nothing_of_the_account_is_shown() -> None:
    said = "User: arn:aws:sts::111122223333:assumed-role/x/y\n may not on 111122223333"
    assert without_names(said) == "User: (ARN) may not on (account)"
    assert len(without_names("x" * 9000)) == 300
