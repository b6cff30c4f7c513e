"""What a restart of one node repays: the addresses it saves for as long as the node still lives.

A node that is about to go anyway is not restarted for other targets: the one that comes in its
place is born with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median
from typing import Final

from ippolicy.decide.restart import REPAID_WITHIN_S

MOST_REMAINING_S: Final = 30 * 86_400.0
"""An upgrade replaces what is older."""
CALL_ADDRESS_S: Final = 3_600.0
"""An EC2 call weighs as much as an address for an hour; the search takes a call an hour and node
more or less for the same."""


def remaining_life_s(ages_s: Sequence[float]) -> float:
    """Seconds that a node of a group may be expected to live on, from the ages of all its nodes.

    Lives are taken as memoryless: then ages are distributed as what remains is, and their mean is
    what any node has left, the old ones too. So is their median by ln 2, which a few nodes that
    never go do not move; of the two the lower counts. It is `MOST_REMAINING_S` at most, and 0.0
    without nodes. Where a group grew lately, its ages tell of less than is left.
    """
    if not ages_s:
        return 0.0
    ages = [max(0.0, age_s) for age_s in ages_s]
    return min(fmean(ages), median(ages) / math.log(2), MOST_REMAINING_S)


def gain_address_s(
    *, held: float, held_then: float, remaining_s: float, restart_calls: int, min_saving: float
) -> float:
    """Address-seconds that a restart of one node repays, 0.0 where it is not worth it.

    The node holds `held` addresses in the mean, and `held_then` after the restart, for the
    `remaining_s` that it lives on, but a day at most. Each of its EC2 calls weighs
    `CALL_ADDRESS_S`. What is left must be `min_saving` (a share) of what the node would hold over
    a whole day, as `spec.change.minSaving` asks of every change.
    """
    counted_s = min(max(0.0, remaining_s), REPAID_WITHIN_S)
    gain = (held - held_then) * counted_s - restart_calls * CALL_ADDRESS_S
    return gain if gain > 0 and gain >= min_saving * held * REPAID_WITHIN_S else 0.0
