"""Node headroom: how many more nodes fit, and what the loss of a zone would ask of the others.

A node that joins takes what its pool comes to rest at with the pods that nodes of its group have,
or its first fill where that is more. In prefix mode it needs whole /28 blocks, too.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from types import MappingProxyType
from typing import Final

from ippolicy.decide.predict import shape_of
from ippolicy.decide.running import running_of
from ippolicy.decide.subnets.placement import idle_now, idle_with, shares
from ippolicy.facts import NodeFacts, PrefixRoom, Snapshot, SubnetFacts
from ippolicy.facts.network import SubnetUse
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.steady import steady_state

_NONE: Final[Mapping[str, WarmTargets]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class NodeNeed:
    """What one more node takes: all addresses, its ENIs' own among them, and the ENIs and whole
    /28 prefixes within them."""

    addresses: int
    enis: int
    prefixes: int


@dataclass(frozen=True, slots=True)
class Fit:
    """`nodes` more nodes fit, each of which takes `each` addresses here."""

    nodes: int
    each: int


@dataclass(frozen=True, slots=True)
class Headroom:
    """How many more nodes of `group` fit into a subnet: with the settings in force, and with the
    recommended targets once what they give back is free."""

    subnet_id: str
    group: str
    pods_per_node: int
    present: Fit
    recommended: Fit


@dataclass(frozen=True, slots=True)
class Refuge:
    """Whether the other zones can take in what a zone has: `needed` addresses, spread evenly over
    them, of `free`; `short` are missing, counted in each zone."""

    needed: int
    free: int
    short: int


@dataclass(frozen=True, slots=True)
class ZoneLoss:
    """What the loss of a zone with so many nodes and pods would do."""

    zone: str
    nodes: int
    pods: int
    present: Refuge
    recommended: Refuge


def node_need(shape: NodeShape, settings: PoolSettings, pods: int) -> NodeNeed:
    """What a node of this shape takes when it joins and then has `pods` pods."""
    states = [steady_state(shape, settings, count) for count in (0, min(pods, shape.max_pods))]
    most = max(states, key=lambda state: state.subnet_addresses)
    return NodeNeed(most.subnet_addresses, most.enis, most.prefixes)


def headroom(
    snapshot: Snapshot,
    present: PoolSettings,
    recommended: WarmTargets,
    rooms: Mapping[str, PrefixRoom],
    of_groups: Mapping[str, WarmTargets] = _NONE,
) -> tuple[Headroom, ...]:
    """For each subnet, each group that has nodes in its zone; `rooms` by subnet id, as far as they
    are known. Groups of unknown instance limits are left out.

    `present` is what the DaemonSet's template says; a group whose nodes have targets of their own
    counts with those of most of them. `of_groups` are recommended for single groups.
    """
    now, then = _Setting.of(snapshot, present, recommended, of_groups)
    groups = _groups(snapshot, prefixes=present.prefix_delegation)
    found = []
    for subnet in snapshot.subnets:
        for group in groups.get(subnet.zone, ()):
            fits = [
                group.fit(setting, subnet, rooms.get(subnet.subnet_id)) for setting in (now, then)
            ]
            if fits[0] is not None and fits[1] is not None:
                found.append(Headroom(subnet.subnet_id, group.name, group.pods, fits[0], fits[1]))
    return tuple(found)


def zone_losses(
    snapshot: Snapshot,
    present: PoolSettings,
    recommended: WarmTargets,
    of_groups: Mapping[str, WarmTargets] = _NONE,
) -> tuple[ZoneLoss, ...]:
    """For each zone with nodes, what its loss would do; its nodes are made anew in the others. The
    settings are as for `headroom`."""
    both = _Setting.of(snapshot, present, recommended, of_groups)
    losses = []
    for zone, groups in _groups(snapshot, prefixes=present.prefix_delegation).items():
        refuges = [_refuge(snapshot, zone, groups, setting) for setting in both]
        losses.append(
            ZoneLoss(
                zone=zone,
                nodes=sum(group.nodes for group in groups),
                pods=sum(group.all_pods for group in groups),
                present=refuges[0],
                recommended=refuges[1],
            )
        )
    return tuple(losses)


@dataclass(frozen=True, slots=True)
class _Setting:
    """Settings, the targets of groups that have others, and what is free in each subnet under
    them."""

    settings: PoolSettings
    own: Mapping[str, WarmTargets]
    free: Mapping[str, float]

    def of_group(self, group: str) -> PoolSettings:
        own = self.own.get(group)
        return self.settings if own is None else replace(self.settings, targets=own)

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        present: PoolSettings,
        recommended: WarmTargets,
        of_groups: Mapping[str, WarmTargets],
    ) -> tuple[_Setting, _Setting]:
        placed = shares(snapshot)
        idle = idle_now(snapshot, placed, present)
        later = idle_with(snapshot, placed, present, recommended, of_groups=of_groups)
        runs = running_of(snapshot, present).by_group(snapshot.nodes)
        free = {subnet.subnet_id: float(subnet.free) for subnet in snapshot.subnets}
        given_back = {
            key: max(0.0, count + idle.get(key, 0.0) - later.get(key, 0.0))
            for key, count in free.items()
        }
        now = cls(present, {group: most.targets for group, (most, *_) in runs.items()}, free)
        return now, cls(replace(present, targets=recommended), of_groups, given_back)


@dataclass(frozen=True, slots=True)
class _Group:
    """The nodes of a group in one zone: `pods` is what each has, rounded up."""

    name: str
    nodes: int
    all_pods: int
    shape: NodeShape | None

    @property
    def pods(self) -> int:
        return math.ceil(self.all_pods / self.nodes)

    def need(self, setting: _Setting) -> NodeNeed | None:
        if self.shape is None:
            return None
        return node_need(self.shape, setting.of_group(self.name), self.pods)

    def fit(self, setting: _Setting, subnet: SubnetFacts, room: PrefixRoom | None) -> Fit | None:
        need = self.need(setting)
        if need is None:
            return None
        each, prefixes = _here(need, setting.settings, subnet), need.prefixes
        nodes = int(setting.free[subnet.subnet_id]) // each
        if room is not None and prefixes and each > 1:
            nodes = min(nodes, room.free_blocks // prefixes)
        return Fit(nodes, each)


def _here(need: NodeNeed, settings: PoolSettings, subnet: SubnetFacts) -> int:
    """Addresses of a node in this subnet: with custom networking, its first ENI is elsewhere."""
    if not settings.custom_networking:
        return need.addresses
    if SubnetUse.ENI_CONFIG in subnet.uses:
        return max(1, need.addresses - 1)
    return 1


def _groups(snapshot: Snapshot, *, prefixes: bool) -> dict[str, list[_Group]]:
    """Zone -> the groups that have nodes there, both in order of their names."""
    members: dict[tuple[str, str], list[NodeFacts]] = defaultdict(list)
    for node in snapshot.nodes:
        members[node.zone, node.group].append(node)
    found: dict[str, list[_Group]] = defaultdict(list)
    for (zone, name), nodes in sorted(members.items(), key=itemgetter(0)):
        found[zone].append(
            _Group(
                name=name,
                nodes=len(nodes),
                all_pods=sum(snapshot.pods_per_node.get(node.name, 0) for node in nodes),
                shape=_usual_shape(snapshot, nodes, prefixes=prefixes),
            )
        )
    return found


def _usual_shape(
    snapshot: Snapshot, nodes: Sequence[NodeFacts], *, prefixes: bool
) -> NodeShape | None:
    shapes = (shape_of(snapshot, node, prefixes=prefixes) for node in nodes)
    usual = Counter(shape for shape in shapes if shape is not None).most_common(1)
    return usual[0][0] if usual else None


def _refuge(snapshot: Snapshot, lost: str, groups: Sequence[_Group], setting: _Setting) -> Refuge:
    needed = 0
    for group in groups:
        need = group.need(setting)
        needed += group.nodes * need.addresses if need is not None else 0
    free: dict[str, float] = defaultdict(float)
    for subnet in snapshot.subnets:
        if subnet.zone != lost:
            free[subnet.zone] += setting.free[subnet.subnet_id]
    each = math.ceil(needed / len(free)) if free else 0
    short = sum(max(0, each - int(count)) for count in free.values()) if free else needed
    return Refuge(needed, int(sum(free.values())), short)
