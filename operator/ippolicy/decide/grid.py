"""The settings that are tried: all within what may be written, none that is a trap.

    mode          tried
    ------------  ------------------------------------------------------------------------------
    addresses     WARM_IP_TARGET x MINIMUM_IP_TARGET, WARM_IP at least 1
    prefixes      the same, MINIMUM in whole /28s; and WARM_PREFIX_TARGET alone, at least 1, where
                  the env has no WARM_IP and MINIMUM and the entry is ours to write
    either        the settings in force, so that leaving things as they are is an option too

Where nodes run with targets of their own, what is in force is a mixture, number 0, which is judged
as such and never chosen; the settings that it is made of follow it.

WARM_ENI_TARGET is never written: it has no bounds, and WARM_IP and MINIMUM put it aside. Nor are
WARM_IP and MINIMUM ever taken away, which would bring WARM_ENI's whole spare ENI back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import numpy as np

from ippolicy.api import Bounds
from ippolicy.decide.trials import Indexes
from ippolicy.decide.units import Unit
from ippolicy.ipamd import PoolSettings, WarmTargets
from ippolicy.ipamd.shape import ADDRESSES_PER_PREFIX

_WARM = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32)
_WARM_IN_PREFIXES = (*range(1, 9), 10, 12, 14, 15, 16, 17, 20, 24, 28, 31, 32)
_MINIMUM_STEPS = 12
_SPARE_ABOVE_PEAK = 16
_GROUPS_WITH_STEPS = 6
_COARSE: Final = 2  # every second value of each target

Values = tuple[int, int]
"""WARM_IP_TARGET and MINIMUM_IP_TARGET of a setting."""


class Stand(Enum):
    """Where a setting stands to the grid."""

    IN = "in"  # one of its points, if it counts addresses at all
    BESIDE = "beside"  # in force on some nodes, wherever the lines of the grid are
    MIXED = "mixed"  # no setting: what is in force, on each node its own


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting to try; `writable` says that it lies within the bounds."""

    targets: WarmTargets
    writable: bool
    stand: Stand = Stand.IN

    @property
    def values(self) -> Values | None:
        """Its values of the two targets; None where it has no such."""
        targets = self.targets
        if not targets.warm_ip or self.stand is Stand.MIXED:
            return None
        return targets.warm_ip, targets.minimum_ip

    @property
    def place(self) -> Values | None:
        """Its place in the grid; None for what stands beside it."""
        return self.values if self.stand is Stand.IN else None


def candidates(
    units: Sequence[Unit],
    present: PoolSettings,
    bounds: Bounds,
    *,
    anchor: WarmTargets,
    may_write_prefix: bool,
    in_force: Sequence[WarmTargets] = (),
    other_bounds: Sequence[Bounds] = (),
) -> list[Candidate]:
    """What is in force first, then what else is tried, each once.

    In force is `present`, or a mixture of several targets `in_force`. The grid reaches beyond the
    bounds, so that it can be said what they cost, and has the corners of all `other_bounds`. It is
    sure to have the values of `anchor`.
    """
    every = (bounds, *other_bounds)
    warm = _warm_ladder(present, every, anchor.warm_ip)
    minimum = _minimum_ladder(units, present, every, anchor.minimum_ip)
    found = _in_force(present, bounds, in_force)
    taken = {candidate.values for candidate in found}
    prefixes = {c.targets.warm_prefix for c in found if c.stand is not Stand.MIXED}
    found += [
        candidate((w, m), present, bounds) for w in warm for m in minimum if (w, m) not in taken
    ]
    if present.prefix_delegation and may_write_prefix and not present.targets.counts_addresses:
        limits = bounds.warm_prefix_target
        found += [
            Candidate(replace(present.targets, warm_prefix=p), writable=True)
            for p in range(limits.min, limits.max + 1)
            if p not in prefixes
        ]
    return found


def candidate(values: Values, present: PoolSettings, bounds: Bounds) -> Candidate:
    """The setting of the grid with these values."""
    warm, minimum = values
    targets = replace(present.targets, warm_ip=warm, minimum_ip=minimum)
    return Candidate(targets, _within(warm, minimum, bounds))


def step_of_minimum(present: PoolSettings) -> int:
    """By how much MINIMUM_IP_TARGET must differ to make a difference."""
    return ADDRESSES_PER_PREFIX if present.prefix_delegation else 1


