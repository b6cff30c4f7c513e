"""How often a change may be made, and whether it is the time for what a schedule has in mind."""

from __future__ import annotations

from ippolicy.api import IPPolicy
from ippolicy.decide.gates.stop import Stop
from ippolicy.decide.types import DayPlan, Reason
from ippolicy.facts import ChangeKind, Record

DAY_S = 86_400.0


def cooldown_gate(
    policy: IPPolicy, record: Record | None, now_s: float, plan: DayPlan | None = None
) -> Stop | None:
    """Whether the last change is far enough back; growth that a schedule is due waits not."""
    due = plan is not None and plan.in_turn and not plan.part.present_meets
    if record is None or not record.changes or due:
        return None
    last, cooldown = record.changes[-1], policy.spec.change.cooldown
    free_at_s = (last.completed_at_s or last.intended_at_s) + cooldown.seconds
    if now_s < free_at_s:
        return Stop(Reason.COOLDOWN, f"change.cooldown {cooldown}: {free_at_s - now_s:.0f} s left")
    return None


def pace_gate(
    policy: IPPolicy,
    record: Record | None,
    now_s: float,
    plan: DayPlan | None = None,
    *,
    passes: bool = False,
) -> Stop | None:
    """Whether the last changes are far enough back, and, with a plan of the day, whether this is
    the time for what it has in mind. What `passes` waits for no cooldown."""
    waits = None if passes else cooldown_gate(policy, record, now_s, plan)
    return waits or _daily(policy, record, now_s, plan)


def _daily(
    policy: IPPolicy, record: Record | None, now_s: float, plan: DayPlan | None
) -> Stop | None:
    most = policy.spec.change.max_per_day
    # What the brake did is not charged to those who have to live with it, nor what only sets again
    # what was chosen before.
    made_s = [
        made.intended_at_s
        for made in (record.changes if record else ())
        if made.reason != Reason.SUBNET_PRESSURE and made.kind is not ChangeKind.REAPPLY
    ]
    today = _in_a_day(made_s, now_s)
    if today >= most:
        return Stop(Reason.DAILY_LIMIT, f"{today} changes in 24 h, change.maxPerDay is {most}")
    if plan is None or not plan.part.present_meets:
        return None
    return _turn(plan, made_s, now_s, most)


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
