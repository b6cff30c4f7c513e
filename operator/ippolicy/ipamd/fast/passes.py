"""One pool manager in virtual time: `ippolicy.ipamd.node` for compiled code.

A pass is a chain of requests. `answer` carries one out and says which comes next, IDLE for none;
while a request takes time the node's clock goes on, and pods come and go.
"""

from __future__ import annotations

from typing import Final

from ippolicy.ipamd.fast.maps import clear_map, first_bit, insert, walk_start
from ippolicy.ipamd.fast.pool import CLOCK_NOISE_S, add_cidrs, add_eni, remove_cidr, remove_eni
from ippolicy.ipamd.fast.rules import may_free, new_eni_brings, surplus, too_low, wanted
from ippolicy.ipamd.fast.state import (
    ASSIGN,
    ASSIGNED,
    BOOTING,
    CALLS,
    CAPACITY,
    COOLING_ON,
    DELETE,
    DESCRIBE,
    ENI_MAP,
    ENIS,
    ENTRIES,
    ENTRY_AT,
    F64,
    FACT,
    I64,
    IDLE,
    IDLE_ENIS,
    LAST_ROW,
    LAST_SHRINK,
    MAKE_SUBNETS,
    MAX_ENI,
    MINIMUM_IP,
    MODIFY,
    NO_POD,
    NOT_ATTACHED,
    NOW,
    ORDER,
    ORDER_NEXT,
    OVER,
    PODS_ON,
    POOL_AVAILABLE,
    PREFIXES,
    PRIMARY,
    SEEN_AT,
    SET_UP_SUBNETS,
    SHRANK,
    SIZE,
    SLOTS,
    TARGET_COUNT,
    TARGET_ENI,
    TOTAL,
    UNASSIGN,
    UNUSED,
    WARM_IP,
    WARM_PREFIX,
)

SHRINK_INTERVAL_S: Final = 30.0
MINIMUM_ENI_LIFE_S: Final = 60.0


def begin(node: I64, clock: F64, enis: I64) -> int:
    """The first request of a pass."""
    node[POOL_AVAILABLE] = node[TOTAL] - node[ASSIGNED]
    if too_low(node):
        request = grow(node, enis)
        return request if request != IDLE else _free(node, clock, enis)
    over = surplus(node)
    if over > 0 and clock[NOW] > may_shrink_after(clock):
        node[SHRANK] = 1
        node[OVER] = over
        _copy_walk(node, enis)
        return _shrink_on(node, clock, enis)
    return _free(node, clock, enis)


def answer(node: I64, clock: F64, enis: I64, request: int) -> int:
    """Carry out a request; the next one."""
    node[CALLS + request] += 1
    if request == MODIFY:
        node[TARGET_ENI] = add_eni(node, clock, enis)
        return SET_UP_SUBNETS
    if request in (ASSIGN, SET_UP_SUBNETS):
        add_cidrs(node, enis, node[TARGET_ENI], node[TARGET_COUNT])
        return _free(node, clock, enis)
    if request == UNASSIGN:
        return _shrink_on(node, clock, enis) if node[OVER] > 0 else _free(node, clock, enis)
    if request == DELETE:
        return IDLE
    return request + 1  # the chains that make an ENI and free one are numbered in order


def may_shrink_after(clock: F64) -> float:
    """The moment that must have passed before the next shrinking."""
    return float(clock[LAST_SHRINK] + SHRINK_INTERVAL_S + CLOCK_NOISE_S)


def is_idle(clock: F64, enis: I64, eni: int) -> bool:
    """Whether this row is an attached ENI without pods."""
    return bool(clock[SEEN_AT + eni] != NOT_ATTACHED and enis[FACT, eni, PODS_ON] == 0)


def grow(node: I64, enis: I64) -> int:
    """Add to the first ENI with room, or make one."""
    want = wanted(node)
    if want > 0:
        start, mask = walk_start(node, enis, ENI_MAP), enis[FACT, ENI_MAP, CAPACITY] - 1
        for step in range(mask + 1):
            eni = enis[ENTRY_AT, ENI_MAP, (start + step) & mask]
            if eni >= 0 and enis[FACT, eni, ENTRIES] < node[SLOTS]:
                node[TARGET_ENI] = eni
                node[TARGET_COUNT] = min(node[SLOTS] - enis[FACT, eni, ENTRIES], want)
                return ASSIGN
    brings = new_eni_brings(node)
    if node[ENIS] < node[MAX_ENI] and brings > 0:
        node[TARGET_COUNT] = brings
        return MAKE_SUBNETS
    return IDLE


