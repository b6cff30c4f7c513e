"""The embedded Kubernetes API, and an aws-node in a namespace of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aws_node import AwsNode
from ippolicy.sandbox.kube import EmbeddedKube
from localapi import LocalAPI, fresh_api


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedKube, Path]]:
    """One embedded API for all tests here."""
    embedded = EmbeddedKube()
    with embedded.start_in_thread():
        yield embedded, embedded.kubeconfig(tmp_path_factory.mktemp("kube") / "config")


@pytest.fixture
def kube_api(kube: tuple[EmbeddedKube, Path]) -> Iterator[LocalAPI]:
    """The embedded API with a fresh namespace, and no faults left behind."""
    with fresh_api(*kube, "act") as api:
        yield api


@pytest.fixture
def aws_node(kube_api: LocalAPI) -> AwsNode:
    """aws-node with the CNI's defaults, as Helm installed it."""
    node = AwsNode(kube_api)
    node.create()
    return node