def coarse(tried: Sequence[Candidate], other_bounds: Sequence[Bounds] = ()) -> Indexes:
    """The numbers of every second value of each target and of its last, of the corners of what is
    writable and of `other_bounds`, the setting in force, and all that stands beside the grid."""
    places = [c.place for c in tried]
    few: list[set[int]] = []
    for axis in (0, 1):
        values = sorted({place[axis] for place in places if place is not None})
        allowed = [c.place[axis] for c in tried if c.writable and c.place is not None]
        corners = [allowed, *(_between(values, bounds, axis) for bounds in other_bounds)]
        ends = {end(each) for each in corners if each for end in (min, max)}
        few.append({*_every_second(values), *ends})
    keep = [
        number
        for number, place in enumerate(places)
        if number == 0 or place is None or (place[0] in few[0] and place[1] in few[1])
    ]
    return np.array(keep, dtype=np.int64)


def _between(values: Sequence[int], bounds: Bounds, axis: int) -> list[int]:
    limits = (bounds.warm_ip_target, bounds.minimum_ip_target)[axis]
    return [value for value in values if limits.min <= value <= limits.max]


def _every_second(values: Sequence[int]) -> list[int]:
    return [*values[:-1:_COARSE], *values[-1:]]


def bound_between(free: WarmTargets, bounds: Bounds) -> str:
    """The bound that `free` does not keep: "bounds.warmIPTarget.max"."""
    for name, value, limits in (
        ("warmIPTarget", free.warm_ip, bounds.warm_ip_target),
        ("minimumIPTarget", free.minimum_ip, bounds.minimum_ip_target),
    ):
        if not limits.min <= value <= limits.max:
            return f"bounds.{name}.{'max' if value > limits.max else 'min'}"
    return "bounds"


def _within(warm: int, minimum: int, bounds: Bounds) -> bool:
    w, m = bounds.warm_ip_target, bounds.minimum_ip_target
    return w.min <= warm <= w.max and m.min <= minimum <= m.max


def _in_force(
    present: PoolSettings, bounds: Bounds, targets: Sequence[WarmTargets]
) -> list[Candidate]:
    if not targets:
        return [Candidate(present.targets, _stays(present, bounds))]
    return [Candidate(present.targets, writable=False, stand=Stand.MIXED)] + [
        Candidate(one, may_write(one, present, bounds), Stand.BESIDE) for one in targets
    ]


def may_write(targets: WarmTargets, present: PoolSettings, bounds: Bounds) -> bool:
    """Whether targets lie within the bounds, and are no trap."""
    return _stays(replace(present, targets=targets), bounds)


def _stays(present: PoolSettings, bounds: Bounds) -> bool:
    """Whether the setting in force may stay: it is no trap, and the bounds allow what they are on.

    The bounds are silent on WARM_ENI.
    """
    targets = present.targets
    if targets.counts_addresses:
        return _within(targets.warm_ip, targets.minimum_ip, bounds)
    if present.prefix_delegation:
        limits = bounds.warm_prefix_target
        return limits.min <= targets.warm_prefix <= limits.max
    return targets.warm_eni > 0


def _warm_ladder(present: PoolSettings, every: Sequence[Bounds], anchor: int) -> list[int]:
    usual = _WARM_IN_PREFIXES if present.prefix_delegation else _WARM
    values = {*usual, anchor, present.targets.warm_ip}
    for limits in (bounds.warm_ip_target for bounds in every):
        doubled = range(2 * usual[-1], limits.max, usual[-1])
        values |= {*doubled[:4], limits.min, limits.max}
    return sorted(value for value in values if value >= 1)


def _minimum_ladder(
    units: Sequence[Unit], present: PoolSettings, every: Sequence[Bounds], anchor: int
) -> list[int]:
    peak = max((unit.peak for unit in units), default=0)
    top = peak + _SPARE_ABOVE_PEAK
    if present.prefix_delegation:
        most = min(top, 16 * ADDRESSES_PER_PREFIX)
        steps: Iterable[int] = range(0, most + ADDRESSES_PER_PREFIX, ADDRESSES_PER_PREFIX)
        values = {*steps, *range(0, 9 * ADDRESSES_PER_PREFIX, ADDRESSES_PER_PREFIX)}
    else:
        steps = (round(step) for step in np.linspace(0, top, _MINIMUM_STEPS))
        values = {*steps, *_group_levels(units), anchor}
    most = max(values)
    for limits in (bounds.minimum_ip_target for bounds in every):
        values |= {limits.min, min(limits.max, most)}
    values.add(present.targets.minimum_ip)
    return sorted(values)


def _group_levels(units: Sequence[Unit]) -> set[int]:
    """Peaks and usual levels of the groups with most units: where their own best lies."""
    groups: dict[str, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.group, []).append(unit)
    largest = sorted(groups.values(), key=len, reverse=True)[:_GROUPS_WITH_STEPS]
    return {max(unit.peak for unit in members) for members in largest} | {
        round(float(np.median([unit.mean_level for unit in members]))) for members in largest
    }
