"""Puts back what was lowered for a rollout, once that is over and the policy may write."""

from __future__ import annotations

from ippolicy.act.actor import Actor
from ippolicy.act.pacing import pace_is_due
from ippolicy.api import IPPolicy
from ippolicy.decide.gates import wish_gate
from ippolicy.engine.election import Office
from ippolicy.facts import DaemonSetRef, Record
from ippolicy.offloop import call_off_loop


async def put_back_pace(
    actor: Actor, office: Office, policy: IPPolicy, ref: DaemonSetRef, record: Record | None
) -> Record | None:
    """The record with maxUnavailable put back, or as it was where that is not due yet.

    Raises:
        ActError: it could not be put back; to be tried again.
    """
    if not pace_is_due(record) or wish_gate(policy) is not None or not await office.confirm():
        return record
    return await call_off_loop(lambda: actor.put_back_pace(ref))
