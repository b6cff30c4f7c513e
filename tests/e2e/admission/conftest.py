"""One control plane for all tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from controlplane import ControlPlane
from helm import Helm


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane, with the operator's account and the rights that the chart gives it.

    Its own DaemonSet controller and scheduler make and bind pods.
    """
    with ControlPlane(folder=tmp_path_factory.mktemp("controlplane")) as plane:
        rights = Helm(tmp_path_factory.mktemp("helm")).render({"webhook": {"enabled": True}})
        kinds = ("ServiceAccount", "ClusterRole", "Role")  # and their bindings
        given = [each for each in rights.values() if each["kind"].startswith(kinds)]
        body = {"apiVersion": "v1", "kind": "List", "items": given}
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
        yield plane
