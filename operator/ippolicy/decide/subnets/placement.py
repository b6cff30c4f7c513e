"""What the nodes take of each subnet: now, and as any setting would have it.

A node's addresses count in the subnets that its ENIs are in, in proportion to what they hold there;
where EC2 was not asked for ENIs, in the subnets of its zone, in proportion to what is used there.
Idle is what a node takes of its subnets without a pod using it: warm and cooling addresses, and the
ENIs' own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from ippolicy.decide.predict import settled_pods, shape_of
from ippolicy.facts import NodeFacts, Snapshot
from ippolicy.facts.network import SubnetUse
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.steady import steady_state

Shares = Mapping[str, Mapping[str, float]]
"""Node name -> subnet id -> share of what the node takes; the shares of a node add up to 1."""


def shares(snapshot: Snapshot) -> Shares:
    """Where each node's addresses come from; nodes of which nothing tells are left out."""
    held: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for subnet_id, inventory in snapshot.inventories.items():
        for eni in inventory.interfaces:
            if eni.instance_id in snapshot.instances:
                held[snapshot.instances[eni.instance_id].node][subnet_id] += eni.addresses
    found: dict[str, Mapping[str, float]] = {}
    for node in snapshot.nodes:
        amounts = held.get(node.name) or _by_zone(snapshot, node)
        total = sum(amounts.values())
        if total:
            found[node.name] = {subnet_id: part / total for subnet_id, part in amounts.items()}
    return found


def idle_now(snapshot: Snapshot, placed: Shares, present: PoolSettings) -> dict[str, float]:
    """Subnet id -> idle addresses now; nodes whose pool was not read count as `present` has it."""
    idle: dict[str, float] = defaultdict(float)
    for node in snapshot.nodes:
        pool = snapshot.pools.get(node.name)
        if pool is None:
            amount = _settled_idle(snapshot, node, present)
        else:
            amount = pool.held - pool.assigned + pool.enis
        for subnet_id, share in placed.get(node.name, {}).items():
            idle[subnet_id] += share * amount
    return dict(idle)


def idle_with(
    snapshot: Snapshot,
    placed: Shares,
    present: PoolSettings,
    targets: WarmTargets,
    pods: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """Subnet id -> idle addresses with `targets`, once pools have settled on `pods` (by node; left
    out, those of now)."""
    settings = replace(present, targets=targets)
    idle: dict[str, float] = defaultdict(float)
    for node in snapshot.nodes:
        amount = _settled_idle(snapshot, node, settings, (pods or {}).get(node.name))
        for subnet_id, share in placed.get(node.name, {}).items():
            idle[subnet_id] += share * amount
    return dict(idle)


def assigned_now(snapshot: Snapshot, placed: Shares) -> dict[str, float]:
    """Subnet id -> addresses that pods of these nodes use."""
    assigned: dict[str, float] = defaultdict(float)
    for node in snapshot.nodes:
        pods = settled_pods(snapshot, node)
        for subnet_id, share in placed.get(node.name, {}).items():
            assigned[subnet_id] += share * pods
    return dict(assigned)


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


def _by_zone(snapshot: Snapshot, node: NodeFacts) -> dict[str, int]:
    near = [subnet for subnet in snapshot.subnets if subnet.zone == node.zone]
    with_nodes = [subnet for subnet in near if SubnetUse.NODES in subnet.uses] or near
    return {subnet.subnet_id: max(1, subnet.usable - subnet.free) for subnet in with_nodes}
