"""When tuning cannot save a subnet: that it is so, in figures, and the ways out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ippolicy.decide.preconditions import State
from ippolicy.decide.prefixes import PrefixAdvice
from ippolicy.decide.subnets.forecast import Exhaustion
from ippolicy.decide.subnets.outlook import Outlook, SubnetOutlook
from ippolicy.decide.subnets.placement import idle_now, idle_with, shares
from ippolicy.facts import Snapshot
from ippolicy.facts.network import SubnetUse
from ippolicy.ipamd import PoolSettings, WarmTargets

HOUR_S, DAY_S = 3_600.0, 86_400.0


class WayKind(StrEnum):
    """A way out of a subnet that runs dry."""

    PREFIXES = "PrefixMode"
    OTHER_SUBNET = "OtherSubnet"
    SECONDARY_CIDR = "SecondaryCIDR"
    IPV6 = "IPv6"
    FEWER_NODES = "FewerNodes"


@dataclass(frozen=True, slots=True)
class Way:
    """One way out: whether it is `open` here and now, and what it would take or why it is not."""

    kind: WayKind
    open: bool
    text: str


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """A subnet that runs out even with the leanest targets that the bounds allow.

    These would give back `gives_back` addresses of the `idle` ones that this cluster's nodes keep
    there now.
    """

    subnet_id: str
    zone: str
    exhaustion: Exhaustion
    idle: int
    gives_back: int
    ways: tuple[Way, ...]

    def text(self) -> str:
        """That it is so, in one line."""
        return (
            f"{self.subnet_id} in {self.zone} runs out {_when(self.exhaustion)} even with the"
            f" leanest targets within spec.bounds, which give back {self.gives_back} of"
            f" {self.idle} idle addresses there"
        )


def dead_ends(
    snapshot: Snapshot,
    outlook: Outlook,
    present: PoolSettings,
    leanest: WarmTargets,
    advice: PrefixAdvice,
) -> tuple[DeadEnd, ...]:
    """The subnets that no targets can save, those that run out first before all others.

    `leanest` are the leanest targets within the bounds, as of which `outlook` was made.
    """
    placed = shares(snapshot)
    idle = idle_now(snapshot, placed, present)
    least = idle_with(snapshot, placed, present, leanest)
    found = []
    for one in outlook.subnets:
        exhaustion = one.leanest.exhaustion if one.leanest is not None else None
        if exhaustion is None:
            continue
        now, then = idle.get(one.subnet_id, 0.0), least.get(one.subnet_id, 0.0)
        found.append(
            DeadEnd(
                subnet_id=one.subnet_id,
                zone=one.zone,
                exhaustion=exhaustion,
                idle=round(now),
                gives_back=max(0, round(now - then)),
                ways=_ways(snapshot, one, present, advice, then),
            )
        )
    return tuple(sorted(found, key=lambda end: (end.exhaustion.likely_s, end.subnet_id)))


def _ways(
    snapshot: Snapshot,
    outlook: SubnetOutlook,
    present: PoolSettings,
    advice: PrefixAdvice,
    idle: float,
) -> tuple[Way, ...]:
    return (
        _prefix_way(advice),
        _subnet_way(snapshot, outlook, present),
        Way(
            WayKind.SECONDARY_CIDR,
            open=True,
            text="add a secondary CIDR to the VPC, such as one of 100.64.0.0/10, with a subnet in"
            f" {outlook.zone}, and {_draw(present)}",
        ),
        _fewer_way(snapshot, outlook.zone, idle),
        Way(WayKind.IPV6, open=True, text="make a new cluster with IPv6 pods: they need no IPv4"),
    )


def _prefix_way(advice: PrefixAdvice) -> Way:
    kind = WayKind.PREFIXES
    if advice.active:
        return Way(kind, open=False, text="prefix mode is on already")
    if not advice.go:
        reasons = [check.text for check in advice.checks if check.state is State.NO_GO]
        return Way(kind, open=False, text=f"prefix mode is a no-go: {'; '.join(reasons)}")
    saved = advice.addresses.subnet_addresses - advice.prefixes.subnet_addresses
    if saved <= 0:
        return Way(
            kind, open=False, text=f"prefix mode would hold {-saved} addresses more, not fewer"
        )
    return Way(
        kind,
        open=True,
        text=f"prefix mode would hold {saved} addresses fewer on all nodes together: set"
        " ENABLE_PREFIX_DELEGATION=true and replace the nodes",
    )


def _subnet_way(snapshot: Snapshot, outlook: SubnetOutlook, present: PoolSettings) -> Way:
    kind = WayKind.OTHER_SUBNET
    others = [
        subnet
        for subnet in snapshot.subnets
        if subnet.zone == outlook.zone and subnet.subnet_id != outlook.subnet_id and subnet.free
    ]
    roomiest = max(others, key=lambda subnet: subnet.free, default=None)
    if roomiest is None:
        return Way(
            kind, open=False, text=f"no other subnet of {outlook.zone} is known to have room"
        )
    drawn = SubnetUse.DISCOVERY in roomiest.uses or SubnetUse.ENI_CONFIG in roomiest.uses
    how = "new ENIs may be made there already" if drawn else _draw(present)
    return Way(
        kind, open=True, text=f"{roomiest.subnet_id} has {roomiest.free} free addresses: {how}"
    )


def _draw(present: PoolSettings) -> str:
    """How nodes come to take addresses from another subnet."""
    if present.custom_networking:
        return "name it in the ENIConfig of the zone and replace the nodes"
    if present.subnet_discovery:
        return "tag it kubernetes.io/role/cni=1, so that new ENIs are made there"
    return "set ENABLE_SUBNET_DISCOVERY=true and tag it kubernetes.io/role/cni=1"


def _fewer_way(snapshot: Snapshot, zone: str, idle: float) -> Way:
    nodes = sum(node.zone == zone for node in snapshot.nodes)
    return Way(
        WayKind.FEWER_NODES,
        open=nodes > 1,
        text=f"{nodes} nodes in {zone} keep {round(idle)} addresses that no pod uses even at the"
        " leanest, the ENIs' own among them: fewer, larger nodes with fuller ENIs keep less",
    )


def _when(exhaustion: Exhaustion) -> str:
    if exhaustion.likely_s <= 0:
        return "now"
    early, likely = _span(exhaustion.early_s), _span(exhaustion.likely_s)
    late = "or never" if exhaustion.late_s is None else f"{_span(exhaustion.late_s)} at the latest"
    return f"in {likely} ({early} at the earliest, {late})"


def _span(seconds: float) -> str:
    if seconds < 2 * HOUR_S:
        return f"{seconds / 60:.0f}m"
    return f"{seconds / HOUR_S:.0f}h" if seconds < 2 * DAY_S else f"{seconds / DAY_S:.1f}d"
