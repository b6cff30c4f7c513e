"""What is worth saying though nothing that the policy needs is wrong: features that are off for
want of a right, and another CNI that is only watched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ippolicy.account.view import View
from ippolicy.api import Mode
from ippolicy.facts import Cni, CniFacts, SourceName

OPTIONAL = {
    SourceName.EC2_INTERFACES: "who holds the addresses of subnets is not shown: allow {} in the"
    " operator's IAM role",
    SourceName.EC2_RESERVATIONS: "the room for prefixes is not shown: allow {} in the operator's"
    " IAM role",
    SourceName.CILIUM: "Cilium's mode is not read: allow {} to the operator's service account",
}
"""Sources whose right may be kept back, and what is off without it."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know; `reason` is a stable word, `message` one line."""

    reason: str
    message: str


def notes(view: View) -> tuple[Note, ...]:
    """Everything that is worth saying besides the faults."""
    return (*_watched_cni(view), *_features_off(view))


def cni_text(cni: CniFacts) -> str | None:
    """The CNI and how it was told, in one line; None while nothing told it."""
    return f"{cni.kind.value} ({cni.told_by})" if cni.told_by else None


def untunable(view: View) -> Note | None:
    """Why warm targets have no effect in this cluster; None where they have, or may have."""
    cni = view.snapshot.cni
    if cni.has_warm_pools:
        return None
    if cni.kind is Cni.AMAZON_VPC:
        return Note(
            "IPv6Cluster",
            f"aws-node gives IPv6 addresses ({cni.told_by}), where it ignores all warm targets;"
            " subnets are accounted for all the same: set spec.mode to Off, or delete the policy",
        )
    return Note(
        "OtherCNI",
        f"pods get their addresses from {cni_text(cni)}, which has no warm targets to tune; subnets"
        " are accounted for all the same: set spec.mode to Off, or delete the policy",
    )


def _watched_cni(view: View) -> Iterator[Note]:
    note = untunable(view)
    if note is not None and view.policy.spec.mode is Mode.OFF:
        yield note


def _features_off(view: View) -> Iterator[Note]:
    for name, text in OPTIONAL.items():
        state = view.snapshot.sources.get(name)
        if state is not None and state.permission is not None:
            yield Note("FeaturesOff", text.format(state.permission))
