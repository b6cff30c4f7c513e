"""One pool manager in virtual time: `ippolicy.ipamd.node` and `virtual` for compiled code.

A pass is a chain of requests. `_answer` carries one out and says which comes next, IDLE for none;
while a request takes time the node's clock goes on and pods come and go.
"""

from __future__ import annotations

from math import ceil
from typing import Final

import numpy as np

from ippolicy.ipamd.fast.draws import draw_below
from ippolicy.ipamd.fast.maps import clear_map, clear_map_for, delete, has_bit, insert, walk_start
from ippolicy.ipamd.fast.pool import (
    CLOCK_NOISE_S,
    add_cidrs,
    add_eni,
    end_cooling,
    remove_cidr,
    remove_eni,
)
from ippolicy.ipamd.fast.rules import may_free, new_eni_brings, surplus, too_low, wanted
from ippolicy.ipamd.fast.state import (
    ACTED,
    ASSIGN,
    ASSIGN_S,
    ASSIGNED,
    ASSIGNED_S,
    ATTACH,
    ATTACH_S,
    BOOTING,
    COOLDOWN_S,
    CREATE,
    CREATE_S,
    DELETE,
    DESCRIBE,
    DETACH,
    ENI_MAP,
    ENIS,
    ENIS_S,
    GROUP_SLOTS,
    HELD_S,
    IDLE,
    INSTANCES,
    LAST_SHRINK,
    LEAK_SCAN,
    LEAK_SCAN_AT,
    MAKE_SUBNETS,
    MAX_ASSIGNED,
    MAX_ENI,
    MAX_HELD,
    MEASURED,
    MINIMUM_IP,
    MODIFY,
    NOW,
    ORDER_NEXT,
    OTHER_S,
    OVER,
    PASS_BASE,
    PHASE,
    POOL_AVAILABLE,
    PREFIXES,
    QUEUE_HEAD,
    QUEUE_TAIL,
    SET_UP_SUBNETS,
    SETTLE,
    SHRANK,
    SIZE,
    SLOTS,
    START,
    TARGET_COUNT,
    TARGET_ENI,
    TOTAL,
    UNASSIGN,
    UNUSED,
    WAKE,
    WARM_IP,
    WARM_PREFIX,
    State,
)

PASS_INTERVAL_S: Final = 5.0
SHRINK_INTERVAL_S: Final = 30.0
MINIMUM_ENI_LIFE_S: Final = 60.0
DETACH_SETTLE_S: Final = 2.0
LEAK_SCAN_INTERVAL_S: Final = 3600
LEAK_SCAN_SPREAD_S: Final = 300
_SAME_MOMENT_S: Final = 1e-6


# -- time ---------------------------------------------------------------------------------------


def boot(node: I64, enis: I64, pods: I64) -> None:
    """Start ipamd on a bare node, now; the start itself takes no time."""
    clear_map(node, enis, pods, ENI_MAP, GROUP_SLOTS)
    state.seen_at[:] = -1.0
    primary = add_eni(node, enis, pods)
    copies = state.capacity.shape[0] - 1
    for _ in range(2):  # two walks over a copied map, to clean up what is not there
        clear_map(node, enis, pods, copies, GROUP_SLOTS)
        insert(node, enis, pods, copies, primary)
    node[CALLS + START] += 1
    node[BOOTING] = 1
    if too_low(node, enis, pods):
        _at_once(node, enis, pods, _grow(node, enis, pods))
    node[BOOTING] = 0
    node[PASS_BASE] = node[NOW] - PASS_INTERVAL_S / 2
    node[WAKE] = node[NOW] + PASS_INTERVAL_S / 2
    note(node, enis, pods)


def pass_at_once(node: I64, enis: I64, pods: I64) -> bool:
    """One pass in no time; whether it made a call."""
    node[ACTED] = 0
    _at_once(node, enis, pods, _begin(node, enis, pods))
    _close(node, enis, pods)
    return bool(node[ACTED])


