"""Replay of many nodes under many settings at once, in compiled code.

`replay_grid` plays the very model of `ippolicy.ipamd`, and given the same draws comes to the very
same numbers as its step-by-step form, `replay_lane`. It is for secondary addresses and prefixes in
subnets that never run dry; what it does not know it refuses. Call it off the event loop.
"""

from __future__ import annotations

from ippolicy.ipamd.fast.compiled import can_compile, compile_kernel
from ippolicy.ipamd.fast.draws import LaneRandom, lane_seed
from ippolicy.ipamd.fast.grid import API_NAMES, MUTATING, GridResult, replay_grid
from ippolicy.ipamd.fast.lane import LaneResult, replay_lane
from ippolicy.ipamd.fast.trace import Trace

__all__ = [
    "API_NAMES",
    "MUTATING",
    "GridResult",
    "LaneRandom",
    "LaneResult",
    "Trace",
    "can_compile",
    "compile_kernel",
    "lane_seed",
    "replay_grid",
    "replay_lane",
]
