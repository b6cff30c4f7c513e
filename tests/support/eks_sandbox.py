"""A sandbox whose aws-node the EKS add-on keeps."""

from __future__ import annotations

from ippolicy.kube import api_client, load_configuration
from ippolicy.sandbox import manifests
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.eks import AddonState, DaemonSetEnv


def install_addon(sandbox: Sandbox, values: str = "") -> AddonState:
    """The add-on, once it has set its env; its updates take two real seconds."""
    client = api_client(load_configuration(str(sandbox.operator.kubeconfig)))
    addon = AddonState(
        DaemonSetEnv(client),
        sandbox.clock.now,
        values=values,
        defaults=manifests.CHART_ENV,
        update_s=2.0 * sandbox.clock.speed,
    )
    addon.create()
    return addon