def advance(node: I64, enis: I64, pods: I64, to: float) -> None:
    """Let time go on to `to`, and everything that is due by then happen."""
    while True:
        due = min(node[WAKE], node[LEAK_SCAN_AT])
        if due > to:
            break
        node[NOW] = due
        if due == node[LEAK_SCAN_AT]:
            node[CALLS + LEAK_SCAN] += 1
            delay = draw_below(node, LEAK_SCAN_SPREAD_S)
            node[LEAK_SCAN_AT] = due + LEAK_SCAN_INTERVAL_S + delay
        else:
            measure(node, enis, pods)
            end_cooling(node, enis, pods)
            _go_on(node, enis, pods)
            note(node, enis, pods)
    node[NOW] = to
    end_cooling(node, enis, pods)


def touch(node: I64, enis: I64, pods: I64) -> None:
    """Something changed: the next pass may act."""
    if node[PHASE] == IDLE:
        passes = ceil((node[NOW] - node[PASS_BASE] - _SAME_MOMENT_S) / PASS_INTERVAL_S)
        node[WAKE] = min(node[WAKE], node[PASS_BASE] + max(passes, 1) * PASS_INTERVAL_S)
    note(node, enis, pods)


def measure(node: I64, enis: I64, pods: I64) -> None:
    """Add the time since the last look to the integrals."""
    elapsed = node[NOW] - node[MEASURED]
    if elapsed > 0:
        node[HELD_S] += node[TOTAL] * elapsed
        node[ASSIGNED_S] += node[ASSIGNED] * elapsed
        node[ENIS_S] += node[ENIS] * elapsed
        node[MEASURED] = node[NOW]


def note(node: I64, enis: I64, pods: I64) -> None:
    """Look at the peaks."""
    node[MAX_HELD] = max(node[MAX_HELD], node[TOTAL])
    node[MAX_ASSIGNED] = max(node[MAX_ASSIGNED], node[ASSIGNED])


def _go_on(node: I64, enis: I64, pods: I64) -> None:
    """Start a pass, or answer the request that the pass under way waits for."""
    if node[PHASE] == IDLE:
        node[ACTED] = 0
        phase = _begin(node, enis, pods)
    else:
        phase = _answer(node, enis, pods, node[PHASE])
    while phase != IDLE:
        node[ACTED] = 1
        wait_s = _duration_s(node, enis, pods, phase)
        if wait_s > 0:
            node[PHASE] = phase
            node[WAKE] = node[NOW] + wait_s
            return
        phase = _answer(node, enis, pods, phase)
    _close(node, enis, pods)
    _plan_next(node, enis, pods)


def _at_once(node: I64, enis: I64, pods: I64, phase: int) -> None:
    while phase != IDLE:
        node[ACTED] = 1
        phase = _answer(node, enis, pods, phase)


def _close(node: I64, enis: I64, pods: I64) -> None:
    node[PHASE] = IDLE
    if node[SHRANK]:
        node[SHRANK] = 0
        node[LAST_SHRINK] = node[NOW]


def _plan_next(node: I64, enis: I64, pods: I64) -> None:
    node[PASS_BASE] = node[NOW]
    node[WAKE] = node[NOW] + PASS_INTERVAL_S
    if not node[ACTED]:
        until = _idle_until(node, enis, pods)
        if until > node[WAKE]:
            passes = (until - node[NOW] - _SAME_MOMENT_S) / PASS_INTERVAL_S
            node[WAKE] = np.inf if passes == np.inf else node[NOW] + ceil(passes) * PASS_INTERVAL_S


def _idle_until(node: I64, enis: I64, pods: I64) -> float:
    """The first moment when a pass could act, if no pod moves."""
    now = node[NOW] - CLOCK_NOISE_S
    until = np.inf
    moment = _may_shrink_after(node, enis, pods)
    if moment >= now:
        until = moment
    idle = False
    for eni in range(1, state.seen_at.shape[0]):
        if enis[HEAD, eni + 1, SEEN_AT] >= 0.0 and enis[HEAD, eni + 1, PODS_ON] == 0:
            idle = True
            moment = enis[HEAD, eni + 1, SEEN_AT] + MINIMUM_ENI_LIFE_S
            if moment >= now:
                until = min(until, moment)
    return min(until, _next_cooled_on_idle(node, enis, pods, now)) if idle else until


