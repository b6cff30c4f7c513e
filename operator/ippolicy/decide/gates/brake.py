"""What holds a change that the brake asks for, and what it holds after that."""

from __future__ import annotations

import math

from ippolicy.decide.gates.stop import Stop
from ippolicy.decide.gates.when import grows
from ippolicy.decide.subnets.brake import PACE_S, RELEASE_S
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


def release_gate(advice: Recommendation, record: Record | None, now_s: float) -> Stop | None:
    """Whether growth comes too soon after the brake gave back addresses.

    What made it do so may be seen by it no more: it looks back at some moments of the last hour.
    """
    if record is None or not grows(advice):
        return None
    braked_s = [
        change.intended_at_s
        for change in (*record.changes, *record.group_changes)
        if change.reason == Reason.SUBNET_PRESSURE
    ]
    ago_s = now_s - max(braked_s, default=-math.inf)
    if ago_s >= RELEASE_S:
        return None
    return Stop(
        Reason.BRAKED,
        f"subnets were short of addresses {ago_s:.0f} s ago: nothing is set that holds more of "
        f"them for another {RELEASE_S - ago_s:.0f} s",
    )
