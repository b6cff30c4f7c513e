"""What aws-node says of its own work: starts that found no address, and how EC2 answered it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ippolicy.ipamd import WarmTargets


@dataclass(frozen=True, slots=True)
class InForce:
    """Every aws-node that had no targets of its own ran with `targets` from `since_s` on, until the
    next of these."""

    since_s: float
    targets: WarmTargets


@dataclass(frozen=True, slots=True)
class Ran:
    """The aws-node of `node` ran with `targets` of its own from `since_s` until `until_s`; None for
    one that still does."""

    node: str
    targets: WarmTargets
    since_s: float
    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class LateStarts:
    """`pods` of `node` found no address at first, as was noted at `at_s`.

    Not counted are starts that no targets could have served: while aws-node started, on a node that
    held all it can, and where EC2 refused to give addresses.
    """

    at_s: float
    node: str
    group: str
    pods: int


@dataclass(frozen=True, slots=True)
class ApiFacts:
    """The calls of one EC2 API by all aws-node pods in a while.

    `overloaded` are those that EC2 refused for load, after all retries of the SDK. `mean_s` is how
    long those that succeeded took, None where none did.
    """

    calls: int
    overloaded: int
    mean_s: float | None


@dataclass(frozen=True, slots=True)
class Signals:
    """What counts beside demand: `in_force`, `late`, and `ran` of each node oldest first, `ec2` by
    name of the API."""

    in_force: tuple[InForce, ...] = ()
    late: tuple[LateStarts, ...] = ()
    ec2: Mapping[str, ApiFacts] = field(default_factory=dict)
    ran: tuple[Ran, ...] = ()
