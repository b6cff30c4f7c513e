"""What is ahead of each subnet and zone: how long its addresses last, now and at the leanest.

Three things are read of subnets, and a history is kept of each:

    SUBNET-ID         free addresses, as EC2 counts them
    zone/NAME         the same, of all subnets of a zone together
    room/SUBNET-ID    free addresses and those idle on our own nodes: what pods could still have,
                      whatever the targets; at most what the quota leaves beside our pods
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ippolicy.api import IPPolicy
from ippolicy.decide.subnets.brake import RELEASE_S, RoomAt, SubnetRoom, leanest
from ippolicy.decide.subnets.forecast import Forecast, foreseen, least_ahead
from ippolicy.decide.subnets.history import FreeHistory, Histories, Reading
from ippolicy.decide.subnets.placement import assigned_now, idle_now, idle_with, shares
from ippolicy.decide.subnets.trend import Trend, trend_of
from ippolicy.facts import Snapshot, SubnetFacts
from ippolicy.ipamd import PoolSettings

Found = TypeVar("Found")

MINUTE_S = 60.0
LOOKS_S = 600.0
"""Every so often in the last hour it is asked what was to come."""


@dataclass(frozen=True, slots=True)
class SubnetOutlook:
    """One subnet: `free` is when it will be exhausted as things are, `leanest` when even the
    leanest targets within the bounds leave none; each None where too little was seen. `room` is
    what the brake goes by."""

    subnet_id: str
    zone: str
    free: Forecast | None
    leanest: Forecast | None
    room: SubnetRoom | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is ahead of all subnets, and of each zone by name as things are."""

    subnets: tuple[SubnetOutlook, ...]
    zones: Mapping[str, Forecast | None]

    @property
    def rooms(self) -> tuple[SubnetRoom, ...]:
        """What the brake goes by."""
        return tuple(one.room for one in self.subnets if one.room is not None)


def readings(snapshot: Snapshot, present: PoolSettings, quota: int | None) -> list[Reading]:
    """What `snapshot` tells of subnets, zones and rooms; `present` are the settings in force."""
    placed = shares(snapshot)
    idle, assigned = idle_now(snapshot, placed, present), assigned_now(snapshot, placed)
    zones: dict[str, list[SubnetFacts]] = defaultdict(list)
    found = []
    for subnet in snapshot.subnets:
        zones[subnet.zone].append(subnet)
        room = subnet.free + idle.get(subnet.subnet_id, 0.0)
        if quota is not None:
            room = min(room, quota - assigned.get(subnet.subnet_id, 0.0))
        found += [
            Reading(subnet.subnet_id, subnet.read_at_s, subnet.free),
            Reading(_room(subnet.subnet_id), subnet.read_at_s, max(0, round(room))),
        ]
    for zone, members in zones.items():
        newest_s = max(subnet.read_at_s for subnet in members)
        found.append(Reading(_zone(zone), newest_s, sum(subnet.free for subnet in members)))
    return found


class Outlooks:
    """The outlook from some histories; what was found for a minute is not found anew in it."""

    def __init__(self, histories: Histories) -> None:
        self._histories = histories
        self._kept: dict[Hashable, Any] = {}
        self._used: dict[Hashable, Any] = {}

    def of(self, snapshot: Snapshot, policy: IPPolicy, present: PoolSettings) -> Outlook:
        """What is ahead of the subnets of `snapshot`."""
        self._used = {}
        targets = leanest(policy, present.targets)
        idle = idle_with(snapshot, shares(snapshot), present, targets)
        subnets = tuple(
            self._subnet(subnet, policy, math.ceil(idle.get(subnet.subnet_id, 0.0)))
            for subnet in snapshot.subnets
        )
        zones = sorted({subnet.zone for subnet in snapshot.subnets})
        outlook = Outlook(subnets, {zone: self._forecast(_zone(zone), 1) for zone in zones})
        self._kept = self._used
        return outlook

    def _subnet(self, subnet: SubnetFacts, policy: IPPolicy, idle: int) -> SubnetOutlook:
        subnet_id = subnet.subnet_id
        return SubnetOutlook(
            subnet_id=subnet_id,
            zone=subnet.zone,
            free=self._forecast(subnet_id, 1),
            leanest=self._forecast(_room(subnet_id), idle + 1),
            room=self._room(subnet, policy),
        )

    def _room(self, subnet: SubnetFacts, policy: IPPolicy) -> SubnetRoom | None:
        name, spec = _room(subnet.subnet_id), policy.spec.subnets
        history = self._histories.get(name)
        if history is None:
            return None
        within_s = spec.brake.exhausted_within.seconds
        return SubnetRoom(
            subnet_id=subnet.subnet_id,
            size=subnet.usable if spec.quota is None else min(subnet.usable, spec.quota),
            moments=tuple(
                RoomAt(at_s, room, self._least_ahead(name, history, at_s, within_s))
                for at_s in _moments(history)
                if (room := history.calm_at(at_s)) is not None
            ),
        )

    def _forecast(self, name: str, needed: int) -> Forecast | None:
        history = self._histories.get(name)
        if history is None:
            return None
        free, at_s = history.last_free, _minute(history)
        trend = self._trend(name, history, at_s)
        if trend is None:
            return None
        return self._once(
            (name, at_s, free < needed, needed), lambda: foreseen(trend, free, needed)
        )

    def _least_ahead(
        self, name: str, history: FreeHistory, at_s: float, within_s: float
    ) -> float | None:
        """The least room that was foreseen at `at_s`; None where it is not asked for."""

        def find() -> float | None:
            trend = self._trend(name, history, at_s)
            return None if trend is None else least_ahead(trend, within_s)

        return self._once((name, at_s, "least", within_s), find) if within_s else None

    def _trend(self, name: str, history: FreeHistory, at_s: float) -> Trend | None:
        return self._once((name, at_s), lambda: trend_of(history.rungs(until_s=at_s), at_s))

    def _once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        if key not in self._kept:
            self._kept[key] = find()
        self._used[key] = self._kept[key]
        found: Found = self._kept[key]
        return found


def _moments(history: FreeHistory) -> tuple[float, ...]:
    """Now, to the minute, and full steps of the hour before."""
    now_s = _minute(history)
    steps = range(math.ceil((now_s - RELEASE_S) / LOOKS_S), math.ceil(now_s / LOOKS_S))
    return (*(step * LOOKS_S for step in steps), now_s)


def _minute(history: FreeHistory) -> float:
    return history.last_at_s - history.last_at_s % MINUTE_S


def _room(subnet_id: str) -> str:
    return f"room/{subnet_id}"


def _zone(zone: str) -> str:
    return f"zone/{zone}"
