"""Which CNI gives the cluster's pods their addresses, and how that was told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cni(StrEnum):
    """A way in which pods get addresses."""

    AMAZON_VPC = "the Amazon VPC CNI"
    CILIUM_ENI = "Cilium in ENI mode"
    CILIUM = "Cilium"
    UNKNOWN = "an unknown CNI"


@dataclass(frozen=True, slots=True)
class CniFacts:
    """The CNI at work; `told_by` is what told it, as a sentence's part, empty when nothing did.

    `ipv6` says that the Amazon VPC CNI gives IPv6 addresses, where it ignores all warm targets.
    `cluster` is the cluster's name as aws-node is told it, "" where it is not.
    """

    kind: Cni = Cni.UNKNOWN
    told_by: str = ""
    ipv6: bool = False
    cluster: str = ""

    @property
    def has_warm_pools(self) -> bool:
        """Whether warm targets have any effect; so it is taken to be while nothing is known."""
        return self.kind in (Cni.AMAZON_VPC, Cni.UNKNOWN) and not self.ipv6

    @property
    def no_pools(self) -> str:
        """Why there is nothing to tune, in one line; "" where there is, or may be."""
        if self.has_warm_pools:
            return ""
        if self.kind is Cni.AMAZON_VPC:
            return f"aws-node gives IPv6 addresses ({self.told_by}), where it ignores warm targets"
        return (
            f"pods get their addresses from {self.kind.value} ({self.told_by}), which has no warm"
            " targets to tune"
        )
