"""The ConfigMap that a record lives in: one beside each DaemonSet, written whole or not at all.

Being on the cluster it outlives the operator, the policy and its status. Each write names the
version that was read, so of two writers one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ippolicy.act.document import read_document, write_document
from ippolicy.act.requests import CallFailed, send
from ippolicy.errors import FactsChanged, RecordUnreadable
from ippolicy.facts import DaemonSetRef, Record
from ippolicy.facts.daemonset import FIELD_MANAGER

DATA_KEY = "record.json"
LABELS = {
    "app.kubernetes.io/managed-by": FIELD_MANAGER,
    "app.kubernetes.io/component": "record-of-originals",
}
_NAME_PREFIX = "ippolicy-record-"


def record_name(ref: DaemonSetRef) -> str:
    """Name of the ConfigMap, in the DaemonSet's own namespace."""
    return f"{_NAME_PREFIX}{ref.name}"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record, and the version of the ConfigMap that it was read from or written to."""

    record: Record
    uid: str
    resource_version: str


class RecordStore:
    """Records of originals, one a DaemonSet. Every method may raise CallFailed."""

    def __init__(self, core_api: Any) -> None:
        """`core_api` is a `kubernetes.client.CoreV1Api`."""
        self._api = core_api

    def read(self, ref: DaemonSetRef) -> StoredRecord | None:
        """The record of a DaemonSet, or None when nothing was ever changed.

        Raises:
            RecordUnreadable: it is there, and not what was written.
        """
        try:
            raw = send(
                f"read {self._named(ref)}",
                self._api.read_namespaced_config_map,
                record_name(ref),
                ref.namespace,
            )
        except CallFailed as error:
            if error.status == 404:
                return None
            raise
        return self._stored(ref, raw)

    def write(
        self, ref: DaemonSetRef, record: Record, *, over: StoredRecord | None
    ) -> StoredRecord:
        """Write a record in the place of `over`, or as the first one where that is None.

        Raises:
            FactsChanged: the record on the cluster is no longer `over`.
        """
        body: dict[str, Any] = {
            "metadata": {"labels": LABELS},
            "data": {DATA_KEY: write_document(record)},
        }
        if over is None:
            body |= {"apiVersion": "v1", "kind": "ConfigMap"}
            body["metadata"]["name"] = record_name(ref)
            raw = send(
                f"create {self._named(ref)}",
                self._api.create_namespaced_config_map,
                ref.namespace,
                body,
                field_manager=FIELD_MANAGER,
            )
        else:
            body["metadata"] |= {"uid": over.uid, "resourceVersion": over.resource_version}
            raw = self._send_for_stored(
                ref,
                f"write {self._named(ref)}",
                self._api.patch_namespaced_config_map,
                body,
                field_manager=FIELD_MANAGER,
                _content_type="application/merge-patch+json",
            )
        return self._stored(ref, raw)

    def delete(self, ref: DaemonSetRef, stored: StoredRecord) -> None:
        """Remove a record; one that is gone already is no error.

        Raises:
            FactsChanged: the record on the cluster is no longer `stored`.
        """
        body = {
            "preconditions": {"uid": stored.uid, "resourceVersion": stored.resource_version},
        }
        try:
            send(
                f"delete {self._named(ref)}",
                self._api.delete_namespaced_config_map,
                record_name(ref),
                ref.namespace,
                body=body,
            )
        except CallFailed as error:
            if error.status != 404:
                raise

    def _send_for_stored(
        self, ref: DaemonSetRef, what: str, call: Any, body: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        try:
            return send(what, call, record_name(ref), ref.namespace, body, **kwargs)
        except CallFailed as error:
            if error.status == 404:
                raise FactsChanged(f"{what}: somebody removed it: it is made anew") from error
            raise

    def _stored(self, ref: DaemonSetRef, raw: dict[str, Any]) -> StoredRecord:
        data, metadata = raw.get("data"), raw.get("metadata")
        if not isinstance(metadata, dict):
            raise CallFailed(f"{self._named(ref)}: the answer is not a ConfigMap")
        try:
            record = read_document(data.get(DATA_KEY, "") if isinstance(data, dict) else "")
        except ValueError as error:
            raise RecordUnreadable(
                f"{self._named(ref)} cannot be read: {error}: put it right, or delete it to take "
                "the values in force now as the originals"
            ) from error
        return StoredRecord(record, metadata.get("uid", ""), metadata.get("resourceVersion", ""))

    @staticmethod
    def _named(ref: DaemonSetRef) -> str:
        return f"ConfigMap {ref.namespace}/{record_name(ref)}"
