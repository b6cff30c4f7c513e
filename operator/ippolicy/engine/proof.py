"""What is kept between passes to prove changes: what was counted, and since when pods are missing.

All of it is in memory only. What an operator that starts anew lacks, it goes without: guards then
compare with the model's word, measurements wait until enough was watched, and time that nobody
watched saves nothing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from functools import partial

from ippolicy.act.rollout import RolloutPhase, RolloutState, begun_s
from ippolicy.api import IPPolicy, Method, Mode
from ippolicy.decide import guards, proof
from ippolicy.decide.environment import read_environment
from ippolicy.decide.guards import Trip, Watched
from ippolicy.decide.hindsight import Look, in_hindsight
from ippolicy.decide.measure import Meter
from ippolicy.decide.running import running_of
from ippolicy.engine.group_proof import GroupProofs, Update
from ippolicy.errors import IPPolicyError
from ippolicy.facts import (
    Change,
    ChangePhase,
    DaemonSetFacts,
    DaemonSetRef,
    Forecast,
    Record,
    Snapshot,
)
from ippolicy.ipamd import WarmTargets

_log = logging.getLogger("ippolicy")

Noting = Callable[[DaemonSetRef, Update], Record | None]
"""Writes what a pure function makes of a record, as `Actor.note` does."""


@dataclass(slots=True)
class _Kept:
    """Of one DaemonSet; `saved_until_s` is up to when the ledger was counted."""

    saved_until_s: float
    meter: Meter = field(default_factory=Meter)
    groups: GroupProofs = field(default_factory=GroupProofs)
    short_since_s: float | None = None


class Proofs:
    """Counts what changes come to, says when a guard trips, and writes measurements down."""

    def __init__(self, noting: Noting) -> None:
        self._noting = noting
        self._kept: dict[DaemonSetRef, _Kept] = {}

    def keep(self, refs: Set[DaemonSetRef]) -> None:
        """Forget DaemonSets that no policy asks for any more."""
        for ref in self._kept.keys() - refs:
            del self._kept[ref]

    def begin_anew(self) -> None:
        """Time for which pods have been missing counts from now on."""
        for kept in self._kept.values():
            kept.short_since_s = None

    def note(self, ref: DaemonSetRef, snapshot: Snapshot) -> None:
        """Take in what is new in `snapshot`."""
        now_s = snapshot.taken_at_s
        kept = self._kept.setdefault(ref, _Kept(saved_until_s=now_s))
        kept.meter.note(snapshot)
        kept.groups.note(snapshot)
        facts = snapshot.daemon_set
        if facts is None or not guards.missing(facts.rollout):
            kept.short_since_s = None
        elif kept.short_since_s is None:
            kept.short_since_s = now_s

    def trip(
        self,
        policy: IPPolicy,
        ref: DaemonSetRef,
        snapshot: Snapshot,
        record: Record | None,
        rollout: RolloutState | None,
    ) -> Trip | None:
        """The guard that finds the last change harmful, if there is one."""
        change = record.last_change if record is not None else None
        facts, now_s = snapshot.daemon_set, snapshot.taken_at_s
        if facts is None or change is None or not guards.guarded(policy, change, now_s):
            return None
        if not _in_force(change, facts):
            return None  # somebody else has changed it since: harm is no longer its doing
        kept, at_s = self._kept[ref], begun_s(snapshot, change.intended_at_s)
        stuck = rollout is not None and rollout.phase is RolloutPhase.STUCK
        watched = Watched(
            before=kept.meter.between(at_s - guards.BEFORE_S, at_s),
            since=kept.meter.between(at_s, math.inf),
            short_s=0.0 if kept.short_since_s is None else now_s - kept.short_since_s,
            stuck=rollout.message if rollout is not None and stuck else "",
        )
        return guards.trip(policy, change, facts.rollout, watched)

    def measured(
        self, policy: IPPolicy, ref: DaemonSetRef, look: Look, record: Record | None
    ) -> Record | None:
        """The record with what there was to be measured written down; blocks where there was."""
        facts, kept = look.snapshot.daemon_set, self._kept[ref]
        if facts is None or record is None or policy.spec.mode is Mode.OFF:
            return record
        if policy.spec.apply.method is Method.ADMISSION:
            measured, saved = kept.groups.found(look, facts, record)
        else:
            measured, saved = _found(kept, look, facts, record.last_change)
        updates = [*measured, *([saved] if saved is not None else [])]
        if not updates:
            return record
        try:
            noted = self._noting(ref, lambda found: _all(updates, found))
        except IPPolicyError as error:
            _log.warning("policy %s: a measurement waits: %s", policy.name, error)
            return record
        if saved is not None:
            kept.saved_until_s = kept.groups.saved_until_s = look.now_s
        return noted


def _found(
    kept: _Kept, look: Look, facts: DaemonSetFacts, change: Change | None
) -> tuple[list[Update], Update | None]:
    """What there is to be written of the last change, and of what it has saved."""
    if change is None:
        return [], None
    if change.phase is not ChangePhase.COMPLETE or not _in_force(change, facts):
        kept.saved_until_s = look.now_s
        return [], None
    measured = _measurement(kept, look, facts, change)
    return [measured] if measured is not None else [], _saving(kept, look, facts, change)


def _measurement(kept: _Kept, look: Look, facts: DaemonSetFacts, change: Change) -> Update | None:
    """What the measurement that is due adds to the record."""
    now_s = look.now_s
    after_s = proof.due(change, now_s)
    if after_s is None:
        return None
    since_s, until_s = proof.window(change, after_s, now_s)
    counts = kept.meter.between(since_s, until_s)
    if not proof.enough(counts, after_s):
        return None
    expected = _replayed(look, facts, since_s)
    found = proof.measurement(after_s, now_s, counts, expected[0] if expected else None)
    return partial(proof.with_measured, change_id=change.id, found=found)


def _saving(kept: _Kept, look: Look, facts: DaemonSetFacts, change: Change) -> Update | None:
    """What was saved since it was last counted, once that is an hour ago."""
    now_s = look.now_s
    since_s = max(kept.saved_until_s, (change.completed_at_s or now_s) + proof.SETTLE_S)
    counts = kept.meter.between(since_s, now_s)
    if now_s - since_s < proof.LEDGER_S or not counts.watched_s:
        return None
    replayed = _replayed(look, facts, since_s, proof.DEFAULTS)
    if not replayed:
        kept.saved_until_s = now_s  # nobody can tell what was saved
        return None
    defaults, expected = replayed

    return partial(
        proof.with_saved, counts=counts, defaults=defaults, expected=expected, now_s=now_s
    )


def _replayed(
    look: Look, facts: DaemonSetFacts, since_s: float, *beside: WarmTargets
) -> tuple[Forecast, ...]:
    """What the targets `beside` would have come to, and last what is in force."""
    base = read_environment(facts.env).settings
    return in_hindsight(look, since_s, base, [*beside, running_of(look.snapshot, base)])


def _in_force(change: Change, facts: DaemonSetFacts) -> bool:
    """Whether nobody has changed since what a change has set."""
    env = facts.literal_env()
    return all(value in (None, env.get(key)) for key, value in change.after.items())


def _all(updates: Sequence[Update], record: Record) -> Record:
    for update in updates:
        record = update(record)
    return record
