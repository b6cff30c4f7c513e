"""The least idle addresses that any pool manager could come to that knows the trace beforehand.

A lower bound, from what no manager of this kind can do without. To have every pod find an address
at its first ADD, save those beyond the node's size:

- An address is held from the end of the call that brings it. A pass brings any number of addresses,
  but two ends of such calls lie at least 7 s apart: 5 s between passes, 2 s for the call.
- An address whose pod has gone is held until it is taken away, and two such calls lie at least 30 s
  apart (ipamd shrinks no more often).
- Or it serves another pod, after 30 s of cooling down.

So each pod has waited for by its address, and each address that is left lingers. Chains of reuse
pay 30 s in one; so if no wait and no linger is charged with more than 15 s, a chain never pays less
than the two it stands for, and waits and lingers can be made least apart from each other. Left out,
to the manager's gain: ENIs and their 20 s, room on them, what calls cost, minimum ENI life.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ippolicy.ipamd import PASS_INTERVAL_S
from warmpool.families import Pods

ASSIGN_S = 2
GROWTH_APART_S = int(PASS_INTERVAL_S) + ASSIGN_S
SHRINK_APART_S = 30
COOLDOWN_S = 30
MOST_CHARGED_S = COOLDOWN_S / 2


def least_idle(pods: Pods, *, capacity: int, from_s: int, until_s: int) -> float:
    """Mean idle addresses from `from_s` to `until_s`, at the least."""
    served = pods[_within_capacity(pods, capacity)]
    arrivals, ends = served[:, 0], np.sort(served[:, 0] + served[:, 1])
    arrivals = arrivals[(arrivals >= from_s) & (arrivals < until_s)]
    ends = ends[(ends >= from_s) & (ends < until_s)]
    waits = least_distance(arrivals.tolist(), GROWTH_APART_S)
    lingers = least_distance((until_s - ends[::-1]).tolist(), SHRINK_APART_S)
    return (waits + lingers) / (until_s - from_s)


def least_distance(events: Sequence[int], apart_s: int) -> float:
    """The least sum, over `events` (ascending seconds), of the time since the last action.

    Actions lie at least `apart_s` apart, each event has one at or before it, and none is charged
    with more than `MOST_CHARGED_S`. Whole seconds are enough: actions between them could all be
    later, up to the next event or the next whole second after another action.
    """
    total = 0.0
    for burst in _bursts(events, 2 * apart_s):
        total += _least_in_burst(burst, apart_s)
    return total


def _bursts(events: Sequence[int], gap_s: int) -> list[list[int]]:
    """`events` split where so long nothing happens that what is done before binds no more."""
    bursts: list[list[int]] = []
    for event in events:
        if bursts and event - bursts[-1][-1] < gap_s:
            bursts[-1].append(event)
        else:
            bursts.append([event])
    return bursts


def _least_in_burst(burst: Sequence[int], apart_s: int) -> float:
    """By dynamic programming over the second of the last action.

    Between two actions 2 * `apart_s` or more apart another one fits, and costs nothing: so none lie
    that far apart, and the first comes before the first event by less than `apart_s`.
    """
    first, last = burst[0], burst[-1]
    counts = np.bincount(np.array(burst) - first, minlength=last - first + 1)
    origin = first - apart_s + 1
    size = last - origin + 1
    due = np.concatenate([np.zeros(apart_s - 1), counts])  # events at each second from origin on
    ages = np.minimum(np.arange(2 * apart_s), MOST_CHARGED_S)
    least = np.full(size, np.inf)  # of all before an action at that second
    least[:apart_s] = 0.0
    best = np.inf
    for at in range(size):
        ahead = due[at : at + 2 * apart_s]
        paid = least[at] + np.cumsum(ahead * ages[: len(ahead)])  # through each second from `at`
        for gap in range(apart_s, min(2 * apart_s, size - at)):
            least[at + gap] = min(least[at + gap], paid[gap - 1])
        if at + len(ahead) == size:
            best = min(best, float(paid[-1]))
    return best


def _within_capacity(pods: Pods, capacity: int) -> NDArray[np.bool_]:
    """Which pods arrive while fewer than `capacity` are there, if none ever waits."""
    ends = np.sort(pods[:, 0] + pods[:, 1])
    gone = np.searchsorted(ends, pods[:, 0], side="right")
    there: Pods = np.arange(len(pods)) - gone
    return there < capacity
