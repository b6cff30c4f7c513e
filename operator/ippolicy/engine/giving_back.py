"""Pods that were born with targets by group return to their template, before their policy goes."""

from __future__ import annotations

from functools import partial

from ippolicy.act.outcome import Outcome, OutcomeKind, outcome_of
from ippolicy.act.restarts import PodRestarts
from ippolicy.api import IPPolicy
from ippolicy.decide.births.back import giving_back
from ippolicy.errors import ActError
from ippolicy.facts import DaemonSetRef, Snapshot, SourceName
from ippolicy.offloop import call_off_loop

LOOKED_AT = (SourceName.NODES, SourceName.AWS_NODE, SourceName.DAEMON_SET)


async def give_back(
    restarts: PodRestarts,
    policy: IPPolicy,
    ref: DaemonSetRef,
    snapshot: Snapshot,
    *,
    begin: bool,
) -> Outcome | None:
    """Have some of them made anew, as many at once as spec.change.restarts says; none before it is
    time to `begin`.

    None once there are no such pods; who starts anew and has not listed them yet waits. Whatever
    ends here goes on at the next call: the pods themselves tell which are left.
    """
    unseen = [name.value for name in LOOKED_AT if snapshot.sources[name].succeeded_at_s is None]
    if unseen:
        return Outcome(
            OutcomeKind.UNDER_WAY, f"DaemonSet {ref}: {', '.join(unseen)}: not listed yet"
        )
    back = await call_off_loop(partial(giving_back, policy, snapshot))
    if not back.outstanding:
        return None
    try:
        for agent in back.due if begin else ():
            await call_off_loop(partial(restarts.delete, ref.namespace, agent.name, agent.uid))
    except ActError as error:
        return outcome_of(error)
    return Outcome(
        OutcomeKind.UNDER_WAY,
        f"DaemonSet {ref}: {back.outstanding} aws-node pods still have the targets of their group, "
        "and are made anew some at a time",
    )
