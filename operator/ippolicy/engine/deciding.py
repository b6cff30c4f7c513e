"""From a snapshot to a decision and what is ahead, with what each needs of the passes before."""

from __future__ import annotations

import threading
from collections.abc import Sequence, Set
from dataclasses import replace

from ippolicy.act.rollout import RolloutState
from ippolicy.api import IPPolicy, Method
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.gates import Limits, climb
from ippolicy.decide.hindsight import Look
from ippolicy.decide.question import Searched
from ippolicy.decide.signals import Noted, SignalHistory
from ippolicy.decide.signals_kept import pack as pack_signals
from ippolicy.decide.subnets.ahead import Ahead, look_ahead, present_settings
from ippolicy.decide.subnets.history import Histories
from ippolicy.decide.subnets.kept import pack
from ippolicy.decide.subnets.outlook import Outlook, Outlooks, readings
from ippolicy.decide.trust import Ladder
from ippolicy.decide.types import Decision, Recommendations
from ippolicy.engine.proof import Proofs
from ippolicy.facts import DaemonSetRef, NodeTrace, Record, Snapshot
from ippolicy.ipamd import WarmTargets


class Decider:
    """Decides for each DaemonSet, and watches its subnets. What it does takes time: it belongs off
    the loop, where one pass follows another."""

    def __init__(self, limits: Limits, proofs: Proofs, *, by_replay: bool) -> None:
        self._limits = limits
        self._proofs = proofs
        self._by_replay = by_replay
        self._signals: dict[DaemonSetRef, SignalHistory] = {}
        self._searched: dict[DaemonSetRef, Searched] = {}
        self._braked: dict[DaemonSetRef, tuple[Searched | None, ...]] = {}
        self._recommended: dict[DaemonSetRef, Recommendations] = {}
        self._ladders: dict[DaemonSetRef, Ladder] = {}
        self._histories: dict[DaemonSetRef, Histories] = {}
        self._outlooks: dict[DaemonSetRef, Outlooks] = {}
        self._noting = threading.Lock()  # histories are packed while passes go on

    def decide(
        self,
        policy: IPPolicy,
        ref: DaemonSetRef,
        snapshot: Snapshot,
        *,
        record: Record | None,
        traces: Sequence[NodeTrace],
        rollout: RolloutState | None = None,
        elsewhere: str = "",
    ) -> tuple[Inputs, Decision, Ahead]:
        """The decision, all that it rests on, and what is ahead. What is due to be measured is
        written into the record first."""
        outlook = self._outlook(policy, ref, snapshot)
        signals = self._signals[ref].signals(snapshot.taken_at_s)
        record = self._proofs.measured(policy, ref, Look(snapshot, traces, signals), record)
        inputs = Inputs(
            policy=policy,
            snapshot=snapshot,
            traces=traces,
            record=record,
            limits=self._limits,
            searched=self._searched.get(ref),
            by_replay=self._by_replay,
            signals=signals,
            rooms=outlook.rooms,
            braked=self._braked.get(ref, ()),
            trip=self._proofs.trip(policy, ref, snapshot, record, rollout),
            elsewhere=elsewhere,
            recommended=self._recommended.get(ref, Recommendations(snapshot.taken_at_s)),
            ladder=self._ladders.get(ref),
        )
        decision = decide(inputs)
        self._ladders[ref] = decision.ladder
        if decision.recommended is not None:
            self._recommended[ref] = decision.recommended
        self._braked[ref] = decision.braked
        if decision.searched is not None:
            self._searched[ref] = decision.searched
        targets = decision.fleet.targets if decision.fleet is not None else None
        ahead = look_ahead(snapshot, policy, outlook, targets, _of_groups(policy, decision))
        return replace(inputs, dead_ends=ahead.dead_ends), decision, ahead

    def look(self, policy: IPPolicy, ref: DaemonSetRef, snapshot: Snapshot) -> Ladder:
        """How far facts are trusted, noted as a decision does it, where none can be made now."""
        self.note(policy, ref, snapshot)
        signals = self._signals[ref].signals(snapshot.taken_at_s)
        ladder = climb(self._ladders.get(ref), snapshot, signals, self._limits)
        self._ladders[ref] = ladder
        return ladder

    def begin_anew(self) -> None:
        """The clock has jumped: what seems to last for long now did not."""
        self._proofs.begin_anew()

    def note(self, policy: IPPolicy, ref: DaemonSetRef, snapshot: Snapshot) -> None:
        """Note what `snapshot` tells of subnets, late starts, EC2, and what changes come to."""
        settings, quota = present_settings(snapshot), policy.spec.subnets.quota
        found = readings(snapshot, settings, quota)
        self._proofs.note(ref, snapshot)
        with self._noting:
            self._signals.setdefault(ref, SignalHistory()).note(snapshot)
            self._histories.setdefault(ref, Histories()).note(found)

    def adopt_subnets(self, ref: DaemonSetRef, histories: Histories) -> None:
        """Go on from the `histories` of an operator before this one."""
        with self._noting:
            self._histories[ref] = histories
            self._outlooks.pop(ref, None)

    def adopt_signals(self, ref: DaemonSetRef, noted: Noted) -> None:
        """Go on from what an operator before this one `noted` of late starts and EC2."""
        with self._noting:
            self._signals[ref] = SignalHistory(noted)

    def packed_subnets(self, ref: DaemonSetRef) -> bytes:
        """The histories of the subnets of a DaemonSet, as they are to be kept; b"" for none."""
        with self._noting:
            histories = self._histories.get(ref)
            return pack(histories) if histories is not None else b""

    def packed_signals(self, ref: DaemonSetRef) -> bytes:
        """Late starts and what EC2 answered, as they are to be kept; b"" for none."""
        with self._noting:
            signals = self._signals.get(ref)
            return pack_signals(signals.noted()) if signals is not None else b""

    def keep(self, refs: Set[DaemonSetRef]) -> None:
        """Forget the subnets and changes of DaemonSets that no policy asks for any more."""
        self._proofs.keep(refs)
        for memory in (self._recommended, self._ladders):
            for ref in memory.keys() - refs:
                del memory[ref]
        for ref in self._histories.keys() - refs:
            del self._histories[ref]
            self._outlooks.pop(ref, None)

    def _outlook(self, policy: IPPolicy, ref: DaemonSetRef, snapshot: Snapshot) -> Outlook:
        self.note(policy, ref, snapshot)
        outlooks = self._outlooks.setdefault(ref, Outlooks(self._histories[ref]))
        return outlooks.of(snapshot, policy, present_settings(snapshot))


def _of_groups(policy: IPPolicy, decision: Decision) -> dict[str, WarmTargets]:
    """The targets that each group is to have of its own."""
    if policy.spec.apply.method is not Method.ADMISSION:
        return {}
    return {one.group: one.recommendation.targets for one in decision.groups}
