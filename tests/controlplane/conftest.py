"""One control plane for all tests of this folder; its logs stay in pytest's temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from borrowed import BorrowedTests, borrow
from controlplane import ControlPlane
from kubeapi import KubeAPI, fresh_namespace

HERE = Path(__file__).parent
CONFORMANCE = HERE.parent / "conformance"
DEPLOY = HERE.parent.parent / "deploy"


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane."""
    with ControlPlane(folder=tmp_path_factory.mktemp("controlplane")) as plane:
        yield plane


@pytest.fixture(autouse=True)
def everything_still_runs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Blame a test during which a part of the control plane ended, not the ones that follow."""
    used: list[ControlPlane] = [
        request.getfixturevalue(name) for name in request.fixturenames if name == "plane"
    ]
    yield
    for plane in used:
        plane.pids()


@pytest.fixture(scope="session")
def admin(plane: ControlPlane) -> Iterator[client.ApiClient]:
    """A client that may do everything."""
    with plane.client() as admin:
        yield admin


@pytest.fixture(scope="session")
def deployed(plane: ControlPlane) -> ControlPlane:
    """The control plane with everything applied that `kubectl apply -k deploy` applies."""
    plane.kubectl("apply", "--server-side", "-k", str(DEPLOY))
    plane.wait_for_resources()
    return plane


@pytest.fixture(scope="session")
def kubeconfig(plane: ControlPlane) -> Path:
    """What the conformance tests run on here.

    The server is started anew first: one that has seen everything since version 1 has forgotten
    nothing yet, and could not show how it refuses a watch from a forgotten version.
    """
    plane.kill_api_server()
    plane.start_api_server()
    return plane.admin_kubeconfig


@pytest.fixture
def kube_api(kubeconfig: Path) -> Iterator[KubeAPI]:
    """The real API, with an empty namespace of the test's own."""
    with fresh_namespace(kubeconfig) as api:
        yield api


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> BorrowedTests | None:
    """Give test_conformance.py the tests of tests/conformance."""
    if module_path != HERE / "test_conformance.py":
        return None
    return borrow(parent, module_path, CONFORMANCE)
