"""Which objects name which owner, kept up to date with the store."""

from __future__ import annotations

from typing import TypeAlias

from ippolicy.sandbox.kube.objects import Object
from ippolicy.sandbox.kube.store import Address, Change, Store

Place: TypeAlias = tuple[str, Address]  # key in the store, namespace and name


def owner_uids(value: Object) -> list[str]:
    """The uids of an object's owners."""
    return [owner["uid"] for owner in value["metadata"].get("ownerReferences") or ()]


def controller_of(value: Object) -> Object | None:
    """The owner reference of the controller of an object, or None."""
    for owner in value["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            found: Object = owner
            return found
    return None


class OwnerIndex:
    """Objects by the uid of each of their owners, from the index's making on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._places: dict[str, set[Place]] = {}
        store.observe(self._follow)

    def dependents(self, uid: str, key: str = "") -> list[Place]:
        """Where the objects stand that name `uid` as an owner, of one kind or all."""
        with self._store.lock:
            places = self._places.get(uid, ())
            return sorted(place for place in places if key in ("", place[0]))

    def _follow(self, key: str, change: Change) -> None:
        place = (key, change.record.address)
        for uid in owner_uids(change.before.value) if change.before else ():
            self._places.get(uid, set()).discard(place)
            if not self._places.get(uid):
                self._places.pop(uid, None)
        for uid in owner_uids(change.record.value) if change.type != "DELETED" else ():
            self._places.setdefault(uid, set()).add(place)
