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

Applying and putting back are a writer's work, see `act.writers`. What goes through the EKS add-on
ends long after it was sent: until the DaemonSet shows it the change is an intent with the id of its
update, and putting back is asked for again until EKS is through. When a policy is given another
method, the former writer puts its originals back first; the record and its past stay.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ippolicy.act import history
from ippolicy.act.daemonset import DaemonSetWriter, check_container
from ippolicy.act.eks.client import AddonApi, EksClient
from ippolicy.act.ending import Ending
from ippolicy.act.guards import (
    NoEffect,
    check_nothing_in_doubt,
    check_unchanged,
    may_have_been_written,
)
from ippolicy.act.live import Live
from ippolicy.act.outcome import Outcome, OutcomeKind, outcome_of
from ippolicy.act.pacing import Pacing
from ippolicy.act.records import RecordStore, StoredRecord
from ippolicy.act.ways import Ways
from ippolicy.act.writers import Plan, Sent, Writer
from ippolicy.act.writers.addon import AddonWriter
from ippolicy.act.writers.daemonset import ApplyWriter
from ippolicy.act.writers.updates import UpdateFailed, accepted, failed_just_now
from ippolicy.api import IPPolicy, Method
from ippolicy.decide.method import WRITERS, Way
from ippolicy.decide.types import Decision, Verdict
from ippolicy.errors import ActError, IPPolicyError
from ippolicy.facts import Change, DaemonSetFacts, DaemonSetRef, Record
from ippolicy.facts import Writer as WriterKind

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


