"""The embedded Kubernetes API with our CRD, and an aws-node in a namespace of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from aws_node import AwsNode
from ippolicy.api.crd import custom_resource_definition
from ippolicy.kube import api_client, load_configuration
from ippolicy.sandbox.kube import EmbeddedKube
from localapi import LocalAPI, fresh_api


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedKube, Path]]:
    """One embedded API for all tests here."""
    embedded = EmbeddedKube()
    with embedded.start_in_thread():
        kubeconfig = embedded.kubeconfig(tmp_path_factory.mktemp("kube") / "config")
        api = client.CustomObjectsApi(api_client(load_configuration(str(kubeconfig))))
        api.create_cluster_custom_object(
            "apiextensions.k8s.io", "v1", "customresourcedefinitions", custom_resource_definition()
        )
        yield embedded, kubeconfig


@pytest.fixture
def kube_api(kube: tuple[EmbeddedKube, Path]) -> Iterator[LocalAPI]:
    """The embedded API with a fresh namespace, and no faults left behind."""
    with fresh_api(*kube, "engine", read_timeout_s=5.0) as api:
        yield api


@pytest.fixture
def aws_node(kube_api: LocalAPI) -> AwsNode:
    """aws-node with the CNI's defaults, as Helm installed it."""
    node = AwsNode(kube_api)
    node.create()
    return node
