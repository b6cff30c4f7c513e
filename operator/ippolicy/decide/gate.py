"""May a change be written now? Each check names the one thing that stands in the way.

check                      stops                      until
-------------------------  -------------------------  ------------------------------------
mode, paused, method       every write                the user says otherwise
DaemonSet, container, env  every write                they can be read
facts old, coverage low    every write                the sources answer again
evidence                   every write                demand was watched for minEvidence
rollout under way          every write                it is complete
cooldown, maxPerDay        every write                the time has passed
stabilization, minSaving   a change that holds less   it is steady, and worth its restarts
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ippolicy.api import IPPolicy, Method, Mode
from ippolicy.decide.types import Reason, Recommendation
from ippolicy.facts import ChangePhase, DaemonSetFacts, Record, Snapshot, SourceName

DAY_S = 86_400.0

_NEEDED_SOURCES = (
    SourceName.NODES,
    SourceName.PODS,
    SourceName.AWS_NODE,
    SourceName.DAEMON_SET,
    SourceName.METRICS,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator's own settings ask of facts before it writes on them."""

    min_coverage: float = 0.8
    facts_max_age_s: float = 180.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing may be written now."""

    reason: Reason
    message: str


def off_gate(policy: IPPolicy) -> Stop | None:
    """Whether the user wants nothing but watching, so that nothing that is missing is a fault."""
    if policy.spec.mode is Mode.OFF:
        return Stop(Reason.MODE_OFF, "spec.mode is Off: only watching")
    return None


def wish_gate(policy: IPPolicy) -> Stop | None:
    """What the user has said."""
    if stop := off_gate(policy):
        return stop
    if policy.spec.mode is Mode.RECOMMEND:
        return Stop(
            Reason.MODE_RECOMMEND, "spec.mode is Recommend: set it to Apply to have it written"
        )
    if policy.paused:
        return Stop(Reason.PAUSED, "annotation ippolicy.dev/paused is true: remove it to go on")
    if policy.spec.apply.method is Method.NONE:
        return Stop(
            Reason.WRITER_NONE, "spec.apply.method is None: put the targets in place yourself"
        )
    return None


def facts_gate(snapshot: Snapshot, limits: Limits) -> Stop | None:
    """Whether the facts are fresh and whole enough to write on."""
    for name in _NEEDED_SOURCES:
        if stop := _stale(snapshot, name, limits.facts_max_age_s):
            return stop
    coverage = snapshot.coverage
    if coverage.share < limits.min_coverage:
        return Stop(
            Reason.COVERAGE_LOW,
            f"{coverage.read} of {coverage.listed} aws-node pods could be read, "
            f"{limits.min_coverage:.0%} are needed: check that port 61678 is reachable",
        )
    return None


def unread(snapshot: Snapshot, name: SourceName) -> Stop | None:
    """Whether a source was never read, so that what it lacks may be there all the same."""
    return _stale(snapshot, name, max_age_s=math.inf)


def _stale(snapshot: Snapshot, name: SourceName, max_age_s: float) -> Stop | None:
    state = snapshot.sources.get(name)
    age_s = math.inf if state is None else state.age_s(snapshot.taken_at_s)
    if age_s < math.inf and age_s <= max_age_s:
        return None
    age = "was never read" if age_s == math.inf else f"was last read {age_s:.0f} s ago"
    why = f": {state.error}" if state and state.error else ""
    return Stop(Reason.FACTS_STALE, f"{name} {age}{why}")


def rollout_gate(daemon_set: DaemonSetFacts, record: Record | None) -> Stop | None:
    """Whether a rollout of this DaemonSet, ours or another's, is still under way."""
    change = record.last_change if record else None
    if change is not None and change.phase in (ChangePhase.INTENDED, ChangePhase.ROLLING):
        return Stop(Reason.ROLLOUT_IN_PROGRESS, f"change {change.id} is still rolling out")
    rollout = daemon_set.rollout
    if rollout.observed_generation < daemon_set.generation or rollout.updated < rollout.desired:
        return Stop(
            Reason.ROLLOUT_IN_PROGRESS,
            f"{daemon_set.ref} is rolling: {rollout.updated} of {rollout.desired} pods updated",
        )
    if not rollout.healthy:
        return Stop(
            Reason.DAEMON_SET_UNHEALTHY,
            f"{daemon_set.ref} has {rollout.available} of {rollout.desired} pods available: "
            "a restart now would make it worse",
        )
    return None


def pace_gate(policy: IPPolicy, record: Record | None, now_s: float) -> Stop | None:
    """Whether the last changes are far enough back."""
    if record is None or not record.changes:
        return None
    change = policy.spec.change
    last = record.changes[-1]
    free_at_s = (last.completed_at_s or last.intended_at_s) + change.cooldown.seconds
    if now_s < free_at_s:
        return Stop(
            Reason.COOLDOWN, f"change.cooldown {change.cooldown}: {free_at_s - now_s:.0f} s left"
        )
    today = sum(1 for c in record.changes if c.intended_at_s > now_s - DAY_S)
    if today >= change.max_per_day:
        return Stop(
            Reason.DAILY_LIMIT,
            f"{today} changes in 24 h, change.maxPerDay is {change.max_per_day}",
        )
    return None


def worth_gate(policy: IPPolicy, advice: Recommendation) -> Stop | None:
    """Whether a change that holds fewer addresses is steady and worth its restarts."""
    change = policy.spec.change
    observed_s = advice.evidence.observed_s
    if observed_s < change.stabilization.seconds:
        return Stop(
            Reason.STABILIZING,
            f"fewer addresses are advised, watched for {observed_s:.0f} s of "
            f"change.stabilization {change.stabilization}",
        )
    saved = advice.present.held - advice.predicted.held
    share = saved / advice.present.held if advice.present.held else 0.0
    if share < change.min_saving.fraction:
        return Stop(
            Reason.SAVING_TOO_SMALL,
            f"it would save {saved} of {advice.present.held} addresses ({share:.1%}), "
            f"change.minSaving is {change.min_saving}",
        )
    return None
