"""What is worth saying though nothing that the policy needs is wrong: features that are off for
want of a right, another CNI that is only watched, and settings that are not about these nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ippolicy.account.view import View
from ippolicy.account.words import one_line
from ippolicy.api import Mode
from ippolicy.facts import Cni, CniFacts, SourceName

OPTIONAL = {
    SourceName.EC2_INTERFACES: "who holds the addresses of subnets is not shown: allow {} in the"
    " operator's IAM role",
    SourceName.EC2_RESERVATIONS: "the room for prefixes is not shown: allow {} in the operator's"
    " IAM role",
    SourceName.CILIUM: "Cilium's mode is not read: allow {} to the operator's service account",
    SourceName.WINDOWS_IPAM: "targets of Windows nodes in ConfigMap amazon-vpc-cni are not told"
    " apart: allow {} to the operator's service account",
}
"""Sources whose right may be kept back, and what is off without it."""

_SETTING_LENGTH = 60
WINDOWS_DEFAULTS = {
    "enable-windows-ipam": "false",
    "enable-windows-prefix-delegation": "false",
    "warm-prefix-target": "0",
    "warm-ip-target": "1",
    "minimum-ip-target": "3",
}
"""What the CNI's chart writes into ConfigMap amazon-vpc-cni of every cluster (1.23)."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know; `reason` is a stable word, `message` one line."""

    reason: str
    message: str


def notes(view: View) -> tuple[Note, ...]:
    """Everything that is worth saying besides the faults."""
    return (*_watched_cni(view), *_features_off(view), *_windows(view))


def cni_text(cni: CniFacts) -> str | None:
    """The CNI and how it was told, in one line; None while nothing told it."""
    return f"{cni.kind.value} ({cni.told_by})" if cni.told_by else None


def untunable(view: View) -> Note | None:
    """Why warm targets have no effect in this cluster; None where they have, or may have."""
    cni = view.snapshot.cni
    if not cni.no_pools:
        return None
    return Note(
        "IPv6Cluster" if cni.kind is Cni.AMAZON_VPC else "OtherCNI",
        f"{cni.no_pools}; subnets are accounted for all the same: set spec.mode to Off, or delete"
        " the policy",
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


def _windows(view: View) -> Iterator[Note]:
    """Targets that look like those of aws-node, where somebody set them."""
    set_by_hand = [
        one_line(f"{key}={value}", _SETTING_LENGTH)
        for key, value in sorted(view.snapshot.windows_ipam.items())
        if WINDOWS_DEFAULTS.get(key) != value
    ]
    if set_by_hand:
        yield Note(
            "WindowsSettings",
            f"ConfigMap amazon-vpc-cni sets {', '.join(set_by_hand)}: for Windows nodes only,"
            " aws-node reads none of it, and it is left alone",
        )
