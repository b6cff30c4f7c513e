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
REPAID_WITHIN_S = DAY_S
# What a restart of aws-node costs: calls for itself and for each ENI, and the time
# in which no pod of its node gets an address.
CALLS_OF_A_RESTART = 2
CALLS_OF_AN_ENI = 2
RESTART_S = 10.0

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


def worth_gate(policy: IPPolicy, advice: Recommendation, *, nodes: int) -> Stop | None:
    """Whether a change is steady if it holds fewer addresses, and repays its restarts."""
    saved = advice.present.usually_held - advice.predicted.usually_held
    if saved < 0 and not advice.present_meets:
        return None  # growth that demand asks for does not wait
    if advice.meets and not advice.present_meets:
        return _unsteady(policy, advice)
    return (
        _unsteady(policy, advice) or _too_small(policy, advice) or _too_dear(policy, advice, nodes)
    )


def _unsteady(policy: IPPolicy, advice: Recommendation) -> Stop | None:
    change = policy.spec.change
    observed_s = advice.evidence.observed_s
    if observed_s >= change.stabilization.seconds:
        return None
    return Stop(
        Reason.STABILIZING,
        f"fewer addresses are advised, watched for {observed_s:.0f} s of "
        f"change.stabilization {change.stabilization}",
    )


def _too_small(policy: IPPolicy, advice: Recommendation) -> Stop | None:
    present, least = advice.present.usually_held, policy.spec.change.min_saving
    saved = present - advice.predicted.usually_held
    share = saved / present if present else 0.0
    if share >= least.fraction:
        return None
    return Stop(
        Reason.SAVING_TOO_SMALL,
        f"it would save {saved:.0f} of {present:.0f} addresses ({share:.1%}), "
        f"change.minSaving is {least}",
    )


def _too_dear(policy: IPPolicy, advice: Recommendation, nodes: int) -> Stop | None:
    """Whether its restarts, spread over a day, break a limit that the settings in force keep."""
    predicted, objective = advice.predicted, policy.spec.objective
    if not advice.present_meets or not advice.meets:
        return None
    if predicted.delayed_share is None or predicted.ec2_calls_per_minute is None:
        return None
    restart_calls = CALLS_OF_A_RESTART * nodes + CALLS_OF_AN_ENI * advice.present.enis
    calls = predicted.ec2_calls_per_minute + restart_calls / REPAID_WITHIN_S * 60
    if calls > objective.ec2_calls_per_minute_limit:
        return Stop(
            Reason.SAVING_TOO_SMALL,
            f"with its {restart_calls} EC2 calls to restart every aws-node, spread over a day, it "
            f"would make {calls:.0f} calls a minute: the limit is "
            f"{objective.ec2_calls_per_minute_limit}",
        )
    delayed = predicted.delayed_share + (
        RESTART_S / REPAID_WITHIN_S if advice.evidence.arrivals else 0.0
    )
    if delayed > objective.delayed_starts_limit:
        return Stop(
            Reason.SAVING_TOO_SMALL,
            f"with the {RESTART_S:.0f} s that each restart takes, spread over a day, {delayed:.3%} "
            f"of starts would wait: the limit is {objective.delayed_starts_limit:.3%}",
        )
    return None
