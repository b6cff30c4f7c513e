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
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from zlib import crc32

from ippolicy.api import IPPolicy
from ippolicy.decide.subnets.brake import RELEASE_S, RoomAt, SubnetRoom, leanest
from ippolicy.decide.subnets.forecast import Forecast, foreseen, least_ahead
from ippolicy.decide.subnets.history import FreeHistory, Histories, Reading
from ippolicy.decide.subnets.placement import assigned_now, idle_now, idle_with, shares
from ippolicy.decide.subnets.trend import HOUR_S, Trend, trend_of
from ippolicy.facts import Snapshot, SubnetFacts
from ippolicy.ipamd import PoolSettings

Found = TypeVar("Found")

MINUTE_S = 60.0
LOOKS_S = 600.0
"""Every so often in the last hour it is asked what was to come."""
_MOVED: Final = 0.01
_KEPT: Final = 1 / 30
"""Part of the time watched for which what was found is told on."""


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


@dataclass(frozen=True, slots=True)
class _Look:
    """The minute as of which something was last foreseen, and how many addresses were free then."""

    at_s: float
    free: int


class Outlooks:
    """The outlook from some histories.

    What is ahead is found anew where more than a hundredth of the free addresses came or went
    since, and else after a thirtieth of the time watched, at most ten minutes, not of all subnets
    in the same one: this is what takes time with hundreds of them.
    """

    def __init__(self, histories: Histories) -> None:
        self._histories = histories
        self._looks: dict[str, _Look] = {}
        self._looked: dict[str, _Look] = {}
        self._kept: dict[Hashable, Any] = {}
        self._used: dict[Hashable, Any] = {}

    def of(self, snapshot: Snapshot, policy: IPPolicy, present: PoolSettings) -> Outlook:
        """What is ahead of the subnets of `snapshot`."""
        self._used, self._looked = {}, {}
        targets = leanest(policy, present.targets)
        idle = idle_with(snapshot, shares(snapshot), present, targets)
        subnets = tuple(
            self._subnet(subnet, policy, math.ceil(idle.get(subnet.subnet_id, 0.0)))
            for subnet in snapshot.subnets
        )
        zones = sorted({subnet.zone for subnet in snapshot.subnets})
        outlook = Outlook(subnets, {zone: self._forecast(_zone(zone), 1) for zone in zones})
        self._kept, self._looks = self._used, self._looked
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
        within_s, now_s = spec.brake.exhausted_within.seconds, _minute(history)
        last_s = self._look(name, history).at_s
        return SubnetRoom(
            subnet_id=subnet.subnet_id,
            size=subnet.usable if spec.quota is None else min(subnet.usable, spec.quota),
            moments=tuple(
                RoomAt(at_s, room, self._least_ahead(name, history, seen_s, within_s))
                for at_s, seen_s in (
                    *((past_s, past_s) for past_s in _past(now_s)),
                    (now_s, last_s),
                )
                if (room := history.calm_at(at_s)) is not None
            ),
        )

    def _forecast(self, name: str, needed: int) -> Forecast | None:
        history = self._histories.get(name)
        if history is None:
            return None
        free, at_s = history.last_free, self._look(name, history).at_s
        trend = self._trend(name, history, at_s)
        if trend is None:
            return None
        found = self._once(
            (name, at_s, free < needed, needed), lambda: foreseen(trend, free, needed)
        )
        if found.exhaustion is None:
            return found
        return replace(found, exhaustion=found.exhaustion.after(_minute(history) - at_s))

    def _look(self, name: str, history: FreeHistory) -> _Look:
        """As of when it is told what is ahead."""
        if name not in self._looked:
            now = _Look(_minute(history), history.last_free)
            last = self._looks.get(name, now)
            trend: Trend | None = self._kept.get((name, last.at_s))
            due = trend is None or _is_due(name, trend.watched_h * HOUR_S, last, now)
            self._looked[name] = now if due else last
        return self._looked[name]

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


def _is_due(name: str, watched_s: float, last: _Look, now: _Look) -> bool:
    """Whether it is time to look again."""
    turns = LOOKS_S // MINUTE_S
    return (
        now.at_s - last.at_s >= min(LOOKS_S, _KEPT * watched_s)
        or (now.at_s > last.at_s and now.at_s // MINUTE_S % turns == crc32(name.encode()) % turns)
        or abs(now.free - last.free) > _MOVED * last.free
    )


def _past(now_s: float) -> Iterator[float]:
    """Full steps of the hour before."""
    for step in range(math.ceil((now_s - RELEASE_S) / LOOKS_S), math.ceil(now_s / LOOKS_S)):
        yield step * LOOKS_S


def _minute(history: FreeHistory) -> float:
    return history.last_at_s - history.last_at_s % MINUTE_S


def _room(subnet_id: str) -> str:
    return f"room/{subnet_id}"


def _zone(zone: str) -> str:
    return f"zone/{zone}"
