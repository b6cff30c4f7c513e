"""Which targets a new aws-node pod gets, held ready in memory: policy and group -> targets.

A table is never changed, only replaced as a whole, so it is read from any thread without a lock.

    the node's group                            its pods get
    ------------------------------------------  ------------------------------------------------
    has targets of its own                      those
    too small or too new, its family has some   those of its instance family (m5 of m5.large)
    neither, but the fleet has some             those of the fleet
    no targets at all                           what the DaemonSet's template says
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ippolicy.api import EnvKey
from ippolicy.decide.environment import as_env
from ippolicy.decide.types import GroupAdvice
from ippolicy.facts import DaemonSetRef
from ippolicy.ipamd import WarmTargets

LEAST_NODES = 2
"""Nodes that a group needs for targets of its own: one node's demand tells little of the next's."""

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
        text = ",".join(f"{key}={value}" for key, value in sorted(env.items()))
        object.__setattr__(self, "env", MappingProxyType(env))
        object.__setattr__(
            self, "digest", hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
        )


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


@dataclass(frozen=True, slots=True)
class PolicyTable:
    """All targets of one policy: by group, by instance family, and for the rest of the fleet."""

    policy: str
    groups: Mapping[str, GroupTargets] = field(default_factory=dict)
    families: Mapping[str, GroupTargets] = field(default_factory=dict)
    fleet: GroupTargets | None = None

    def __post_init__(self) -> None:
        for name in ("groups", "families"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def find(self, place: NodePlace) -> Found | None:
        """The targets for a node; None where the policy has none for it."""
        if own := self.groups.get(place.group):
            return Found(place.group, own, "group")
        family = family_of(place.instance_type)
        if borrowed := self.families.get(family):
            return Found(place.group, borrowed, f"family {family}")
        return Found(place.group, self.fleet, "fleet") if self.fleet else None


class Tables:
    """The tables in force, one a DaemonSet; any thread may read and replace them."""

    def __init__(self) -> None:
        self._tables: Mapping[DaemonSetRef, PolicyTable] = MappingProxyType({})

    def replace(self, tables: Mapping[DaemonSetRef, PolicyTable]) -> None:
        """Put all tables in force at once, in the place of those before: one left out goes."""
        self._tables = MappingProxyType(dict(tables))

    def of(self, namespace: str, name: str) -> PolicyTable | None:
        """The table for a DaemonSet's pods, None where no policy sets their targets."""
        return self._tables.get(DaemonSetRef(namespace, name))


def family_of(instance_type: str) -> str:
    """The instance family of a type: "m5" of "m5.large"; empty for what is no type."""
    family, dot, _ = instance_type.partition(".")
    return family if dot else ""


def table_of(
    policy: str,
    groups: Sequence[GroupAdvice],
    *,
    types: Mapping[str, str],
    fleet: WarmTargets | None,
    former: PolicyTable | None = None,
    least_nodes: int = LEAST_NODES,
) -> PolicyTable:
    """The table that follows from what is recommended for each group.

    `types` maps group -> the instance type of its nodes, and has no groups of several families. A
    group has targets of its own with at least `least_nodes` nodes and sufficient evidence. The
    targets of a family are, one by one, the largest of its groups: who borrows knows its own demand
    least. From `former`, revisions go on, and groups that have no nodes at the moment are kept.
    """
    before = former or PolicyTable(policy)
    own: dict[str, WarmTargets] = {}
    by_family: dict[str, list[WarmTargets]] = defaultdict(list)
    for advice in groups:
        recommended = advice.recommendation
        if advice.nodes < least_nodes or not recommended.evidence.sufficient:
            continue
        own[advice.group] = recommended.targets
        if family := family_of(types.get(advice.group, "")):
            by_family[family].append(recommended.targets)
    families = {name: _largest(targets) for name, targets in by_family.items()}
    return PolicyTable(
        policy,
        groups={**before.groups, **_revised(own, before.groups)},
        families={**before.families, **_revised(families, before.families)},
        fleet=before.fleet if fleet is None else _next(before.fleet, fleet),
    )


def _largest(targets: Sequence[WarmTargets]) -> WarmTargets:
    return WarmTargets(
        warm_eni=max(each.warm_eni for each in targets),
        warm_ip=max(each.warm_ip for each in targets),
        minimum_ip=max(each.minimum_ip for each in targets),
        warm_prefix=max(each.warm_prefix for each in targets),
    )


def _revised(
    wanted: Mapping[str, WarmTargets], before: Mapping[str, GroupTargets]
) -> dict[str, GroupTargets]:
    return {name: _next(before.get(name), targets) for name, targets in wanted.items()}


def _next(before: GroupTargets | None, targets: WarmTargets) -> GroupTargets:
    """The same revision for what is the same in the env, else the next one."""
    if before is None:
        return GroupTargets(targets, 1)
    wanted = GroupTargets(targets, before.revision + 1)
    return before if wanted.digest == before.digest else wanted
