"""The decision that undoes a change, and what else keeps new targets from being written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ippolicy.api import IPPolicy
from ippolicy.decide.back_off import held_back
from ippolicy.decide.gates import Stop, wish_gate
from ippolicy.decide.guards import Trip
from ippolicy.decide.proof import MOST_WRONG
from ippolicy.decide.types import Decision, Proof, Reason, Recommendation, Verdict
from ippolicy.facts import ChangeKind, Record


def undo(decision: Decision, policy: IPPolicy, record: Record | None, trip: Trip) -> Decision:
    """`decision` with the former values to be put back, unless the user wants no writes.

    Neither windows nor cooldown, nor what was measured since, keep a change from being undone.
    """
    change = record.last_change if record is not None else None
    if change is None or wish_gate(policy) is not None:
        return decision
    text = f"{trip.guard}: {trip.text}"
    return replace(
        decision,
        verdict=Verdict.CHANGE,
        kind=ChangeKind.ROLLBACK,
        reason=Reason.ROLLED_BACK,
        message=f"change {change.id} is undone, {text}",
        env=change.before,
        proof=Proof(
            basis=change.basis, binding=text, present=change.predicted, predicted=change.present
        ),
    )


def back_off_gate(
    record: Record | None, basis: str, env: Mapping[str, str], now_s: float
) -> Stop | None:
    """Whether these targets, or more generous ones, were rolled back not long ago, as they were
    decided on much the same `basis`."""
    held = held_back(record, env, basis, now_s)
    if held is None:
        return None
    after = " ".join(f"{key}={value}" for key, value in sorted(held.after.items()))
    times = "once" if held.times == 1 else f"{held.times} times"
    return Stop(
        Reason.BACKING_OFF,
        f"{after} was rolled back {times}: neither it nor less is tried for another "
        f"{held.until_s - now_s:.0f} s, unless demand or the policy change",
    )


def proof_gate(record: Record | None, fleet: Recommendation) -> Stop | None:
    """Whether predictions came out wrong so often in a row that none is to be acted on.

    Growth that demand asks for goes on: to hold more is the safe side of an error.
    """
    grows = fleet.predicted.usually_held > fleet.present.usually_held
    if record is None or record.mispredicted < MOST_WRONG or (grows and not fleet.present_meets):
        return None
    return Stop(
        Reason.MISPREDICTED,
        f"what {record.mispredicted} changes in a row came to was not what was predicted: nothing "
        "is written until the model explains what is held; see status.changes",
    )
