"""The record of a DaemonSet, in a ConfigMap beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ippolicy.act.beside import StoredText, TextStore, labels_of
from ippolicy.act.document import read_document, write_document
from ippolicy.errors import RecordUnreadable
from ippolicy.facts import DaemonSetRef, Record

DATA_KEY = "record.json"
LABELS = labels_of("record-of-originals")
_NAME_PREFIX = "ippolicy-record-"


def record_name(ref: DaemonSetRef) -> str:
    """Name of the ConfigMap, in the DaemonSet's own namespace."""
    return f"{_NAME_PREFIX}{ref.name}"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record, and the text that it was read from or written as."""

    record: Record
    stored: StoredText


class RecordStore:
    """Records of originals, one a DaemonSet. Every method may raise CallFailed."""

    def __init__(self, core_api: Any) -> None:
        """`core_api` is a `kubernetes.client.CoreV1Api`."""
        self._texts = TextStore(core_api, name_of=record_name, labels=LABELS, data_key=DATA_KEY)

    def read(self, ref: DaemonSetRef) -> StoredRecord | None:
        """The record of a DaemonSet, or None when nothing was ever changed.

        Raises:
            RecordUnreadable: it is there, and not what was written.
        """
        stored = self._texts.read(ref)
        return None if stored is None else self._understood(ref, stored)

    def write(
        self, ref: DaemonSetRef, record: Record, *, over: StoredRecord | None
    ) -> StoredRecord:
        """Write a record in the place of `over`, or as the first one where that is None.

        Raises:
            FactsChanged: the record on the cluster is no longer `over`.
        """
        former = over.stored if over is not None else None
        stored = self._texts.write(ref, write_document(record), over=former)
        return self._understood(ref, stored)

    def delete(self, ref: DaemonSetRef, stored: StoredRecord) -> None:
        """Remove a record; one that is gone already is no error.

        Raises:
            FactsChanged: the record on the cluster is no longer `stored`.
        """
        self._texts.delete(ref, only=stored.stored)

    def _understood(self, ref: DaemonSetRef, stored: StoredText) -> StoredRecord:
        try:
            return StoredRecord(read_document(stored.text), stored)
        except ValueError as error:
            raise RecordUnreadable(
                f"{self._texts.named(ref)} cannot be read: {error}: put it right, or delete it to "
                "take the values in force now as the originals"
            ) from error
