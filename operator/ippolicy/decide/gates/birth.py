"""Whether new aws-node pods may be born with other targets than those before them.

Nothing is restarted for it, so neither cooldown nor what a restart costs counts, nor what else is
rolling.
"""

from __future__ import annotations

from ippolicy.api import IPPolicy
from ippolicy.decide.gates.facts import facts_gate
from ippolicy.decide.gates.ladder import ladder_gate
from ippolicy.decide.gates.stop import Limits, Stop
from ippolicy.decide.gates.urgency import may_pass, pressure_of
from ippolicy.decide.gates.when import grows
from ippolicy.decide.gates.windows import window_gate
from ippolicy.decide.gates.wish import wish_gate
from ippolicy.decide.trust import Ladder
from ippolicy.decide.types import Reason, Recommendation
from ippolicy.facts import Signals, Snapshot


def birth_gate(
    policy: IPPolicy,
    snapshot: Snapshot,
    fleet: Recommendation,
    *,
    limits: Limits,
    ladder: Ladder,
    signals: Signals,
    braked: bool,
) -> Stop | None:
    """The first thing that stands in the way. Groups may shrink while the fleet grows, so facts
    must be good enough for both."""
    now_s, change = snapshot.taken_at_s, policy.spec.change
    if stop := wish_gate(policy) or facts_gate(snapshot, limits):
        return stop
    if not fleet.evidence.sufficient:
        return Stop(Reason.LOW_CONFIDENCE, fleet.evidence.message)
    if stop := ladder_gate(ladder, growing=False, braked=braked):
        return stop
    growing, observed_s = grows(fleet), fleet.evidence.observed_s
    if not growing and not braked and observed_s < change.stabilization.seconds:
        return Stop(
            Reason.STABILIZING,
            f"fewer addresses are advised, watched for {observed_s:.0f} s of "
            f"change.stabilization {change.stabilization}",
        )
    pressure = pressure_of(fleet, signals, now_s, braked=braked)
    if may_pass(change.urgent, pressure, growing=growing):
        return None
    return window_gate(change.windows, now_s)
