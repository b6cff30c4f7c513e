"""What late starts that were measured ask for, whatever the replay says.

Targets under which more starts waited than the objective allows are too lean, and so is all that is
no more generous. For a day after it was measured nothing is chosen but what

    keeps at least one step of WARM_IP_TARGET more to spare, or as much as the bounds let it and
    one step of MINIMUM_IP_TARGET more, and has no smaller MINIMUM_IP_TARGET

so that the next choice goes up at once, as a VPA does after a container ran out of memory. It rests
on what was measured under which targets, never on what was chosen before: once more generous
targets are in force, only what goes wrong under those raises the floor again. A node whose pod was
born with targets of its own counts for those alone. The day slides: with no more late starts, those
that were counted leave it one by one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from types import MappingProxyType
from typing import Final

from ippolicy.api import Bounds
from ippolicy.decide.signals import KEPT_S
from ippolicy.facts import InForce, NodeTrace, Ran, Signals, Snapshot
from ippolicy.ipamd import PoolSettings, WarmTargets
from ippolicy.ipamd.shape import ADDRESSES_PER_PREFIX

MEASURED: Final = "late starts that were measured"
_NONE: Final[Mapping[str | None, float]] = MappingProxyType({})
NO_EVIDENCE: Final = 1  # late starts beyond the limit; as in the replay of a group


@dataclass(frozen=True, slots=True)
class Floor:
    """Targets that were too lean, as addresses that they keep spare and that they hold at least."""

    spare: int
    minimum: int

    def allows(self, spare: int, minimum: int, bounds: Bounds) -> bool:
        """Whether targets are more generous, as far as `bounds` let them be."""
        most_spare, most_held = bounds.warm_ip_target.max, bounds.minimum_ip_target.max
        if minimum < min(self.minimum, most_held):
            return False
        at_bound = most_spare <= min(self.spare, spare)
        return spare > self.spare or (at_bound and minimum >= min(self.minimum + 1, most_held))

    def raised(self, targets: WarmTargets, bounds: Bounds) -> WarmTargets:
        """The least targets above both `targets` and this, a step being a quarter or one."""
        warm, minimum = bounds.warm_ip_target.max, bounds.minimum_ip_target.max
        step = self.spare + max(1, self.spare // 4)
        held = self.minimum + (self.spare >= warm)
        return replace(
            targets,
            warm_ip=min(max(targets.warm_ip, step), warm),
            minimum_ip=min(max(targets.minimum_ip, held), minimum),
        )

    def and_(self, other: Floor | None) -> Floor:
        """What allows only what both allow."""
        if other is None:
            return self
        return Floor(max(self.spare, other.spare), max(self.minimum, other.minimum))


@dataclass(frozen=True, slots=True)
class Floors:
    """The floor for all nodes together, and that of each group that has one."""

    fleet: Floor | None = None
    groups: Mapping[str, Floor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TooLean:
    """`late` of `starts` pods waited under `targets`, in `group` (None: in all together)."""

    group: str | None
    targets: WarmTargets
    late: int
    starts: int


def too_lean(
    signals: Signals,
    traces: Sequence[NodeTrace],
    *,
    limit: float,
    now_s: float,
    limits: Mapping[str | None, float] = _NONE,
) -> list[TooLean]:
    """What more than `limit` (a share), or that of a group in `limits`, of the starts waited under,
    in the last day."""
    if not signals.late:
        return []
    times = _Times(signals, now_s)
    late: dict[_Stretch, Counter[str | None]] = {each: Counter() for each, *_ in times.of_all}
    for one in signals.late:
        for stretch, since_s, until_s in times.of(one.node):
            if since_s <= one.at_s < until_s:
                counts = late.setdefault(stretch, Counter())
                counts[one.group] += one.pods
                counts[None] += one.pods
    starts = _starts(traces, times, {stretch for stretch, counts in late.items() if counts})
    return [
        TooLean(group, stretch.targets, count, max(count, round(starts[stretch, group])))
        for stretch, counts in late.items()
        for group, count in counts.items()
        if count > limits.get(group, limit) * max(count, starts[stretch, group]) + NO_EVIDENCE
    ]


def floors_of(found: Iterable[TooLean], snapshot: Snapshot, settings: PoolSettings) -> Floors:
    """The floors that keep clear of all that was found too lean.

    What is too lean for a group is so for the fleet that it is part of.
    """
    fleet: Floor | None = None
    groups: dict[str, Floor] = {}
    for one in found:
        floor = Floor(*keeps(one.targets, slots_of(snapshot, one.group), settings))
        fleet = floor.and_(fleet)
        if one.group is not None:
            groups[one.group] = floor.and_(groups.get(one.group))
    return Floors(fleet, groups)


def keeps(targets: WarmTargets, slots: int, settings: PoolSettings) -> tuple[int, int]:
    """Addresses that targets keep spare and hold at least, on ENIs of `slots` addresses."""
    if targets.counts_addresses:
        return targets.warm_ip, targets.minimum_ip
    if settings.prefix_delegation:
        return ADDRESSES_PER_PREFIX * targets.warm_prefix, 0
    return targets.warm_eni * slots, 0


def slots_of(snapshot: Snapshot, group: str | None) -> int:
    """Addresses of the smallest ENI among the nodes of a group: a spare one is at least that."""
    types = {node.instance_type for node in snapshot.nodes if group in (None, node.group)}
    return min((snapshot.limits[kind].slots for kind in types & snapshot.limits.keys()), default=1)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What is counted together: all that ran with the template's targets since `since_s`, or (None)
    all that ran with targets of their own, whenever."""

    targets: WarmTargets
    since_s: float | None


