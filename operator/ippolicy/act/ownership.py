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
    literal     others by hand, once  another, and  FOREIGN    set again, forced; the original
                it was ours           set again                stays recorded
    valueFrom   anyone                any           ELSEWHERE  refused, takeOver or not: an apply
                                                               can add a value beside a valueFrom,
                                                               not replace it, and the API server
                                                               takes no entry with both

A DaemonSet without any managedFields is held by "before-first-apply" as a whole: the API server
gives it that name at the first apply.

What is said of a FOREIGN entry depends on who the holder is. With takeOver, each of them may set
its own value again, which `decide.drift` then sees:

    holder             where to change it                   its value comes back with
    ----------------   ----------------------------------   ---------------------------------------
    EKS                configuration values of the add-on   an update of the add-on; a conflict
    Helm               the release's values                 helm upgrade, where the chart changes it
    Argo CD, Flux      Git                                  the next sync, within minutes
    Terraform          its configuration                    terraform apply
    kubectl            the manifest, or by hand             kubectl apply
    before any apply   -                                    nothing: it was there from the start
    unknown            wherever that client has it from     nobody knows
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from ippolicy.act.live import Live, Wanted, literal
from ippolicy.decide.drift import ours
from ippolicy.errors import FieldConflict
from ippolicy.facts import (
    ChangeKind,
    DaemonSetRef,
    EnvEntry,
    ManagerKind,
    Record,
    manager_kind,
)
from ippolicy.facts.managers import by_hand

_ADVICE: Mapping[ManagerKind, str] = {
    ManagerKind.EKS: "set it in the configuration values of the EKS add-on vpc-cni, which"
    " spec.apply.method EKSAddon does",
    ManagerKind.HELM: "set it in the values of the Helm release; with spec.apply.method None the"
    " status has them to paste",
    ManagerKind.ARGO_CD: "set it in the Git repository that Argo CD syncs from; with"
    " spec.apply.method None the status has it to paste",
    ManagerKind.FLUX: "set it in the Git repository that Flux syncs from; with spec.apply.method"
    " None the status has it to paste",
    ManagerKind.TERRAFORM: "set it in the Terraform configuration; with spec.apply.method None the"
    " status has it to paste",
    ManagerKind.KUBECTL: "set it in the manifest if it comes from one",
    ManagerKind.BEFORE_FIRST_APPLY: "nobody is known to want it",
    ManagerKind.UNKNOWN: "change it there",
    ManagerKind.OPERATOR: "it is of an operator that is gone",
}
"""Where to change a value, by who holds it."""


class Standing(StrEnum):
    """Whose an env entry is, seen from a value that is wanted there."""

    FREE = "Free"
    OURS = "Ours"
    SHARED = "Shared"
    FOREIGN = "Foreign"
    ELSEWHERE = "Elsewhere"


def standing(live: Live, key: str, wanted: str | None) -> Standing:
    """Whose the entry `key` is, `wanted` being None where it is to be removed; the table above."""
    entry = live.entry(key)
    if entry is not None and entry.source is not None:
        return Standing.ELSEWHERE
    if live.value_holders(key):
        return Standing.SHARED if entry == literal(wanted) else Standing.FOREIGN
    return Standing.OURS if live.value_is_ours(key) else Standing.FREE


def conflicts(live: Live, wanted: Wanted, take_over: Collection[str]) -> dict[str, str]:
    """The wanted keys that may not be written, each with the manager that holds it.

    A valueFrom that no manager holds is named by where it comes from.
    """
    found: dict[str, str] = {}
    for key, value in sorted(wanted.items()):
        state = standing(live, key, value)
        if state is Standing.ELSEWHERE or (state is Standing.FOREIGN and key not in take_over):
            found[key] = ", ".join(live.value_holders(key)) or "valueFrom"
    return found


def must_force(live: Live, wanted: Wanted) -> bool:
    """Whether the apply takes an entry from another manager."""
    return any(standing(live, key, value) is Standing.FOREIGN for key, value in wanted.items())


def check_ownership(live: Live, wanted: Wanted, take_over: Collection[str]) -> None:
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
    if there := {key: owner for key, owner in owners.items() if key not in elsewhere}:
        advice = dict.fromkeys(_ADVICE[kind] for kind in _kinds(there.values()))
        fixes += [*advice, "or list the key in spec.apply.takeOver"]
    if elsewhere:
        fixes.append("make a valueFrom a literal, or remove the entry")
    return FieldConflict(f"DaemonSet {ref}: {named}: {'; '.join(fixes)}", owners=dict(owners))


def regained(
    live: Live, record: Record | None, kind: ChangeKind, keys: Iterable[str]
) -> frozenset[str]:
    """The keys that were ours, that somebody else changed by hand or removed, and that a change of
    this `kind` sets again: it may take them, and their originals stay."""
    if record is None or kind is not ChangeKind.REAPPLY:
        return frozenset()
    known = ours(record) if record.daemon_set_uid == live.facts.uid else {}
    return frozenset(key for key in keys if key in known and _may_regain(live, key))


def _may_regain(live: Live, key: str) -> bool:
    hands = live.facts.hands.get(key, ())
    # An object that lost its managedFields has holders, and no hands.
    told = {hand.manager for hand in hands}.issuperset(live.value_holders(key))
    return told and all(by_hand(hand.manager, hand.operation) for hand in hands)


def _kinds(owners: Iterable[str]) -> list[ManagerKind]:
    """The kinds of the managers named in "helm, eks", each once."""
    found = [manager_kind(name) for owner in owners for name in owner.split(", ")]
    return list(dict.fromkeys(found))


def originals_for(
    live: Live,
    wanted: Wanted,
    recorded: Mapping[str, EnvEntry | None],
    *,
    regained: Collection[str] = (),
) -> dict[str, EnvEntry | None]:
    """The originals once `wanted` is written: what stood in each entry when last it was not ours.

    So an original is taken anew where somebody else's value stands now: a key that was let go and
    set by hand since, or one taken over. Not so for keys that are `regained`: what is set again was
    ours all the while. A value of ours without a recorded original (the record was lost) stands for
    its own original: it is all that is known.
    """
    originals = dict(recorded)
    for key, value in wanted.items():
        stays = key in regained or standing(live, key, value) is Standing.OURS
        if key not in recorded or not stays:
            originals[key] = live.entry(key)
    return originals


def _elsewhere(live: Live, keys: Collection[str]) -> set[str]:
    entries = {key: live.entry(key) for key in keys}
    return {key for key, entry in entries.items() if entry is not None and entry.source is not None}
