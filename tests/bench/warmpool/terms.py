"""What all policies are judged under: the node, the days, and what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ippolicy.ipamd import NodeShape, WarmTargets
from warmpool.families import DAY_S

NODE: Final = NodeShape("m5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58)
LEARN_DAYS: Final = 7
DAYS: Final = 10
LEARN_S: Final = LEARN_DAYS * DAY_S
SPAN_S: Final = DAYS * DAY_S
SCORED_S: Final = SPAN_S - LEARN_S

DEFAULT: Final = WarmTargets()
"""WARM_ENI_TARGET=1, as the CNI comes."""
FULL: Final = WarmTargets(warm_ip=NODE.max_pods, minimum_ip=NODE.max_pods)
"""A node that always holds all it can: what is delayed even there is the floor."""
GRID: Final = tuple(WarmTargets(warm_eni=warm_eni) for warm_eni in range(5)) + tuple(
    WarmTargets(warm_ip=warm, minimum_ip=minimum)
    for warm in range(1, 33)
    for minimum in range(4 * 14 + 17)
)
"""Every setting that may be of use on the node: no MINIMUM above what it can hold, and 16, which is
as far as the search itself looks."""

SIMPLE_CALLS: Final[Mapping[str, int]] = {
    "AssignPrivateIpAddresses": 1,
    "UnassignPrivateIpAddresses": 1,
    "CreateNetworkInterface": 3,
    "DeleteNetworkInterface": 2,
}
"""How the published tables count: an assignment 1, a new ENI 3, a removal 1, a freed ENI 2."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one policy came to on one trace over the scored days.

    `delayed_pct` is the share in percent of pods whose first ADD found no address, `avoidable_pct`
    what is left of it without the floor. `idle` is the mean over time of addresses held and not
    assigned. `calls` counts every EC2 call, `simple_calls` as `SIMPLE_CALLS` does.
    """

    delayed_pct: float
    avoidable_pct: float
    idle: float
    calls: float
    simple_calls: float


def name_of(targets: WarmTargets) -> str:
    """ "W=5" , "W=5 M=16" or "E=1", for tables."""
    if not targets.counts_addresses:
        return f"E={targets.warm_eni}"
    minimum = f" M={targets.minimum_ip}" if targets.minimum_ip else ""
    return f"W={targets.warm_ip}{minimum}"
