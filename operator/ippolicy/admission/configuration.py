"""The MutatingWebhookConfiguration: which pods the API server asks the webhook about, and how."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ippolicy.admission.server import PATH, PATH_AGAIN
from ippolicy.api import GROUP

WEBHOOKS = {f"aws-node.{GROUP}": PATH, f"aws-node-again.{GROUP}": PATH_AGAIN}
"""Name of each webhook, in the order in which they are asked -> its path."""
POD_LABELS = {"k8s-app": "aws-node"}
"""Labels of aws-node's pods in the EKS manifest and in the chart alike, whatever the release."""
TIMEOUT_S = 2
CERT_MANAGER_ANNOTATION = "cert-manager.io/inject-ca-from"


@dataclass(frozen=True, slots=True)
class Service:
    """The Service in front of all operators."""

    namespace: str
    name: str
    port: int = 443

    @property
    def host(self) -> str:
        """The name that the API server expects in the serving certificate."""
        return f"{self.name}.{self.namespace}.svc"

    def client_config(self, path: str) -> dict[str, Any]:
        """How the API server reaches a path of it."""
        reference = {"namespace": self.namespace, "name": self.name}
        return {"service": {**reference, "port": self.port, "path": path}}


def configuration(
    name: str,
    service: Service,
    namespaces: Iterable[str],
    *,
    ca_bundle: bytes | None = None,
    cert_manager: str = "",
) -> dict[str, Any]:
    """The object for one server-side apply; `namespaces` are those of the DaemonSets.

    Without `ca_bundle`, cert-manager's injector fills it in from the Certificate that
    `cert_manager` names as "namespace/name"; the apply then leaves that field alone.

    failurePolicy Ignore: a missing webhook costs the values of the template, never a node.
    The API server asks but once, and a question is lost with the operator that dies over it. So it
    is asked about each pod twice, by two names: the second time another operator may answer.
    reinvocationPolicy IfNeeded: where another webhook writes the env after us, as a whole list say,
    ours is asked once more and looks at the whole env anew; asked twice, it changes nothing.
    """
    metadata: dict[str, Any] = {"name": name}
    if cert_manager:
        metadata["annotations"] = {CERT_MANAGER_ANNOTATION: cert_manager}
    bundle = {"caBundle": base64.b64encode(ca_bundle).decode()} if ca_bundle is not None else {}
    in_namespaces = {
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": sorted(set(namespaces)),
    }
    alike = {
        "admissionReviewVersions": ["v1"],
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["pods"],
                "scope": "Namespaced",
            }
        ],
        "namespaceSelector": {"matchExpressions": [in_namespaces]},
        "objectSelector": {"matchLabels": POD_LABELS},
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "reinvocationPolicy": "IfNeeded",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_S,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": metadata,
        "webhooks": [
            {"name": name, "clientConfig": service.client_config(path) | bundle, **alike}
            for name, path in WEBHOOKS.items()
        ],
    }


def published_bundle(configuration: Any) -> bytes:
    """The caBundle of the configuration as it is on the cluster, empty where there is none. Bundles
    grow: where its webhooks have several, the shortest has what API servers trust for each."""
    bundles = [
        base64.b64decode((webhook.get("clientConfig") or {}).get("caBundle") or "")
        for webhook in (configuration or {}).get("webhooks") or ()
        if webhook.get("name") in WEBHOOKS
    ]
    return min(bundles, key=len, default=b"")