def _next_cooled_on_idle(node: I64, enis: I64, pods: I64, now: float) -> float:
    for item in range(node[QUEUE_HEAD], node[QUEUE_TAIL]):
        eni = pods[QUEUE_CIDR, item] // node[SLOTS]
        cidr = pods[QUEUE_CIDR, item] % node[SLOTS]
        moment = pods[QUEUE_AT, item] + node[COOLDOWN_S]
        known = enis[CIDR_SERIAL, eni + 1, cidr] == pods[QUEUE_SERIAL, item]
        if known and eni > 0 and enis[HEAD, eni + 1, PODS_ON] == 0 and moment >= now:
            return float(moment)
    return np.inf


def _may_shrink_after(node: I64, enis: I64, pods: I64) -> float:
    return float(node[LAST_SHRINK] + SHRINK_INTERVAL_S + CLOCK_NOISE_S)


# -- requests -----------------------------------------------------------------------------------


def _duration_s(node: I64, enis: I64, pods: I64, phase: int) -> float:
    if phase == ASSIGN:
        return float(node[ASSIGN_S])
    if phase == CREATE:
        return float(node[CREATE_S])
    if phase == ATTACH:
        return float(node[ATTACH_S])
    return DETACH_SETTLE_S if phase == SETTLE else float(node[OTHER_S])


def _answer(node: I64, enis: I64, pods: I64, phase: int) -> int:
    """Carry out a request; the next one."""
    node[CALLS + phase] += 1
    if phase == MODIFY:
        node[TARGET_ENI] = add_eni(node, enis, pods)
        return SET_UP_SUBNETS
    if phase in (ASSIGN, SET_UP_SUBNETS):
        add_cidrs(node, enis, pods, node[TARGET_ENI], node[TARGET_COUNT])
        return _free(node, enis, pods)
    if phase == UNASSIGN:
        if node[OVER] <= 0:
            return _free(node, enis, pods)
        return _shrink_on(node, enis, pods)
    if phase == DELETE:
        return IDLE
    return phase + 1  # chains: making an ENI, and freeing one


def _begin(node: I64, enis: I64, pods: I64) -> int:
    """The first request of a pass."""
    node[POOL_AVAILABLE] = node[TOTAL] - node[ASSIGNED]
    if too_low(node, enis, pods):
        phase = _grow(node, enis, pods)
        return phase if phase != IDLE else _free(node, enis, pods)
    over = surplus(node, enis, pods)
    if over > 0 and node[NOW] > _may_shrink_after(node, enis, pods):
        node[SHRANK] = 1
        node[OVER] = over
        _copy_walk(node, enis, pods)
        return _shrink_on(node, enis, pods)
    return _free(node, enis, pods)


def _grow(node: I64, enis: I64, pods: I64) -> int:
    """Add to the first ENI with room, or make one."""
    n, slots = state.n, node[SLOTS]
    want = wanted(node, enis, pods)
    if want > 0:
        start, last = walk_start(node, enis, pods, ENI_MAP), enis[HEAD, ENI_MAP, CAPACITY] - 1
        for step in range(last + 1):
            eni = enis[ENTRY_AT, ENI_MAP, (start + step) & last]
            if eni >= 0 and enis[HEAD, eni + 1, ENTRIES] < slots:
                node[TARGET_ENI] = eni
                node[TARGET_COUNT] = min(slots - enis[HEAD, eni + 1, ENTRIES], want)
                return ASSIGN
    brings = new_eni_brings(node, enis, pods)
    if node[ENIS] < node[MAX_ENI] and brings > 0:
        node[TARGET_COUNT] = brings
        return MAKE_SUBNETS
    return IDLE


