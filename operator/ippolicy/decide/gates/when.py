"""Whether this is the time for a change: its window, its pace, and what passes them."""

from __future__ import annotations

from ippolicy.api import IPPolicy
from ippolicy.decide.gates.pace import cooldown_gate, pace_gate
from ippolicy.decide.gates.stop import Stop
from ippolicy.decide.gates.urgency import may_pass, pressure_of
from ippolicy.decide.gates.windows import window_gate
from ippolicy.decide.types import Recommendation
from ippolicy.facts import Record, Signals


def when_gate(
    policy: IPPolicy,
    record: Record | None,
    advice: Recommendation,
    signals: Signals,
    now_s: float,
    *,
    braked: bool,
) -> Stop | None:
    """What says "not now": a window, the cooldown, or the changes of today.

    What is `braked` has a pace of its own (`brake_gate`) instead of a limit a day.
    """
    change = policy.spec.change
    pressure = pressure_of(advice, signals, now_s, braked=braked)
    passes = may_pass(change.urgent, pressure, growing=grows(advice))
    if not passes and (stop := window_gate(change.windows, now_s)):
        return stop
    if braked:
        return None if passes else cooldown_gate(policy, record, now_s)
    return pace_gate(policy, record, now_s, advice.plan, passes=passes)


def grows(advice: Recommendation) -> bool:
    """Whether it holds more addresses than the targets in force do."""
    return advice.predicted.usually_held > advice.present.usually_held
