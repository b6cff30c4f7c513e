"""Deletes aws-node pods one by one, so that the DaemonSet makes them anew.

Each delete names the pod's uid: what has taken its place meanwhile is never touched. The pod ends
within its own grace period, and is not evicted: the DaemonSet's pods are not under a budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ippolicy.act.requests import find
from ippolicy.errors import FactsChanged

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


class PodRestarts:
    """Pods of DaemonSets."""

    def __init__(self, api_client: ApiClient) -> None:
        from kubernetes.client import CoreV1Api

        self._core: Any = CoreV1Api(api_client)

    def delete(self, namespace: str, name: str, uid: str) -> bool:
        """Whether that very pod was told to go; False where it is gone, or another bears its name.

        Raises:
            CallFailed: the API server refused, or gave no answer.
        """
        try:
            found = find(
                f"delete Pod {namespace}/{name}",
                self._core.delete_namespaced_pod,
                name,
                namespace,
                body={"preconditions": {"uid": uid}},
            )
        except FactsChanged:
            return False
        return found is not None
