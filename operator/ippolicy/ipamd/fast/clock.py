"""A node's clock: passes, scans and the time integrals; `ippolicy.ipamd.virtual` for compiled code.

Passes that could change nothing are left out as they are there, so that both take the same draws.
"""

from __future__ import annotations

from math import ceil
from typing import Final

import numpy as np

from ippolicy.ipamd.fast.draws import draw_below
from ippolicy.ipamd.fast.maps import clear_map, insert
from ippolicy.ipamd.fast.passes import (
    MINIMUM_ENI_LIFE_S,
    answer,
    begin,
    grow,
    is_idle,
    may_shrink_after,
)
from ippolicy.ipamd.fast.pool import CLOCK_NOISE_S, add_eni, end_cooling
from ippolicy.ipamd.fast.rules import too_low
from ippolicy.ipamd.fast.state import (
    ACTED,
    ASSIGN,
    ASSIGN_S,
    ASSIGNED,
    ASSIGNED_S,
    ATTACH,
    ATTACH_S,
    BOOTING,
    CALLS,
    COOLDOWN_S,
    COOLING_END,
    COOLING_FIRST,
    CREATE,
    CREATE_S,
    ENI_MAP,
    ENIS,
    ENIS_S,
    F64,
    FREED_AT,
    FREED_CIDR,
    FREED_SERIAL,
    HELD_S,
    I64,
    IDLE,
    IDLE_ENIS,
    LAST_ROW,
    LAST_SHRINK,
    LEAK_SCAN,
    LEAK_SCAN_AT,
    MAX_ASSIGNED,
    MAX_HELD,
    MEASURED,
    NOT_ATTACHED,
    NOW,
    OTHER_S,
    PASS_BASE,
    PRIMARY,
    REQUEST,
    SEEN_AT,
    SERIAL_OF,
    SETTLE,
    SHRANK,
    SLOTS,
    START,
    TOTAL,
    WAKE,
)

PASS_INTERVAL_S: Final = 5.0
DETACH_SETTLE_S: Final = 2.0
LEAK_SCAN_INTERVAL_S: Final = 3600
LEAK_SCAN_SPREAD_S: Final = 300


def boot(node: I64, clock: F64, enis: I64) -> None:
    """Start ipamd on a bare node, now; the start itself takes no time."""
    clear_map(enis, ENI_MAP, 0)
    for row in range(node[LAST_ROW] + 1):
        clock[SEEN_AT + row] = NOT_ATTACHED
    primary = add_eni(node, clock, enis)
    for _ in range(2):  # ipamd cleans up twice, each time in the order of a copied map
        clear_map(enis, node[LAST_ROW], 1)
        insert(node, enis, node[LAST_ROW], primary)
    node[CALLS + START] += 1
    node[BOOTING] = 1
    if too_low(node):
        _at_once(node, clock, enis, grow(node, enis))
    node[BOOTING] = 0
    clock[PASS_BASE] = clock[NOW] - PASS_INTERVAL_S / 2
    clock[WAKE] = clock[NOW] + PASS_INTERVAL_S / 2
    note(node)


def pass_at_once(node: I64, clock: F64, enis: I64) -> bool:
    """One pass in no time; whether it made a call."""
    node[ACTED] = 0
    _at_once(node, clock, enis, begin(node, clock, enis))
    _close(node, clock)
    return bool(node[ACTED] != 0)


def advance(node: I64, clock: F64, enis: I64, pods: I64, to: float) -> None:
    """Let time go on to `to`, and everything that is due by then happen."""
    while min(clock[WAKE], clock[LEAK_SCAN_AT]) <= to:
        if clock[LEAK_SCAN_AT] <= clock[WAKE]:
            node[CALLS + LEAK_SCAN] += 1
            delay = draw_below(node, LEAK_SCAN_SPREAD_S)
            clock[LEAK_SCAN_AT] += LEAK_SCAN_INTERVAL_S + delay
        else:
            clock[NOW] = clock[WAKE]
            measure(node, clock)
            end_cooling(node, clock, enis, pods)
            _go_on(node, clock, enis, pods)
            note(node)
    clock[NOW] = to
    end_cooling(node, clock, enis, pods)


