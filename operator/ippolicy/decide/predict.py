"""What some nodes hold now, and what they would hold with other targets and the pods of now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ippolicy.decide.types import Prediction
from ippolicy.facts import NodeFacts, Snapshot
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.steady import steady_state


def present_use(snapshot: Snapshot, nodes: Sequence[NodeFacts]) -> Prediction:
    """What the pools of `nodes` were last read to hold; nodes without a reading count nothing."""
    pools = [snapshot.pools[node.name] for node in nodes if node.name in snapshot.pools]
    return Prediction(
        held=sum(pool.held for pool in pools),
        warm=sum(pool.held - pool.assigned for pool in pools),
        enis=sum(pool.enis for pool in pools),
    )


def predict(
    snapshot: Snapshot, nodes: Sequence[NodeFacts], settings: PoolSettings, targets: WarmTargets
) -> Prediction:
    """What the nodes that `present_use` counts would hold with `targets`, once they have settled.

    A node whose instance type EC2 does not know counts as it is now: nobody can tell.
    """
    held = warm = enis = 0
    for node in nodes:
        pool = snapshot.pools.get(node.name)
        if pool is None:
            continue
        limits = snapshot.limits.get(node.instance_type)
        if limits is None:
            held, warm, enis = held + pool.held, warm + pool.held - pool.assigned, enis + pool.enis
            continue
        shape = NodeShape(node.instance_type, limits.enis, limits.addresses_per_eni, node.max_pods)
        pods = min(pool.assigned, shape.max_pods)
        settled = steady_state(shape, replace(settings, targets=targets), pods)
        held += settled.addresses
        warm += settled.addresses - pods
        enis += settled.enis
    return Prediction(held=held, warm=warm, enis=enis)
