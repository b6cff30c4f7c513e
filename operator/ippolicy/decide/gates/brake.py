"""What holds a change that the brake asks for, instead of pace and worth."""

from __future__ import annotations

from ippolicy.decide.gates.stop import Stop
from ippolicy.decide.subnets.brake import PACE_S
from ippolicy.decide.types import Reason, Recommendation
from ippolicy.facts import Record


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
