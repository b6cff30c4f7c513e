"""Watches how far the rollout of each DaemonSet is, from pass to pass."""

from __future__ import annotations

from ippolicy.act.rollout import RolloutState, RolloutWatch, nodes_left, rollout_state
from ippolicy.facts import ChangePhase, DaemonSetRef, Record, Snapshot


class Rollouts:
    """The changes under way; one that makes no step for `stuck_after_s` is stuck."""

    def __init__(self, *, stuck_after_s: float) -> None:
        self._stuck_after_s = stuck_after_s
        self._watched: dict[DaemonSetRef, RolloutWatch] = {}

    def begin_anew(self) -> None:
        """The clock has jumped: each has its whole time again."""
        self._watched.clear()

    def state(
        self, ref: DaemonSetRef, snapshot: Snapshot, record: Record | None
    ) -> RolloutState | None:
        """How far the change under way is, if there is one."""
        facts, now_s = snapshot.daemon_set, snapshot.taken_at_s
        change = record.last_change if record is not None else None
        if facts is None or change is None or change.phase is not ChangePhase.ROLLING:
            self._watched.pop(ref, None)
            return None
        watch = RolloutWatch.seen(self._watched.get(ref), facts, now_s=now_s)
        self._watched[ref] = watch
        return rollout_state(
            facts,
            watch,
            generation=change.generation,
            stuck_after_s=self._stuck_after_s,
            now_s=now_s,
            left=nodes_left(snapshot, change.intended_at_s),
        )
