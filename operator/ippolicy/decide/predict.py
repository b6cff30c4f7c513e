"""What some nodes hold now, and what they would hold with other targets and the pods of now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ippolicy.decide.types import Prediction
from ippolicy.facts import NodeFacts, Snapshot
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.shape import ADDRESSES_PER_PREFIX
from ippolicy.ipamd.steady import steady_state


def present_use(snapshot: Snapshot, nodes: Sequence[NodeFacts]) -> Prediction:
    """What the pools of `nodes` were last read to hold; nodes without a reading count nothing."""
    pools = [snapshot.pools[node.name] for node in nodes if node.name in snapshot.pools]
    return Prediction(
        held=sum(pool.held for pool in pools),
        warm=sum(pool.held - pool.assigned for pool in pools),
        enis=sum(pool.enis for pool in pools),
    )


def shape_of(snapshot: Snapshot, node: NodeFacts, *, prefixes: bool) -> NodeShape | None:
    """The limits of a node: as EC2 says, else as its own ipamd does; None where neither tells."""
    limits, pool = snapshot.limits.get(node.instance_type), snapshot.pools.get(node.name)
    if limits is not None:
        return NodeShape(
            node.instance_type,
            limits.enis,
            limits.addresses_per_eni,
            node.max_pods,
            prefix_capable=limits.nitro,
        )
    if pool is None or not pool.enis_max or not pool.held_max:
        return None
    slots = pool.held_max // pool.enis_max // (ADDRESSES_PER_PREFIX if prefixes else 1)
    return NodeShape(node.instance_type, pool.enis_max, slots + 1, node.max_pods)


def settled_pods(snapshot: Snapshot, node: NodeFacts) -> int:
    """Pods of a node that have an address, or will: as its pool counts them, if it was read."""
    pool = snapshot.pools.get(node.name)
    pods = snapshot.pods_per_node.get(node.name, 0) if pool is None else pool.assigned
    return min(pods, node.max_pods)


def predict(
    snapshot: Snapshot, nodes: Sequence[NodeFacts], settings: PoolSettings, targets: WarmTargets
) -> Prediction:
    """What the nodes that `present_use` counts would hold with `targets`, once they have settled.

    A node of unknown limits counts as it is now: nobody can tell.
    """
    held = warm = enis = 0
    for node in nodes:
        pool = snapshot.pools.get(node.name)
        if pool is None:
            continue
        shape = shape_of(snapshot, node, prefixes=settings.prefix_delegation)
        if shape is None:
            held, warm, enis = held + pool.held, warm + pool.held - pool.assigned, enis + pool.enis
            continue
        pods = min(pool.assigned, shape.max_pods)
        settled = steady_state(shape, replace(settings, targets=targets), pods)
        held += settled.addresses
        warm += settled.addresses - pods
        enis += settled.enis
    return Prediction(held=held, warm=warm, enis=enis)
