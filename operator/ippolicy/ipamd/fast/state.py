"""The state of one lane, a node under a setting, in four arrays that compiled code works on.

    node[WHAT]              counters, the setting and the shape
    clock[WHAT]             times and durations in seconds
    enis[WHAT, row, item]   a row an ENI; row 0 is the map of ENIs, the last one a copy of it
    pods[WHAT, item]        addresses that cool down, pods with and without address

An ENI is known by its row, the primary's is 1; a CIDR by a small number within its ENI. Words of
bits are reinterpreted as unsigned where needed. Four arrays rather than one for each fact, as the
arguments of every function, make compiling and calling several times cheaper.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


# -- node: the pool -----------------------------------------------------------------------------
TOTAL: Final = 0  # addresses held
ASSIGNED: Final = 1  # addresses that pods have
ENIS: Final = 2
CIDRS: Final = 3
UNUSED: Final = 4  # CIDRs without a pod
IDLE_ENIS: Final = 5  # ENIs without pods, the primary left aside
READY: Final = 6  # CIDRs that can give an address now
COOLING: Final = 7  # addresses that cool down
SERIAL: Final = 8  # CIDRs ever made
STREAM: Final = 9  # state of the draws
# -- node: the pass -----------------------------------------------------------------------------
REQUEST: Final = 10  # the one under way
TARGET_ENI: Final = 11
TARGET_COUNT: Final = 12
ORDER_NEXT: Final = 13
OVER: Final = 14
SHRANK: Final = 15
ACTED: Final = 16
POOL_AVAILABLE: Final = 17  # as the pass found it
BOOTING: Final = 18
# -- node: its pods -----------------------------------------------------------------------------
COOLING_FIRST: Final = 19
COOLING_END: Final = 20
RUNNING: Final = 21  # pods with an address that leave at the trace's word
ENDS: Final = 22  # pods with an address and a life
WAITING: Final = 23
NEXT_EVENT: Final = 24
LAST_EVENT: Final = 25  # the one after the last
# -- node: the score ----------------------------------------------------------------------------
PODS: Final = 26
DELAYED: Final = 27
DELAYED_COOLING: Final = 28
WAIT_S: Final = 29
MAX_HELD: Final = 30
MAX_ASSIGNED: Final = 31
# -- node: setting and shape --------------------------------------------------------------------
WARM_ENI: Final = 32
WARM_IP: Final = 33
MINIMUM_IP: Final = 34
WARM_PREFIX: Final = 35
PREFIXES: Final = 36
SIZE: Final = 37  # addresses of a CIDR
SLOTS: Final = 38
MAX_ENI: Final = 39
MAX_PODS: Final = 40
RETRY_S: Final = 41
LAST_ROW: Final = 42
CALLS: Final = 43  # first of a counter for each request
# -- clock: seconds ----------------------------------------------------------------------------
NOW: Final = 0
WAKE: Final = 1
PASS_BASE: Final = 2
LAST_SHRINK: Final = 3
LEAK_SCAN_AT: Final = 4
MEASURED: Final = 5
HELD_S: Final = 6  # integrals: seconds times what they count
ASSIGNED_S: Final = 7
ENIS_S: Final = 8
COOLDOWN_S: Final = 9  # durations
ASSIGN_S: Final = 10
CREATE_S: Final = 11
ATTACH_S: Final = 12
OTHER_S: Final = 13
SEEN_AT: Final = 14  # the first of an item for each row
FREED_AT: Final = 512  # the first of an item for each address that cools down
MOST_ROWS: Final = FREED_AT - SEEN_AT
# -- requests of a pass; all but SETTLE are EC2 calls; the last two are only counted --------------
IDLE: Final = 0
ASSIGN: Final = 1
MAKE_SUBNETS: Final = 2
CREATE: Final = 3
INSTANCES: Final = 4
ATTACH: Final = 5
MODIFY: Final = 6
SET_UP_SUBNETS: Final = 7
UNASSIGN: Final = 8
DESCRIBE: Final = 9
DETACH: Final = 10
SETTLE: Final = 11
DELETE: Final = 12
LEAK_SCAN: Final = 13
START: Final = 14
REQUESTS: Final = 15
# -- enis: by slot of the map, a word of 64 slots an item ------------------------------------------
FULL: Final = 0
DELETED: Final = 1
CAN_GIVE: Final = 2
NO_POD: Final = 3
# -- enis: by slot, and by entry -------------------------------------------------------------------
ENTRY_AT: Final = 4
HASH_OF: Final = 5
PLACE_OF: Final = 6
# -- enis: by CIDR ---------------------------------------------------------------------------------
SERIAL_OF: Final = 7
USED_OF: Final = 8  # addresses that pods have
COOLING_OF: Final = 9
COOLED_OF: Final = 10  # addresses that were used and have cooled down
USED_MASK: Final = 11  # the same by address, in a /28
FREED_MASK: Final = 12  # cooling and cooled ones
FREED_LIST: Final = 13  # their numbers, in the order in which they were freed: 4 bits each
SPARE: Final = 14  # numbers not in use
# -- enis: one of each -----------------------------------------------------------------------------
FACT: Final = 15
SCRATCH: Final = 16
_ENI_TABLES: Final = 17
# items of FACT
CAPACITY: Final = 0
ENTRIES: Final = 1
GROWTH_LEFT: Final = 2
PODS_ON: Final = 3
COOLING_ON: Final = 4
ORDER: Final = 5  # item of the row: the ENI that shrinking visits as number (row)
_FACTS: Final = 6
NOT_ATTACHED: Final = -1.0
"""In place of the time when an ENI was seen first: there is none in this row."""
# -- pods ------------------------------------------------------------------------------------------
FREED_CIDR: Final = 0
FREED_SERIAL: Final = 1
RUNNING_POD: Final = 2
END_KEY: Final = 3
END_POD: Final = 4
WAITS_SINCE: Final = 5
WAITS_EVENT: Final = 6
NEXT_TRY: Final = 7
_POD_TABLES: Final = 8

ENI_MAP: Final = 0
PRIMARY: Final = 1
GROUP_SLOTS: Final = 8
MAX_LOAD: Final = 7
_SPARE_DOUBLINGS: Final = 2


class State(NamedTuple):
    """Room for a lane; written once, used for lane after lane."""

    node: I64
    clock: F64
    enis: I64
    pods: I64


def table_capacity(entries: int) -> int:
    """Slots of a Go map that holds `entries` without marks of deletion."""
    capacity = GROUP_SLOTS
    while entries > capacity * MAX_LOAD // GROUP_SLOTS and entries > GROUP_SLOTS:
        capacity *= 2
    return capacity


def new_state(*, enis: int, slots: int, pods: int) -> State:
    """Room for up to `enis` ENIs of `slots` CIDRs and for `pods` pods in all of a trace."""
    places = table_capacity(max(enis, slots)) << _SPARE_DOUBLINGS
    return State(
        node=np.zeros(CALLS + REQUESTS, dtype=np.int64),
        clock=np.zeros(FREED_AT + pods + 1),
        enis=np.zeros((_ENI_TABLES, enis + 2, max(places, _FACTS)), dtype=np.int64),
        pods=np.zeros((_POD_TABLES, pods + 1), dtype=np.int64),
    )
