"""What is under pressure, and so may pass change.windows and change.cooldown.

pressure                                     the change     Never   Grow     Any
-------------------------------------------  -------------  ------  -------  -------
none                                         any            waits   waits    waits
starts: pods were late in the last hour,     holds more     waits   passes   passes
  and the targets in force miss the          holds no more  waits   waits    passes
  objective
subnets: the brake is on                     holds less     waits   passes   passes

The brake gives back addresses so that pods can be had at all: it counts as growth. What is only
foreseen (a replay in which starts are late) is no pressure. Whatever passes is still held by all
other gates: change.maxPerDay (which the brake alone does not go by), a rollout under way, stale
facts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ippolicy.api import Urgent
from ippolicy.decide.types import Recommendation
from ippolicy.facts import Signals

LATELY_S: Final = 3_600.0


class Pressure(StrEnum):
    """What presses for a change."""

    NONE = "None"
    STARTS = "Starts"
    SUBNETS = "Subnets"


def pressure_of(
    advice: Recommendation, signals: Signals, now_s: float, *, braked: bool
) -> Pressure:
    """What presses now: short subnets before late starts."""
    if braked:
        return Pressure.SUBNETS
    since_s = max(now_s - LATELY_S, *(one.since_s for one in signals.in_force[-1:]), 0.0)
    own_s = {ran.node: ran.since_s if ran.until_s is None else ran.until_s for ran in signals.ran}
    late = any(one.at_s > max(since_s, own_s.get(one.node, 0.0)) for one in signals.late)
    return Pressure.STARTS if late and not advice.present_meets else Pressure.NONE


def may_pass(urgent: Urgent, pressure: Pressure, *, growing: bool) -> bool:
    """Whether a change passes windows and cooldown; the table above, row by row."""
    if pressure is Pressure.NONE or urgent is Urgent.NEVER:
        return False
    return urgent is Urgent.ANY or growing or pressure is Pressure.SUBNETS