class Actor:
    """Carries out decisions on DaemonSets, follows them to their end, and undoes them.

    Calls block and are to be made from a thread. Every request has a timeout and is sent once.
    """

    def __init__(
        self,
        api_client: ApiClient,
        clock: Callable[[], float] = time.time,
        addons: AddonApi | None = None,
    ) -> None:
        """`addons` is how EKS is asked; by default for the cluster that the nodes name."""
        from kubernetes.client import AppsV1Api, CoreV1Api

        core = CoreV1Api(api_client)
        self._records = RecordStore(core)
        self._daemon_sets = DaemonSetWriter(AppsV1Api(api_client), clock)
        api = addons or EksClient(core)
        writers: tuple[Writer, ...] = (
            ApplyWriter(self._daemon_sets),
            AddonWriter(self._daemon_sets, api),
        )
        self._writers = {writer.kind: writer for writer in writers}
        self._ways = Ways(api, clock)
        self._ending = Ending(self._records, self._daemon_sets, self._writers, clock)
        self._pacing = Pacing(self._records, self._daemon_sets)
        self._clock = clock

    def way(self, policy: IPPolicy, facts: DaemonSetFacts, record: Record | None) -> Way:
        """By which method a change would be made now, and why. Raises nothing."""
        return self._ways.way(policy, facts, record)

    def carry_out(
        self,
        *,
        policy: IPPolicy,
        ref: DaemonSetRef,
        decision: Decision,
        decided_on: DaemonSetFacts,
        now_s: float,
    ) -> Outcome:
        """Put the decided env in force in one write, if all is as it was when it was decided.

        Raises nothing of this project: every error is an Outcome.
        """
        if decision.verdict is not Verdict.CHANGE or not decision.env:
            return Outcome(OutcomeKind.NOTHING, decision.message)
        try:
            return self._carry_out(policy, ref, decision, decided_on, now_s)
        except IPPolicyError as error:
            return outcome_of(error)

    def follow(
        self, ref: DaemonSetRef, facts: DaemonSetFacts | None, *, may_write: bool = True
    ) -> Record | None:
        """The record of a DaemonSet with its open change brought up to date, None without one.

        An intent that a death left behind is settled on a fresh read, a rollout on `facts`. An
        update of the EKS add-on that failed is undone only where the policy `may_write`.

        Raises:
            RecordUnreadable: the record is there and cannot be trusted.
            UpdateFailed: EKS could not carry out the open change; said once, it is recorded.
            ActError: a server did not answer, or somebody else wrote at the same time.
        """
        stored = self._records.read(ref)
        if stored is None:
            return None
        record, before = stored.record, stored.record.last_change
        if facts is not None and before is not None:
            writer = self._writers[before.writer]
            now_s = self._clock()
            record = history.not_ahead(record, now_s)
            record = writer.follow(ref, record, facts, now_s=now_s, may_write=may_write)
        if record != stored.record:
            self._records.write(ref, record, over=stored)
        if why := failed_just_now(record, before):
            raise UpdateFailed(f"{why}: the former values are put back")
        return record

    def note(
        self,
        ref: DaemonSetRef,
        change: Callable[[Record], Record],
        *,
        first: Record | None = None,
    ) -> Record | None:
        """The record of a DaemonSet after the pure `change` of it was written; None without one.

        Where there is none yet, `change` is made to `first`, if that is given, and kept if it makes
        a difference.

        Raises:
            RecordUnreadable: the record is there and cannot be trusted.
            ActError: the API server did not answer, or somebody else wrote at the same time.
        """
        stored = self._records.read(ref)
        before = stored.record if stored is not None else first
        if before is None:
            return None
        record = change(before)
        if record != before:
            self._records.write(ref, record, over=stored)
            return record
        return before if stored is not None else None

    def put_back_pace(self, ref: DaemonSetRef) -> Record | None:
        """The record after maxUnavailable, which was lowered for a rollout, was put back.

        Raises:
            RecordUnreadable: the record is there and cannot be trusted.
            ActError: the API server did not answer, or the DaemonSet changed at the same time.
        """
        return self._pacing.put_back(ref)

    def restore(self, ref: DaemonSetRef) -> Outcome:
        """Put the originals back, let go of the fields and delete the record.

        For a policy that is deleted while no other acts on this DaemonSet. May be called again at
        any time; `Outcome.settled` says whether the policy may go.
        """
        return self._ending.restore(ref)

    def retain(self, ref: DaemonSetRef) -> Outcome:
        """Leave the values in force, let go of the fields and delete the record.

        The fields are let go since their holder goes: else whoever sets them next by server-side
        apply would meet a conflict with a manager that is no longer there.
        """
        return self._ending.retain(ref)

    def hand_over(self, ref: DaemonSetRef, reason: str) -> Outcome:
        """Put the originals back for a method that changes nothing on the DaemonSet; the past stays
        in the record. Raises nothing of this project."""
        try:
            stored = self._records.read(ref)
            if stored is None or not stored.record.originals:
                return Outcome(OutcomeKind.NOTHING, f"DaemonSet {ref}: nothing is to be put back")
            way = Way(Method.ADMISSION, reason)
            return self._ending.hand_over(ref, stored, stored.record.writer, way)
        except IPPolicyError as error:
            return outcome_of(error)

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
        way = self.way(policy, live.facts, record)
        if way.method is Method.NONE:
            return Outcome(OutcomeKind.NOTHING, way.reason)
        writer = self._writers[WRITERS[way.method]]
        if stored and stored.record.originals and stored.record.writer is not writer.kind:
            return self._ending.hand_over(ref, stored, writer.kind, way)
        found = writer.find(live)
        if writer.in_force(found, decision.env):
            return Outcome(
                OutcomeKind.IN_PLACE,
                f"DaemonSet {ref} has the values already: nothing was sent",
                change=record.last_change if record else None,
            )
        check_container(live.facts)
        check_unchanged(live.facts, decided_on)
        check_nothing_in_doubt(ref, record)
        plan = writer.plan(found, decision, record, policy.spec.apply.take_over)
        change = history.intended(live, decision, policy=policy.name, now_s=now_s)
        begun = history.begin(record, live, change, policy_uid=policy.uid)
        intent = self._records.write(ref, _planned(begun, writer, plan), over=stored)
        try:
            return self._written(ref, intent, live, plan.send())
        except ActError as error:
            if not may_have_been_written(error):
                self._undo(ref, intent, former=stored)
            raise

    def _settled(self, ref: DaemonSetRef, live: Live, now_s: float) -> StoredRecord | None:
        """The record, with an intent that a death left behind settled, on the cluster too."""
        stored = self._records.read(ref)
        if stored is None or stored.record.writer is not WriterKind.DAEMON_SET:
            return stored
        record = history.settle(stored.record, live, now_s=now_s)
        return stored if record == stored.record else self._records.write(ref, record, over=stored)

    def _written(
        self, ref: DaemonSetRef, intent: StoredRecord, before: Live, sent: Sent
    ) -> Outcome:
        change, after = intent.record.changes[-1], sent.live
        if after is None:
            record = accepted(intent.record, sent.update_id)
            message = f"EKS add-on vpc-cni: {_pairs(change, change.after)}, update {sent.update_id}"
            return self._recorded(ref, intent, record, message)
        values = {key: after.facts.literal_env().get(key) for key in change.after}
        if after.facts.generation == before.facts.generation:
            raise NoEffect(
                f"DaemonSet {ref} kept its values though the API server took the change: look for "
                "an admission webhook or policy engine that sets them back"
            )
        record = history.rolling(intent.record, generation=after.facts.generation, after=values)
        message = f"DaemonSet {ref}: {_pairs(change, values)}, generation {after.facts.generation}"
        return self._recorded(ref, intent, record, message)

    def _recorded(
        self, ref: DaemonSetRef, intent: StoredRecord, record: Record, message: str
    ) -> Outcome:
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


def _planned(begun: Record, writer: Writer, plan: Plan) -> Record:
    """The record to be written before a plan is sent, with what the plan knows better."""
    last = replace(begun.changes[-1], writer=writer.kind)
    if plan.before is not None:
        last = replace(last, before=plan.before)
    originals = begun.originals if plan.originals is None else plan.originals
    changes = (*begun.changes[:-1], last)
    was = begun.max_unavailable or plan.max_unavailable
    return replace(
        begun, originals=originals, changes=changes, writer=writer.kind, max_unavailable=was
    )


def _pairs(change: Change, values: Mapping[str, str | None]) -> str:
    return ", ".join(
        f"{key} {change.before[key] or 'unset'} -> {values[key] or 'unset'}"
        for key in sorted(change.after)
    )
