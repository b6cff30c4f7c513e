"""The pods of a trace on one node: `ippolicy.ipamd.replay` for compiled code.

Pods move on whole seconds: first those go whose life ends, then those that wait try again in order,
then the trace's own events follow in their order.
"""

from __future__ import annotations

from typing import Final

from ippolicy.ipamd.fast.draws import draw_below
from ippolicy.ipamd.fast.passes import advance, measure, note, pass_at_once, touch
from ippolicy.ipamd.fast.pool import assign, next_cooled, release, skip_vain
from ippolicy.ipamd.fast.state import (
    ASSIGNED_S,
    COOLING,
    DELAYED,
    DELAYED_COOLING,
    ENDS,
    ENIS_S,
    HELD_S,
    I32,
    LEAK_SCAN_AT,
    MAX_ASSIGNED,
    MAX_HELD,
    NEXT_EVENT,
    PODS,
    READY,
    RETRY_S,
    RUNNING,
    WAIT_S,
    WAITING,
    WAKE,
    State,
)

EVENT_OFFSET_S: Final = 0.05
DEPARTURE: Final = -2
"""In place of a life: a pod goes."""
NO_LIFE: Final = -1
"""In place of a life: a pod comes that will go at the trace's word."""
LEVEL_POD: Final = -1
"""In place of an event's number: a pod that was there before the trace began."""
_RANK_BITS: Final = 32


def settle(node: I64, enis: I64, pods: I64, level: int) -> None:
    """Give `level` pods their addresses, and the pool its passes, in no time and off the books."""
    placed = 0
    acted = True
    while acted:
        while placed < level and _start(node, enis, pods, 0, NO_LIFE, 0):
            placed += 1
        acted = pass_at_once(node, enis, pods)
    for _ in range(level - placed):
        _wait(node, enis, pods, 0, LEVEL_POD)
    forget_past(node, enis, pods)


def forget_past(node: I64, enis: I64, pods: I64) -> None:
    """Count and measure from now on."""
    measure(node, enis, pods)
    node[CALLS + :] = 0
    node[PODS] = node[DELAYED] = node[DELAYED_COOLING] = node[WAIT_S] = node[MAX_HELD] = node[MAX_ASSIGNED] = 0
    node[HELD_S] = node[ASSIGNED_S] = node[ENIS_S] = 0.0
    note(node, enis, pods)


def play(
    node: I64, enis: I64, pods: I64, seconds: I32, lives: I32, ranks: I32, score_from_s: float, span_s: float
) -> None:
    """Play every second in which something happens, up to `span_s`, and score from the given one.

    An event is a life in seconds, or NO_LIFE or DEPARTURE; `ranks` orders pods whose lives end in
    the same second.
    """
    second, scoring = 0, score_from_s <= 0
    while True:
        if node[WAITING] and node[READY] == 0:
            _skip_vain_tries(node, enis, pods, _next_move(node, enis, pods, seconds, span_s))
        second = max(second, _next_second(node, enis, pods, seconds, span_s))
        if not scoring and second >= score_from_s:
            advance(node, enis, pods, score_from_s)
            forget_past(node, enis, pods)
            scoring = True
        if second >= span_s:
            break
        advance(node, enis, pods, second + EVENT_OFFSET_S)
        measure(node, enis, pods)
        _end_lives(node, enis, pods, second)
        _serve_waiting(node, enis, pods, second, lives, ranks)
        _follow_trace(node, enis, pods, second, seconds, lives, ranks)
        second += 1
    advance(node, enis, pods, span_s)
    measure(node, enis, pods)


def _follow_trace(node: I64, enis: I64, pods: I64, second: int, seconds: I32, lives: I32, ranks: I32) -> None:
    while node[NEXT_EVENT] < len(seconds) and seconds[node[NEXT_EVENT]] <= second:
        event = node[NEXT_EVENT]
        node[NEXT_EVENT] = event + 1
        if lives[event] == DEPARTURE:
            _leave(node, enis, pods, second)
            continue
        node[PODS] += 1
        if not _start(node, enis, pods, second, lives[event], ranks[event]):
            node[DELAYED] += 1
            node[DELAYED_COOLING] += node[COOLING] > 0
            _wait(node, enis, pods, second, event)


def _start(node: I64, enis: I64, pods: I64, second: int, life: int, rank: int) -> bool:
    """CNI ADD now; whether the pod got an address."""
    pod = assign(node, enis, pods)
    if pod < 0:
        return False
    if life == NO_LIFE:
        pods[RUNNING, node[RUNNING]] = pod
        node[RUNNING] += 1
    else:
        _push_end(node, enis, pods, ((second + life) << _RANK_BITS) | rank, pod)
    touch(node, enis, pods)
    return True