# -- shrinking ----------------------------------------------------------------------------------


def _copy_walk(node: I64, enis: I64) -> None:
    """Note the order in which shrinking visits ENIs: the walk of a copy, filled by a first walk."""
    copy = node[LAST_ROW]
    clear_map(enis, copy, node[ENIS])
    start, mask = walk_start(node, enis, ENI_MAP), enis[FACT, ENI_MAP, CAPACITY] - 1
    for step in range(mask + 1):
        eni = enis[ENTRY_AT, ENI_MAP, (start + step) & mask]
        if eni >= 0:
            insert(node, enis, copy, eni)
    start, mask = walk_start(node, enis, copy), enis[FACT, copy, CAPACITY] - 1
    count = 0
    for step in range(mask + 1):
        eni = enis[ENTRY_AT, copy, (start + step) & mask]
        if eni >= 0:
            enis[FACT, count, ORDER] = eni
            count += 1
    node[ORDER_NEXT] = 0


def _shrink_on(node: I64, clock: F64, enis: I64) -> int:
    """Give back from the next ENI in order that has CIDRs without a pod."""
    while node[ORDER_NEXT] < node[ENIS]:
        eni = enis[FACT, node[ORDER_NEXT], ORDER]
        node[ORDER_NEXT] += 1
        gone = _give_back(node, enis, eni)
        if gone > 0:
            node[OVER] -= gone
            return UNASSIGN
    return _free(node, clock, enis)


def _give_back(node: I64, enis: I64, eni: int) -> int:
    """Forget CIDRs of an ENI without a pod, in map order, as many as are over; how many."""
    if first_bit(enis, NO_POD, eni, 0) < 0:
        return 0
    gone, start = 0, walk_start(node, enis, eni)
    place = first_bit(enis, NO_POD, eni, start)
    while place >= 0 and gone < node[OVER]:
        remove_cidr(node, enis, eni, enis[ENTRY_AT, eni, place])
        gone += 1
        place = first_bit(enis, NO_POD, eni, start)
    return gone


# -- freeing an ENI -----------------------------------------------------------------------------


def _free(node: I64, clock: F64, enis: I64) -> int:
    """Free the first ENI that may go, if the pool allows it."""
    if node[BOOTING] or not may_free(node, node[POOL_AVAILABLE], node[IDLE_ENIS] > 0):
        return IDLE
    start, mask = walk_start(node, enis, ENI_MAP), enis[FACT, ENI_MAP, CAPACITY] - 1
    if node[IDLE_ENIS] == 0:
        return IDLE
    for step in range(mask + 1):
        eni = enis[ENTRY_AT, ENI_MAP, (start + step) & mask]
        if eni > PRIMARY and _deletable(node, clock, enis, eni):
            remove_eni(node, clock, enis, eni)
            return DESCRIBE
    return IDLE


def _deletable(node: I64, clock: F64, enis: I64, eni: int) -> bool:
    """Whether an ENI is idle, old and cool enough, and the others meet the targets without it."""
    if enis[FACT, eni, PODS_ON] or enis[FACT, eni, COOLING_ON]:
        return False
    if clock[NOW] - clock[SEEN_AT + eni] < MINIMUM_ENI_LIFE_S - CLOCK_NOISE_S:
        return False
    cidrs, size = enis[FACT, eni, ENTRIES], node[SIZE]
    total = node[TOTAL] - cidrs * size
    if node[WARM_IP] and total - node[ASSIGNED] < -(-node[WARM_IP] // size) * size:
        return False
    if node[MINIMUM_IP] and total < -(-node[MINIMUM_IP] // size) * size:
        return False
    return bool(not node[PREFIXES] or node[UNUSED] - cidrs >= node[WARM_PREFIX])
