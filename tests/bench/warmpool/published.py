"""Figures that others published for the same families of demand.

From the documents of the parlakisik fork of amazon-vpc-cni-k8s: three days of one node, by a model
simpler than ours. Addresses that cool down do not count as available there, ENIs and addresses are
taken at random evenly, so fewer pods wait under small targets than under the real ipamd.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Figures:
    """Delayed starts in percent, mean idle addresses, EC2 calls counted simply."""

    delayed_pct: float
    idle: float
    calls: int


@dataclass(frozen=True, slots=True)
class Published:
    """A family: the CNI's default, the best fixed setting found, the controller inside a forked
    ipamd that moves targets every few seconds, and the bound for one who knows the trace."""

    default: Figures
    static_name: str
    static: Figures
    controller: Figures
    clairvoyant: Figures


PUBLISHED: Final[Mapping[str, Published]] = {
    "steady": Published(
        Figures(0.00, 22.28, 243),
        "W=1",
        Figures(0.00, 1.00, 850),
        Figures(0.00, 1.16, 1927),
        Figures(0.00, 0.17, 708),
    ),
    "diurnal": Published(
        Figures(0.03, 21.41, 416),
        "W=5",
        Figures(0.03, 5.01, 2558),
        Figures(0.11, 2.22, 5096),
        Figures(0.04, 0.44, 1421),
    ),
    "hourly-batch": Published(
        Figures(11.31, 22.57, 763),
        "W=16",
        Figures(0.05, 16.03, 1551),
        Figures(0.29, 2.52, 4210),
        Figures(0.05, 0.60, 1599),
    ),
    "bursty-rollout": Published(
        Figures(1.08, 20.62, 96),
        "W=16",
        Figures(0.50, 15.95, 899),
        Figures(11.86, 1.90, 2445),
        Figures(0.11, 0.22, 845),
    ),
}
