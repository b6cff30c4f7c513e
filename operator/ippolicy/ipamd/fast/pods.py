"""The pods of a trace on one node: `ippolicy.ipamd.replay` for compiled code.

Pods move on whole seconds: first those go whose life ends, then those that wait try again in order,
then the trace's own events follow in their order.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from ippolicy.ipamd.fast.clock import advance, measure, note, pass_at_once, touch
from ippolicy.ipamd.fast.draws import draw_below
from ippolicy.ipamd.fast.pool import assign, next_cooled, release, skip_vain
from ippolicy.ipamd.fast.state import (
    ASSIGNED_S,
    CALLS,
    COOLING,
    DELAYED,
    DELAYED_COOLING,
    END_KEY,
    END_POD,
    ENDS,
    ENIS_S,
    F64,
    HELD_S,
    I32,
    I64,
    LAST_EVENT,
    LEAK_SCAN_AT,
    MAX_ASSIGNED,
    MAX_HELD,
    NEXT_EVENT,
    NEXT_TRY,
    PODS,
    READY,
    RETRY_S,
    RUNNING,
    RUNNING_POD,
    WAIT_S,
    WAITING,
    WAITS_EVENT,
    WAITS_SINCE,
    WAKE,
)

EVENT_OFFSET_S: Final = 0.05
"""Pods move this much after the whole second, so that no pass falls on the same moment."""
# Rows of `events`; RANK orders pods whose lives end in the same second.
SECOND_OF: Final = 0
LIFE_OF: Final = 1
RANK_OF: Final = 2
EVENT_ROWS: Final = 3
DEPARTURE: Final = -2
"""In place of a life: a pod goes."""
NO_LIFE: Final = -1
"""In place of a life: a pod comes that will go at the trace's word."""
LEVEL_POD: Final = -1
"""In place of an event's number: a pod that was there before the trace began."""
_RANK_BITS: Final = 32


def settle(node: I64, clock: F64, enis: I64, pods: I64, level: int) -> None:
    """Give `level` pods their addresses, and the pool its passes, in no time and off the books."""
    placed, acted = 0, True
    while acted:
        while placed < level and _start(node, clock, enis, pods, NO_LIFE):
            placed += 1
        acted = pass_at_once(node, clock, enis)
    for _ in range(level - placed):
        _wait(node, pods, 0, LEVEL_POD)
    forget_past(node, clock)


def forget_past(node: I64, clock: F64) -> None:
    """Count and measure from now on."""
    measure(node, clock)
    node[CALLS:] = 0
    node[PODS] = node[DELAYED] = node[DELAYED_COOLING] = node[WAIT_S] = 0
    node[MAX_HELD] = node[MAX_ASSIGNED] = 0
    clock[HELD_S] = clock[ASSIGNED_S] = clock[ENIS_S] = 0.0
    note(node)


def play(
    node: I64,
    clock: F64,
    enis: I64,
    pods: I64,
    events: I32,
    score_from_s: float,
    span_s: float,
) -> None:
    """Play every second in which something happens, up to `span_s`, and score from the given one.

    What happens are the items of `events` (second; life, or what stands in its place; rank) from
    NEXT_EVENT to LAST_EVENT.
    """
    second, scoring = 0, score_from_s <= 0
    while True:
        moved = _next_move_s(node, pods, events, span_s)
        if node[WAITING] and node[READY] == 0:
            _skip_vain_tries(node, clock, enis, pods, moved)
        second = max(second, _next_second(node, pods, moved))
        if not scoring and second + EVENT_OFFSET_S >= score_from_s:
            advance(node, clock, enis, pods, score_from_s)
            forget_past(node, clock)
            scoring = True
        if second + EVENT_OFFSET_S >= span_s:
            break
        advance(node, clock, enis, pods, second + EVENT_OFFSET_S)
        measure(node, clock)
        _end_lives(node, clock, enis, pods, second)
        if node[WAITING]:
            _serve_waiting(node, clock, enis, pods, events, second)
        _follow_trace(node, clock, enis, pods, events, second)
        second += 1
    advance(node, clock, enis, pods, span_s)
    measure(node, clock)


def _next_move_s(node: I64, pods: I64, events: I32, span_s: float) -> float:
    """When a pod comes or goes next, waiting ones left aside; `span_s` at the latest."""
    moment = span_s
    if node[NEXT_EVENT] < node[LAST_EVENT]:
        moment = min(moment, float(events[SECOND_OF, node[NEXT_EVENT]]))
    if node[ENDS]:
        moment = min(moment, float(pods[END_KEY, 0] >> _RANK_BITS))
    return moment


def _next_second(node: I64, pods: I64, moved: float) -> int:
    for place in range(node[WAITING]):
        moved = min(moved, float(pods[NEXT_TRY, place]))
    return ceil(moved)


def _follow_trace(node: I64, clock: F64, enis: I64, pods: I64, events: I32, second: int) -> None:
    while node[NEXT_EVENT] < node[LAST_EVENT] and events[SECOND_OF, node[NEXT_EVENT]] <= second:
        event = node[NEXT_EVENT]
        node[NEXT_EVENT] = event + 1
        if events[LIFE_OF, event] == DEPARTURE:
            _leave(node, clock, enis, pods, second)
            continue
        node[PODS] += 1
        if not _start(node, clock, enis, pods, _end_key(events, event, second)):
            node[DELAYED] += 1
            node[DELAYED_COOLING] += node[COOLING] > 0
            _wait(node, pods, second, event)


