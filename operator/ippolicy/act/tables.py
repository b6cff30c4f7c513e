"""The ConfigMap that a policy's targets by group live in: one beside each DaemonSet that has some.

All operators answer the API server by it, and whoever leads next goes on from it. What stands in it
is text here: `admission.document` reads and writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ippolicy.act.requests import CallFailed, send
from ippolicy.errors import FactsChanged
from ippolicy.facts import DaemonSetRef
from ippolicy.facts.daemonset import FIELD_MANAGER

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

DATA_KEY = "targets.json"
LABELS = {
    "app.kubernetes.io/managed-by": FIELD_MANAGER,
    "app.kubernetes.io/component": "targets-by-group",
}
_NAME_PREFIX = "ippolicy-targets-"


def table_name(ref: DaemonSetRef) -> str:
    """Name of the ConfigMap, in the DaemonSet's own namespace."""
    return f"{_NAME_PREFIX}{ref.name}"


@dataclass(frozen=True, slots=True)
class StoredTable:
    """The text of a table, and the version of the ConfigMap that it was read from."""

    text: str
    uid: str
    resource_version: str


class TableStore:
    """Tables of targets, one a DaemonSet. Every method may raise CallFailed."""

    def __init__(self, api_client: ApiClient) -> None:
        from kubernetes.client import CoreV1Api

        self._api: Any = CoreV1Api(api_client)

    def read(self, ref: DaemonSetRef) -> StoredTable | None:
        """The table as it is on the cluster, None where there is none."""
        try:
            raw = send(
                f"read {_named(ref)}",
                self._api.read_namespaced_config_map,
                table_name(ref),
                ref.namespace,
            )
        except CallFailed as error:
            if error.status == 404:
                return None
            raise
        return _stored(ref, raw)

    def write(self, ref: DaemonSetRef, text: str, *, over: StoredTable | None) -> StoredTable:
        """Put this text in the place of `over`, or into a new ConfigMap where that is None.

        Raises:
            FactsChanged: the table on the cluster is no longer `over`.
        """
        body: dict[str, Any] = {"metadata": {"labels": LABELS}, "data": {DATA_KEY: text}}
        if over is None:
            body |= {"apiVersion": "v1", "kind": "ConfigMap"}
            body["metadata"]["name"] = table_name(ref)
            raw = send(
                f"create {_named(ref)}",
                self._api.create_namespaced_config_map,
                ref.namespace,
                body,
                field_manager=FIELD_MANAGER,
            )
            return _stored(ref, raw)
        body["metadata"] |= {"uid": over.uid, "resourceVersion": over.resource_version}
        try:
            raw = send(
                f"write {_named(ref)}",
                self._api.patch_namespaced_config_map,
                table_name(ref),
                ref.namespace,
                body,
                field_manager=FIELD_MANAGER,
                _content_type="application/merge-patch+json",
            )
        except CallFailed as error:
            if error.status == 404:
                raise FactsChanged(f"{_named(ref)}: somebody removed it: made anew") from error
            raise
        return _stored(ref, raw)

    def delete(self, ref: DaemonSetRef) -> None:
        """Remove a table; one that is gone already is no error."""
        try:
            send(
                f"delete {_named(ref)}",
                self._api.delete_namespaced_config_map,
                table_name(ref),
                ref.namespace,
            )
        except CallFailed as error:
            if error.status != 404:
                raise


def _stored(ref: DaemonSetRef, raw: dict[str, Any]) -> StoredTable:
    data, metadata = raw.get("data") or {}, raw.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(data, dict):
        raise CallFailed(f"{_named(ref)}: the answer is not a ConfigMap")
    return StoredTable(
        str(data.get(DATA_KEY, "")), metadata.get("uid", ""), metadata.get("resourceVersion", "")
    )


def _named(ref: DaemonSetRef) -> str:
    return f"ConfigMap {ref.namespace}/{table_name(ref)}"
