"""Whether something rolls already: this DaemonSet, that of another policy, or the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ippolicy.decide.gates.stop import Stop
from ippolicy.decide.types import Reason
from ippolicy.facts import ChangePhase, DaemonSetFacts, NodeFacts, Record

ROLLING_SHARE: Final = 0.1
ROLLING_LEAST: Final = 2
_NAMED: Final = 5


def rollout_gate(daemon_set: DaemonSetFacts, record: Record | None) -> Stop | None:
    """Whether a rollout of this DaemonSet, ours or another's, is still under way."""
    change = record.last_change if record else None
    rollout = daemon_set.rollout
    waits = " (updateStrategy OnDelete: restart its pods yourself)" if rollout.on_delete else ""
    if change is not None and change.phase in (ChangePhase.INTENDED, ChangePhase.ROLLING):
        return Stop(Reason.ROLLOUT_IN_PROGRESS, f"change {change.id} is still rolling out{waits}")
    if daemon_set.rolling:
        return Stop(
            Reason.ROLLOUT_IN_PROGRESS,
            f"{daemon_set.ref} is rolling: {rollout.updated} of {rollout.desired} pods updated"
            f"{waits}",
        )
    if not rollout.healthy:
        return Stop(
            Reason.DAEMON_SET_UNHEALTHY,
            f"{daemon_set.ref} has {rollout.available} of {rollout.desired} pods available: "
            "a restart now would make it worse",
        )
    return None


def elsewhere_gate(elsewhere: str) -> Stop | None:
    """Whether the DaemonSet of another policy rolls, as the sentence `elsewhere` says."""
    return Stop(Reason.OTHER_ROLLOUT, elsewhere) if elsewhere else None


def nodes_gate(nodes: Sequence[NodeFacts]) -> Stop | None:
    """Whether nodes roll: more than a tenth, and at least two, are not Ready or cordoned.

    So a node group that is replaced is left alone, and a node that fails now and then is not in the
    way.
    """
    away = sorted(node.name for node in nodes if not node.ready or node.unschedulable)
    if len(away) < ROLLING_LEAST or len(away) <= ROLLING_SHARE * len(nodes):
        return None
    more = f" and {len(away) - _NAMED} more" if len(away) > _NAMED else ""
    return Stop(
        Reason.NODES_ROLLING,
        f"{len(away)} of {len(nodes)} nodes are not Ready or cordoned "
        f"({', '.join(away[:_NAMED])}{more}), at most {ROLLING_SHARE:.0%} may be",
    )
