"""The nodes that try targets held against the others of their group: did it do harm?

    guard          trips when, on the nodes that try, since the trial began
    -------------  ------------------------------------------------------------------------------
    PodsNotReady   an aws-node that has them is not ready for `SHORT_S`, and not on its way out
    DelayedStarts  more starts wait for EC2 than the objective allows, and than on the others
    NoAddresses    the kubelet's tries find no address more often than on the others
    EC2Errors      EC2 refuses more calls than of the others

What befalls both alike, as demand that doubles does, is not the doing of the targets. A group all
of whose nodes try has no others: then the limit of the objective alone is what it is held against.
Targets that the brake asks for trade late starts for addresses: as with any change of it, the
guards of starts leave them alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from ippolicy.decide.births.members import Member
from ippolicy.decide.births.table import PolicyTable, Trial
from ippolicy.decide.guards import (
    SHORT_S,
    Trip,
    Watched,
    ec2_errors,
    late_starts,
    no_addresses,
)
from ippolicy.decide.measure import Counts, Meter, only
from ippolicy.facts import NodeFacts, Snapshot

LEAST_STARTS: Final = 20
"""Starts on the nodes that try, below which what was watched says little."""
AGAINST: Final = "on the other nodes of the group"


@dataclass(frozen=True, slots=True)
class Cohort:
    """What was counted on the nodes that try, and meanwhile on the others of their group; `lately`
    is what was counted on those that try in this stage of the trial."""

    tried: Counts = field(default_factory=Counts)
    others: Counts = field(default_factory=Counts)
    lately: Counts = field(default_factory=Counts)


@dataclass(slots=True)
class _Watch:
    """Over one trial."""

    digest: str
    stage_since_s: float = 0.0
    tried: Meter = field(default_factory=Meter)
    others: Meter = field(default_factory=Meter)


class Cohorts:
    """Counts on both sides of each trial. In memory: an operator that starts anew watches anew."""

    def __init__(self) -> None:
        self._watches: dict[str, _Watch] = {}

    def note(self, table: PolicyTable, snapshot: Snapshot) -> None:
        """Take in what is new in `snapshot`, and forget trials that are over."""
        for group in self._watches.keys() - table.trials.keys():
            del self._watches[group]
        for group, trial in table.trials.items():
            watch = self._watches.get(group)
            if watch is None or watch.digest != trial.targets.digest:
                watch = self._watches[group] = _Watch(trial.targets.digest)
            watch.stage_since_s = trial.since_s
            nodes = [node for node in snapshot.nodes if node.group == group]
            tried = [node for node in nodes if _digest(snapshot, node) == watch.digest]
            names = {node.name for node in tried}
            watch.tried.note(only(snapshot, tried))
            watch.others.note(only(snapshot, [n for n in nodes if n.name not in names]))

    def counts(self) -> Mapping[str, Cohort]:
        """What was counted of each group since its trial was first seen."""
        return {
            group: Cohort(
                _since(watch.tried, -math.inf),
                _since(watch.others, -math.inf),
                _since(watch.tried, watch.stage_since_s),
            )
            for group, watch in self._watches.items()
        }


def harm(
    trial: Trial,
    cohort: Cohort,
    members: Collection[Member],
    *,
    limit: float,
    expected: float | None,
    braked: bool,
) -> Trip | None:
    """The first guard that trips, or None; `members` are the nodes of the group, `limit` the share
    of starts that may wait, and `expected` what the model says of the targets before."""
    # Both sides are watched for as long, so whatever was seen of the others is to the point.
    watched = Watched(cohort.others, cohort.tried, against=AGAINST, least_s=0.0)
    found = _not_ready(trial, members)
    if found is None and not braked:
        found = late_starts(limit, expected, watched) or no_addresses(watched)
    return found or ec2_errors(watched)


def _not_ready(trial: Trial, members: Collection[Member]) -> Trip | None:
    late = [
        one
        for one in members
        if one.digest == trial.targets.digest and one.node.ready and one.unready_s > SHORT_S
    ]
    if not late:
        return None
    worst = max(late, key=lambda one: one.unready_s)
    return Trip(
        "PodsNotReady",
        f"aws-node on {len(late)} nodes that try is not ready: on {worst.name} for "
        f"{worst.unready_s:.0f} s",
    )


def _digest(snapshot: Snapshot, node: NodeFacts) -> str | None:
    agent = snapshot.agents.get(node.name)
    return agent.birth.digest if agent is not None and agent.birth is not None else None


def _since(meter: Meter, since_s: float) -> Counts:
    return meter.between(since_s, math.inf)
