"""The MutatingWebhookConfiguration: which pods the API server asks the webhook about, and how."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ippolicy.admission.server import PATH
from ippolicy.api import GROUP

WEBHOOK = f"aws-node.{GROUP}"
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

    def client_config(self) -> dict[str, Any]:
        """How the API server reaches it."""
        reference = {"namespace": self.namespace, "name": self.name}
        return {"service": {**reference, "port": self.port, "path": PATH}}


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
    reinvocationPolicy IfNeeded: where another webhook writes the env after us, as a whole list say,
    ours is asked once more and looks at the whole env anew; asked twice, it changes nothing.
    """
    metadata: dict[str, Any] = {"name": name}
    if cert_manager:
        metadata["annotations"] = {CERT_MANAGER_ANNOTATION: cert_manager}
    client_config = service.client_config()
    if ca_bundle is not None:
        client_config["caBundle"] = base64.b64encode(ca_bundle).decode()
    in_namespaces = {
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": sorted(set(namespaces)),
    }
    webhook = {
        "name": WEBHOOK,
        "admissionReviewVersions": ["v1"],
        "clientConfig": client_config,
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
        "webhooks": [webhook],
    }


def published_bundle(configuration: Any) -> bytes:
    """The caBundle of the configuration as it is on the cluster; empty where there is none."""
    for webhook in (configuration or {}).get("webhooks") or ():
        if webhook.get("name") == WEBHOOK:
            text = (webhook.get("clientConfig") or {}).get("caBundle") or ""
            return base64.b64decode(text)
    return b""
