"""Go's map order on arrays: `ippolicy.ipamd.gomap` for compiled code, draw for draw.

A map is a row of `enis`. What is true of a slot (full, deleted, can give, no pod) is one bit of a
word, so that the first entry of a walk that will do is found without walking.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ippolicy.ipamd.fast.draws import draw_below, draw_hash
from ippolicy.ipamd.fast.state import (
    CAN_GIVE,
    CAPACITY,
    DELETED,
    ENTRIES,
    ENTRY_AT,
    FACT,
    FULL,
    GROUP_SLOTS,
    GROWTH_LEFT,
    HASH_OF,
    I64,
    MAX_LOAD,
    NO_POD,
    PLACE_OF,
    SCRATCH,
)

_ONE: Final = np.int64(1)
_ZERO_WORD: Final = np.uint64(0)
_SHIFT: Final = np.uint64(58)
_SEQUENCE: Final = np.uint64(0x03F79D71B4CB0A89)  # de Bruijn: no two windows of 6 bits are alike
_GROUP: Final = np.int64(0xFF)


def _bit_numbers() -> I64:
    numbers = np.zeros(64, dtype=np.int64)
    for bit in range(64):
        numbers[((int(_SEQUENCE) << bit) & ((1 << 64) - 1)) >> 58] = bit
    return numbers


_BIT_NUMBERS: Final = _bit_numbers()


def lowest_bit(word: np.uint64) -> int:
    """Number of the lowest bit set in `word`, which is not 0."""
    signed = np.int64(word)
    alone = np.uint64(signed & -signed)
    return int(_BIT_NUMBERS[np.int64((alone * _SEQUENCE) >> _SHIFT)])


def has_bit(enis: I64, what: int, row: int, place: int) -> bool:
    """Whether bit `place` is set."""
    return bool((enis[what, row, place >> 6] >> (place & 63)) & 1 != 0)


def set_bit(enis: I64, what: int, row: int, place: int) -> None:
    """Set bit `place`."""
    enis[what, row, place >> 6] |= _ONE << (place & 63)


def clear_bit(enis: I64, what: int, row: int, place: int) -> None:
    """Clear bit `place`."""
    enis[what, row, place >> 6] &= ~(_ONE << (place & 63))


def first_bit(enis: I64, what: int, row: int, start: int) -> int:
    """The first bit set on the way once round from `start`; -1 where there is none."""
    word = start >> 6
    rest = np.uint64(enis[what, row, word]) >> np.uint64(start & 63)
    if rest != _ZERO_WORD:
        return start + lowest_bit(rest)
    words = (enis[FACT, row, CAPACITY] + 63) >> 6
    for _ in range(words):
        word = word + 1 if word + 1 < words else 0
        if enis[what, row, word] != 0:
            return word * 64 + lowest_bit(np.uint64(enis[what, row, word]))
    return -1


def walk_start(node: I64, enis: I64, row: int) -> int:
    """The slot where a walk starts; a map of fewer than two entries takes no draw."""
    return draw_below(node, enis[FACT, row, CAPACITY]) if enis[FACT, row, ENTRIES] >= 2 else 0


def clear_map(enis: I64, row: int, hint: int) -> None:
    """An empty map made for `hint` entries."""
    capacity = GROUP_SLOTS
    if hint > GROUP_SLOTS:
        capacity = 2 * GROUP_SLOTS
        while capacity < hint * GROUP_SLOTS // MAX_LOAD:
            capacity *= 2
    _clear(enis, row, capacity)


def insert(node: I64, enis: I64, row: int, entry: int) -> int:
    """Put in a new entry; the slot where it is now."""
    enis[HASH_OF, row, entry] = draw_hash(node)
    if enis[FACT, row, CAPACITY] == GROUP_SLOTS:
        if enis[FACT, row, ENTRIES] < GROUP_SLOTS:
            return _put(enis, row, entry, _first_free(enis, row, 0))
        _grow(enis, row, 2 * GROUP_SLOTS)
    place = _place_for(enis, row, entry)
    if enis[FACT, row, GROWTH_LEFT] == 0 and not has_bit(enis, DELETED, row, place):
        _prune(enis, row)
        if enis[FACT, row, GROWTH_LEFT] == 0:
            _grow(enis, row, 2 * enis[FACT, row, CAPACITY])
            place = _place_for(enis, row, entry)
    if has_bit(enis, DELETED, row, place):
        clear_bit(enis, DELETED, row, place)
    else:
        enis[FACT, row, GROWTH_LEFT] -= 1
    return _put(enis, row, entry, place)


def delete(enis: I64, row: int, entry: int) -> None:
    """Take an entry out."""
    place = enis[PLACE_OF, row, entry]
    if enis[FACT, row, CAPACITY] > GROUP_SLOTS and not _has_empty(enis, row, place >> 3):
        set_bit(enis, DELETED, row, place)
    else:
        enis[FACT, row, GROWTH_LEFT] += 1
    clear_bit(enis, FULL, row, place)
    clear_bit(enis, CAN_GIVE, row, place)
    clear_bit(enis, NO_POD, row, place)
    enis[ENTRY_AT, row, place] = -1
    enis[FACT, row, ENTRIES] -= 1


def _clear(enis: I64, row: int, capacity: int) -> None:
    enis[FACT, row, CAPACITY] = capacity
    enis[FACT, row, ENTRIES] = 0
    enis[FACT, row, GROWTH_LEFT] = capacity * MAX_LOAD // GROUP_SLOTS
    for word in range((capacity + 63) >> 6):
        enis[FULL, row, word] = enis[DELETED, row, word] = 0
        enis[CAN_GIVE, row, word] = enis[NO_POD, row, word] = 0
    for place in range(capacity):
        enis[ENTRY_AT, row, place] = -1


def _put(enis: I64, row: int, entry: int, place: int) -> int:
    set_bit(enis, FULL, row, place)
    enis[ENTRY_AT, row, place] = entry
    enis[PLACE_OF, row, entry] = place
    enis[FACT, row, ENTRIES] += 1
    return place


def _group_bits(enis: I64, what: int, row: int, group: int) -> int:
    return int((enis[what, row, group >> 3] >> ((group & 7) * 8)) & _GROUP)


def _first_free(enis: I64, row: int, group: int) -> int:
    """First slot of a group without an entry, deleted or not; -1 where all have one."""
    free = ~_group_bits(enis, FULL, row, group) & 0xFF
    return group * GROUP_SLOTS + lowest_bit(np.uint64(free)) if free else -1


def _has_empty(enis: I64, row: int, group: int) -> bool:
    return (_group_bits(enis, FULL, row, group) | _group_bits(enis, DELETED, row, group)) != 0xFF


def _place_for(enis: I64, row: int, entry: int) -> int:
    """Where a new entry goes: see `GoMap`."""
    mask = (enis[FACT, row, CAPACITY] >> 3) - 1
    group, step, deleted = enis[HASH_OF, row, entry] & mask, 0, -1
    while True:
        free = _first_free(enis, row, group)
        if free >= 0:
            if not has_bit(enis, DELETED, row, free):
                return free if deleted < 0 else deleted
            if deleted < 0:
                deleted = free
        step += 1
        group = (group + step) & mask


def _grow(enis: I64, row: int, capacity: int) -> None:
    """Move every entry, in slot order, to an empty table of `capacity` slots."""
    if capacity > enis.shape[2]:
        raise OverflowError
    count = 0
    for place in range(enis[FACT, row, CAPACITY]):
        entry = enis[ENTRY_AT, row, place]
        if entry >= 0:
            marks = has_bit(enis, CAN_GIVE, row, place) + 2 * has_bit(enis, NO_POD, row, place)
            enis[SCRATCH, row, count] = entry * 4 + marks
            count += 1
    _clear(enis, row, capacity)
    enis[FACT, row, GROWTH_LEFT] -= count
    for number in range(count):
        entry, marks = enis[SCRATCH, row, number] >> 2, enis[SCRATCH, row, number] & 3
        place = _put(enis, row, entry, _place_for(enis, row, entry))
        if marks & 1:
            set_bit(enis, CAN_GIVE, row, place)
        if marks & 2:
            set_bit(enis, NO_POD, row, place)


def _prune(enis: I64, row: int) -> None:
    """Turn marks of deletion that no entry's probing passes into empty slots, if 1/10 goes."""
    capacity = enis[FACT, row, CAPACITY]
    _mark_passed(enis, row)
    marked = freeable = 0
    for group in range(capacity >> 3):
        marks = _ones(_group_bits(enis, DELETED, row, group))
        marked += marks
        if enis[SCRATCH, row, group] == 0 and not _has_empty(enis, row, group):
            enis[SCRATCH, row, group] = -1
            freeable += marks
    if marked * 10 < capacity or freeable * 10 < capacity:
        return
    enis[FACT, row, GROWTH_LEFT] += freeable
    for group in range(capacity >> 3):
        if enis[SCRATCH, row, group] == -1:
            enis[DELETED, row, group >> 3] &= ~(_GROUP << ((group & 7) * 8))


def _mark_passed(enis: I64, row: int) -> None:
    """Note the groups that the probing for some entry passes: 1 in SCRATCH, 0 for others."""
    mask = (enis[FACT, row, CAPACITY] >> 3) - 1
    for group in range(mask + 1):
        enis[SCRATCH, row, group] = 0
    for place in range(enis[FACT, row, CAPACITY]):
        entry = enis[ENTRY_AT, row, place]
        if entry >= 0:
            group, step = enis[HASH_OF, row, entry] & mask, 0
            while group != place >> 3:
                enis[SCRATCH, row, group] = 1
                step += 1
                group = (group + step) & mask


def _ones(byte: int) -> int:
    count = 0
    while byte:
        byte &= byte - 1
        count += 1
    return count
