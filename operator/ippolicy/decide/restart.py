"""What a change of targets costs by itself: every aws-node is restarted, some at a time."""

from __future__ import annotations

from math import ceil
from typing import Final

from ippolicy.facts import RolloutFacts

CALLS_OF_A_RESTART: Final = 2
CALLS_OF_AN_ENI: Final = 2
CALLS_TO_MAKE_AN_ENI: Final = 6
CALLS_TO_FREE_AN_ENI: Final = 3

RESTART_S: Final = 10.0
"""The time in which no pod of a node gets an address, as its aws-node restarts."""

REPAID_WITHIN_S: Final = 86_400.0
"""Within a day a restart must have saved what it costs."""

STEP_S: Final = 60.0
"""How long a rollout takes for the pods that it restarts at once: up to 10 s for the old one to
end, then the init container, the start of ipamd and its readiness."""


def change_calls(*, nodes: int, enis: int, enis_then: int) -> int:
    """EC2 calls of a change of targets on `nodes` that have so many ENIs, and then others.

    A restart takes two calls and two an ENI; then one to assign or unassign addresses on each ENI
    that stays, six to make an ENI and three to free one.
    """
    restarts = CALLS_OF_A_RESTART * nodes + CALLS_OF_AN_ENI * enis
    made, freed = max(0, enis_then - enis), max(0, enis - enis_then)
    resized = min(enis, enis_then)
    return restarts + resized + CALLS_TO_MAKE_AN_ENI * made + CALLS_TO_FREE_AN_ENI * freed


def pods_at_once(rollout: RolloutFacts) -> int:
    """Pods that a rollout of the DaemonSet restarts at once, at least 1.

    A share in maxUnavailable is rounded up to whole pods, as the DaemonSet controller does. With
    maxUnavailable 0 (and maxSurge instead), one pod at a time is assumed.
    """
    text = rollout.max_unavailable
    try:
        share = float(text.removesuffix("%"))
    except ValueError:
        share = 1.0
    return max(1, ceil(rollout.desired * share / 100) if text.endswith("%") else int(share))


def rollout_s(rollout: RolloutFacts) -> float:
    """Seconds that a rollout of the DaemonSet takes, if nothing goes wrong."""
    return STEP_S * ceil(rollout.desired / pods_at_once(rollout))