def touch(node: I64, clock: F64) -> None:
    """Something changed: the next pass may act."""
    if node[REQUEST] == IDLE:
        passes = ceil((clock[NOW] - clock[PASS_BASE] - CLOCK_NOISE_S) / PASS_INTERVAL_S)
        clock[WAKE] = min(clock[WAKE], clock[PASS_BASE] + max(passes, 1) * PASS_INTERVAL_S)
    note(node)


def measure(node: I64, clock: F64) -> None:
    """Add the time since the last look to the integrals."""
    elapsed = clock[NOW] - clock[MEASURED]
    clock[HELD_S] += node[TOTAL] * elapsed
    clock[ASSIGNED_S] += node[ASSIGNED] * elapsed
    clock[ENIS_S] += node[ENIS] * elapsed
    clock[MEASURED] = clock[NOW]


def note(node: I64) -> None:
    """Look at the peaks."""
    node[MAX_HELD] = max(node[MAX_HELD], node[TOTAL])
    node[MAX_ASSIGNED] = max(node[MAX_ASSIGNED], node[ASSIGNED])


def _go_on(node: I64, clock: F64, enis: I64, pods: I64) -> None:
    """Start a pass, or answer the request that the pass under way waits for."""
    if node[REQUEST] == IDLE:
        node[ACTED] = 0
        request = begin(node, clock, enis)
    else:
        request = answer(node, clock, enis, node[REQUEST])
    while request != IDLE:
        node[ACTED] = 1
        wait = _duration_s(clock, request)
        if wait > 0:
            node[REQUEST] = request
            clock[WAKE] = clock[NOW] + wait
            return
        request = answer(node, clock, enis, request)
    _close(node, clock)
    clock[PASS_BASE] = clock[NOW]
    clock[WAKE] = clock[NOW] + PASS_INTERVAL_S
    if not node[ACTED]:
        until = _idle_until(node, clock, enis, pods)
        if until > clock[WAKE]:
            passes = (until - clock[NOW] - CLOCK_NOISE_S) / PASS_INTERVAL_S
            clock[WAKE] = (
                np.inf if passes == np.inf else clock[NOW] + ceil(passes) * PASS_INTERVAL_S
            )


def _at_once(node: I64, clock: F64, enis: I64, request: int) -> None:
    while request != IDLE:
        node[ACTED] = 1
        request = answer(node, clock, enis, request)


def _close(node: I64, clock: F64) -> None:
    node[REQUEST] = IDLE
    if node[SHRANK]:
        node[SHRANK] = 0
        clock[LAST_SHRINK] = clock[NOW]


def _duration_s(clock: F64, request: int) -> float:
    if request == ASSIGN:
        return float(clock[ASSIGN_S])
    if request == CREATE:
        return float(clock[CREATE_S])
    if request == ATTACH:
        return float(clock[ATTACH_S])
    return DETACH_SETTLE_S if request == SETTLE else float(clock[OTHER_S])


def _idle_until(node: I64, clock: F64, enis: I64, pods: I64) -> float:
    """The first moment when a pass could act, if no pod moves."""
    now, until = clock[NOW] - CLOCK_NOISE_S, np.inf
    if may_shrink_after(clock) >= now:
        until = may_shrink_after(clock)
    if node[IDLE_ENIS] == 0:
        return until
    for eni in range(PRIMARY + 1, node[LAST_ROW]):
        if is_idle(clock, enis, eni):
            moment = clock[SEEN_AT + eni] + MINIMUM_ENI_LIFE_S
            if moment >= now:
                until = min(until, moment)
    return min(until, _next_cooled_on_idle(node, clock, enis, pods))


def _next_cooled_on_idle(node: I64, clock: F64, enis: I64, pods: I64) -> float:
    for item in range(node[COOLING_FIRST], node[COOLING_END]):
        eni = pods[FREED_CIDR, item] // node[SLOTS]
        cidr = pods[FREED_CIDR, item] % node[SLOTS]
        known = enis[SERIAL_OF, eni, cidr] == pods[FREED_SERIAL, item]
        if known and eni != PRIMARY and is_idle(clock, enis, eni):
            return float(clock[FREED_AT + item] + clock[COOLDOWN_S])
    return np.inf
