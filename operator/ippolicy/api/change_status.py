"""The status of the changes: what each was to bring, what it brought, and what all have saved."""

from __future__ import annotations

from collections.abc import Mapping

from ippolicy.api.quantities import Timestamp
from ippolicy.api.rules import Part


class ForecastStatus(Part):
    """What the model expects of some targets over the demand seen, for all nodes together."""

    held: int
    """Addresses held in the mean over time."""
    low: int
    """Least of the interval in which they are expected."""
    high: int
    """Most of it."""
    delayed: str | None = None
    """Share of pod starts that wait for EC2."""
    calls_per_minute: str | None = None
    """EC2 calls a minute that change something."""


class MeasuredStatus(Part):
    """What was found some time after a change was complete."""

    after: str
    """How long after: 15m, 1h or 1d."""
    time: Timestamp
    """When it was found."""
    pods: int
    """Pods in the mean over that time."""
    held: int
    """Addresses held in the mean over that time."""
    expected: int | None = None
    """What the model makes of the demand that there really was meanwhile."""
    delayed: str | None = None
    """Share of pod starts that waited for EC2; left out where nothing started."""
    calls_per_minute: str | None = None
    """EC2 calls a minute that change something."""
    as_expected: bool | None = None
    """Whether the addresses held are within the interval of what the model makes of it."""


class SavedStatus(Part):
    """What all changes together have saved."""

    address_hours: int
    """Addresses times hours that were not held, against what the model says the defaults of the
    CNI (WARM_ENI_TARGET=1) would have held. Time that nobody watched does not count."""
    since: Timestamp
    """From when on it is counted."""


class ChangeStatus(Part):
    """One change of the env of aws-node: of its DaemonSet, or of the pods of one group."""

    id: str | None = None
    """Name of the change, unique for its DaemonSet."""
    group: str | None = None
    """With apply.method Admission, the node group whose aws-node pods alone are born with it; what
    was measured is then of the nodes that run it, told for as many as the group has."""
    kind: str | None = None
    """Tune (targets that were chosen), Rollback (the former values, since a guard tripped) or
    Reapply (chosen targets that somebody else had overwritten)."""
    time: Timestamp
    """When it was made."""
    phase: str
    """Intended, Rolling (of a group: while some of its nodes try it), Complete or Superseded."""
    before: Mapping[str, str]
    """Env entries before, "" for absent."""
    after: Mapping[str, str]
    """Env entries after, "" for absent."""
    reason: str
    """Why."""
    took: str | None = None
    """How long the rollout took."""
    basis: str | None = None
    """What it was decided on: a digest of what the policy asks for, the targets then in force, and
    the demand."""
    binding: str | None = None
    """The limit or bound that kept less from being held; of a rollback, what the guard said."""
    rejected: tuple[str, ...] | None = None
    """The options that came next, with their figures, at most 3."""
    present: ForecastStatus | None = None
    """What the model expected of the targets before it."""
    predicted: ForecastStatus | None = None
    """What the model expected of it."""
    measured: tuple[MeasuredStatus, ...] | None = None
    """What was found 15 minutes, an hour and a day after it was complete."""
    undone: str | None = None
    """The guard, with its figures, that had the former values put back."""