def _leave(node: I64, enis: I64, pods: I64, second: int) -> None:
    """One pod of all that are there goes, whichever."""
    present = node[RUNNING] + node[WAITING]
    if present == 0:
        return
    chosen = draw_below(node, present)
    if chosen < node[WAITING]:
        _give_up(node, enis, pods, chosen, second)
        return
    place = chosen - node[WAITING]
    pod = pods[RUNNING, place]
    node[RUNNING] -= 1
    pods[RUNNING, place] = pods[RUNNING, node[RUNNING]]
    release(node, enis, pods, pod)
    touch(node, enis, pods)


# -- when something happens next ----------------------------------------------------------------


def _next_second(node: I64, enis: I64, pods: I64, seconds: I32, span_s: float) -> int:
    moment = float(span_s)
    if node[NEXT_EVENT] < len(seconds):
        moment = min(moment, float(seconds[node[NEXT_EVENT]]))
    if node[ENDS]:
        moment = min(moment, float(pods[END_KEY, 0] >> _RANK_BITS))
    for place in range(node[WAITING]):
        moment = min(moment, float(pods[WAITING_NEXT, place]))
    return int(-(-moment // 1))


def _next_move(node: I64, enis: I64, pods: I64, seconds: I32, span_s: float) -> float:
    """Nothing but vain tries happens before this moment, if no address is ready now."""
    moment = min(min(node[WAKE], node[LEAK_SCAN_AT]), min(next_cooled(node, enis, pods), float(span_s)))
    if node[NEXT_EVENT] < len(seconds):
        moment = min(moment, float(seconds[node[NEXT_EVENT]]))
    if node[ENDS]:
        moment = min(moment, float(pods[END_KEY, 0] >> _RANK_BITS))
    return moment


# -- pods that wait -----------------------------------------------------------------------------


def _wait(node: I64, enis: I64, pods: I64, second: int, event: int) -> None:
    place = node[WAITING]
    pods[WAITING_SINCE, place] = second
    pods[WAITING_EVENT, place] = event
    pods[WAITING_NEXT, place] = second + node[RETRY_S]
    node[WAITING] = place + 1


def _serve_waiting(node: I64, enis: I64, pods: I64, second: int, lives: I32, ranks: I32) -> None:
    kept = 0
    for place in range(node[WAITING]):
        event = pods[WAITING_EVENT, place]
        due = pods[WAITING_NEXT, place] <= second
        life, rank = NO_LIFE, 0
        if event != LEVEL_POD:
            life, rank = lives[event], ranks[event]
        if due and _start(node, enis, pods, second, life, rank):
            if event != LEVEL_POD:
                node[WAIT_S] += second - pods[WAITING_SINCE, place]
            continue
        pods[WAITING_SINCE, kept] = pods[WAITING_SINCE, place]
        pods[WAITING_EVENT, kept] = event
        pods[WAITING_NEXT, kept] = second + node[RETRY_S] if due else pods[WAITING_NEXT, place]
        kept += 1
    node[WAITING] = kept


def _give_up(node: I64, enis: I64, pods: I64, place: int, second: int) -> None:
    if pods[WAITING_EVENT, place] != LEVEL_POD:
        node[WAIT_S] += second - pods[WAITING_SINCE, place]
    node[WAITING] -= 1
    for later in range(place, node[WAITING]):
        pods[WAITING_SINCE, later] = pods[WAITING_SINCE, later + 1]
        pods[WAITING_EVENT, later] = pods[WAITING_EVENT, later + 1]
        pods[WAITING_NEXT, later] = pods[WAITING_NEXT, later + 1]


def _skip_vain_tries(node: I64, enis: I64, pods: I64, until: float) -> None:
    """Count the tries before `until`, all in vain, as made."""
    retry_s, tries = node[RETRY_S], 0
    for place in range(node[WAITING]):
        while pods[WAITING_NEXT, place] + EVENT_OFFSET_S < until:
            pods[WAITING_NEXT, place] += retry_s
            tries += 1
    if tries:
        skip_vain(node, enis, pods, tries)


# -- lives: a heap of when each ends ------------------------------------------------------------


def _end_lives(node: I64, enis: I64, pods: I64, second: int) -> None:
    while node[ENDS] and pods[END_KEY, 0] >> _RANK_BITS <= second:
        release(node, enis, pods, _pop_end(node, enis, pods))
        touch(node, enis, pods)


def _push_end(node: I64, enis: I64, pods: I64, key: int, pod: int) -> None:
    place = node[ENDS]
    node[ENDS] = place + 1
    while place and pods[END_KEY, (place - 1) >> 1] > key:
        parent = (place - 1) >> 1
        pods[END_KEY, place] = pods[END_KEY, parent]
        pods[END_POD, place] = pods[END_POD, parent]
        place = parent
    pods[END_KEY, place] = key
    pods[END_POD, place] = pod


def _pop_end(node: I64, enis: I64, pods: I64) -> int:
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
