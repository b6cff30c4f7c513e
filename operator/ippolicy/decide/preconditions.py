"""What stands in the way of prefix mode, each with what to do.

precondition         not met when                                             then
-------------------  -------------------------------------------------------  ------------------
CNI version          older than 1.9.0                                         no-go
Nitro                no node's ENIs can carry prefixes                        no-go
                     some cannot                                              those stay as they are
room                 a subnet has fewer whole free /28 than its nodes need,   no-go
                     or EC2 refused blocks there
max-pods             kubelet takes fewer pods than is recommended             no more pods run
security groups      ENABLE_POD_ENI is on: those pods have ENIs of their own  no gain for them
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ippolicy.decide.max_pods import KubeletAdvice
from ippolicy.decide.predict import settled_pods, shape_of
from ippolicy.decide.subnets.placement import shares, spread
from ippolicy.facts import DaemonSetFacts, PrefixRoom, Snapshot
from ippolicy.ipamd import PoolSettings
from ippolicy.ipamd.steady import steady_state

LEAST_VERSION: Final = (1, 9, 0)
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


class Precondition(StrEnum):
    """What prefix mode needs."""

    CNI_VERSION = "CNIVersion"
    NITRO = "Nitro"
    ROOM = "PrefixRoom"
    MAX_PODS = "MaxPods"
    POD_SECURITY_GROUPS = "PodSecurityGroups"


class State(StrEnum):
    """Whether a precondition is met; it is NO_GO where prefix mode must not be switched on."""

    MET = "Met"
    CAUTION = "Caution"
    NO_GO = "NoGo"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One precondition, and a line that says why it is so and what to do."""

    name: Precondition
    state: State
    text: str


def checks(
    snapshot: Snapshot,
    daemon_set: DaemonSetFacts,
    settings: PoolSettings,
    kubelets: Sequence[KubeletAdvice],
    rooms: Mapping[str, PrefixRoom],
    *,
    active: bool,
) -> tuple[Check, ...]:
    """All preconditions of prefix mode with `settings`; `active` says that it is on already."""
    return (
        _version_check(snapshot, daemon_set),
        _nitro_check(snapshot),
        _room_check(_blocks_needed(snapshot, settings, active=active), rooms),
        _max_pods_check(kubelets),
        _security_groups_check(settings),
    )


def _version_check(snapshot: Snapshot, daemon_set: DaemonSetFacts) -> Check:
    told = {pool.cni_version for pool in snapshot.pools.values()} | {
        daemon_set.image.rpartition(":")[2]
    }
    versions = sorted(found for text in told if (found := _version(text)) is not None)
    name = Precondition.CNI_VERSION
    if not versions:
        return Check(name, State.UNKNOWN, "the CNI's version is not known: 1.9.0 is needed")
    oldest = ".".join(map(str, versions[0]))
    if versions[0] < LEAST_VERSION:
        return Check(name, State.NO_GO, f"CNI {oldest} is older than 1.9.0: upgrade the CNI")
    return Check(name, State.MET, f"CNI {oldest} knows prefixes")


def _version(text: str) -> tuple[int, int, int] | None:
    match = _VERSION.match(text)
    if match is None:
        return None
    major, minor, patch = match.groups(default="0")
    return int(major), int(minor), int(patch)


def _nitro_check(snapshot: Snapshot) -> Check:
    name, kinds = Precondition.NITRO, Counter(node.instance_type for node in snapshot.nodes)
    unknown = kinds.keys() - snapshot.limits.keys()
    unable = sorted(kind for kind in kinds.keys() - unknown if not snapshot.limits[kind].nitro)
    if len(unable) == len(kinds) and kinds:
        return Check(name, State.NO_GO, f"{', '.join(unable)} cannot carry prefixes: use Nitro")
    if unable:
        nodes = sum(kinds[kind] for kind in unable)
        return Check(
            name,
            State.CAUTION,
            f"{nodes} nodes ({', '.join(unable)}) cannot carry prefixes and stay as they are",
        )
    if unknown:
        return Check(
            name, State.UNKNOWN, f"EC2 does not know the limits of {', '.join(sorted(unknown))}"
        )
    return Check(name, State.MET, "all nodes can carry prefixes")


def _room_check(needed: Mapping[str, int], rooms: Mapping[str, PrefixRoom]) -> Check:
    name = Precondition.ROOM
    unread = sorted(needed.keys() - rooms.keys())
    short = [
        f"{subnet_id} has {room.free_blocks} whole free /28 blocks for the {needed[subnet_id]} that"
        f" its nodes need (fragmentation {room.fragmentation:.0%})"
        for subnet_id, room in sorted(rooms.items())
        if subnet_id in needed and room.free_blocks < needed[subnet_id]
    ]
    refused = [
        f"EC2 refused blocks {rooms[subnet_id].refusals} times in {subnet_id}"
        for subnet_id in sorted(needed.keys() & rooms.keys())
        if rooms[subnet_id].refusals
    ]
    if short or refused:
        advice = "reserve a range for prefixes by a subnet CIDR reservation, or use another subnet"
        return Check(name, State.NO_GO, f"{'; '.join((*short, *refused))}: {advice}")
    if unread or not needed:
        which = ", ".join(unread) or "the nodes' subnets"
        return Check(
            name,
            State.UNKNOWN,
            f"free /28 blocks of {which} are not known: allow ec2:DescribeNetworkInterfaces and "
            "ec2:GetSubnetCidrReservations",
        )
    free = sum(rooms[subnet_id].free_blocks for subnet_id in needed)
    return Check(
        name, State.MET, f"{free} whole free /28 blocks for the {sum(needed.values())} needed"
    )


def _blocks_needed(snapshot: Snapshot, settings: PoolSettings, *, active: bool) -> dict[str, int]:
    """Subnet id -> /28s that its nodes do not have yet, with the pods of now."""
    missing = []
    for node in snapshot.nodes:
        shape = shape_of(snapshot, node, prefixes=active)
        if shape is None or not shape.prefix_capable:
            continue
        pool = snapshot.pools.get(node.name)
        has = 0 if pool is None else pool.prefixes
        wanted = steady_state(shape, settings, settled_pods(snapshot, node)).prefixes
        missing.append((node.name, max(0, wanted - has)))
    needed = spread(shares(snapshot), missing)
    return {subnet_id: math.ceil(count) for subnet_id, count in needed.items()}


def _max_pods_check(kubelets: Sequence[KubeletAdvice]) -> Check:
    name = Precondition.MAX_PODS
    low = [kubelet for kubelet in kubelets if kubelet.now < kubelet.with_prefixes]
    if not kubelets:
        return Check(name, State.UNKNOWN, "no node's instance limits are known")
    if not low:
        return Check(name, State.MET, "kubelets take as many pods as is recommended")
    listed = ", ".join(
        f"{one.nodes} {one.instance_type} take {one.now} pods each, {one.with_prefixes} are "
        "recommended"
        for one in low
    )
    return Check(
        name,
        State.CAUTION,
        f"max-pods binds: {listed}: set max-pods in kubelet's configuration and replace the nodes",
    )


def _security_groups_check(present: PoolSettings) -> Check:
    name = Precondition.POD_SECURITY_GROUPS
    if present.pod_eni:
        return Check(
            name,
            State.CAUTION,
            "ENABLE_POD_ENI is on: pods with security groups have branch ENIs and gain nothing",
        )
    return Check(name, State.MET, "no security groups for pods")
