"""How far facts are trusted to write on, as data; `decide.gates.ladder` has the rule."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Step(IntEnum):
    """What may be written; the number is that of the metric."""

    NORMAL = 0
    GROW_ONLY = 1
    FROZEN = 2

    @property
    def word(self) -> str:
        """As conditions, Events and the status name it."""
        return {Step.NORMAL: "Normal", Step.GROW_ONLY: "GrowOnly", Step.FROZEN: "Frozen"}[self]


class Cause(StrEnum):
    """What calls for a step."""

    EC2_LOAD = "EC2Load"
    SUBNETS_STALE = "SubnetsStale"
    COVERAGE_LOW = "CoverageLow"
    COVERAGE_NONE = "CoverageNone"
    FACTS_STALE = "FactsStale"
    API_ERRORS = "APIErrors"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A cause that called for `step` at `last_at_s` for the last time."""

    step: Step
    cause: Cause
    text: str
    last_at_s: float


@dataclass(frozen=True, slots=True)
class Ladder:
    """What called for a step in the last steady while, the worst first. `well_once` says whether
    there was ever nothing."""

    troubles: tuple[Trouble, ...] = ()
    well_once: bool = False

    @property
    def step(self) -> Step:
        """What may be written now."""
        return self.troubles[0].step if self.troubles else Step.NORMAL

    @property
    def causes(self) -> tuple[str, ...]:
        """Why, a sentence each."""
        return tuple(trouble.text for trouble in self.troubles if trouble.step is self.step)
