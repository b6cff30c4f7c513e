"""All lanes of a call, one after another: the function that is compiled.

A lane is a node's trace under one setting. Nodes and settings come as tables of integers, a row
each, whose columns are named here; what lanes come to goes out the same way.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ippolicy.ipamd.fast.clock import LEAK_SCAN_SPREAD_S, boot
from ippolicy.ipamd.fast.draws import draw_below
from ippolicy.ipamd.fast.pods import play, settle
from ippolicy.ipamd.fast.state import (
    ASSIGNED_S,
    CALLS,
    COOLDOWN_S,
    DELAYED,
    DELAYED_COOLING,
    ENIS_S,
    F64,
    HELD_S,
    I32,
    I64,
    LAST_EVENT,
    LAST_ROW,
    LAST_SHRINK,
    LEAK_SCAN_AT,
    MAX_ASSIGNED,
    MAX_ENI,
    MAX_HELD,
    MAX_PODS,
    NEXT_EVENT,
    PODS,
    PREFIXES,
    REQUESTS,
    RETRY_S,
    SIZE,
    SLOTS,
    STREAM,
    WAIT_S,
    WAITING,
    WARM_ENI,
)

# -- a node -------------------------------------------------------------------------------------
NODE_SLOTS: Final = 0
NODE_ENI_LIMIT: Final = 1
NODE_MAX_PODS: Final = 2
NODE_TAKES_PREFIXES: Final = 3
NODE_SEED: Final = 4
NODE_LEVEL: Final = 5  # of a pool that has settled; NOT_SETTLED for a node that starts
NODE_FIRST_EVENT: Final = 6
NODE_LAST_EVENT: Final = 7
NODE_COLUMNS: Final = 8
NOT_SETTLED: Final = -1
# -- a setting ----------------------------------------------------------------------------------
SETTING_PREFIXES: Final = 4  # after the four targets, in the order of `node`
SETTING_MAX_ENI: Final = 5
SETTING_COOLDOWN_S: Final = 6
SETTING_COLUMNS: Final = 7
# -- what is alike for all ----------------------------------------------------------------------
OPTION_RETRY_S: Final = 4  # after the durations of assigning, creating, attaching, others
OPTION_LEAK_SCANS: Final = 5
OPTION_SCORE_FROM_S: Final = 6
# -- what a lane comes to: counts, then the requests made ----------------------------------------
OUT_PODS: Final = 0
OUT_DELAYED: Final = 1
OUT_DELAYED_COOLING: Final = 2
OUT_UNSERVED: Final = 3
OUT_WAIT_S: Final = 4
OUT_MAX_HELD: Final = 5
OUT_MAX_ASSIGNED: Final = 6
OUT_REQUESTS: Final = 7
OUT_COLUMNS: Final = OUT_REQUESTS + REQUESTS
# -- and its means over time --------------------------------------------------------------------
MEAN_HELD: Final = 0
MEAN_ASSIGNED: Final = 1
MEAN_ENIS: Final = 2
MEAN_COLUMNS: Final = 3


def replay_lanes(
    node: I64,
    clock: F64,
    enis: I64,
    pods: I64,
    nodes: I64,
    spans_s: F64,
    settings: I64,
    options: F64,
    events: I32,
    counts: I32,
    means: F64,
) -> None:
    """Replay every node under every setting into `counts` and `means` [node, setting, column]."""
    for lane in range(counts.shape[0] * counts.shape[1]):
        number, setting = lane // counts.shape[1], lane % counts.shape[1]
        span_s = spans_s[number]
        score_from_s = min(options[OPTION_SCORE_FROM_S], span_s)
        _clear(node, clock, options)
        _configure(node, clock, nodes, number, settings, setting)
        node[LAST_ROW] = enis.shape[1] - 1
        if options[OPTION_LEAK_SCANS]:
            clock[LEAK_SCAN_AT] = draw_below(node, LEAK_SCAN_SPREAD_S)
        boot(node, clock, enis)
        if nodes[number, NODE_LEVEL] != NOT_SETTLED:
            settle(node, clock, enis, pods, nodes[number, NODE_LEVEL])
        play(node, clock, enis, pods, events, score_from_s, span_s)
        _report(node, counts, number, setting)
        if span_s > score_from_s:
            scored_s = span_s - score_from_s
            means[number, setting, MEAN_HELD] = clock[HELD_S] / scored_s
            means[number, setting, MEAN_ASSIGNED] = clock[ASSIGNED_S] / scored_s
            means[number, setting, MEAN_ENIS] = clock[ENIS_S] / scored_s


def _clear(node: I64, clock: F64, options: F64) -> None:
    node[:] = 0
    clock[: COOLDOWN_S + 1] = 0.0
    clock[LAST_SHRINK] = -np.inf
    clock[LEAK_SCAN_AT] = np.inf
    for number in range(OPTION_RETRY_S):
        clock[COOLDOWN_S + 1 + number] = options[number]
    node[RETRY_S] = int(options[OPTION_RETRY_S])


def _configure(node: I64, clock: F64, nodes: I64, number: int, settings: I64, setting: int) -> None:
    for target in range(SETTING_PREFIXES):
        node[WARM_ENI + target] = settings[setting, target]
    if settings[setting, SETTING_PREFIXES] and nodes[number, NODE_TAKES_PREFIXES]:
        node[PREFIXES] = 1
    node[SIZE] = 16 if node[PREFIXES] else 1
    clock[COOLDOWN_S] = settings[setting, SETTING_COOLDOWN_S]
    limit, chosen = nodes[number, NODE_ENI_LIMIT], settings[setting, SETTING_MAX_ENI]
    node[MAX_ENI] = chosen if 1 <= chosen < limit else limit
    node[SLOTS] = nodes[number, NODE_SLOTS]
    node[MAX_PODS] = nodes[number, NODE_MAX_PODS]
    node[STREAM] = nodes[number, NODE_SEED]
    node[NEXT_EVENT] = nodes[number, NODE_FIRST_EVENT]
    node[LAST_EVENT] = nodes[number, NODE_LAST_EVENT]


def _report(node: I64, counts: I32, number: int, setting: int) -> None:
    counts[number, setting, OUT_PODS] = node[PODS]
    counts[number, setting, OUT_DELAYED] = node[DELAYED]
    counts[number, setting, OUT_DELAYED_COOLING] = node[DELAYED_COOLING]
    counts[number, setting, OUT_UNSERVED] = node[WAITING]
    counts[number, setting, OUT_WAIT_S] = node[WAIT_S]
    counts[number, setting, OUT_MAX_HELD] = node[MAX_HELD]
    counts[number, setting, OUT_MAX_ASSIGNED] = node[MAX_ASSIGNED]
    for request in range(REQUESTS):
        counts[number, setting, OUT_REQUESTS + request] = node[CALLS + request]
