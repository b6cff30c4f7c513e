"""What each node's aws-node runs with: the targets that its pod was born with, else the template's.

    the aws-node pod of a node                its targets in force
    ----------------------------------------  ------------------------------------------------
    has the labels of the webhook             those in its own env; a key that is not there is
                                              as ipamd has it then
    has none, or is not there yet             those of the DaemonSet's template

All else (prefix mode, cooldown, custom networking) is as the template has it on every node. Targets
that ipamd puts aside are taken for those of the template, so that alike ones are equal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ippolicy.decide.environment import rule_alike
from ippolicy.facts import NodeFacts, Snapshot
from ippolicy.ipamd import PoolSettings, WarmTargets


@dataclass(frozen=True, slots=True)
class Run:
    """So many `nodes` run with `targets`."""

    targets: WarmTargets
    nodes: int


@dataclass(frozen=True, slots=True)
class Running:
    """`base` is what the template says; `own` maps node -> its targets, where they are others."""

    base: PoolSettings
    own: Mapping[str, WarmTargets] = field(default_factory=dict)

    def targets_of(self, node: str) -> WarmTargets:
        """The targets in force on a node."""
        return self.own.get(node, self.base.targets)

    def settings_of(self, node: str) -> PoolSettings:
        """The settings in force on a node."""
        own = self.own.get(node)
        return self.base if own is None else replace(self.base, targets=own)

    def among(self, nodes: Iterable[NodeFacts]) -> tuple[Run, ...]:
        """The targets in force on some nodes, those of most nodes first."""
        counts = Counter(self.targets_of(node.name) for node in nodes)
        return tuple(Run(targets, count) for targets, count in counts.most_common())

    def by_group(self, nodes: Iterable[NodeFacts]) -> dict[str, tuple[Run, ...]]:
        """`among` the nodes of each group; nothing at all where all have the template's."""
        members: dict[str, list[NodeFacts]] = defaultdict(list)
        for node in nodes:
            members[node.group].append(node)
        found = {group: self.among(each) for group, each in sorted(members.items())}
        plain = self.base.targets
        if all(run.targets == plain for runs in found.values() for run in runs):
            return {}
        return found


def running_of(snapshot: Snapshot, base: PoolSettings) -> Running:
    """What the nodes of a snapshot run with; `base` is what the DaemonSet's template says."""
    known: dict[tuple[tuple[str, str], ...], WarmTargets] = {}
    own = {}
    for node, agent in snapshot.agents.items():
        if agent.birth is None:
            continue
        key = tuple(sorted(agent.targets.items()))
        if key not in known:
            known[key] = _ruling(PoolSettings.from_env(agent.targets).targets, base)
        if known[key] != base.targets:
            own[node] = known[key]
    return Running(base, own)


def _ruling(targets: WarmTargets, base: PoolSettings) -> WarmTargets:
    """`targets` with those of the template in the place of what ipamd puts aside."""
    if rule_alike(targets, base.targets, prefixes=base.prefix_delegation):
        return base.targets
    if targets.counts_addresses:
        return replace(base.targets, warm_ip=targets.warm_ip, minimum_ip=targets.minimum_ip)
    if base.prefix_delegation:
        return replace(targets, warm_eni=base.targets.warm_eni)
    return replace(targets, warm_prefix=base.targets.warm_prefix)
