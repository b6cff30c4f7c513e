"""Helm, control planes for the chart's tests, and nodes that run its pods."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from controlplane import ControlPlane
from helm import Helm
from ippolicy.sandbox.operator import COMMAND
from monitoring_crds import monitoring_crds
from pod_runner import PodRunner

IMAGE = "ghcr.io/ippolicy-operator/ippolicy-operator"


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm without a cluster."""
    return Helm(tmp_path_factory.mktemp("helm"))


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """A control plane that knows the resources of the Prometheus operator."""
    with ControlPlane(folder=folder) as plane:
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(monitoring_crds()))
        plane.wait_for_resources()
        yield plane


@pytest.fixture(scope="session")
def shared_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane for tests that leave nothing on it."""
    with control_plane(tmp_path_factory.mktemp("shared")) as plane:
        yield plane


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """An empty cluster of the test's own."""
    with control_plane(tmp_path / "controlplane") as plane:
        yield plane


@pytest.fixture
def cluster(plane: ControlPlane, tmp_path: Path) -> Helm:
    """Helm on the empty cluster."""
    return Helm(tmp_path, plane.admin_kubeconfig)


@pytest.fixture
def runner(plane: ControlPlane) -> Iterator[PodRunner]:
    """Two nodes of the empty cluster; an operator listens on its pod's address only."""

    def environment(address: str) -> Mapping[str, str]:
        return {"IPPOLICY_HTTP_HOST": address, "AWS_EC2_METADATA_DISABLED": "true"}

    program = {IMAGE: COMMAND[:-1]}
    with PodRunner(plane, programs=program, environment=environment) as runner:
        yield runner
