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


class ChangeKind(StrEnum):
    """What a change is for."""

    TUNE = "Tune"  # targets that were chosen
    ROLLBACK = "Rollback"  # the former values, since a guard tripped
    REAPPLY = "Reapply"  # chosen targets that somebody else had overwritten


class Writer(StrEnum):
    """The way by which values reach aws-node."""

    DAEMON_SET = "DaemonSet"
    EKS_ADDON = "EKSAddon"
    ADMISSION = "Admission"  # the env of aws-node pods, as they are born; never of a document


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the model expects of some targets over the demand seen, for all nodes together.

    `held` are addresses in the mean over time, between `held_low` and `held_high`; `delayed_share`
    is the share of pod starts that wait for EC2. None is "was not replayed".
    """

    held: float
    held_low: float
    held_high: float
    delayed_share: float | None = None
    ec2_calls_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found `after_s` seconds after a change was complete: the proof of it.

    `expected_held` is what the model makes of the demand that there really was meanwhile, and
    `as_expected` whether what was found is within its interval; None where that cannot be told.
    """

    after_s: int
    at_s: float
    pods: int
    held: float
    expected_held: float | None = None
    delayed_share: float | None = None
    ec2_calls_per_minute: float | None = None
    as_expected: bool | None = None


@dataclass(frozen=True, slots=True)
class BackOff:
    """Targets that were rolled back, and are not tried again before `until_s`.

    Unless what they were decided on has changed: `basis` is a digest of it. `times` is how often
    they were rolled back; the wait doubles with it.
    """

    after: Mapping[str, str | None]
    basis: str
    until_s: float
    times: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """What all changes together have saved, in address-seconds, counted from `since_s` on and up to
    `until_s`.

    `saved_address_s` is against what the model says the defaults of the CNI would have held.
    """

    saved_address_s: float = 0.0
    until_s: float | None = None
    since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the env of aws-node.

    `before` and `after` map env key -> value, None for absent. `generation` is the DaemonSet's
    metadata.generation after the patch, 0 while INTENDED; of a group, the revision of its targets.
    `update_id` names the update of the EKS add-on that carries it.

    `group` names the node group whose pods alone are born with `after`, empty where it is all. Such
    a change is ROLLING while some of the group try it, and COMPLETE once all of it may have it.

    `basis` is a digest of what it was decided on, `binding` the rule that bound the choice,
    `rejected` the options that came next, each a line with its figures. `present` and `predicted`
    are what the model expected of the targets before and after it. `undone` is the guard with its
    figures that had the former values put back, empty for none.
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
    kind: ChangeKind = ChangeKind.TUNE
    writer: Writer = Writer.DAEMON_SET
    update_id: str = ""
    basis: str = ""
    binding: str = ""
    rejected: tuple[str, ...] = ()
    present: Forecast | None = None
    predicted: Forecast | None = None
    measured: tuple[Measured, ...] = ()
    undone: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """The originals and the last changes of one DaemonSet.

    `changes` are those of its env, one after another: only the last can be under way. The changes
    of `group_changes` are of single groups, many at once, and touch neither DaemonSet nor
    originals; oldest first.

    `originals` maps each env key that was ever written to what stood there before the first write
    (None for absent). It is valid for the DaemonSet with `daemon_set_uid` only, and `writer` says
    in which document they stood: the DaemonSet, or the configuration values of the EKS add-on.

    `mispredicted` counts the changes in a row whose outcome lay outside the interval predicted.
    `reapplied_at_s` are the times at which values were set again that somebody else had
    overwritten. `max_unavailable` is what the DaemonSet's update strategy said before it was
    lowered for a rollout, None when it is as the user wrote it.
    """

    daemon_set_uid: str
    policy_uid: str
    originals: Mapping[str, EnvEntry | None]
    changes: tuple[Change, ...]
    writer: Writer = Writer.DAEMON_SET
    back_offs: tuple[BackOff, ...] = ()
    mispredicted: int = 0
    ledger: Ledger = Ledger()
    reapplied_at_s: tuple[float, ...] = ()
    max_unavailable: str | None = None
    group_changes: tuple[Change, ...] = ()

    @property
    def last_change(self) -> Change | None:
        """The newest change, or None."""
        return self.changes[-1] if self.changes else None
