"""Versioned objects in memory: one counter of versions, snapshots of the past, and watches.

Objects in the store are never changed in place. All methods may be called from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ippolicy.sandbox.kube.objects import Object, encode
from ippolicy.sandbox.kube.refusals import expired

ChangeType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]
Address: TypeAlias = tuple[str, str]  # namespace ("" where there is none), name


# The version of an empty cluster; what is older counts as forgotten, as after a restart.
_BIRTH = 100


class Record:
    """One version of one object, with its JSON kept once it was asked for."""

    __slots__ = ("_encoded", "value", "version")

    def __init__(self, value: Object, version: int) -> None:
        self.value = value
        self.version = version
        self._encoded = b""

    @property
    def address(self) -> Address:
        """Where the object stands among those of its kind."""
        return address_of(self.value)

    @property
    def encoded(self) -> bytes:
        """The object as JSON, opening with apiVersion and kind."""
        if not self._encoded:
            self._encoded = encode(self.value)
        return self._encoded


@dataclass(frozen=True)
class Change:
    """One step of history: `before` is what the object was until then."""

    type: ChangeType
    record: Record
    before: Record | None

    @property
    def version(self) -> int:
        """The version this change made."""
        return self.record.version


Listener: TypeAlias = Callable[[Change], None]
Observer: TypeAlias = Callable[[str, Change], None]


def address_of(value: Object) -> Address:
    """Namespace and name of an object."""
    return value["metadata"].get("namespace", ""), value["metadata"]["name"]


class _Shelf:
    """The objects of one kind, their recent history and who listens."""

    def __init__(self, history: int) -> None:
        self.records: dict[Address, Record] = {}
        self.history: deque[Change] = deque(maxlen=history)
        self.listeners: dict[int, Listener] = {}
        self.forgotten = _BIRTH
        self.changed = 0
        self.ordered: tuple[int, list[Record]] = (-1, [])

    def add(self, change: Change) -> None:
        if len(self.history) == self.history.maxlen:
            self.forgotten = self.history[0].version
        self.history.append(change)
        self.changed = change.version
        for listener in tuple(self.listeners.values()):
            listener(change)

    def sorted(self) -> list[Record]:
        if self.ordered[0] != self.changed:
            self.ordered = (self.changed, _in_order(self.records))
        return self.ordered[1]

    def at(self, version: int) -> list[Record]:
        if version >= self.changed:
            return self.sorted()
        records = dict(self.records)
        for change in reversed(self.history):
            if change.version <= version:
                break
            if change.before is None:
                records.pop(change.record.address, None)
            else:
                records[change.before.address] = change.before
        return _in_order(records)


def _in_order(records: dict[Address, Record]) -> list[Record]:
    """By `namespace/name` as one text, as etcd has its keys."""
    return [records[address] for address in sorted(records, key="/".join)]


class Store:
    """All objects of the cluster, filed under a key for each kind (`group/plural`).

    `history` is how many changes of a kind a watch or a paged list may reach back.
    """

    def __init__(self, *, history: int = 20_000) -> None:
        self.lock = threading.RLock()
        self._history = history
        self._shelves: dict[str, _Shelf] = {}
        self._version = _BIRTH
        self._tickets = 0
        self._observers: list[Observer] = []

    @property
    def version(self) -> int:
        """The version of the last change."""
        return self._version

    def _shelf(self, key: str) -> _Shelf:
        if key not in self._shelves:
            self._shelves[key] = _Shelf(self._history)
        return self._shelves[key]

    def get(self, key: str, namespace: str, name: str) -> Record | None:
        """The object as it is now, or None."""
        with self.lock:
            return self._shelf(key).records.get((namespace, name))

    def list(self, key: str, namespace: str = "", *, at: int | None = None) -> list[Record]:
        """The objects of a kind, by namespace and name, now or at an earlier version.

        Raises `Refused` 410 where history no longer reaches back to `at`.
        """
        with self.lock:
            shelf = self._shelf(key)
            if at is not None and at < shelf.forgotten:
                raise expired(f"The resourceVersion for the provided list is too old: {at}")
            records = shelf.sorted() if at is None else shelf.at(at)
            if not namespace:
                return records
            return [record for record in records if record.address[0] == namespace]

    def put(self, key: str, value: Object) -> Record:
        """Create or replace an object; it is given the next version."""
        with self.lock:
            shelf = self._shelf(key)
            record = self._next(value)
            before = shelf.records.get(record.address)
            shelf.records[record.address] = record
            self._happen(key, Change("MODIFIED" if before else "ADDED", record, before))
            return record

    def remove(self, key: str, namespace: str, name: str) -> Record:
        """Remove an object that is there; gives its last state, with the version of the removal."""
        with self.lock:
            shelf = self._shelf(key)
            before = shelf.records.pop((namespace, name))
            record = self._next(before.value)
            self._happen(key, Change("DELETED", record, before))
            return record

    def _happen(self, key: str, change: Change) -> None:
        self._shelf(key).add(change)
        for observer in self._observers:
            observer(key, change)

    def observe(self, observer: Observer) -> None:
        """Call `observer` with key and change for every change of any kind, from now on.

        It runs under the store's lock, so it only hands on.
        """
        with self.lock:
            self._observers.append(observer)

    def _next(self, value: Object) -> Record:
        self._version += 1
        metadata = {**value["metadata"], "resourceVersion": str(self._version)}
        return Record({**value, "metadata": metadata}, self._version)

    def watch(self, key: str, listener: Listener, *, since: int | None = None) -> int:
        """Call `listener` with each change after `since` (past ones at once), until `unwatch`.

        The listener runs under the store's lock, so it only hands on. Raises `Refused` 410
        where history no longer reaches back to `since`.
        """
        with self.lock:
            shelf = self._shelf(key)
            if since is not None:
                if since < shelf.forgotten:
                    raise expired(f"too old resource version: {since} ({shelf.forgotten})")
                for change in shelf.history:
                    if change.version > since:
                        listener(change)
            self._tickets += 1
            shelf.listeners[self._tickets] = listener
            return self._tickets

    def unwatch(self, key: str, ticket: int) -> None:
        """End a watch."""
        with self.lock:
            self._shelf(key).listeners.pop(ticket, None)

    def compact(self) -> None:
        """Forget all history, as etcd does after a while: watches and pages from before get 410."""
        with self.lock:
            self._version += 1
            for shelf in self._shelves.values():
                shelf.history.clear()
                shelf.forgotten = self._version
