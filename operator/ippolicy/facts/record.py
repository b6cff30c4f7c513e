"""What the operator wrote on the cluster about its own changes, so that any restart can go on.

One record a DaemonSet, kept beside it; `act.records` reads and writes it, `decide` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ippolicy.facts.daemonset import EnvEntry


class ChangePhase(StrEnum):
    """How far a change of targets is.

    INTENDED is written before the patch is sent, so that a crash in between leaves a trace.
    """

    INTENDED = "Intended"
    ROLLING = "Rolling"
    COMPLETE = "Complete"
    SUPERSEDED = "Superseded"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the env of aws-node.

    `before` and `after` map env key -> value, None for absent. `generation` is the DaemonSet's
    metadata.generation after the patch, 0 while INTENDED.
    """

    id: str
    policy: str
    phase: ChangePhase
    before: Mapping[str, str | None]
    after: Mapping[str, str | None]
    reason: str
    intended_at_s: float
    generation: int = 0
    completed_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """The originals and the last changes of one DaemonSet.

    `originals` maps each env key that was ever written to what stood there before the first write
    (None for absent). It is valid for the DaemonSet with `daemon_set_uid` only.
    """

    daemon_set_uid: str
    policy_uid: str
    originals: Mapping[str, EnvEntry | None]
    changes: tuple[Change, ...]

    @property
    def last_change(self) -> Change | None:
        """The newest change, or None."""
        return self.changes[-1] if self.changes else None
