"""What the add-on sets on a DaemonSet, by server-side apply as manager `eks`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

MANAGER: Final = "eks"
_ENV: Final = re.compile(r'\.env\[name="([^"]+)"\]')


class DaemonSetEnv:
    """The env of aws-node, on any API server."""

    def __init__(
        self, api_client: Any, *, namespace: str = "kube-system", name: str = "aws-node"
    ) -> None:
        """`api_client` is a `kubernetes.client.ApiClient`."""
        from kubernetes.client import AppsV1Api

        self._apps = AppsV1Api(api_client)
        self._namespace = namespace
        self._name = name

    def apply(self, env: Mapping[str, str], resolve: str) -> list[str]:
        """Set env; the fields that others hold, where `resolve` is NONE, and nothing was set.

        PRESERVE leaves such fields as they are, OVERWRITE takes them.
        """
        conflicts = self._send(env, force=resolve == "OVERWRITE")
        if conflicts and resolve == "PRESERVE":
            held = {found[1] for field in conflicts if (found := _ENV.search(field))}
            present = self._present()
            kept = {key: present[key] for key in held if key in present}
            conflicts = self._send({**env, **kept}, force=False)
        return conflicts

    def _present(self) -> dict[str, str]:
        found: Any = self._apps.read_namespaced_daemon_set(
            self._name, self._namespace, _preload_content=False, _request_timeout=10
        )
        containers = json.loads(found.data)["spec"]["template"]["spec"]["containers"]
        (container,) = [one for one in containers if one["name"] == "aws-node"]
        return {one["name"]: one["value"] for one in container.get("env", ()) if "value" in one}

    def _send(self, env: Mapping[str, str], *, force: bool) -> list[str]:
        from kubernetes.client import ApiException

        entries = [{"name": key, "value": value} for key, value in sorted(env.items())]
        containers = [{"name": "aws-node", "env": entries}]
        body = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {"template": {"spec": {"containers": containers}}},
        }
        try:
            self._apps.patch_namespaced_daemon_set(
                self._name,
                self._namespace,
                body,
                field_manager=MANAGER,
                force=force,
                _content_type="application/apply-patch+yaml",
                _preload_content=False,
                _request_timeout=10,
            )
        except ApiException as error:
            causes = (json.loads(error.body or "{}").get("details") or {}).get("causes") or ()
            if error.status != 409 or not causes:
                raise
            return [str(cause["field"]) for cause in causes]
        return []
