"""What a node holds and who has it: `ippolicy.ipamd.store` for compiled code.

A pod's address is one number: (ENI x slots + CIDR) x 16 + address within the /28.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ippolicy.ipamd.fast.draws import draw_below, skip_draws
from ippolicy.ipamd.fast.maps import (
    clear_bit,
    clear_map,
    delete,
    first_bit,
    has_bit,
    insert,
    lowest_bit,
    set_bit,
    walk_start,
)
from ippolicy.ipamd.fast.state import (
    ASSIGNED,
    CAN_GIVE,
    CAPACITY,
    CIDRS,
    COOLDOWN_S,
    COOLED_OF,
    COOLING,
    COOLING_END,
    COOLING_FIRST,
    COOLING_OF,
    COOLING_ON,
    ENI_MAP,
    ENIS,
    ENTRIES,
    ENTRY_AT,
    F64,
    FACT,
    FREED_AT,
    FREED_CIDR,
    FREED_LIST,
    FREED_MASK,
    FREED_SERIAL,
    I64,
    IDLE_ENIS,
    NO_POD,
    NOT_ATTACHED,
    NOW,
    PLACE_OF,
    PODS_ON,
    PREFIXES,
    PRIMARY,
    READY,
    SEEN_AT,
    SERIAL,
    SERIAL_OF,
    SIZE,
    SLOTS,
    SPARE,
    TOTAL,
    UNUSED,
    USED_MASK,
    USED_OF,
)

CLOCK_NOISE_S: Final = 1e-6
_PER_PREFIX: Final = 16
_ALL: Final = 0xFFFF


# -- ENIs and CIDRs -----------------------------------------------------------------------------


def add_eni(node: I64, clock: F64, enis: I64) -> int:
    """Learn of an ENI without addresses, now; its row."""
    eni = PRIMARY
    while clock[SEEN_AT + eni] != NOT_ATTACHED:
        eni += 1
    clock[SEEN_AT + eni] = clock[NOW]
    enis[FACT, eni, PODS_ON] = enis[FACT, eni, COOLING_ON] = 0
    clear_map(enis, eni, 0)
    for number in range(node[SLOTS]):
        enis[SPARE, eni, number] = node[SLOTS] - 1 - number
    insert(node, enis, ENI_MAP, eni)
    node[ENIS] += 1
    node[IDLE_ENIS] += eni != PRIMARY
    return eni


def remove_eni(node: I64, clock: F64, enis: I64, eni: int) -> None:
    """Forget an ENI that has no pod and nothing that cools down."""
    cidrs = enis[FACT, eni, ENTRIES]
    node[READY] -= cidrs
    node[CIDRS] -= cidrs
    node[UNUSED] -= cidrs
    node[TOTAL] -= cidrs * node[SIZE]
    node[ENIS] -= 1
    node[IDLE_ENIS] -= 1
    for cidr in range(node[SLOTS]):
        enis[SERIAL_OF, eni, cidr] = -1
    clock[SEEN_AT + eni] = NOT_ATTACHED
    delete(enis, ENI_MAP, eni)


def add_cidrs(node: I64, enis: I64, eni: int, count: int) -> None:
    """Learn of `count` new CIDRs on an ENI."""
    for _ in range(count):
        cidr = enis[SPARE, eni, node[SLOTS] - enis[FACT, eni, ENTRIES] - 1]
        enis[USED_OF, eni, cidr] = enis[COOLING_OF, eni, cidr] = enis[COOLED_OF, eni, cidr] = 0
        enis[USED_MASK, eni, cidr] = enis[FREED_MASK, eni, cidr] = enis[FREED_LIST, eni, cidr] = 0
        enis[SERIAL_OF, eni, cidr] = node[SERIAL]
        node[SERIAL] += 1
        place = insert(node, enis, eni, cidr)
        set_bit(enis, CAN_GIVE, eni, place)
        set_bit(enis, NO_POD, eni, place)
    node[READY] += count
    node[CIDRS] += count
    node[UNUSED] += count
    node[TOTAL] += count * node[SIZE]


def remove_cidr(node: I64, enis: I64, eni: int, cidr: int) -> None:
    """Forget a CIDR without a pod."""
    node[READY] -= has_bit(enis, CAN_GIVE, eni, enis[PLACE_OF, eni, cidr])
    delete(enis, eni, cidr)
    enis[SPARE, eni, node[SLOTS] - enis[FACT, eni, ENTRIES] - 1] = cidr
    enis[FACT, eni, COOLING_ON] -= enis[COOLING_OF, eni, cidr]
    node[COOLING] -= enis[COOLING_OF, eni, cidr]
    enis[SERIAL_OF, eni, cidr] = -1
    node[CIDRS] -= 1
    node[UNUSED] -= 1
    node[TOTAL] -= node[SIZE]


# -- pods ---------------------------------------------------------------------------------------


def assign(node: I64, clock: F64, enis: I64) -> int:
    """An address from the first ENI and CIDR that can give one, in map order; -1 for none."""
    if node[READY] == 0:
        skip_vain(node, clock, enis, 1)
        return -1
    start, mask = walk_start(node, enis, ENI_MAP), enis[FACT, ENI_MAP, CAPACITY] - 1
    for step in range(mask + 1):
        eni = enis[ENTRY_AT, ENI_MAP, (start + step) & mask]
        if eni >= 0:
            place = first_bit(enis, CAN_GIVE, eni, walk_start(node, enis, eni))
            if place >= 0:
                return _take(node, enis, eni, place)
    return -1


def skip_vain(node: I64, clock: F64, enis: I64, tries: int) -> None:
    """Take the draws of `tries` ADDs that find no CIDR ready."""
    if node[TOTAL] == node[ASSIGNED]:
        return
    draws = 1 if node[ENIS] >= 2 else 0
    for eni in range(PRIMARY, enis.shape[1] - 1):
        if clock[SEEN_AT + eni] != NOT_ATTACHED and enis[FACT, eni, ENTRIES] >= 2:
            draws += 1
    skip_draws(node, draws * tries)


def _take(node: I64, enis: I64, eni: int, place: int) -> int:
    cidr = enis[ENTRY_AT, eni, place]
    address, exhausted = 0, True
    if node[PREFIXES]:
        address = _take_of_prefix(node, enis, eni, cidr)
        exhausted = (enis[USED_MASK, eni, cidr] | enis[FREED_MASK, eni, cidr]) == _ALL
    enis[USED_OF, eni, cidr] += 1
    if enis[USED_OF, eni, cidr] == 1:
        clear_bit(enis, NO_POD, eni, place)
        node[UNUSED] -= 1
    if exhausted:
        clear_bit(enis, CAN_GIVE, eni, place)
        node[READY] -= 1
    node[ASSIGNED] += 1
    if enis[FACT, eni, PODS_ON] == 0:
        node[IDLE_ENIS] -= eni != PRIMARY
    enis[FACT, eni, PODS_ON] += 1
    return int((eni * node[SLOTS] + cidr) * _PER_PREFIX + address)


def _take_of_prefix(node: I64, enis: I64, eni: int, cidr: int) -> int:
    """Any address that has cooled down, else the lowest never used."""
    cooled = enis[COOLED_OF, eni, cidr]
    if cooled > 0:
        chosen = draw_below(node, cooled) if cooled > 1 else 0
        freed = enis[FREED_LIST, eni, cidr]
        address = (freed >> (4 * chosen)) & 15
        for number in range(cooled):
            enis[FREED_MASK, eni, cidr] &= ~(1 << ((freed >> (4 * number)) & 15))
        kept = (1 << (4 * enis[COOLING_OF, eni, cidr])) - 1  # what still cools stays in the list
        enis[FREED_LIST, eni, cidr] = (freed >> (4 * cooled & 63)) & kept
        enis[COOLED_OF, eni, cidr] = 0
    else:
        taken = enis[USED_MASK, eni, cidr] | enis[FREED_MASK, eni, cidr]
        address = lowest_bit(np.uint64(~taken & _ALL))
    enis[USED_MASK, eni, cidr] |= 1 << address
    return int(address)


def release(node: I64, clock: F64, enis: I64, pods: I64, pod: int) -> None:
    """Take a pod's address back, to cool down."""
    address, number = pod % _PER_PREFIX, pod // _PER_PREFIX
    eni, cidr = number // node[SLOTS], number % node[SLOTS]
    if node[PREFIXES]:
        place = enis[COOLED_OF, eni, cidr] + enis[COOLING_OF, eni, cidr]
        enis[FREED_LIST, eni, cidr] |= address << (4 * place)
        enis[USED_MASK, eni, cidr] &= ~(1 << address)
        enis[FREED_MASK, eni, cidr] |= 1 << address
    enis[USED_OF, eni, cidr] -= 1
    if enis[USED_OF, eni, cidr] == 0:
        set_bit(enis, NO_POD, eni, enis[PLACE_OF, eni, cidr])
        node[UNUSED] += 1
    node[ASSIGNED] -= 1
    enis[FACT, eni, PODS_ON] -= 1
    if enis[FACT, eni, PODS_ON] == 0:
        node[IDLE_ENIS] += eni != PRIMARY
    enis[COOLING_OF, eni, cidr] += 1
    enis[FACT, eni, COOLING_ON] += 1
    node[COOLING] += 1
    end = node[COOLING_END]
    clock[FREED_AT + end] = clock[NOW]
    pods[FREED_CIDR, end] = number
    pods[FREED_SERIAL, end] = enis[SERIAL_OF, eni, cidr]
    node[COOLING_END] = end + 1


