"""How what was changed comes to its end: put back, left as it is, or handed to another writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from ippolicy.act import history
from ippolicy.act.daemonset import DaemonSetWriter, again_while_it_moves
from ippolicy.act.outcome import Outcome, OutcomeKind, outcome_of
from ippolicy.act.records import RecordStore, StoredRecord, record_name
from ippolicy.act.writers import Found, Undone, Writer
from ippolicy.decide.method import Way
from ippolicy.errors import IPPolicyError
from ippolicy.facts import DaemonSetRef, Record
from ippolicy.facts import Writer as WriterKind

_Settle = Callable[[Writer, Found, Record], Undone]


class Ending:
    """Ends what records tell of. `restore` and `retain` may be called again at any time."""

    def __init__(
        self,
        records: RecordStore,
        daemon_sets: DaemonSetWriter,
        writers: Mapping[WriterKind, Writer],
        clock: Callable[[], float],
    ) -> None:
        self._records = records
        self._daemon_sets = daemon_sets
        self._writers = writers
        self._clock = clock

    def restore(self, ref: DaemonSetRef) -> Outcome:
        """Put the originals back, let go of the fields and delete the record."""
        return self._end(ref, self._restored)

    def retain(self, ref: DaemonSetRef) -> Outcome:
        """Leave the values in force, let go of the fields and delete the record."""
        return self._end(ref, self._retained)

    def hand_over(
        self, ref: DaemonSetRef, stored: StoredRecord, to: WriterKind, way: Way
    ) -> Outcome:
        """Put the originals back by the former writer, so that writer `to` finds what was there.

        The past stays in the record, closed, so that nobody takes this for somebody else's doing.
        """
        former = self._writers[stored.record.writer]
        found = former.find_changed(ref, stored.record.daemon_set_uid)
        message = "nothing of ours was left"
        if found is not None:
            undone = former.restore(found, stored.record, now_s=self._clock())
            message = undone.message
            if not undone.done:
                return Outcome(OutcomeKind.UNDER_WAY, f"{message} ({way.reason})", retryable=True)
            self._let_go(ref, found)
        record = replace(history.handed_over(stored.record, self._clock()), writer=to)
        self._records.write(ref, record, over=stored)
        return Outcome(
            OutcomeKind.RESTORED, f"DaemonSet {ref}: {message}, as {way.reason}: decided anew"
        )

    def _end(self, ref: DaemonSetRef, settle_values: _Settle) -> Outcome:
        """End all that the record of `ref` tells of; `settle_values` sees to the values first."""
        try:
            return again_while_it_moves(partial(self._try_to_end, ref, settle_values))
        except IPPolicyError as error:
            return outcome_of(error)

    def _try_to_end(self, ref: DaemonSetRef, settle_values: _Settle) -> Outcome:
        stored = self._records.read(ref)
        if stored is None:
            return Outcome(OutcomeKind.NOTHING, f"DaemonSet {ref} was never changed")
        writer = self._writers[stored.record.writer]
        found = writer.find_changed(ref, stored.record.daemon_set_uid)
        if found is None:
            return self._forget(ref, stored)
        undone = settle_values(writer, found, stored.record)
        if not undone.done:
            return Outcome(OutcomeKind.UNDER_WAY, undone.message, retryable=True)
        self._let_go(ref, found)
        self._records.delete(ref, stored)
        return Outcome(OutcomeKind.RESTORED, f"DaemonSet {ref}: {undone.message}")

    def _restored(self, writer: Writer, found: Found, record: Record) -> Undone:
        return writer.restore(found, record, now_s=self._clock())

    def _retained(self, writer: Writer, found: Found, record: Record) -> Undone:
        return Undone(True, writer.retain(found, record, now_s=self._clock()))

    def _let_go(self, ref: DaemonSetRef, found: Found) -> None:
        if found.live is not None:
            self._daemon_sets.release(ref, found.live.facts.uid)

    def _forget(self, ref: DaemonSetRef, stored: StoredRecord) -> Outcome:
        self._records.delete(ref, stored)
        return Outcome(
            OutcomeKind.NOTHING,
            f"DaemonSet {ref} is not the one that was changed, or is gone: nothing to put back, "
            f"ConfigMap {record_name(ref)} was removed",
        )
