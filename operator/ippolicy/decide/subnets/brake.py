"""The brake: as subnets run short, targets move toward fewer held addresses, step by step.

    step     choice
    ------   -----------------------------------------------------------------
    0        the objective's
    1, 2     the same with 4 and 16 times the delayed starts that it allows, or a third of the
             way and two to step 3 where that gives nothing back
    3        the leanest that the bounds allow

The first step with which no subnet would be short is taken, or the last one. What matters is the
room of a subnet: all its addresses that no pod uses and nobody else holds, be they free or idle on
our own nodes. Room does not depend on the targets in force, so neither does the step: setting
leaner targets gives back addresses and leaves the pressure where it was, and nothing swings.

With the idle addresses that a step's targets ask for taken off its room, a subnet is short if

    share    less than brake.freeBelow of its addresses (of the quota, if that is less) are left
    time     likely none is left at some moment of the next brake.exhaustedWithin

now or at one of several moments of the last hour, each with the pods and the foresight of its own:
so the brake acts at once, and lets go after an hour without need.
A subnet in which leaner targets would give nothing back is named, and not braked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from ippolicy.api import IPPolicy, Objective, Share
from ippolicy.api.spec import Brake
from ippolicy.ipamd import WarmTargets

RELEASE_S: Final = 3_600.0
"""How long no subnet may have been short before the brake lets go."""
PACE_S: Final = 3_600.0
"""Least time between two changes that the brake makes; no other limit on their pace holds it."""
RELAXED: Final = (1.0, 4.0, 16.0)
LEANEST_STEP: Final = len(RELAXED)
_ALL: Final = 1.0


class Shortage(StrEnum):
    """In what a subnet is short."""

    SHARE = "FreeShareLow"
    TIME = "ExhaustedSoon"


@dataclass(frozen=True, slots=True)
class RoomAt:
    """The room of a subnet at `at_s`, and the least that was likely to come within
    brake.exhaustedWithin, as was seen then; None where too little was."""

    at_s: float
    room: float
    ahead: float | None


@dataclass(frozen=True, slots=True)
class SubnetRoom:
    """The room of a subnet, which no targets change, now (last) and in the hour before.

    `size` are the addresses that can be used, at most the quota.
    """

    subnet_id: str
    size: int
    moments: tuple[RoomAt, ...]


Idle = Mapping[float, Mapping[str, float]]
"""At what moment -> subnet id -> idle addresses that some targets would have kept there."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """A subnet that is short: at the worst moment, `left` addresses of `size` with the targets that
    the objective alone would have, after `needed` idle ones. `relieved` says that the braked
    targets end it."""

    subnet_id: str
    shortage: Shortage
    size: int
    left: float
    needed: float
    relieved: bool = False


@dataclass(frozen=True, slots=True)
class Braking:
    """How hard the brake is on: `step` of `LEANEST_STEP`, because of `pressures`."""

    step: int
    pressures: tuple[Pressure, ...]

    def text(self) -> str:
        """Which subnet is short of what, and what is done about it."""
        if not self.pressures:
            return "no subnet is short of addresses"
        worst = min(self.pressures, key=lambda one: one.left / one.size)
        others = f" and {len(self.pressures) - 1} more" if len(self.pressures) > 1 else ""
        return (
            f"{worst.subnet_id}{others}: {max(0, math.floor(worst.left))} of {worst.size} addresses"
            f" {_WHEN[worst.shortage]} after {math.ceil(worst.needed)} idle ones:"
            f" brake step {self.step} of {LEANEST_STEP}"
        )


_WHEN: Final = {Shortage.SHARE: "are left", Shortage.TIME: "will be left soon"}


def braking(
    rooms: Sequence[SubnetRoom], idle: Iterator[Idle], leanest_idle: Idle, brake: Brake
) -> Braking:
    """How hard to brake.

    `idle` gives what the targets of each step before the last, in turn, keep idle, and is asked for
    no more steps than are needed; `leanest_idle` is that of the last.
    """
    step, taken = 0, next(idle)
    first = taken
    short = [room for room in rooms if _worst(room, first, brake) is not None]
    while step < LEANEST_STEP and any(
        _worst(room, taken, brake) is not None and _gives_back(room, taken, leanest_idle)
        for room in short
    ):
        step += 1
        taken = leanest_idle if step == LEANEST_STEP else next(idle)
    pressures = (
        replace(pressure, relieved=_worst(room, taken, brake) is None)
        for room in short
        if (pressure := _worst(room, first, brake)) is not None
    )
    return Braking(step, tuple(pressures))


def watching(rooms: Sequence[SubnetRoom], brake: Brake) -> Braking:
    """Which subnets are short where no targets keep anything idle, so that none can brake."""
    nothing: Idle = {at.at_s: {} for room in rooms for at in room.moments}
    return braking(rooms, iter((nothing,)), nothing, brake)


def relaxed(policy: IPPolicy, step: int) -> IPPolicy:
    """`policy` with the limits on delayed starts of a step before the last, and one setting a day:
    what is short now does not wait for its hour."""
    spec = policy.spec
    own = (_relaxed(spec.objective_of(group.name), step) for group in spec.groups)
    update = {
        "objective": spec.objective.model_copy(update=_relaxed(spec.objective, step)),
        "groups": tuple(
            group
            if group.objective is None
            else group.model_copy(update={"objective": group.objective.model_copy(update=limit)})
            for group, limit in zip(spec.groups, own, strict=True)
        ),
        "change": spec.change.model_copy(update={"max_per_day": 1}),
    }
    return replace(policy, spec=spec.model_copy(update=update))


def _relaxed(objective: Objective, step: int) -> dict[str, Share]:
    limit = min(_ALL, objective.delayed_starts_limit * RELAXED[step])
    return {"max_delayed_starts": Share(f"{100 * limit:.4g}%")}


def leanest(policy: IPPolicy, present: WarmTargets) -> WarmTargets:
    """The targets of the last step: the fewest addresses held that the bounds allow."""
    bounds = policy.spec.common_bounds
    return WarmTargets(
        warm_eni=present.warm_eni,
        warm_ip=bounds.warm_ip_target.min,
        minimum_ip=bounds.minimum_ip_target.min,
        warm_prefix=present.warm_prefix,
    )


def _worst(room: SubnetRoom, idle: Idle, brake: Brake) -> Pressure | None:
    """The moment at which a subnet is shortest, if it is at any."""
    found = []
    for at in room.moments:
        needed = idle[at.at_s].get(room.subnet_id, 0.0)
        shortage = _shortage(at, needed, room.size, brake)
        if shortage is not None:
            left = at.room - needed
            found.append(Pressure(room.subnet_id, shortage, room.size, left, needed))
    return min(found, key=lambda one: one.left, default=None)


def _shortage(at: RoomAt, needed: float, size: int, brake: Brake) -> Shortage | None:
    least = brake.free_below.fraction * size
    if least > 0 and at.room - needed < least:
        return Shortage.SHARE
    if at.ahead is None or brake.exhausted_within.seconds == 0:
        return None
    return Shortage.TIME if at.ahead - needed < 1 else None


def _gives_back(room: SubnetRoom, idle: Idle, leanest_idle: Idle) -> bool:
    """Whether leaner targets would free an address there."""
    return any(
        idle[at.at_s].get(room.subnet_id, 0.0) - leanest_idle[at.at_s].get(room.subnet_id, 0.0) >= 1
        for at in room.moments
    )
