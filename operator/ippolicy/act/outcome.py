"""What came of a decision, as data for `account`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ippolicy.act.requests import CallFailed
from ippolicy.errors import FactsChanged, FieldConflict, IPPolicyError
from ippolicy.facts import Change


class OutcomeKind(StrEnum):
    """What happened when a decision was carried out, or the originals were to be put back."""

    NOTHING = "Nothing"  # nothing was asked for, or nothing is left to be put back
    IN_PLACE = "InPlace"  # the values were already there; nothing was sent
    WRITTEN = "Written"
    RESTORED = "Restored"
    UNDER_WAY = "UnderWay"  # the originals were sent, and EKS is at it
    CONFLICT = "Conflict"  # another manager owns an entry; nothing was changed
    FACTS_CHANGED = "FactsChanged"  # what was decided on had changed; nothing was sent
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a decision.

    `message` is one line for a person, with the fix where there is something to fix. `owners` maps
    env key -> manager for CONFLICT. `error` names the exception's type for CONFLICT, FACTS_CHANGED
    and FAILED. `retryable` says that the same may succeed later with nobody changing anything, and
    `retry_after_s` how long the API server asked to wait, if it did.
    """

    kind: OutcomeKind
    message: str
    change: Change | None = None
    owners: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    retryable: bool = False
    retry_after_s: float | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be done, so that a policy that was deleted may go."""
        return self.kind in (OutcomeKind.NOTHING, OutcomeKind.IN_PLACE, OutcomeKind.RESTORED)


def outcome_of(error: IPPolicyError) -> Outcome:
    """An error as the outcome that it is."""
    name = type(error).__name__
    match error:
        case FieldConflict():
            return Outcome(OutcomeKind.CONFLICT, str(error), owners=error.owners, error=name)
        case FactsChanged():
            return Outcome(OutcomeKind.FACTS_CHANGED, str(error), error=name, retryable=True)
        case CallFailed():
            return Outcome(
                OutcomeKind.FAILED,
                str(error),
                error=name,
                retryable=error.retryable,
                retry_after_s=error.retry_after_s,
            )
    return Outcome(OutcomeKind.FAILED, str(error), error=name)
