"""What may be written, entry by entry: who holds it decides.

An entry of aws-node's env belongs to whoever holds its value in managedFields. What is done:

    entry now   value held by         wanted value  standing   done
    ---------   -------------------   ------------  --------   ------------------------------------
    absent      -                     any           FREE       written; its original is "absent"
    literal     nobody                any           FREE       written; the literal is its original
    literal     us alone              any           OURS       written; the original stays recorded
    literal     others, or with us    the same      SHARED     in force already; left to them
    literal     others, or with us    another       FOREIGN    refused and named, unless the policy
                                                               lists the key in takeOver: then
                                                               forced, and the literal is the
                                                               original, being what they want
    valueFrom   anyone                any           ELSEWHERE  refused, takeOver or not: an apply
                                                               can add a value beside a valueFrom,
                                                               not replace it, and the API server
                                                               takes no entry with both

A DaemonSet without any managedFields is held by "before-first-apply" as a whole: the API server
gives it that name at the first apply.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from ippolicy.act.live import Live
from ippolicy.errors import FieldConflict
from ippolicy.facts import DaemonSetRef, EnvEntry


class Standing(StrEnum):
    """Whose an env entry is, seen from a value that is wanted there."""

    FREE = "Free"
    OURS = "Ours"
    SHARED = "Shared"
    FOREIGN = "Foreign"
    ELSEWHERE = "Elsewhere"


def standing(live: Live, key: str, wanted: str) -> Standing:
    """Whose the entry `key` is; the table above."""
    entry = live.entry(key)
    if entry is not None and entry.source is not None:
        return Standing.ELSEWHERE
    if live.value_holders(key):
        return Standing.SHARED if entry == EnvEntry(wanted) else Standing.FOREIGN
    return Standing.OURS if live.value_is_ours(key) else Standing.FREE


def conflicts(live: Live, wanted: Mapping[str, str], take_over: Collection[str]) -> dict[str, str]:
    """The wanted keys that may not be written, each with the manager that holds it.

    A valueFrom that no manager holds is named by where it comes from.
    """
    found: dict[str, str] = {}
    for key, value in sorted(wanted.items()):
        state = standing(live, key, value)
        if state is Standing.ELSEWHERE or (state is Standing.FOREIGN and key not in take_over):
            found[key] = ", ".join(live.value_holders(key)) or "valueFrom"
    return found


def must_force(live: Live, wanted: Mapping[str, str]) -> bool:
    """Whether the apply takes an entry from another manager."""
    return any(standing(live, key, value) is Standing.FOREIGN for key, value in wanted.items())


def check_ownership(live: Live, wanted: Mapping[str, str], take_over: Collection[str]) -> None:
    """Refuse a write that would touch what is not ours.

    Raises:
        FieldConflict: names each key and who holds it, with the ways out.
    """
    found = conflicts(live, wanted, take_over)
    if found:
        raise conflict_error(live.facts.ref, found, elsewhere=_elsewhere(live, found))


def conflict_error(
    ref: DaemonSetRef, owners: Mapping[str, str], *, elsewhere: Collection[str] = ()
) -> FieldConflict:
    """The error for entries held by others; those in `elsewhere` come from a valueFrom."""
    named = ", ".join(
        f"{key} comes from a valueFrom ({owner})"
        if key in elsewhere
        else f"{key} is set by {owner}"
        for key, owner in owners.items()
    )
    fixes = []
    if set(owners) - set(elsewhere):
        fixes.append("change it there, or list the key in spec.apply.takeOver")
    if elsewhere:
        fixes.append("make a valueFrom a literal, or remove the entry")
    return FieldConflict(f"DaemonSet {ref}: {named}: {'; '.join(fixes)}", owners=dict(owners))


def originals_for(
    live: Live, wanted: Mapping[str, str], recorded: Mapping[str, EnvEntry | None]
) -> dict[str, EnvEntry | None]:
    """The originals once `wanted` is written: what stood in each entry when last it was not ours.

    So an original is taken anew where somebody else's value stands now: a key that was let go and
    set by hand since, or one taken over. A value of ours without a recorded original (the record
    was lost) stands for its own original: it is all that is known.
    """
    originals = dict(recorded)
    for key, value in wanted.items():
        if standing(live, key, value) is not Standing.OURS or key not in recorded:
            originals[key] = live.entry(key)
    return originals


def _elsewhere(live: Live, keys: Collection[str]) -> set[str]:
    entries = {key: live.entry(key) for key in keys}
    return {key for key, entry in entries.items() if entry is not None and entry.source is not None}
