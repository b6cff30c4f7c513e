"""How pods' starts went: which had to wait, for what, and how long."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ippolicy.sandbox.fleet.process import Refusal

KEPT = 100_000


@dataclass(frozen=True, slots=True)
class PodStart:
    """One pod that got its address; `blocked_by` is why its first CNI ADD failed, if it did.

    `waited_s` is sandbox time from the first ADD to the address.
    """

    node: str
    at_s: float
    waited_s: float
    blocked_by: Refusal | None


class StartLog:
    """All starts counted, the latest 100,000 kept whole.

    Attributes:
        delayed: pods whose first ADD found no free address: the field's "delayed starts".
        held_up: pods whose first ADD came while aws-node was down.
    """

    def __init__(self) -> None:
        self.count = 0
        self.delayed = 0
        self.held_up = 0
        self._latest: deque[PodStart] = deque(maxlen=KEPT)

    def record(self, start: PodStart) -> None:
        """Count one start."""
        self.count += 1
        self.delayed += start.blocked_by is Refusal.NO_ADDRESS
        self.held_up += start.blocked_by is Refusal.DOWN
        self._latest.append(start)

    def latest(self) -> tuple[PodStart, ...]:
        """The latest starts, oldest first."""
        return tuple(self._latest)

    def longest_wait_s(self) -> float:
        """The longest wait among the latest starts; 0 where there are none."""
        return max((start.waited_s for start in self._latest), default=0.0)
