"""The Kubernetes API that the conformance tests ask: the embedded one, or a real one.

The tests run on the embedded API by default. With KUBECONFIG_UNDER_TEST they run on the API server
that this kubeconfig names, as its current user, who must be a cluster admin.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ippolicy.sandbox.kube import EmbeddedKube
from kubeapi import KubeAPI, fresh_namespace


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of the API under test."""
    given = os.environ.get("KUBECONFIG_UNDER_TEST")
    if given:
        yield Path(given)
        return
    kube = EmbeddedKube(bookmark_interval_s=0.3)
    with kube.start_in_thread():
        yield kube.kubeconfig(tmp_path_factory.mktemp("kube") / "config")


@pytest.fixture
def kube_api(kubeconfig: Path) -> Iterator[KubeAPI]:
    """The API under test, with an empty namespace of the test's own."""
    with fresh_namespace(kubeconfig) as api:
        yield api
