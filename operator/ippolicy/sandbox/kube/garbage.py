"""What the controller manager clears away: dependents, pods of gone nodes, dead namespaces."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from ippolicy.sandbox.kube.admission import CRD_CLEANUP, Write
from ippolicy.sandbox.kube.deletion import Deletion
from ippolicy.sandbox.kube.objects import Object, dig, without
from ippolicy.sandbox.kube.owners import OwnerIndex, Place, owner_uids
from ippolicy.sandbox.kube.refusals import Refused
from ippolicy.sandbox.kube.resources import CRDS, NAMESPACES, NODES, PODS, Kind, from_definition
from ippolicy.sandbox.kube.store import Change, Record
from ippolicy.sandbox.kube.writes import Writer

_WRITE = Write("kube-controller-manager")


class GarbageCollector:
    """Follows the store and deletes what has lost its reason to be there."""

    def __init__(self, writer: Writer, owners: OwnerIndex) -> None:
        self._writer = writer
        self._store = writer.store
        self._owners = owners
        self._gone: deque[tuple[str, Record]] = deque()
        self._born: deque[tuple[str, Record]] = deque()
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._store.observe(self._follow)

    def _follow(self, key: str, change: Change) -> None:
        if change.type == "DELETED":
            self._gone.append((key, change.record))
        elif change.type == "ADDED" and owner_uids(change.record.value):
            self._born.append((key, change.record))
        elif key not in (NAMESPACES.key, CRDS.key):
            return
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._gone:
                self._collect(*self._gone.popleft())
                await asyncio.sleep(0)
            while self._born:
                self._check_owners(*self._born.popleft())
            self._finish_namespaces()
            self._finish_definitions()

    def _collect(self, key: str, record: Record) -> None:
        uid = record.value["metadata"]["uid"]
        orphan = uid in self._writer.orphaned
        for place in self._owners.dependents(uid):
            if orphan:
                self._let_go(place, uid)
            else:
                self._delete_dependent(place)
        self._writer.orphaned.discard(uid)
        if key == NODES.key:
            self._clear_node(record.address[1])

    def _delete_dependent(self, place: Place) -> None:
        record = self._store.get(place[0], *place[1])
        if record is None:
            return
        left = [owner for owner in _owners(record.value) if self._lives(owner, place[1][0])]
        if not left:
            self._delete(place, Deletion())

    def _check_owners(self, key: str, record: Record) -> None:
        """Delete an object that was made for an owner already gone."""
        if not any(self._lives(owner, record.address[0]) for owner in _owners(record.value)):
            self._delete((key, record.address), Deletion(uid=record.value["metadata"]["uid"]))

    def _lives(self, owner: Object, namespace: str) -> bool:
        kind = self._writer.registry.named(owner["apiVersion"], owner["kind"])
        if kind is None:
            return False
        place = (namespace if kind.namespaced else "", owner["name"])
        record = self._store.get(kind.key, *place)
        return record is not None and record.value["metadata"]["uid"] == owner["uid"]

    def _let_go(self, place: Place, uid: str) -> None:
        kind, record = self._kind(place[0]), self._store.get(place[0], *place[1])
        if kind is None or record is None:
            return
        left = [owner for owner in _owners(record.value) if owner["uid"] != uid]
        metadata = {**record.value["metadata"], "ownerReferences": left}
        if not left:
            metadata = without(metadata, "ownerReferences")
        self._writer.update(kind, *place[1], {**record.value, "metadata": metadata}, _WRITE)

    def _clear_node(self, name: str) -> None:
        """Pods of a node that is gone go at once, as no kubelet will end them."""
        for record in self._store.list(PODS.key):
            if dig(record.value, "spec", "nodeName") == name:
                self._delete((PODS.key, record.address), Deletion(grace_s=0))

    def _finish_namespaces(self) -> None:
        for record in self._store.list(NAMESPACES.key):
            if record.value["metadata"].get("deletionTimestamp") and self._emptied(record):
                self._writer.finalize(record.address[1])

    def _emptied(self, namespace: Record) -> bool:
        name = namespace.address[1]
        for kind in self._writer.registry.all():
            for record in self._store.list(kind.key, name) if kind.namespaced else ():
                self._delete((kind.key, record.address), Deletion())
        kinds = [kind for kind in self._writer.registry.all() if kind.namespaced]
        return not any(self._store.list(kind.key, name) for kind in kinds)

    def _finish_definitions(self) -> None:
        for record in self._store.list(CRDS.key):
            metadata = record.value["metadata"]
            if not metadata.get("deletionTimestamp"):
                continue
            keys = {kind.key for kind in from_definition(record.value)}
            for key in keys:
                for each in self._store.list(key):
                    self._delete((key, each.address), Deletion())
            if not any(self._store.list(key) for key in keys):
                left = [name for name in metadata.get("finalizers") or () if name != CRD_CLEANUP]
                body = {**record.value, "metadata": {**metadata, "finalizers": left}}
                self._writer.update(CRDS, *record.address, body, _WRITE)

    def _kind(self, key: str) -> Kind | None:
        return next((kind for kind in self._writer.registry.all() if kind.key == key), None)

    def _delete(self, place: Place, options: Deletion) -> None:
        kind = self._kind(place[0])
        if kind is None:
            return
        with contextlib.suppress(Refused):  # it went, or was replaced, in the meantime
            self._writer.delete(kind, *place[1], options)


def _owners(value: Object) -> list[Object]:
    return list(value["metadata"].get("ownerReferences") or ())
