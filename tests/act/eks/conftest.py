"""EKS beside the embedded Kubernetes API, and aws-node as its add-on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eks_addon import AddonNode
from ippolicy.sandbox.eks import EksStandIn
from localapi import LocalAPI


@pytest.fixture
def node(kube_api: LocalAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[AddonNode]:
    """A cluster of EKS whose add-on is not installed yet."""
    with EksStandIn() as eks:
        for name, value in {
            "AWS_ENDPOINT_URL_EKS": eks.url,
            "AWS_REGION": "us-west-2",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }.items():
            monkeypatch.setenv(name, value)
        yield AddonNode(kube_api, eks)


@pytest.fixture
def addon(node: AddonNode) -> AddonNode:
    """The add-on as it is installed by default."""
    node.install()
    return node
