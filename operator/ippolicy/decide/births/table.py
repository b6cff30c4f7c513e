"""Which targets a new aws-node pod gets, as one immutable table of a policy.

    the node's group                            its pods get
    ------------------------------------------  ------------------------------------------------
    tries targets, and this node is to try them those that are tried
    has tried them long enough (Promoted)       those, on any node
    has proven targets of its own               those
    has bounds of its own                       what it would borrow, within these
    neither, but its family has some            those of its instance family (m5 of m5.large)
    nor that, but the fleet has some            those of the fleet
    no targets at all                           what the DaemonSet's template says

Nothing is borrowed that holds no more than what did harm to the group itself.

A table is never changed, only replaced as a whole, so it is read from any thread without a lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from ippolicy.api import EnvKey
from ippolicy.decide.back_off import no_more_generous
from ippolicy.decide.environment import as_env
from ippolicy.decide.types import NO_PROOF, Proof
from ippolicy.ipamd import WarmTargets

TEMPLATE = ""
"""The digest of whoever has the values of the DaemonSet's template."""

OWN = "group"
"""The source of what a group has of its own."""

_DIGEST_LENGTH = 10
_RULING = (EnvKey.WARM_IP_TARGET.value, EnvKey.MINIMUM_IP_TARGET.value)


@dataclass(frozen=True, slots=True)
class GroupTargets:
    """Targets for the pods of some nodes.

    `revision` counts up with each change of them. `env` maps env key -> value, None for an entry
    that must not be there, since it would rule over those that are set. `digest` stands for `env`.
    """

    targets: WarmTargets
    revision: int
    env: Mapping[str, str | None] = field(init=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        env: dict[str, str | None] = dict.fromkeys(_RULING) | as_env(self.targets)
        object.__setattr__(self, "env", MappingProxyType(env))
        object.__setattr__(self, "digest", digest_of(env))

    def followed_by(self, targets: WarmTargets) -> GroupTargets:
        """The same for what is the same in the env, else the next revision."""
        wanted = GroupTargets(targets, self.revision + 1)
        return self if wanted.digest == self.digest else wanted


class Stage(StrEnum):
    """How far a trial is."""

    CANARY = "Canary"  # one node, or a few of many
    SHARE = "Share"  # a part of the group
    PROMOTED = "Promoted"  # whoever is born; watched, and may still be undone


@dataclass(frozen=True, slots=True)
class Grounds:
    """Why a trial was begun, at `begun_s`, and what it is to be held against.

    `reason` is that of the decision, `before` what pods of the group were born with until then, env
    key -> value, None for absent.
    """

    begun_s: float = 0.0
    reason: str = ""
    before: Mapping[str, str | None] = field(default_factory=dict)
    proof: Proof = NO_PROOF


@dataclass(frozen=True, slots=True)
class Trial:
    """Targets that a group tries, since `since_s` in this stage.

    `nodes` are to try them, none once all are. `urgent` says that the group is in need of them.
    """

    targets: GroupTargets
    stage: Stage
    since_s: float
    nodes: tuple[str, ...] = ()
    grounds: Grounds = Grounds()
    urgent: bool = False

    def takes(self, node: str) -> bool:
        """Whether a pod that is born on this node now tries them."""
        return self.stage is Stage.PROMOTED or node in self.nodes


@dataclass(frozen=True, slots=True)
class Refused:
    """Targets whose trial did harm, `times` so far; none like them is tried before `until_s`.

    Unless what they were decided on, its `basis`, is another by then. `cause` is the guard with its
    figures.
    """

    targets: GroupTargets
    until_s: float
    times: int
    basis: str
    cause: str


@dataclass(frozen=True, slots=True)
class Restart:
    """A node whose aws-node is to be made anew, written down before it is asked for.

    `uid` is that of the pod that was to go, `digest` of the targets that its successor was to be
    born with. An entry stays where the successor has others: `times` says how often it was tried.
    """

    uid: str
    digest: str
    at_s: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class NodePlace:
    """What the targets of a node go by: its group and its EC2 instance type."""

    group: str
    instance_type: str


@dataclass(frozen=True, slots=True)
class Found:
    """The targets for a node; `source` says whose they are: "group", "family m5" or "fleet"."""

    group: str
    targets: GroupTargets
    source: str

    @property
    def borrowed(self) -> bool:
        """Whether the group itself has never tried them."""
        return self.source != OWN


@dataclass(frozen=True, slots=True)
class PolicyTable:
    """All that one policy has its pods born with.

    `groups` are proven targets by group, `families` and `fleet` what is lent of them. `trials` are
    under way, `refused` those that did harm, newest last, and `restarts` those of nodes, by name.
    `since_s` is when it was last changed which pods are born with what. `loans` are what groups
    with bounds of their own borrow.
    """

    policy: str
    groups: Mapping[str, GroupTargets] = field(default_factory=dict)
    families: Mapping[str, GroupTargets] = field(default_factory=dict)
    fleet: GroupTargets | None = None
    trials: Mapping[str, Trial] = field(default_factory=dict)
    refused: Mapping[str, tuple[Refused, ...]] = field(default_factory=dict)
    restarts: Mapping[str, Restart] = field(default_factory=dict)
    since_s: float = 0.0
    loans: Mapping[str, GroupTargets] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("groups", "families", "trials", "refused", "restarts", "loans"):
            frozen: Mapping[str, Any] = MappingProxyType(dict(getattr(self, name)))
            object.__setattr__(self, name, frozen)

    def find(self, place: NodePlace, node: str = "") -> Found | None:
        """The targets for the node of that name at this place; None where the policy has none."""
        trial = self.trials.get(place.group)
        if trial is not None and trial.takes(node):
            return Found(place.group, trial.targets, OWN)
        if own := self.groups.get(place.group):
            return Found(place.group, own, OWN)
        family = family_of(place.instance_type)
        lent = ((self.families.get(family), f"family {family}"), (self.fleet, "fleet"))
        if loan := self.loans.get(place.group):
            lent = ((loan, "within its bounds"), (None, ""))
        for borrowed, source in lent:
            if borrowed is not None and not self._refused_by(place.group, borrowed):
                return Found(place.group, borrowed, source)
        return None

    def newest(self, group: str) -> GroupTargets | None:
        """The targets of the last revision that a group was given, whatever became of them."""
        trial, own = self.trials.get(group), self.groups.get(group)
        known = [trial.targets] if trial else []
        known += [one.targets for one in self.refused.get(group, ())] + ([own] if own else [])
        return max(known, key=lambda targets: targets.revision, default=None)

    def _refused_by(self, group: str, targets: GroupTargets) -> bool:
        return any(
            no_more_generous(targets.env, one.targets.env) for one in self.refused.get(group, ())
        )


def digest_of(env: Mapping[str, str | None]) -> str:
    """What stands for the `env` of some targets."""
    text = ",".join(f"{key}={value}" for key, value in sorted(env.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]


def family_of(instance_type: str) -> str:
    """The instance family of a type: "m5" of "m5.large"; empty for what is no type."""
    family, dot, _ = instance_type.partition(".")
    return family if dot else ""


def most_generous(targets: Iterable[WarmTargets]) -> WarmTargets:
    """The largest of each target."""
    known = tuple(targets)
    return WarmTargets(
        warm_eni=max(each.warm_eni for each in known),
        warm_ip=max(each.warm_ip for each in known),
        minimum_ip=max(each.minimum_ip for each in known),
        warm_prefix=max(each.warm_prefix for each in known),
    )
