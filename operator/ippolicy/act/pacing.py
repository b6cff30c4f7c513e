"""maxUnavailable, lowered for a rollout, is put back as it was and then no longer ours.

    record.max_unavailable   rollout      maxUnavailable now       done
    ----------------------   ----------   ----------------------   ---------------------------------
    none                     any          any                      nothing
    recorded                 under way    any                      nothing
    recorded                 over         ours, and another        applied as recorded, and let go
    recorded                 over         ours, and as recorded    let go (a death came in between)
    recorded                 over         somebody else's          nothing: it was changed since

The record forgets it last. The template stays as it is, so no pod restarts by it.
"""

from __future__ import annotations

from dataclasses import replace

from ippolicy.act.daemonset import DaemonSetWriter
from ippolicy.act.env import kept_entries
from ippolicy.act.live import Live
from ippolicy.act.records import RecordStore
from ippolicy.facts import ChangePhase, DaemonSetRef, Record

_UNDER_WAY = (ChangePhase.INTENDED, ChangePhase.ROLLING)


class Pacing:
    """Puts maxUnavailable back; `put_back` may be called again at any time."""

    def __init__(self, records: RecordStore, daemon_sets: DaemonSetWriter) -> None:
        self._records = records
        self._daemon_sets = daemon_sets

    def put_back(self, ref: DaemonSetRef) -> Record | None:
        """The record of `ref` after that, None without one; the table above.

        Raises:
            ActError: the API server did not answer, or the DaemonSet changed at the same time.
        """
        stored = self._records.read(ref)
        if stored is None or not pace_is_due(stored.record):
            return stored.record if stored is not None else None
        live = self._daemon_sets.read(ref)
        if live.facts.uid == stored.record.daemon_set_uid and live.holds_max_unavailable:
            pace = pace_before(live, stored.record)
            if pace is not None:
                self._daemon_sets.apply(live, kept_entries(live), force=False, max_unavailable=pace)
            self._daemon_sets.let_go_of_max_unavailable(ref, live.facts.uid)
        record = replace(stored.record, max_unavailable=None)
        return self._records.write(ref, record, over=stored).record


def pace_is_due(record: Record | None) -> bool:
    """Whether maxUnavailable was lowered for a rollout that is over."""
    if record is None or record.max_unavailable is None:
        return False
    last = record.last_change
    return last is None or last.phase not in _UNDER_WAY


def pace_before(live: Live, record: Record) -> str | None:
    """What maxUnavailable is to be put back to, None where there is nothing to put back."""
    was = record.max_unavailable
    ours = live.holds_max_unavailable and live.facts.rollout.max_unavailable != was
    return was if ours else None