def end_cooling(node: I64, clock: F64, enis: I64, pods: I64) -> None:
    """Let every address that has cooled down by now be given again."""
    oldest = clock[NOW] - clock[COOLDOWN_S] - CLOCK_NOISE_S
    while node[COOLING_FIRST] < node[COOLING_END]:
        first = node[COOLING_FIRST]
        if clock[FREED_AT + first] >= oldest:
            break
        node[COOLING_FIRST] = first + 1
        eni = pods[FREED_CIDR, first] // node[SLOTS]
        cidr = pods[FREED_CIDR, first] % node[SLOTS]
        if enis[SERIAL_OF, eni, cidr] == pods[FREED_SERIAL, first]:
            _end_one(node, enis, eni, cidr)


def _end_one(node: I64, enis: I64, eni: int, cidr: int) -> None:
    enis[COOLING_OF, eni, cidr] -= 1
    enis[FACT, eni, COOLING_ON] -= 1
    node[COOLING] -= 1
    if node[PREFIXES]:
        enis[COOLED_OF, eni, cidr] += 1
    place = enis[PLACE_OF, eni, cidr]
    if not has_bit(enis, CAN_GIVE, eni, place):
        set_bit(enis, CAN_GIVE, eni, place)
        node[READY] += 1


def next_cooled(node: I64, clock: F64) -> float:
    """When the address that has cooled longest can be given; infinite where none cools."""
    if node[COOLING_FIRST] == node[COOLING_END]:
        return np.inf
    return float(clock[FREED_AT + node[COOLING_FIRST]] + clock[COOLDOWN_S])
