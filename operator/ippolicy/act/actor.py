"""The order in which a change is made, so that a death at any moment loses nothing.

    carry out                                   put back
    1  read the DaemonSet, compare              1  read the record and the DaemonSet
    2  read the record, settle what is open     2  apply the originals, once
    3  write originals and intent               3  let go of the fields
    4  apply, on exactly what was read          4  delete the record
    5  write that it is rolling

A death after 3 leaves an intent: `follow` finds the values in force, or drops it. A death after 4
is the same with the values in force: no second apply. A death after 2 or 3 while putting back
leaves a record whose originals are already there: nothing is sent again, the record goes.
A write that the API server refused is taken out of the record again; one that nobody knows the end
of is left as an intent, and no other change starts until it is certain.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ippolicy.act import history
from ippolicy.act.daemonset import DaemonSetWriter, check_container
from ippolicy.act.env import env_patch, restoring_patch
from ippolicy.act.guards import (
    NoEffect,
    check_nothing_in_doubt,
    check_unchanged,
    may_have_been_written,
)
from ippolicy.act.live import Live
from ippolicy.act.outcome import Outcome, OutcomeKind, outcome_of
from ippolicy.act.ownership import check_ownership, must_force
from ippolicy.act.records import RecordStore, StoredRecord, record_name
from ippolicy.act.restoring import restoration
from ippolicy.api import IPPolicy
from ippolicy.decide.types import Decision, Verdict
from ippolicy.errors import ActError, DaemonSetMissing, IPPolicyError
from ippolicy.facts import Change, ChangePhase, DaemonSetFacts, DaemonSetRef, Record

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


class Actor:
    """Carries out decisions on DaemonSets, follows them to their end, and undoes them.

    Calls block and are to be made from a thread. Every request has a timeout and is sent once.
    """

    def __init__(self, api_client: ApiClient, clock: Callable[[], float] = time.time) -> None:
        from kubernetes.client import AppsV1Api, CoreV1Api

        self._records = RecordStore(CoreV1Api(api_client))
        self._daemon_sets = DaemonSetWriter(AppsV1Api(api_client), clock)
        self._clock = clock

    def carry_out(
        self,
        *,
        policy: IPPolicy,
        ref: DaemonSetRef,
        decision: Decision,
        decided_on: DaemonSetFacts,
        now_s: float,
    ) -> Outcome:
        """Put the decided env in force in one apply, if all is as it was when it was decided.

        Raises nothing of this project: every error is an Outcome.
        """
        if decision.verdict is not Verdict.CHANGE or not decision.env:
            return Outcome(OutcomeKind.NOTHING, decision.message)
        try:
            return self._carry_out(policy, ref, decision, decided_on, now_s)
        except IPPolicyError as error:
            return outcome_of(error)

    def follow(self, ref: DaemonSetRef, facts: DaemonSetFacts | None) -> Record | None:
        """The record of a DaemonSet with its open change brought up to date, None without one.

        An intent that a death left behind is settled on a fresh read, a rollout on `facts`.

        Raises:
            RecordUnreadable: the record is there and cannot be trusted.
            ActError: the API server did not answer, or somebody else wrote at the same time.
        """
        stored = self._records.read(ref)
        if stored is None:
            return None
        record, now_s = stored.record, self._clock()
        last = record.last_change
        if last is not None and last.phase is ChangePhase.INTENDED and facts is not None:
            record = history.settle(record, self._daemon_sets.read(ref), now_s=now_s)
        if facts is not None:
            record = history.advance(record, facts, now_s=now_s)
        if record != stored.record:
            self._records.write(ref, record, over=stored)
        return record

    def restore(self, ref: DaemonSetRef) -> Outcome:
        """Put the originals back, let go of the fields and delete the record.

        For a policy that is deleted while no other acts on this DaemonSet. May be called again at
        any time; `Outcome.settled` says whether the policy may go.
        """
        return self._end(ref, self._put_back)

    def retain(self, ref: DaemonSetRef) -> Outcome:
        """Leave the values in force, let go of the fields and delete the record.

        The fields are let go since their holder goes: else whoever sets them next by server-side
        apply would meet a conflict with a manager that is no longer there.
        """
        return self._end(ref, _leave)

    def _carry_out(
        self,
        policy: IPPolicy,
        ref: DaemonSetRef,
        decision: Decision,
        decided_on: DaemonSetFacts,
        now_s: float,
    ) -> Outcome:
        live = self._daemon_sets.read(ref)
        stored = self._settled(ref, live, now_s)
        record = stored.record if stored else None
        if live.has(decision.env):
            return Outcome(
                OutcomeKind.IN_PLACE,
                f"DaemonSet {ref} has the values already: nothing was sent",
                change=record.last_change if record else None,
            )
        check_container(live.facts)
        check_unchanged(live.facts, decided_on)
        check_nothing_in_doubt(ref, record)
        check_ownership(live, decision.env, policy.spec.apply.take_over)
        entries = env_patch(live, decision.env)
        change = history.intended(
            live, decision.env, policy=policy.name, reason=decision.reason.value, now_s=now_s
        )
        begun = history.begin(record, live, change, policy_uid=policy.uid)
        intent = self._records.write(ref, begun, over=stored)
        try:
            after = self._daemon_sets.apply(live, entries, force=must_force(live, decision.env))
            return self._written(ref, intent, live, after)
        except ActError as error:
            if not may_have_been_written(error):
                self._undo(ref, intent, former=stored)
            raise

    def _settled(self, ref: DaemonSetRef, live: Live, now_s: float) -> StoredRecord | None:
        """The record, with an intent that a death left behind settled, on the cluster too."""
        stored = self._records.read(ref)
        if stored is None:
            return None
        record = history.settle(stored.record, live, now_s=now_s)
        return stored if record == stored.record else self._records.write(ref, record, over=stored)

    def _written(
        self, ref: DaemonSetRef, intent: StoredRecord, before: Live, after: Live
    ) -> Outcome:
        change = intent.record.changes[-1]
        values = {key: after.facts.literal_env().get(key) for key in change.after}
        if after.facts.generation == before.facts.generation:
            raise NoEffect(
                f"DaemonSet {ref} kept its values though the API server took the change: look for "
                "an admission webhook or policy engine that sets them back"
            )
        record = history.rolling(intent.record, generation=after.facts.generation, after=values)
        message = f"DaemonSet {ref}: {_pairs(change, values)}, generation {after.facts.generation}"
        try:
            self._records.write(ref, record, over=intent)
        except ActError as error:  # the change stands; `follow` finds it by the intent
            message = f"{message}; its record follows with the next look ({error})"
        return Outcome(OutcomeKind.WRITTEN, message, change=record.last_change)

    def _undo(
        self, ref: DaemonSetRef, intent: StoredRecord, *, former: StoredRecord | None
    ) -> None:
        """Take the intent out of the record again, for nothing was written.

        What goes wrong here is left to the next look, which drops the intent all the same: the
        reason why nothing was written is the one to be told.
        """
        with contextlib.suppress(ActError):
            if former is None:
                self._records.delete(ref, intent)
            else:
                self._records.write(ref, former.record, over=intent)

    def _end(self, ref: DaemonSetRef, settle_values: Callable[[Live, Record], str]) -> Outcome:
        """End all that the record of `ref` tells of; `settle_values` sees to the values first."""
        try:
            stored = self._records.read(ref)
            if stored is None:
                return Outcome(OutcomeKind.NOTHING, f"DaemonSet {ref} was never changed")
            live = self._read_own(ref, stored)
            if live is None:
                return self._forget(ref, stored)
            check_nothing_in_doubt(ref, history.settle(stored.record, live, now_s=self._clock()))
            done = settle_values(live, stored.record)
            self._daemon_sets.release(ref, live.facts.uid)
            self._records.delete(ref, stored)
        except IPPolicyError as error:
            return outcome_of(error)
        return Outcome(OutcomeKind.RESTORED, f"DaemonSet {ref}: {done}")

    def _put_back(self, live: Live, record: Record) -> str:
        plan = restoration(live, record.originals)
        if plan.needed(live):
            self._daemon_sets.apply(live, restoring_patch(live, plan.put_back), force=False)
        return plan.describe()

    def _read_own(self, ref: DaemonSetRef, stored: StoredRecord) -> Live | None:
        """The DaemonSet that the record is of, or None when that one is gone."""
        try:
            live = self._daemon_sets.read(ref)
        except DaemonSetMissing:
            return None
        same = live.facts.uid == stored.record.daemon_set_uid
        return live if same and live.facts.has_container else None

    def _forget(self, ref: DaemonSetRef, stored: StoredRecord) -> Outcome:
        self._records.delete(ref, stored)
        return Outcome(
            OutcomeKind.NOTHING,
            f"DaemonSet {ref} is not the one that was changed, or is gone: nothing to put back, "
            f"ConfigMap {record_name(ref)} was removed",
        )


def _leave(live: Live, record: Record) -> str:
    kept = sorted(key for key in record.originals if live.value_is_ours(key))
    return f"{', '.join(kept) or 'nothing of ours'} left in force, as onDelete Retain asks"


def _pairs(change: Change, values: Mapping[str, str | None]) -> str:
    return ", ".join(
        f"{key} {change.before[key] or 'unset'} -> {values[key] or 'unset'}"
        for key in sorted(change.after)
    )
