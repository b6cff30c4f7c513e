"""What a gate says when it is closed, and what the operator's own settings ask of facts."""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.decide.types import Reason


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator's own settings ask of facts before it writes on them."""

    min_coverage: float = 0.8
    facts_max_age_s: float = 180.0

    @property
    def min_coverage_to_grow(self) -> float:
        """The share of aws-node pods that must have been read for a change that holds more."""
        return self.min_coverage / 2


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing may be written now."""

    reason: Reason
    message: str