_Span = tuple[_Stretch, float, float]
"""A stretch, and from when to when it was on a node, in seconds since the epoch."""


class _Times:
    """What each node ran with in the last day, and when."""

    def __init__(self, signals: Signals, now_s: float) -> None:
        self._horizon_s = now_s - KEPT_S
        ends = (*signals.in_force, InForce(inf, WarmTargets()))
        self.of_all: list[_Span] = [
            (_Stretch(one.targets, one.since_s), max(one.since_s, self._horizon_s), after.since_s)
            for one, after in pairwise(ends)
            if after.since_s > self._horizon_s
        ]
        self._own: dict[str, list[Ran]] = defaultdict(list)
        for ran in signals.ran:
            self._own[ran.node].append(ran)

    def of(self, node: str) -> list[_Span]:
        """Those of one node, in no order; the template's where it had none of its own."""
        spans = self.of_all
        if node not in self._own:
            return spans
        for ran in self._own[node]:
            until_s = inf if ran.until_s is None else ran.until_s
            spans = [part for span in spans for part in _without(span, ran.since_s, until_s)]
            own = (_Stretch(ran.targets, None), max(ran.since_s, self._horizon_s), until_s)
            spans.append(own)
        return spans


def _without(span: _Span, since_s: float, until_s: float) -> Iterable[_Span]:
    """What is left of a span outside some time."""
    stretch, first_s, last_s = span
    for start_s, end_s in ((first_s, min(last_s, since_s)), (max(first_s, until_s), last_s)):
        if start_s < end_s:
            yield stretch, start_s, end_s


def _starts(
    traces: Iterable[NodeTrace], times: _Times, wanted: Collection[_Stretch]
) -> Mapping[tuple[_Stretch, str | None], float]:
    """Pods that started in each stretch, by group and (None) in all."""
    starts: dict[tuple[_Stretch, str | None], float] = defaultdict(float)
    for trace in traces:
        for stretch, since_s, until_s in times.of(trace.node):
            if stretch in wanted:
                count = trace.weight * int((trace.between(since_s, until_s).changes > 0).sum())
                starts[stretch, trace.group] += count
                starts[stretch, None] += count
    return starts
