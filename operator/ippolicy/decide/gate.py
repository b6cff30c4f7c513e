"""May a change be written now? Each check names the one thing that stands in the way.

check                      stops                      until
-------------------------  -------------------------  ------------------------------------
mode, paused, method       every write                the user says otherwise
DaemonSet, container, env  every write                they can be read
facts old, coverage low    every write                the sources answer again
evidence                   every write                demand was watched for minEvidence
rollout under way          every write                it is complete
cooldown                   every write but the growth the time has passed
                           that a schedule is due
maxPerDay                  every write                the time has passed
schedule                   a switch that is not       the next part, where too little of this one
                           pressing                   or no change is left for those to come
stabilization, minSaving   a change that holds less   it is steady, and worth its restarts
brake (subnets are short)  growth; a second change    no subnet is short; the hour is over: none of
                           within an hour             the four above holds it
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ippolicy.api import IPPolicy, Method, Mode
from ippolicy.decide.objective import LEAST_DELAYED_LIMIT
from ippolicy.decide.restart import RESTART_S, change_calls
from ippolicy.decide.subnets.brake import PACE_S
from ippolicy.decide.types import DayPlan, Prediction, Reason, Recommendation
from ippolicy.facts import ChangePhase, DaemonSetFacts, Record, Snapshot, SourceName

DAY_S = 86_400.0
REPAID_WITHIN_S = DAY_S

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


def pace_gate(
    policy: IPPolicy, record: Record | None, now_s: float, plan: DayPlan | None = None
) -> Stop | None:
    """Whether the last changes are far enough back, and, with a plan of the day, whether this is
    the time for what it has in mind."""
    change = policy.spec.change
    # What the brake did is not charged to those who have to live with it.
    made_s = [
        made.intended_at_s
        for made in (record.changes if record else ())
        if made.reason != Reason.SUBNET_PRESSURE
    ]
    due = plan is not None and plan.in_turn and not plan.part.present_meets
    if record is not None and record.changes and not due:
        last = record.changes[-1]
        free_at_s = (last.completed_at_s or last.intended_at_s) + change.cooldown.seconds
        if now_s < free_at_s:
            return Stop(
                Reason.COOLDOWN,
                f"change.cooldown {change.cooldown}: {free_at_s - now_s:.0f} s left",
            )
    today = _in_a_day(made_s, now_s)
    if today >= change.max_per_day:
        return Stop(
            Reason.DAILY_LIMIT,
            f"{today} changes in 24 h, change.maxPerDay is {change.max_per_day}",
        )
    if plan is None or not plan.part.present_meets:
        return None
    return _turn(plan, made_s, now_s, change.max_per_day)


def brake_gate(advice: Recommendation, record: Record | None, now_s: float) -> Stop | None:
    """Whether a change that the brake asks for gives back addresses, an hour after the last."""
    saved = advice.present.held - advice.predicted.held
    if saved <= 0:
        return Stop(
            Reason.BRAKED, "subnets are short of addresses: nothing is set that holds more of them"
        )
    last = record.last_change if record is not None else None
    if last is not None and now_s < last.intended_at_s + PACE_S:
        return Stop(
            Reason.COOLDOWN,
            f"the brake makes one change an hour: {last.intended_at_s + PACE_S - now_s:.0f} s left",
        )
    return None


def _turn(plan: DayPlan, made_s: list[float], now_s: float, max_per_day: int) -> Stop | None:
    """Whether a switch that is not pressing still pays, and leaves those that will be their turn.

    A part lasts until it is due to be left: less than half of it is too little for a restart.
    """
    if plan.until_s - now_s < (plan.until_s - plan.since_s) / 2:
        return Stop(
            Reason.SAVING_TOO_SMALL,
            f"the next part of the day is due in {plan.until_s - now_s:.0f} s: too little is left "
            "of this one to repay a restart",
        )
    made_s = [*made_s, now_s]
    for switch_s in plan.switches_s:
        if _in_a_day(made_s, switch_s) >= max_per_day:
            return Stop(
                Reason.DAILY_LIMIT,
                f"it would leave no change for the switch to a part of the day that is due within "
                f"{switch_s - now_s:.0f} s: change.maxPerDay is {max_per_day}",
            )
        made_s.append(switch_s)
    return None


def _in_a_day(made_s: list[float], now_s: float) -> int:
    return sum(at_s > now_s - DAY_S for at_s in made_s)


def worth_gate(policy: IPPolicy, advice: Recommendation, *, nodes: int) -> Stop | None:
    """Whether a change is steady if it holds fewer addresses, and repays its restarts."""
    saved = advice.present.usually_held - advice.predicted.usually_held
    if saved < 0 and not advice.present_meets:
        # Growth that demand asks for does not wait.
        return None if advice.meets else _no_nearer(policy, advice)
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


def _no_nearer(policy: IPPolicy, advice: Recommendation) -> Stop | None:
    """Whether targets that keep the limits no more than those in force are hardly nearer."""
    now, then = (_excess(policy, advice, one) for one in (advice.present, advice.predicted))
    least = policy.spec.change.min_saving
    # Targets in force that are within the limits are left for another cause: a bound, a trap.
    if now is None or then is None or now <= 0 or then <= now * (1 - least.fraction):
        return None
    return Stop(
        Reason.SAVING_TOO_SMALL,
        f"no targets keep the limits of the objective, and it would be {now - then:.1%} of a limit "
        f"nearer than {now:.1%} beyond: change.minSaving is {least} of that",
    )


def _excess(policy: IPPolicy, advice: Recommendation, one: Prediction) -> float | None:
    """How far beyond a limit it is, as a share of that limit; below 0 within both."""
    delayed, calls = one.delayed_share, one.ec2_calls_per_minute
    if delayed is None or calls is None:
        return None
    limit = policy.spec.objective.delayed_starts_limit
    late = (delayed - limit) / max(limit, LEAST_DELAYED_LIMIT)
    return max(late, calls / _calls_limit(policy, advice) - 1.0)


def _too_small(policy: IPPolicy, advice: Recommendation) -> Stop | None:
    """Whether it saves too little, in the mean over the day in which its rollout is.

    A node that is restarted in the middle of the rollout saves nothing until then. A schedule has
    the rollouts of its day in it.
    """
    present, least = advice.present.usually_held, policy.spec.change.min_saving
    wait_s = 0.0 if advice.plan is not None else advice.rollout_s / 2
    left = max(0.0, 1.0 - wait_s / REPAID_WITHIN_S)
    saved = left * (present - advice.predicted.usually_held)
    share = saved / present if present else 0.0
    if share > 0 and share >= least.fraction:
        return None
    return Stop(
        Reason.SAVING_TOO_SMALL,
        f"it would save {saved:.0f} of {present:.0f} addresses ({share:.1%}), "
        f"change.minSaving is {least}",
    )


def _too_dear(policy: IPPolicy, advice: Recommendation, nodes: int) -> Stop | None:
    """Whether its rollout, spread over a day, breaks a limit that the settings in force keep."""
    predicted, objective = advice.predicted, policy.spec.objective
    if advice.plan is not None or not advice.present_meets or not advice.meets:
        return None
    if predicted.delayed_share is None or predicted.ec2_calls_per_minute is None:
        return None
    own = change_calls(nodes=nodes, enis=advice.present.enis, enis_then=predicted.enis)
    calls = predicted.ec2_calls_per_minute + own / REPAID_WITHIN_S * 60
    limit = _calls_limit(policy, advice)
    if calls > limit:
        return Stop(
            Reason.SAVING_TOO_SMALL,
            f"with its {own} EC2 calls to restart every aws-node and resize its pool, spread over "
            f"a day, it would make {calls:.0f} calls a minute: the limit is {limit:g}",
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


def _calls_limit(policy: IPPolicy, advice: Recommendation) -> float:
    limit = policy.spec.objective.ec2_calls_per_minute_limit
    return limit if advice.calls_limit is None else advice.calls_limit