def _copy_walk(node: I64, enis: I64, pods: I64) -> None:
    """The order in which shrinking visits ENIs: the walk of a copy, filled by a first walk."""
    copies = state.capacity.shape[0] - 1
    clear_map_for(node, enis, pods, copies, node[ENIS])
    start, last = walk_start(node, enis, pods, ENI_MAP), enis[HEAD, ENI_MAP, CAPACITY] - 1
    for step in range(last + 1):
        eni = enis[ENTRY_AT, ENI_MAP, (start + step) & last]
        if eni >= 0:
            insert(node, enis, pods, copies, eni)
    start, last = walk_start(node, enis, pods, copies), enis[HEAD, copies, CAPACITY] - 1
    count = 0
    for step in range(last + 1):
        eni = enis[ENTRY_AT, copies, (start + step) & last]
        if eni >= 0:
            state.order[count] = eni
            count += 1
    node[ORDER_NEXT] = 0


def _shrink_on(node: I64, enis: I64, pods: I64) -> int:
    """Give back from the next ENI in order that has CIDRs without a pod."""
    while node[ORDER_NEXT] < node[ENIS]:
        eni = state.order[node[ORDER_NEXT]]
        node[ORDER_NEXT] += 1
        gone = _give_back(node, enis, pods, eni, node[OVER])
        if gone > 0:
            node[OVER] -= gone
            return UNASSIGN
    return _free(node, enis, pods)


def _give_back(node: I64, enis: I64, pods: I64, eni: int, over: int) -> int:
    """Forget up to `over` CIDRs of an ENI without a pod, in map order; how many."""
    row = eni + 1
    any_unused = False
    for word in range((enis[HEAD, row, CAPACITY] + 63) >> 6):
        if enis[UNUSED_BITS, row, word] != np.uint64(0):
            any_unused = True
    if not any_unused:
        return 0
    gone = 0
    start, last = walk_start(node, enis, pods, row), enis[HEAD, row, CAPACITY] - 1
    for step in range(last + 1):
        place = (start + step) & last
        if has_bit(enis, UNUSED_BITS, row, place):
            remove_cidr(node, enis, pods, eni, enis[ENTRY_AT, row, place])
            gone += 1
            if gone == over:
                break
    return gone


def _free(node: I64, enis: I64, pods: I64) -> int:
    """Free the first ENI that may go, if the pool allows it."""
    if node[BOOTING] or not may_free(node, enis, pods, node[POOL_AVAILABLE], _has_idle_eni(node, enis, pods)):
        return IDLE
    start, last = walk_start(node, enis, pods, ENI_MAP), enis[HEAD, ENI_MAP, CAPACITY] - 1
    for step in range(last + 1):
        eni = enis[ENTRY_AT, ENI_MAP, (start + step) & last]
        if eni > 0 and _deletable(node, enis, pods, eni):
            remove_eni(node, enis, pods, eni)
            return DESCRIBE
    return IDLE


def _has_idle_eni(node: I64, enis: I64, pods: I64) -> bool:
    for eni in range(1, state.seen_at.shape[0]):
        if enis[HEAD, eni + 1, SEEN_AT] >= 0.0 and enis[HEAD, eni + 1, PODS_ON] == 0:
            return True
    return False


def _deletable(node: I64, enis: I64, pods: I64, eni: int) -> bool:
    """Whether an ENI is idle, old and cool enough, and the others meet the targets without it."""
    if enis[HEAD, eni + 1, PODS_ON] or enis[HEAD, eni + 1, COOLING_ON]:
        return False
    if node[NOW] - enis[HEAD, eni + 1, SEEN_AT] < MINIMUM_ENI_LIFE_S - CLOCK_NOISE_S:
        return False
    p, size = state.p, node[SIZE]
    cidrs = enis[HEAD, eni + 1, ENTRIES]
    total = node[TOTAL] - cidrs * size
    if node[WARM_IP] and total - node[ASSIGNED] < -(-node[WARM_IP] // size) * size:
        return False
    if node[MINIMUM_IP] and total < -(-node[MINIMUM_IP] // size) * size:
        return False
    return not node[PREFIXES] or node[UNUSED] - cidrs >= node[WARM_PREFIX]
