"""What the nodes take of each subnet: now, and as any setting would have it.

A node's addresses count in the subnets that its ENIs are in, in proportion to what they hold there;
where EC2 was not asked for ENIs, in the subnets of its zone, in proportion to what is used there.
Idle is what a node takes of its subnets without a pod using it: warm and cooling addresses, and the
ENIs' own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from ippolicy.decide.predict import settled_pods, shape_of
from ippolicy.decide.running import Running, running_of
from ippolicy.facts import NodeFacts, Snapshot
from ippolicy.facts.network import SubnetUse
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.steady import steady_state

_NONE: Final[Mapping[str, WarmTargets]] = MappingProxyType({})

Shares = Mapping[str, Mapping[str, float]]
"""Node name -> subnet id -> share of what the node takes; the shares of a node add up to 1."""


def shares(snapshot: Snapshot) -> Shares:
    """Where each node's addresses come from; nodes of which nothing tells are left out."""
    held: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for subnet_id, inventory in snapshot.inventories.items():
        for eni in inventory.interfaces:
            if eni.instance_id in snapshot.instances:
                held[snapshot.instances[eni.instance_id].node][subnet_id] += eni.addresses
    of_zone = {zone: _parts(_used(snapshot, zone)) for zone in {n.zone for n in snapshot.nodes}}
    placed = {
        node.name: _parts(held[node.name]) if node.name in held else of_zone[node.zone]
        for node in snapshot.nodes
    }
    return {name: parts for name, parts in placed.items() if parts}


def spread(placed: Shares, amounts: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Subnet id -> its part of the `amounts` of the named nodes."""
    # What tells of a node by its zone alone is one object for all of the zone: summed first, a
    # cluster of thousands of nodes and hundreds of subnets costs no product of the two.
    totals: dict[int, float] = defaultdict(float)
    alike: dict[int, Mapping[str, float]] = {}
    for name, amount in amounts:
        parts = placed.get(name)
        if parts is not None:
            alike[id(parts)] = parts
            totals[id(parts)] += amount
    found: dict[str, float] = defaultdict(float)
    for key, total in totals.items():
        for subnet_id, share in alike[key].items():
            found[subnet_id] += share * total
    return dict(found)


def idle_now(snapshot: Snapshot, placed: Shares, present: PoolSettings) -> dict[str, float]:
    """Subnet id -> idle addresses now; where a pool was not read, what its aws-node would hold.
    `present` is what the DaemonSet's template says."""
    running = running_of(snapshot, present)
    return spread(placed, ((n.name, _idle_of(snapshot, n, running)) for n in snapshot.nodes))


def idle_with(
    snapshot: Snapshot,
    placed: Shares,
    present: PoolSettings,
    targets: WarmTargets,
    pods: Mapping[str, int] | None = None,
    *,
    of_groups: Mapping[str, WarmTargets] = _NONE,
) -> dict[str, float]:
    """Subnet id -> idle addresses with `targets`, or those of a node's group in `of_groups`, once
    pools have settled on `pods` (by node; left out, those of now)."""
    settings = replace(present, targets=targets)
    of_group = {group: replace(present, targets=own) for group, own in of_groups.items()}
    return spread(
        placed,
        (
            (
                node.name,
                _settled_idle(
                    snapshot,
                    node,
                    of_group.get(node.group, settings),
                    (pods or {}).get(node.name),
                ),
            )
            for node in snapshot.nodes
        ),
    )


def assigned_now(snapshot: Snapshot, placed: Shares) -> dict[str, float]:
    """Subnet id -> addresses that pods of these nodes use."""
    return spread(placed, ((n.name, settled_pods(snapshot, n)) for n in snapshot.nodes))


def _idle_of(snapshot: Snapshot, node: NodeFacts, running: Running) -> int:
    pool = snapshot.pools.get(node.name)
    if pool is None:
        return _settled_idle(snapshot, node, running.settings_of(node.name))
    return pool.held - pool.assigned + pool.enis


def _settled_idle(
    snapshot: Snapshot, node: NodeFacts, settings: PoolSettings, pods: int | None = None
) -> int:
    """A node of unknown limits counts as it is now: nobody can tell."""
    shape = shape_of(snapshot, node, prefixes=settings.prefix_delegation)
    if shape is None:
        pool = snapshot.pools.get(node.name)
        return 0 if pool is None else pool.held - pool.assigned + pool.enis
    return _idle(shape, settings, settled_pods(snapshot, node) if pods is None else pods)


@lru_cache(maxsize=4_096)
def _idle(shape: NodeShape, settings: PoolSettings, pods: int) -> int:
    settled = steady_state(shape, settings, min(pods, shape.max_pods))
    return settled.subnet_addresses - settled.served


def _parts(amounts: Mapping[str, int]) -> dict[str, float]:
    total = sum(amounts.values())
    return {subnet_id: part / total for subnet_id, part in amounts.items()} if total else {}


def _used(snapshot: Snapshot, zone: str) -> dict[str, int]:
    near = [subnet for subnet in snapshot.subnets if subnet.zone == zone]
    with_nodes = [subnet for subnet in near if SubnetUse.NODES in subnet.uses] or near
    return {subnet.subnet_id: max(1, subnet.usable - subnet.free) for subnet in with_nodes}
