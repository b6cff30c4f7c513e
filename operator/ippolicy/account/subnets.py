"""The subnets of a policy as its status shows them, the tightest first."""

from __future__ import annotations

from ippolicy.account.ahead import exhausted_at, forecasts, headroom_of
from ippolicy.account.words import percent, timestamp
from ippolicy.api.subnet_status import RoomStatus, SplitStatus, SubnetStatus
from ippolicy.decide.subnets.ahead import Ahead
from ippolicy.decide.subnets.room import rooms
from ippolicy.decide.subnets.split import splits
from ippolicy.facts import PrefixRoom, Snapshot, SubnetFacts, SubnetSplit

MAX_SUBNETS = 100
MAX_SPLITS = 20


def tightest_first(snapshot: Snapshot) -> list[SubnetFacts]:
    """The subnets by the share of their usable addresses that is free."""
    return sorted(snapshot.subnets, key=lambda s: (s.free / max(1, s.usable), s.subnet_id))


def subnet_statuses(snapshot: Snapshot, ahead: Ahead | None = None) -> tuple[SubnetStatus, ...]:
    """At most `MAX_SUBNETS` subnets, the first `MAX_SPLITS` of them with split, room and headroom,
    and when each will be exhausted."""
    forecast_of = forecasts(ahead)
    split_of, room_of = splits(snapshot), rooms(snapshot)
    found = []
    for rank, subnet in enumerate(tightest_first(snapshot)[:MAX_SUBNETS]):
        key = subnet.subnet_id
        if rank < MAX_SPLITS:
            status = _subnet(subnet, split_of.get(key), room_of.get(key))
            update = {"headroom": headroom_of(snapshot, ahead, key)}
        else:
            status, update = _subnet(subnet, None, None), {}
        left = exhausted_at(forecast_of.get(key), snapshot.taken_at_s)
        found.append(status.model_copy(update={**update, "exhausted_at": left}))
    return tuple(found)


def _subnet(
    subnet: SubnetFacts, split: SubnetSplit | None, room: PrefixRoom | None
) -> SubnetStatus:
    return SubnetStatus(
        id=subnet.subnet_id,
        zone=subnet.zone,
        cidr=subnet.cidr,
        free=subnet.free,
        usable=subnet.usable,
        read_time=timestamp(subnet.read_at_s),
        uses=tuple(use.value for use in subnet.uses),
        split=None if split is None else _split(split),
        room=None if room is None else _room(room),
    )


def _split(split: SubnetSplit) -> SplitStatus:
    return SplitStatus(
        held=split.held,
        prefixes=split.prefixes,
        parts=split.parts(),
        read_time=timestamp(split.read_at_s),
    )


def _room(room: PrefixRoom) -> RoomStatus:
    return RoomStatus(
        blocks=room.free_blocks,
        reserved_blocks=room.reserved_blocks,
        fragmentation=percent(room.fragmentation),
        refusals=room.refusals,
    )
