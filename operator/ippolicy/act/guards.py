"""What is checked again right before a write, and what is known after one that failed."""

from __future__ import annotations

from ippolicy.act.history import IN_DOUBT_S
from ippolicy.act.requests import CallFailed
from ippolicy.errors import ActError, FactsChanged, FieldConflict
from ippolicy.facts import ChangePhase, DaemonSetFacts, DaemonSetRef, Record


class NoEffect(ActError):
    """The API server answered as if all were well, and nothing changed."""


def check_unchanged(now: DaemonSetFacts, decided_on: DaemonSetFacts) -> None:
    """Refuse a change that was decided on another DaemonSet than the one that is there.

    Any other generation counts: its env may differ, or somebody else's rollout has just begun.

    Raises:
        FactsChanged: says what differs.
    """
    if now.uid != decided_on.uid:
        raise FactsChanged(f"DaemonSet {now.ref} was recreated: it is looked at anew")
    keys = sorted(
        key for key in {*now.env, *decided_on.env} if now.env.get(key) != decided_on.env.get(key)
    )
    if keys:
        raise FactsChanged(
            f"env of DaemonSet {now.ref} changed meanwhile ({', '.join(keys)}): decide again"
        )
    if now.generation != decided_on.generation:
        raise FactsChanged(
            f"DaemonSet {now.ref} changed meanwhile (generation {decided_on.generation} to "
            f"{now.generation}): decide again"
        )


def check_nothing_in_doubt(ref: DaemonSetRef, record: Record | None) -> None:
    """Refuse to go on while a change that was sent may still arrive.

    Raises:
        FactsChanged: names the change, and how long it is waited for.
    """
    last = record.last_change if record else None
    if last is not None and last.phase is ChangePhase.INTENDED:
        raise FactsChanged(
            f"DaemonSet {ref}: change {last.id} may still be on its way: looked at again in "
            f"{IN_DOUBT_S:.0f} s"
        )


def may_have_been_written(error: ActError) -> bool:
    """Whether a write that ended in `error` may have been carried out all the same."""
    if isinstance(error, CallFailed):
        return not error.refused
    return not isinstance(error, FieldConflict | FactsChanged | NoEffect)
