"""Env entries of the DaemonSet by server-side apply, each under our own name."""

from __future__ import annotations

from collections.abc import Collection

from ippolicy.act import history
from ippolicy.act.daemonset import DaemonSetWriter
from ippolicy.act.env import env_patch, kept_entries, restoring_patch
from ippolicy.act.guards import check_nothing_in_doubt
from ippolicy.act.live import Live, Wanted
from ippolicy.act.ownership import check_ownership, must_force, regained
from ippolicy.act.pacing import pace_before
from ippolicy.act.restoring import restoration
from ippolicy.act.writers.writer import Found, Plan, Sent, Undone
from ippolicy.decide.types import Decision
from ippolicy.errors import DaemonSetMissing
from ippolicy.facts import ChangePhase, DaemonSetFacts, DaemonSetRef, Record
from ippolicy.facts import Writer as WriterKind


class ApplyWriter:
    """`Writer` by server-side apply on the DaemonSet."""

    kind = WriterKind.DAEMON_SET

    def __init__(self, daemon_sets: DaemonSetWriter) -> None:
        self._daemon_sets = daemon_sets

    def find(self, live: Live) -> Found:
        """The DaemonSet is all that there is."""
        return Found(live)

    def find_changed(self, ref: DaemonSetRef, daemon_set_uid: str) -> Found | None:
        """The DaemonSet with that uid, or None when that one is gone."""
        try:
            live = self._daemon_sets.read(ref)
        except DaemonSetMissing:
            return None
        same = live.facts.uid == daemon_set_uid
        return Found(live) if same and live.facts.has_container else None

    def in_force(self, found: Found, wanted: Wanted) -> bool:
        """Whether the entries have these values, whoever set them."""
        return _live(found).has(wanted)

    def plan(
        self, found: Found, decision: Decision, record: Record | None, take_over: Collection[str]
    ) -> Plan:
        """One apply of the decided entries.

        Raises:
            FieldConflict: another manager holds an entry that is not in `take_over`.
            ActError, EntryPointRefused: the resulting environment is a trap.
        """
        live, wanted = _live(found), decision.env
        again = regained(live, record, decision.kind, wanted)
        check_ownership(live, wanted, {*take_over, *again})
        entries = env_patch(live, wanted)
        force, lowered = must_force(live, wanted), _lowered(decision)
        return Plan(
            # Whoever set maxUnavailable has it back after the rollout; no env entry is forced by it
            # that was not checked, for the apply holds for exactly what was read.
            lambda: Sent(
                self._daemon_sets.apply(
                    live, entries, force=force or lowered is not None, max_unavailable=lowered
                )
            ),
            max_unavailable=live.facts.rollout.max_unavailable if lowered is not None else None,
        )

    def follow(
        self,
        ref: DaemonSetRef,
        record: Record,
        facts: DaemonSetFacts,
        *,
        now_s: float,
        may_write: bool,  # noqa: ARG002  (nothing is ever written to follow a change)
    ) -> Record:
        """An intent that a death left behind is settled on a fresh read, a rollout on `facts`."""
        last = record.last_change
        if last is not None and last.phase is ChangePhase.INTENDED:
            record = history.settle(record, self._daemon_sets.read(ref), now_s=now_s)
        return history.advance(record, facts, now_s=now_s)

    def restore(self, found: Found, record: Record, *, now_s: float) -> Undone:
        """Apply the originals, where they are still ours to give back.

        Raises:
            FactsChanged: a change may still be on its way.
        """
        live = _certain(found, record, now_s)
        plan, pace = restoration(live, record.originals), pace_before(live, record)
        if plan.needed(live) or pace is not None:
            entries = restoring_patch(live, plan.put_back)
            self._daemon_sets.apply(live, entries, force=False, max_unavailable=pace)
        return Undone(True, plan.describe())

    def retain(self, found: Found, record: Record, *, now_s: float) -> str:
        """What of ours stays in force.

        Raises:
            FactsChanged: a change may still be on its way.
        """
        live = _certain(found, record, now_s)
        if (pace := pace_before(live, record)) is not None:
            self._daemon_sets.apply(live, kept_entries(live), force=False, max_unavailable=pace)
        kept = sorted(key for key in record.originals if live.value_is_ours(key))
        return f"{', '.join(kept) or 'nothing of ours'} left in force, as onDelete Retain asks"


def _lowered(decision: Decision) -> str | None:
    pace = decision.pace
    return None if pace is None or pace.lowered is None else str(pace.lowered)


def _certain(found: Found, record: Record, now_s: float) -> Live:
    live = _live(found)
    check_nothing_in_doubt(live.facts.ref, history.settle(record, live, now_s=now_s))
    return live


def _live(found: Found) -> Live:
    assert found.live is not None  # noqa: S101  (find and find_changed give it)
    return found.live
