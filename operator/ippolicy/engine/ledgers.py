"""Keeps the record of a DaemonSet in line with what its pods are born with."""

from __future__ import annotations

from functools import partial

from ippolicy.act.actor import Actor
from ippolicy.api import IPPolicy
from ippolicy.decide.births import ledger
from ippolicy.engine.births import Births
from ippolicy.engine.policies import ref_of
from ippolicy.facts import Record, Snapshot
from ippolicy.offloop import call_off_loop


async def follow_births(
    actor: Actor, births: Births, policy: IPPolicy, snapshot: Snapshot, record: Record | None
) -> Record | None:
    """The record with the changes of groups as the table on the cluster has them.

    It is called before the table goes on: what an operator that ended had published, and not
    recorded, is made good here. Where the table is not known nothing is said of it.

    Raises:
        ActError: it could not be written; the table is not to go on before it is.
    """
    ref, facts = ref_of(policy), snapshot.daemon_set
    if facts is None or not births.knows(ref):
        return record
    first = Record(facts.uid, policy.uid, originals={}, changes=())
    follow = partial(ledger.follow, table=births.table(ref), now_s=snapshot.taken_at_s)
    if follow(record or first) == (record or first):
        return record
    return await call_off_loop(partial(actor.note, ref, follow, first=first))
