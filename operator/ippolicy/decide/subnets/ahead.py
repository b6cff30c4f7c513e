"""Everything that is known of what is ahead, in one piece for those who show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ippolicy.api import IPPolicy
from ippolicy.decide.environment import read_environment
from ippolicy.decide.prefixes import PrefixAdvice, prefix_advice
from ippolicy.decide.subnets.brake import leanest
from ippolicy.decide.subnets.headroom import Headroom, ZoneLoss, headroom, zone_losses
from ippolicy.decide.subnets.outlook import Outlook
from ippolicy.decide.subnets.room import rooms
from ippolicy.decide.subnets.wayout import DeadEnd, dead_ends
from ippolicy.facts import Snapshot
from ippolicy.ipamd import PoolSettings, WarmTargets


@dataclass(frozen=True, slots=True)
class Ahead:
    """How long addresses last, how many nodes fit, what a lost zone asks of the others, which
    subnets no targets can save, and what prefix mode would mean; None where nothing of the nodes or
    of aws-node is known."""

    outlook: Outlook
    headroom: tuple[Headroom, ...] = ()
    zone_losses: tuple[ZoneLoss, ...] = ()
    dead_ends: tuple[DeadEnd, ...] = ()
    prefixes: PrefixAdvice | None = None


def present_settings(snapshot: Snapshot) -> PoolSettings:
    """What the DaemonSet's template says; ipamd's defaults where aws-node is not there."""
    if snapshot.daemon_set is None:
        return PoolSettings()
    return read_environment(snapshot.daemon_set.env).settings


def look_ahead(
    snapshot: Snapshot,
    policy: IPPolicy,
    outlook: Outlook,
    recommended: WarmTargets | None,
    of_groups: Mapping[str, WarmTargets] | None = None,
) -> Ahead:
    """What is ahead; without `recommended` targets, those in force count in their place. Where each
    group gets targets of its own, they are `of_groups`."""
    daemon_set = snapshot.daemon_set
    if daemon_set is None or not snapshot.nodes:
        return Ahead(outlook)
    present, room_of = present_settings(snapshot), rooms(snapshot)
    then = present.targets if recommended is None else recommended
    advice = prefix_advice(snapshot, daemon_set, present, room_of)
    lean = leanest(policy, present.targets)
    return Ahead(
        outlook=outlook,
        headroom=headroom(snapshot, present, then, room_of, of_groups or {}),
        zone_losses=zone_losses(snapshot, present, then, of_groups or {}),
        dead_ends=dead_ends(snapshot, outlook, present, lean, advice),
        prefixes=advice,
    )
