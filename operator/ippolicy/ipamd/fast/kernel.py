"""All lanes of a call, one after another: the function that is compiled."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ippolicy.ipamd.fast.draws import draw_below
from ippolicy.ipamd.fast.passes import LEAK_SCAN_SPREAD_S, boot
from ippolicy.ipamd.fast.pods import play, settle
from ippolicy.ipamd.fast.state import (
    ASSIGNED_S,
    DELAYED,
    DELAYED_COOLING,
    ENIS_S,
    F64,
    HELD_S,
    I32,
    I64,
    LAST_SHRINK,
    LEAK_SCAN_AT,
    MAX_ASSIGNED,
    MAX_ENI,
    MAX_HELD,
    MAX_PODS,
    MINIMUM_IP,
    PODS,
    PREFIXES,
    REQUESTS,
    RETRY_S,
    SIZE,
    SLOTS,
    U64,
    WAIT_S,
    WAITING,
    WARM_ENI,
    WARM_IP,
    WARM_PREFIX,
    COOLDOWN_S,
    ASSIGN_S,
    ATTACH_S,
    CREATE_S,
    OTHER_S,
    State,
)

# Columns of a lane's counts, before those of its requests.
COUNTS: Final = 7
OUT_PODS, OUT_DELAYED, OUT_DELAYED_COOLING, OUT_UNSERVED = 0, 1, 2, 3
OUT_WAIT_S, OUT_MAX_HELD, OUT_MAX_ASSIGNED = 4, 5, 6
OUT_COLUMNS: Final = COUNTS + REQUESTS
# Columns of a lane's means.
MEAN_HELD, MEAN_ASSIGNED, MEAN_ENIS = 0, 1, 2
MEAN_COLUMNS: Final = 3


class Nodes(NamedTuple):
    """One item a node; `first` and `last` are its events in `Events`."""

    slots: I64
    eni_limit: I64
    max_pods: I64
    prefix_capable: I64
    seed: U64
    level: I64
    settled: I64
    span_s: F64
    first: I64
    last: I64


class Events(NamedTuple):
    """The events of all nodes: second, life (or what stands in its place), rank among equals."""

    seconds: I32
    lives: I32
    ranks: I32


class Settings(NamedTuple):
    """One item a setting."""

    warm_eni: I64
    warm_ip: I64
    minimum_ip: I64
    warm_prefix: I64
    prefixes: I64
    max_eni: I64
    cooldown_s: F64


class Options(NamedTuple):
    """What is alike for all lanes."""

    retry_s: int
    assign_s: float
    create_s: float
    attach_s: float
    other_s: float
    score_from_s: float
    leak_scans: bool


def replay_lanes(
    node: I64, enis: I64, pods: I64,
    nodes: Nodes,
    events: Events,
    settings: Settings,
    options: Options,
    counts: I32,
    means: F64,
) -> None:
    """Replay every node under every setting into `counts` and `means` [node, setting, column]."""
    for node in range(counts.shape[0]):
        first, last = nodes.first[node], nodes.last[node]
        seconds = events.seconds[first:last]
        lives = events.lives[first:last]
        ranks = events.ranks[first:last]
        span_s = nodes.span_s[node]
        score_from_s = min(options.score_from_s, span_s)
        for setting in range(counts.shape[1]):
            _clear(node, enis, pods)
            _configure(node, enis, pods, nodes, node, settings, setting)
            _equip(node, enis, pods, options, settings.cooldown_s[setting])
            boot(node, enis, pods)
            if nodes.settled[node]:
                settle(node, enis, pods, nodes.level[node])
            play(node, enis, pods, seconds, lives, ranks, score_from_s, span_s)
            _report(node, enis, pods, span_s - score_from_s, counts[node, setting], means[node, setting])


def _clear(node: I64, enis: I64, pods: I64) -> None:
    state.n[:] = 0
    state.f[:] = 0.0
    node[LAST_SHRINK] = -np.inf
    node[CALLS + :] = 0


def _configure(node: I64, enis: I64, pods: I64, nodes: Nodes, node: int, settings: Settings, setting: int) -> None:
    node[WARM_ENI] = settings.warm_eni[setting]
    node[WARM_IP] = settings.warm_ip[setting]
    node[MINIMUM_IP] = settings.minimum_ip[setting]
    node[WARM_PREFIX] = settings.warm_prefix[setting]
    node[PREFIXES] = settings.prefixes[setting] and nodes.prefix_capable[node]
    node[SIZE] = 16 if node[PREFIXES] else 1
    node[SLOTS] = nodes.slots[node]
    limit, chosen = nodes.eni_limit[node], settings.max_eni[setting]
    node[MAX_ENI] = chosen if 1 <= chosen < limit else limit
    node[MAX_PODS] = nodes.max_pods[node]
    node[0] = nodes.seed[node]


def _equip(node: I64, enis: I64, pods: I64, options: Options, cooldown_s: float) -> None:
    node[RETRY_S] = options.retry_s
    node[COOLDOWN_S] = cooldown_s
    node[ASSIGN_S] = options.assign_s
    node[CREATE_S] = options.create_s
    node[ATTACH_S] = options.attach_s
    node[OTHER_S] = options.other_s
    node[LEAK_SCAN_AT] = np.inf
    if options.leak_scans:
        node[LEAK_SCAN_AT] = draw_below(node, LEAK_SCAN_SPREAD_S)


def _report(node: I64, enis: I64, pods: I64, span_s: float, counts: I32, means: F64) -> None:
    counts[OUT_PODS] = node[PODS]
    counts[OUT_DELAYED] = node[DELAYED]
    counts[OUT_DELAYED_COOLING] = node[DELAYED_COOLING]
    counts[OUT_UNSERVED] = node[WAITING]
    counts[OUT_WAIT_S] = node[WAIT_S]
    counts[OUT_MAX_HELD] = node[MAX_HELD]
    counts[OUT_MAX_ASSIGNED] = node[MAX_ASSIGNED]
    for request in range(REQUESTS):
        counts[COUNTS + request] = node[CALLS + request]
    if span_s > 0:
        means[MEAN_HELD] = node[HELD_S] / span_s
        means[MEAN_ASSIGNED] = node[ASSIGNED_S] / span_s
        means[MEAN_ENIS] = node[ENIS_S] / span_s
