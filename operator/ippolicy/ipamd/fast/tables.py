"""Nodes, settings, traces and options as the tables that the kernel reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ippolicy.ipamd.cloud import Latency
from ippolicy.ipamd.fast import kernel as layout
from ippolicy.ipamd.fast.draws import lane_seed
from ippolicy.ipamd.fast.pods import (
    DEPARTURE,
    EVENT_ROWS,
    LIFE_OF,
    NO_LIFE,
    RANK_OF,
    SECOND_OF,
)
from ippolicy.ipamd.fast.state import F64, I32, I64
from ippolicy.ipamd.fast.trace import Trace
from ippolicy.ipamd.settings import PoolSettings
from ippolicy.ipamd.shape import NodeShape

_SIGN_BIT = 1 << 63


def node_table(
    shapes: Sequence[NodeShape], traces: Sequence[Trace], seed: int, first_node: int
) -> I64:
    """A row a node, of which the first is node number `first_node` of the call."""
    table = np.zeros((len(shapes), layout.NODE_COLUMNS), dtype=np.int64)
    end = 0
    for number, (shape, trace) in enumerate(zip(shapes, traces, strict=True)):
        first, end = end, end + _events_of(trace)
        table[number] = (
            shape.slots,
            shape.eni_limit,
            shape.max_pods,
            shape.prefix_capable,
            (lane_seed(seed, first_node + number) ^ _SIGN_BIT) - _SIGN_BIT,
            layout.NOT_SETTLED if trace.cold else trace.level,
            first,
            end,
        )
    return table


def setting_table(settings: Sequence[PoolSettings]) -> I64:
    """A row a setting."""
    rows = [
        (
            setting.targets.warm_eni,
            setting.targets.warm_ip,
            setting.targets.minimum_ip,
            setting.targets.warm_prefix,
            setting.prefix_delegation,
            setting.max_eni,
            setting.cooldown_s,
        )
        for setting in settings
    ]
    return np.array(rows, dtype=np.int64)


def option_table(latency: Latency, retry_s: int, score_from_s: float, *, leak_scans: bool) -> F64:
    """What is alike for all lanes."""
    durations = (latency.assign_s, latency.create_s, latency.attach_s, latency.other_s)
    return np.array([*durations, retry_s, leak_scans, score_from_s], dtype=np.float64)


def event_table(traces: Sequence[Trace]) -> I32:
    """The events of all nodes in a row; the level of a cold node comes at second 0."""
    table = np.zeros((EVENT_ROWS, sum(map(_events_of, traces))), dtype=np.int32)
    table[LIFE_OF] = NO_LIFE
    end = 0
    for trace in traces:
        end += _events_of(trace)
        part = table[:, end - len(trace.times_s) : end]
        part[SECOND_OF] = trace.times_s
        if trace.lives_s is None:
            part[LIFE_OF][trace.changes < 0] = DEPARTURE
        else:
            part[LIFE_OF] = trace.lives_s
            part[RANK_OF] = _name_ranks(len(trace.times_s))
    return table


def pods_of(trace: Trace) -> int:
    """Pods that a trace may ever have."""
    return len(trace.times_s) + trace.level


def _events_of(trace: Trace) -> int:
    return len(trace.times_s) + (trace.level if trace.cold else 0)


def _name_ranks(pods: int) -> NDArray[np.int64]:
    """Where "0", "1", "2"... come among themselves as text: the step form's order of ends."""
    order = np.argsort(np.array([str(pod) for pod in range(pods)]), kind="stable")
    ranks = np.empty(pods, dtype=np.int64)
    ranks[order] = np.arange(pods)
    return ranks
