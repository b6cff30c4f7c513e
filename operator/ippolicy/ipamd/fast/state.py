"""The state of one lane, a node under a setting, in three arrays that compiled code works on.

    node[WHAT]              counters, the clock, the setting and the shape
    enis[WHAT, row, item]   a row an ENI; row 0 is the map of ENIs, the last one a copy of it
    pods[WHAT, item]        addresses that cool down, pods with and without address

An ENI is known by its row, the primary's is 1; a CIDR by a small number within its ENI. Everything
is an int64: times are microseconds, words of bits are reinterpreted as unsigned where needed. Three
arrays rather than one for each fact keep compiling and calling cheap.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]

SECOND: Final = 1_000_000
NEVER: Final = 1 << 60
LONG_AGO: Final = -NEVER

# -- node: the pool -----------------------------------------------------------------------------
TOTAL: Final = 0  # addresses held
ASSIGNED: Final = 1  # addresses that pods have
ENIS: Final = 2
CIDRS: Final = 3
UNUSED: Final = 4  # CIDRs without a pod
READY: Final = 5  # CIDRs that can give an address now
COOLING: Final = 6  # addresses that cool down
SERIAL: Final = 7  # CIDRs ever made
STREAM: Final = 8  # state of the draws
# -- node: the pass -----------------------------------------------------------------------------
NOW: Final = 9
WAKE: Final = 10
PASS_BASE: Final = 11
LAST_SHRINK: Final = 12
LEAK_SCAN_AT: Final = 13
REQUEST: Final = 14  # the one under way
TARGET_ENI: Final = 15
TARGET_COUNT: Final = 16
ORDER_NEXT: Final = 17
OVER: Final = 18
SHRANK: Final = 19
ACTED: Final = 20
POOL_AVAILABLE: Final = 21  # as the pass found it
BOOTING: Final = 22
# -- node: its pods -----------------------------------------------------------------------------
COOLING_FIRST: Final = 23
COOLING_END: Final = 24
RUNNING: Final = 25  # pods with an address that leave at the trace's word
ENDS: Final = 26  # pods with an address and a life
WAITING: Final = 27
NEXT_EVENT: Final = 28
# -- node: the score ----------------------------------------------------------------------------
PODS: Final = 29
DELAYED: Final = 30
DELAYED_COOLING: Final = 31
WAIT_S: Final = 32
MAX_HELD: Final = 33
MAX_ASSIGNED: Final = 34
MEASURED: Final = 35
HELD_TIME: Final = 36  # integrals: microseconds times what they count
ASSIGNED_TIME: Final = 37
ENIS_TIME: Final = 38
# -- node: setting and shape --------------------------------------------------------------------
WARM_ENI: Final = 39
WARM_IP: Final = 40
MINIMUM_IP: Final = 41
WARM_PREFIX: Final = 42
PREFIXES: Final = 43
SIZE: Final = 44  # addresses of a CIDR
SLOTS: Final = 45
MAX_ENI: Final = 46
MAX_PODS: Final = 47
RETRY_S: Final = 48
COOLDOWN: Final = 49
ASSIGN_TIME: Final = 50
CREATE_TIME: Final = 51
ATTACH_TIME: Final = 52
OTHER_TIME: Final = 53
LAST_ROW: Final = 54
CALLS: Final = 55  # first of a counter for each request
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
SEEN_AT: Final = 3
PODS_ON: Final = 4
COOLING_ON: Final = 5
ORDER: Final = 6  # item of the row: the ENI that shrinking visits as number (row)
_FACTS: Final = 7
NOT_ATTACHED: Final = -1
# -- pods ------------------------------------------------------------------------------------------
FREED_AT: Final = 0
FREED_CIDR: Final = 1
FREED_SERIAL: Final = 2
RUNNING_POD: Final = 3
END_KEY: Final = 4
END_POD: Final = 5
WAITS_SINCE: Final = 6
WAITS_EVENT: Final = 7
NEXT_TRY: Final = 8
_POD_TABLES: Final = 9

ENI_MAP: Final = 0
PRIMARY: Final = 1
GROUP_SLOTS: Final = 8
MAX_LOAD: Final = 7
_SPARE_DOUBLINGS: Final = 2


class State(NamedTuple):
    """Room for a lane; written once, used for lane after lane."""

    node: I64
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
        enis=np.zeros((_ENI_TABLES, enis + 2, max(places, _FACTS)), dtype=np.int64),
        pods=np.zeros((_POD_TABLES, pods + 1), dtype=np.int64),
    )
