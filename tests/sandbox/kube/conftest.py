"""An embedded Kubernetes API for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ippolicy.sandbox.kube import EmbeddedKube
from kubeapi import KubeAPI, Served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server of the test's own."""
    kube = EmbeddedKube(bookmark_interval_s=0.05)
    with kube.start_in_thread():
        yield Served(kube, KubeAPI(kube.kubeconfig(tmp_path / "config"), "default"))
