"""Everything that one pass over a policy found, decided and did."""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.act.checkpoints import NO_CHECKPOINT, CheckpointState
from ippolicy.act.outcome import Outcome
from ippolicy.act.rollout import RolloutState
from ippolicy.api import IPPolicy
from ippolicy.decide.births.progress import GroupProgress
from ippolicy.decide.births.roll import News
from ippolicy.decide.births.table import PolicyTable
from ippolicy.decide.drift import Drift, drifts
from ippolicy.decide.gates import wish_gate
from ippolicy.decide.method import Way
from ippolicy.decide.subnets.ahead import Ahead
from ippolicy.decide.trust import Ladder
from ippolicy.decide.types import Decision
from ippolicy.facts import Change, ChangePhase, Record, Snapshot

UNDER_WAY = (ChangePhase.INTENDED, ChangePhase.ROLLING)


@dataclass(frozen=True, slots=True)
class View:
    """One pass over one policy: all that is shown to people is made of it.

    `rival` names the older policy that acts on the same DaemonSet, in which case there is no
    `decision`, nor is it told what is `ahead`. `outcome` is None when nothing was to be carried
    out. `rollout` says how far the change under way is, if there is one. `min_coverage` is the
    share of metrics endpoints that must have been read. `left_behind` names the DaemonSet that the
    policy was about before, while its originals are not back yet. `checkpoint` is how the kept
    demand stands. `way` is how a change would reach aws-node, None while no DaemonSet is known.
    `trusted` is how far facts are trusted where the pass came to no decision.
    `births` is how many nodes of each group have its targets, where a webhook sets them by `table`,
    and `news` what this pass published of their trials.
    """

    policy: IPPolicy
    snapshot: Snapshot
    decision: Decision | None = None
    ahead: Ahead | None = None
    record: Record | None = None
    outcome: Outcome | None = None
    rival: str | None = None
    rollout: RolloutState | None = None
    min_coverage: float = 0.8
    left_behind: str | None = None
    checkpoint: CheckpointState = NO_CHECKPOINT
    way: Way | None = None
    trusted: Ladder | None = None
    births: tuple[GroupProgress, ...] = ()
    table: PolicyTable | None = None
    news: tuple[News, ...] = ()

    @property
    def now_s(self) -> float:
        """The moment of the pass."""
        return self.snapshot.taken_at_s

    @property
    def ladder(self) -> Ladder | None:
        """How far facts are trusted, as the decision or else the look at them has it."""
        return self.decision.ladder if self.decision is not None else self.trusted

    @property
    def last_change(self) -> Change | None:
        """The newest change, as the outcome or else the record knows it."""
        if self.outcome is not None and self.outcome.change is not None:
            return self.outcome.change
        return self.record.last_change if self.record is not None else None

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """What somebody else changed of what was set here; none while a change is under way, and of
        a policy that is not to set anything."""
        if self.change_under_way is not None or wish_gate(self.policy) is not None:
            return ()
        return drifts(self.record, self.snapshot.daemon_set)

    @property
    def change_under_way(self) -> Change | None:
        """The change that is not through yet, or None."""
        change = self.last_change
        return change if change is not None and change.phase in UNDER_WAY else None
