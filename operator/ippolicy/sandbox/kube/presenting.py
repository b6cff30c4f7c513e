"""How stored objects look on the wire: single, in lists, in watches, and as tables."""

from __future__ import annotations

from collections.abc import Iterable

from ippolicy.sandbox.kube import coreevents, tables
from ippolicy.sandbox.kube.objects import Clock, Object, encode
from ippolicy.sandbox.kube.reads import Page
from ippolicy.sandbox.kube.resources import Kind
from ippolicy.sandbox.kube.store import Record


class Presenter:
    """Writes the objects of one kind as one client asked for them."""

    def __init__(self, kind: Kind, accept: str, clock: Clock, include: str = "Metadata") -> None:
        self._kind = kind
        self._clock = clock
        self._include = include
        self.as_table = "as=Table" in accept
        head = {"apiVersion": kind.api_version, "kind": kind.kind}
        self._head = encode(head)[:-1]

    def whole(self, record: Record) -> bytes:
        """One object, with apiVersion and kind."""
        if self.as_table:
            return self._table([record], "")
        return self.plain(record)

    def plain(self, record: Record) -> bytes:
        """One object, whatever the client asked for."""
        return self._head + self._rest(record)

    def _rest(self, record: Record) -> bytes:
        """The object's JSON after apiVersion and kind, from the comma on."""
        if coreevents.needs_conversion(self._kind):
            return _tail(coreevents.to_events_group(record.value))
        return record.encoded[_head_length(record.value) :]

    def _item(self, record: Record) -> bytes:
        """One object in a list: only custom resources repeat apiVersion and kind there."""
        if self._kind.custom:
            return self.plain(record)
        return b"{" + self._rest(record)[1:]

    def page(self, page: Page) -> bytes:
        """A list."""
        if self.as_table:
            return self._table(page.records, str(page.version), page)
        head = {"kind": f"{self._kind.kind}List", "apiVersion": self._kind.api_version}
        opening = encode({**head, "metadata": _list_metadata(page)})[:-1]
        return opening + b',"items":[' + b",".join(map(self._item, page.records)) + b"]}"

    def event(self, type_: str, record: Record) -> bytes:
        """One line of a watch."""
        return b'{"type":"%s","object":%s}\n' % (type_.encode(), self.whole(record))

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        """A BOOKMARK line of a watch."""
        metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        body = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        return encode({"type": "BOOKMARK", "object": body}) + b"\n"

    def _table(self, records: Iterable[Record], version: str, page: Page | None = None) -> bytes:
        metadata = _list_metadata(page) if page else {"resourceVersion": version}
        values = [record.value for record in records]
        include_object = self._include == "Object"
        return encode(
            tables.table(self._kind, values, metadata, self._clock(), whole=include_object)
        )


def _list_metadata(page: Page) -> Object:
    metadata: Object = {"resourceVersion": str(page.version)}
    if page.token:
        metadata["continue"] = page.token
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    return metadata


def _head_length(value: Object) -> int:
    return len(value["apiVersion"]) + len(value["kind"]) + len('{"apiVersion":"","kind":""')


def _tail(value: Object) -> bytes:
    return encode(value)[_head_length(value) :]
