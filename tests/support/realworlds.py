"""Sandboxes on real control planes: the operator under the service account that `deploy/` ships."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from controlplane import ControlPlane
from ippolicy.sandbox.cluster import Layout, RealCluster, Sandbox

DEPLOY = Path(__file__).parents[2] / "deploy"
ACCOUNT = "ippolicy-operator"
OPERATOR = f"system:serviceaccount:kube-system:{ACCOUNT}"

RealWorld = Callable[[Layout], AbstractContextManager[tuple[Sandbox, ControlPlane]]]
"""Gives a sandbox with a layout, and the control plane of its own that it stands on."""


@contextmanager
def real_sandbox(layout: Layout, folder: Path) -> Iterator[tuple[Sandbox, ControlPlane]]:
    """A sandbox on a control plane that keeps its files in `folder`."""
    with ControlPlane(folder=folder) as plane:
        plane.kubectl("apply", "--server-side", "-k", str(DEPLOY))
        # The operator runs beside the cluster, not on one of its simulated nodes.
        plane.kubectl("delete", "-n", "kube-system", f"deployment/{ACCOUNT}", "--wait=true")
        operator = plane.service_account_kubeconfig("kube-system", ACCOUNT)
        with Sandbox(layout, RealCluster(plane.admin_kubeconfig, operator)) as sandbox:
            yield sandbox, plane
