"""The webhook's Secret and its configuration on the cluster: read, applied, taken away."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ippolicy.act.requests import find, send
from ippolicy.errors import CertificatesUnreadable
from ippolicy.facts.daemonset import FIELD_MANAGER

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """Data of a Secret, and the version that it was read in."""

    data: Mapping[str, bytes]
    uid: str
    resource_version: str


class WebhookObjects:
    """One Secret and one MutatingWebhookConfiguration. Every method may raise CallFailed.

    Both are written by server-side apply, which names what it creates, so that RBAC can bind the
    right to create to the name.
    """

    def __init__(
        self, api_client: ApiClient, *, namespace: str, secret: str, configuration: str
    ) -> None:
        from kubernetes.client import AdmissionregistrationV1Api, CoreV1Api

        self._core: Any = CoreV1Api(api_client)
        self._admission: Any = AdmissionregistrationV1Api(api_client)
        self._namespace, self._secret = namespace, secret
        self.configuration = configuration

    def read_secret(self) -> StoredSecret | None:
        """The Secret as it is, None where there is none.

        Raises:
            CertificatesUnreadable: its data is no base64.
        """
        raw = find(
            f"read {self._named}",
            self._core.read_namespaced_secret,
            self._secret,
            self._namespace,
        )
        if raw is None:
            return None
        try:
            data = {k: base64.b64decode(v) for k, v in (raw.get("data") or {}).items()}
        except binascii.Error as error:
            raise CertificatesUnreadable(f"{self._named}: {error}: delete it") from error
        metadata = raw["metadata"]
        return StoredSecret(data, metadata.get("uid", ""), metadata.get("resourceVersion", ""))

    def write_secret(self, data: Mapping[str, bytes], *, over: StoredSecret | None) -> None:
        """Put this data in the place of `over`, or into a new Secret where that is None.

        Raises:
            FactsChanged: the Secret on the cluster is no longer `over`.
        """
        metadata: dict[str, Any] = {"name": self._secret, "namespace": self._namespace}
        if over is not None:
            metadata |= {"uid": over.uid, "resourceVersion": over.resource_version}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
        send(
            f"write {self._named}",
            self._core.patch_namespaced_secret,
            self._secret,
            self._namespace,
            body,
            field_manager=FIELD_MANAGER,
            force=True,
            _content_type=APPLY,
        )

    def delete_secret(self) -> None:
        """Take the Secret away; one that is gone already is no error."""
        find(
            f"delete {self._named}",
            self._core.delete_namespaced_secret,
            self._secret,
            self._namespace,
        )

    def read_configuration(self) -> dict[str, Any] | None:
        """The configuration as it is, None where there is none."""
        return find(
            f"read {self._configured}",
            self._admission.read_mutating_webhook_configuration,
            self.configuration,
        )

    def apply_configuration(self, body: Mapping[str, Any]) -> None:
        """Have the configuration be what `body` says; fields that it leaves out are left alone."""
        send(
            f"apply {self._configured}",
            self._admission.patch_mutating_webhook_configuration,
            self.configuration,
            dict(body),
            field_manager=FIELD_MANAGER,
            force=True,
            _content_type=APPLY,
        )

    def delete_configuration(self) -> None:
        """Take the configuration away; one that is gone already is no error."""
        find(
            f"delete {self._configured}",
            self._admission.delete_mutating_webhook_configuration,
            self.configuration,
        )

    @property
    def _named(self) -> str:
        return f"Secret {self._namespace}/{self._secret}"

    @property
    def _configured(self) -> str:
        return f"MutatingWebhookConfiguration {self.configuration}"