def _end_key(events: I32, event: int, second: int) -> int:
    """What orders the ends of lives; NO_LIFE for a pod that has none of its own."""
    if event == LEVEL_POD or events[LIFE_OF, event] == NO_LIFE:
        return NO_LIFE
    return ((second + int(events[LIFE_OF, event])) << _RANK_BITS) | int(events[RANK_OF, event])


def _start(node: I64, clock: F64, enis: I64, pods: I64, end_key: int) -> bool:
    """CNI ADD now; whether the pod got an address."""
    pod = assign(node, clock, enis)
    if pod < 0:
        return False
    if end_key == NO_LIFE:
        pods[RUNNING_POD, node[RUNNING]] = pod
        node[RUNNING] += 1
    else:
        _push_end(node, pods, end_key, pod)
    touch(node, clock)
    return True


def _leave(node: I64, clock: F64, enis: I64, pods: I64, second: int) -> None:
    """One pod of all that are there goes, whichever."""
    present = node[RUNNING] + node[WAITING]
    if present == 0:
        return
    chosen = draw_below(node, present)
    if chosen < node[WAITING]:
        _give_up(node, pods, chosen, second)
        return
    place = chosen - node[WAITING]
    pod = pods[RUNNING_POD, place]
    node[RUNNING] -= 1
    pods[RUNNING_POD, place] = pods[RUNNING_POD, node[RUNNING]]
    release(node, clock, enis, pods, pod)
    touch(node, clock)


# -- pods that wait -----------------------------------------------------------------------------


def _wait(node: I64, pods: I64, second: int, event: int) -> None:
    place = node[WAITING]
    pods[WAITS_SINCE, place] = second
    pods[WAITS_EVENT, place] = event
    pods[NEXT_TRY, place] = second + node[RETRY_S]
    node[WAITING] = place + 1


def _serve_waiting(node: I64, clock: F64, enis: I64, pods: I64, events: I32, second: int) -> None:
    kept = 0
    for place in range(node[WAITING]):
        event = pods[WAITS_EVENT, place]
        due = pods[NEXT_TRY, place] <= second
        if due and _start(node, clock, enis, pods, _end_key(events, event, second)):
            if event != LEVEL_POD:
                node[WAIT_S] += second - pods[WAITS_SINCE, place]
            continue
        pods[WAITS_SINCE, kept] = pods[WAITS_SINCE, place]
        pods[WAITS_EVENT, kept] = event
        pods[NEXT_TRY, kept] = second + node[RETRY_S] if due else pods[NEXT_TRY, place]
        kept += 1
    node[WAITING] = kept


def _give_up(node: I64, pods: I64, place: int, second: int) -> None:
    if pods[WAITS_EVENT, place] != LEVEL_POD:
        node[WAIT_S] += second - pods[WAITS_SINCE, place]
    node[WAITING] -= 1
    for later in range(place, node[WAITING]):
        pods[WAITS_SINCE, later] = pods[WAITS_SINCE, later + 1]
        pods[WAITS_EVENT, later] = pods[WAITS_EVENT, later + 1]
        pods[NEXT_TRY, later] = pods[NEXT_TRY, later + 1]


def _skip_vain_tries(node: I64, clock: F64, enis: I64, pods: I64, moved: float) -> None:
    """Count as made the tries that come before anything can change: all are in vain."""
    until = min(moved, clock[WAKE], clock[LEAK_SCAN_AT], next_cooled(node, clock))
    tries = 0
    for place in range(node[WAITING]):
        while pods[NEXT_TRY, place] + EVENT_OFFSET_S < until:
            pods[NEXT_TRY, place] += node[RETRY_S]
            tries += 1
    if tries:
        skip_vain(node, clock, enis, tries)


# -- lives: a heap of when each ends ------------------------------------------------------------


def _end_lives(node: I64, clock: F64, enis: I64, pods: I64, second: int) -> None:
    while node[ENDS] and pods[END_KEY, 0] >> _RANK_BITS <= second:
        release(node, clock, enis, pods, _pop_end(node, pods))
        touch(node, clock)


def _push_end(node: I64, pods: I64, key: int, pod: int) -> None:
    place = node[ENDS]
    node[ENDS] = place + 1
    while place and pods[END_KEY, (place - 1) >> 1] > key:
        parent = (place - 1) >> 1
        pods[END_KEY, place] = pods[END_KEY, parent]
        pods[END_POD, place] = pods[END_POD, parent]
        place = parent
    pods[END_KEY, place] = key
    pods[END_POD, place] = pod


def _pop_end(node: I64, pods: I64) -> int:
    first = pods[END_POD, 0]
    last = node[ENDS] - 1
    node[ENDS] = last
    key, place = pods[END_KEY, last], 0
    while 2 * place + 1 < last:
        child = 2 * place + 1
        if child + 1 < last and pods[END_KEY, child + 1] < pods[END_KEY, child]:
            child += 1
        if pods[END_KEY, child] >= key:
            break
        pods[END_KEY, place] = pods[END_KEY, child]
        pods[END_POD, place] = pods[END_POD, child]
        place = child
    pods[END_KEY, place] = key
    pods[END_POD, place] = pods[END_POD, last]
    return int(first)
