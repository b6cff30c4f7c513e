"""What is ahead of subnets and zones, as the status shows it and the metrics serve it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ippolicy.account.view import View
from ippolicy.account.words import one_line, timestamp
from ippolicy.api.subnet_status import (
    BrakeStatus,
    CheckStatus,
    DeadEndStatus,
    ExhaustionStatus,
    HeadroomStatus,
    PrefixModeStatus,
    RefugeStatus,
    WayStatus,
    ZoneStatus,
)
from ippolicy.decide.prefixes import PrefixAdvice
from ippolicy.decide.subnets.ahead import Ahead
from ippolicy.decide.subnets.brake import LEANEST_STEP
from ippolicy.decide.subnets.forecast import Forecast
from ippolicy.decide.subnets.headroom import Headroom, Refuge, ZoneLoss
from ippolicy.decide.subnets.wayout import DeadEnd
from ippolicy.facts import Snapshot

MAX_HEADROOM_GROUPS = 5
MAX_DEAD_ENDS = 5
MAX_ZONES = 20
_NAME_LENGTH = 63
_TEXT_LENGTH = 300


def forecasts(ahead: Ahead | None) -> Mapping[str, Forecast | None]:
    """Subnet id -> what is foreseen of its free addresses."""
    return {one.subnet_id: one.free for one in ahead.outlook.subnets} if ahead else {}


def bounds(forecast: Forecast | None, now_s: float) -> Iterator[tuple[str, float]]:
    """(bound, seconds since the epoch) of an exhaustion: early, likely and late, as far as they are
    foreseen."""
    found = forecast.exhaustion if forecast is not None else None
    if found is None:
        return
    yield "early", now_s + found.early_s
    yield "likely", now_s + found.likely_s
    if found.late_s is not None:
        yield "late", now_s + found.late_s


def exhausted_at(forecast: Forecast | None, now_s: float) -> ExhaustionStatus | None:
    """When an exhaustion is foreseen, as the status shows it."""
    found = {bound: timestamp(at_s) for bound, at_s in bounds(forecast, now_s)}
    return ExhaustionStatus.model_validate(found) if found else None


def headroom_of(
    snapshot: Snapshot, ahead: Ahead | None, subnet_id: str
) -> tuple[HeadroomStatus, ...]:
    """How many more nodes of the largest groups fit into a subnet."""
    if ahead is None:
        return ()
    sizes = Counter(node.group for node in snapshot.nodes)
    rows = [row for row in ahead.headroom if row.subnet_id == subnet_id]
    rows.sort(key=lambda row: (-sizes[row.group], row.group))
    return tuple(map(_headroom, rows[:MAX_HEADROOM_GROUPS]))


def zone_statuses(view: View) -> tuple[ZoneStatus, ...]:
    """The zones with subnets, by name."""
    if view.ahead is None:
        return ()
    losses = {loss.zone: loss for loss in view.ahead.zone_losses}
    zones = sorted(view.ahead.outlook.zones.items())[:MAX_ZONES]
    return tuple(_zone(zone, forecast, losses.get(zone), view.now_s) for zone, forecast in zones)


def brake_status(view: View) -> BrakeStatus | None:
    """How far the brake is on."""
    braking = view.decision.braking if view.decision is not None else None
    if braking is None:
        return None
    message = one_line(braking.text(), _TEXT_LENGTH)
    return BrakeStatus(step=braking.step, steps=LEANEST_STEP, message=message)


def dead_end_statuses(view: View) -> tuple[DeadEndStatus, ...]:
    """The subnets that no targets can save."""
    ends = view.ahead.dead_ends if view.ahead is not None else ()
    return tuple(map(_dead_end, ends[:MAX_DEAD_ENDS]))


def prefix_mode(view: View) -> PrefixModeStatus | None:
    """What prefix mode means."""
    advice = view.ahead.prefixes if view.ahead is not None else None
    return None if advice is None else _prefix_mode(advice)


def _headroom(row: Headroom) -> HeadroomStatus:
    return HeadroomStatus(
        name=one_line(row.group, _NAME_LENGTH),
        in_force=row.present.nodes,
        recommended=row.recommended.nodes,
    )


def _zone(zone: str, forecast: Forecast | None, loss: ZoneLoss | None, now_s: float) -> ZoneStatus:
    return ZoneStatus(
        name=zone,
        exhausted_at=exhausted_at(forecast, now_s),
        lost=None if loss is None else _refuge(loss.present),
        lost_recommended=None if loss is None else _refuge(loss.recommended),
    )


def _refuge(refuge: Refuge) -> RefugeStatus:
    return RefugeStatus(needed=refuge.needed, free=refuge.free, short=refuge.short)


def _dead_end(end: DeadEnd) -> DeadEndStatus:
    return DeadEndStatus(
        id=end.subnet_id,
        message=one_line(end.text(), _TEXT_LENGTH),
        ways=tuple(
            WayStatus(name=way.kind, open=way.open, message=one_line(way.text, _TEXT_LENGTH))
            for way in end.ways
        ),
    )


def _prefix_mode(advice: PrefixAdvice) -> PrefixModeStatus:
    headline, places, *_ = advice.lines()
    return PrefixModeStatus(
        active=advice.active,
        go=advice.go,
        message=one_line(headline, _TEXT_LENGTH),
        places=one_line(places, _TEXT_LENGTH),
        checks=tuple(
            CheckStatus(
                name=check.name, state=check.state, message=one_line(check.text, _TEXT_LENGTH)
            )
            for check in advice.checks
        ),
    )
