"""How far the rollout of a change is, and whether it is stuck: data with a message. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ippolicy.facts import DaemonSetFacts, Snapshot

NAMED: Final = 5


class RolloutPhase(StrEnum):
    """Where the rollout of a DaemonSet's template stands."""

    NOT_STARTED = "NotStarted"  # the controller has not seen the change yet
    UNHEALTHY = "Unhealthy"  # the same, and pods were missing before it began
    BLOCKED = "Blocked"  # updateStrategy OnDelete: the user's own restarts carry it out
    ROLLING = "Rolling"
    STUCK = "Stuck"
    COMPLETE = "Complete"


@dataclass(frozen=True, slots=True)
class RolloutState:
    """Where a rollout stands: `updated` of `desired` pods run the new template."""

    phase: RolloutPhase
    updated: int
    desired: int
    message: str


@dataclass(frozen=True, slots=True)
class RolloutWatch:
    """The furthest that a rollout was seen, and since when; folded over facts by `seen`.

    It lives in memory only: after a restart of the operator a rollout has its whole time again.
    """

    generation: int
    updated: int
    available: int
    since_s: float

    @classmethod
    def seen(
        cls, previous: RolloutWatch | None, facts: DaemonSetFacts, *, now_s: float
    ) -> RolloutWatch:
        """The watch after looking at `facts`; pods that come and go are not progress."""
        rollout = facts.rollout
        here = cls(facts.generation, rollout.updated, rollout.available, now_s)
        if previous is None or previous.generation != here.generation:
            return here
        further = (here.updated, here.available) > (previous.updated, previous.available)
        return here if further else previous


def rollout_state(
    facts: DaemonSetFacts,
    watch: RolloutWatch,
    *,
    generation: int,
    stuck_after_s: float,
    now_s: float,
    left: Sequence[str] = (),
) -> RolloutState:
    """Where the rollout of `generation` stands; STUCK after `stuck_after_s` without progress.

    `left` are the nodes whose pods the user is still to restart, as far as they are known.
    """
    phase, message = _judge(facts, watch, generation, stuck_after_s, now_s)
    if phase is RolloutPhase.BLOCKED and left:
        message = f"{message}; {_names(left)}"
    rollout = facts.rollout
    return RolloutState(
        phase=phase,
        updated=rollout.updated if rollout.observed_generation >= generation else 0,
        desired=rollout.desired,
        message=f"DaemonSet {facts.ref}: {message}",
    )


def _judge(
    facts: DaemonSetFacts,
    watch: RolloutWatch,
    generation: int,
    stuck_after_s: float,
    now_s: float,
) -> tuple[RolloutPhase, str]:
    rollout = facts.rollout
    idle_s = now_s - watch.since_s
    updated = f"{rollout.updated} of {rollout.desired} pods updated"
    available = f"{rollout.available} of {rollout.desired} pods available"
    if rollout.complete(generation):
        return RolloutPhase.COMPLETE, f"rolled out, {updated}"
    waiting = rollout.observed_generation < generation
    if waiting and not rollout.healthy:
        return RolloutPhase.UNHEALTHY, f"not started yet, and only {available}: look at its pods"
    if idle_s >= stuck_after_s and not rollout.on_delete:
        why = "the DaemonSet controller has not seen the change" if waiting else updated
        return RolloutPhase.STUCK, (
            f"{why}, {available}, no progress for {idle_s:.0f} s: look at its events and pods"
        )
    if waiting:
        return RolloutPhase.NOT_STARTED, "not started yet"
    if rollout.on_delete and rollout.updated < rollout.desired:
        return RolloutPhase.BLOCKED, (
            f"{updated}, updateStrategy OnDelete: restart the other pods yourself, or set "
            "RollingUpdate"
        )
    return RolloutPhase.ROLLING, f"{updated}, {available}"


def nodes_left(snapshot: Snapshot, written_at_s: float) -> list[str]:
    """The nodes whose aws-node pod is older than a change that was written then."""
    since_s = math.floor(written_at_s)  # objects tell their age in whole seconds
    return sorted(node for node, pod in snapshot.agents.items() if pod.created_at_s < since_s)


def begun_s(snapshot: Snapshot, written_at_s: float) -> float:
    """When the first aws-node started with a change that was written then: at once, but where the
    user restarts the pods himself."""
    facts, since_s = snapshot.daemon_set, math.floor(written_at_s)
    if facts is None or not facts.rollout.on_delete:
        return written_at_s
    made_s = (pod.created_at_s for pod in snapshot.agents.values())
    return min((at_s for at_s in made_s if at_s >= since_s), default=written_at_s)


def _names(left: Sequence[str]) -> str:
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    return f"not yet on {', '.join(left[:NAMED])}{more}"
