"""A map that is walked in the order in which Go walks its own.

ipamd chooses ENIs and addresses by taking whatever a Go map shows first. That order is random but
not uniform, and the difference shows in what a node holds, so the layout of Go's maps (since 1.24,
as of 1.26: `internal/runtime/maps`) is kept here:

* up to 8 entries live in one group of 8 slots; a new entry takes the first empty slot, so a freed
  slot is the next to be used;
* beyond that, a table of 2, 4, 8... groups: an entry's hash names the group where it goes, and the
  following groups when that one is full. A slot freed in a full group stays marked as deleted, and
  a table of which 7/8 are used or marked is cleared of marks or doubled. It never shrinks;
* a walk starts at a random slot and goes round once. An entry that follows empty slots therefore
  comes first more often than its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final, Generic, TypeVar

V = TypeVar("V")

GROUP_SLOTS: Final = 8
_MAX_LOAD: Final = 7


class GoMap(Generic[V]):
    """A mapping of text keys to values whose `walk` follows Go's order.

    `random` gives hashes and starting slots; `hint` is the size that Go's `make` was given.
    """

    __slots__ = ("_deleted", "_growth_left", "_hashes", "_keys", "_places", "_random", "_values")

    def __init__(self, random: Random, hint: int = 0) -> None:
        self._random = random
        self._values: dict[str, V] = {}
        self._places: dict[str, int] = {}
        self._hashes: dict[str, int] = {}
        self._keys: list[str | None] = [None] * GROUP_SLOTS
        self._deleted: set[int] = set()
        self._growth_left = 0
        if hint > GROUP_SLOTS:
            capacity = 2 * GROUP_SLOTS
            while capacity < hint * GROUP_SLOTS // _MAX_LOAD:
                capacity *= 2
            self._make_table(capacity)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> V:
        return self._values[key]

    def get(self, key: str) -> V | None:
        """The value under `key`, or None."""
        return self._values.get(key)

    def values(self) -> list[V]:
        """All values in no promised order, for sums where order does not matter."""
        return list(self._values.values())

    def walk(self) -> list[V]:
        """All values in the order of one walk of Go's `range`."""
        values, keys = self._values, self._keys
        if len(values) < 2:
            return list(values.values())
        start = int(self._random.random() * len(keys))
        return [values[key] for key in keys[start:] + keys[:start] if key is not None]

    def __setitem__(self, key: str, value: V) -> None:
        if key not in self._values:
            self._insert(key)
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        del self._hashes[key]
        place = self._places.pop(key)
        group = place - place % GROUP_SLOTS
        if self._is_table and not self._has_empty(group):
            self._deleted.add(place)
        else:
            self._growth_left += 1
        self._keys[place] = None

    @property
    def _is_table(self) -> bool:
        return len(self._keys) > GROUP_SLOTS

    def _insert(self, key: str) -> None:
        self._hashes[key] = self._random.getrandbits(32)
        if not self._is_table:
            if len(self._values) < GROUP_SLOTS:
                self._put(key, self._keys.index(None))
                return
            self._make_table(2 * GROUP_SLOTS)
        place = self._place_for(key)
        if self._growth_left == 0 and place not in self._deleted:
            self._prune()
            if self._growth_left == 0:
                self._make_table(2 * len(self._keys))
                place = self._place_for(key)
        if place in self._deleted:
            self._deleted.discard(place)
        else:
            self._growth_left -= 1
        self._put(key, place)

    def _put(self, key: str, place: int) -> None:
        self._keys[place] = key
        self._places[key] = place

    def _make_table(self, capacity: int) -> None:
        """Move every entry, in slot order, to an empty table of `capacity` slots."""
        keys = [key for key in self._keys if key is not None]
        self._keys = [None] * capacity
        self._deleted = set()
        self._growth_left = capacity * _MAX_LOAD // GROUP_SLOTS - len(keys)
        for key in keys:
            self._put(key, self._place_for(key))

    def _groups(self, key: str) -> Iterator[int]:
        """First slots of the groups that `key` may be in, in the order of probing."""
        mask = len(self._keys) // GROUP_SLOTS - 1
        group, step = self._hashes[key] & mask, 0
        while True:
            yield group * GROUP_SLOTS
            step += 1
            group = (group + step) & mask

    def _place_for(self, key: str) -> int:
        """Where a new `key` goes: the first deleted slot on the way to a group with an empty one.

        Only the first free slot of a group counts, so an empty slot behind a deleted one does not
        end the search in that group.
        """
        deleted: int | None = None
        for group in self._groups(key):
            free = self._first_free(group)
            if free is None:
                continue
            if free not in self._deleted:
                return free if deleted is None else deleted
            if deleted is None:
                deleted = free
        raise AssertionError  # probing ends at an empty slot: 1/8 of a table is kept empty

    def _first_free(self, group: int) -> int | None:
        for place in range(group, group + GROUP_SLOTS):
            if self._keys[place] is None:
                return place
        return None

    def _has_empty(self, group: int) -> bool:
        return any(
            self._keys[place] is None and place not in self._deleted
            for place in range(group, group + GROUP_SLOTS)
        )

    def _prune(self) -> None:
        """Turn deleted slots that no entry's probing passes into empty ones, if that frees 1/10."""
        tenth = len(self._keys) / 10
        if len(self._deleted) < tenth:
            return
        passed: set[int] = set()
        for key, place in self._places.items():
            for group in self._groups(key):
                if group == place - place % GROUP_SLOTS:
                    break
                passed.add(group)
        freed = {
            place
            for place in self._deleted
            if (group := place - place % GROUP_SLOTS) not in passed and not self._has_empty(group)
        }
        if len(freed) >= tenth:
            self._deleted -= freed
            self._growth_left += len(freed)
