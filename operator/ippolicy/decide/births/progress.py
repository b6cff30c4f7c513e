"""How many nodes run the targets of their group, by what their aws-node pods say. Pure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ippolicy.decide.births.members import ASTRAY, digest_run
from ippolicy.decide.births.table import TEMPLATE, Found, NodePlace, PolicyTable
from ippolicy.facts import Agent, NodeFacts

MOST_NAMED: Final = 5
SPREAD_S: Final = 60.0
"""Until then not all who answer the API server may have read the targets that are in force."""


class State(StrEnum):
    """Which targets a node's aws-node was born with."""

    CURRENT = "current"  # those that it would be born with now
    OLDER = "older"  # others of ours
    TEMPLATE = "template"  # those of the DaemonSet's template
    ASTRAY = "astray"  # others in its env than its labels say: somebody else's doing


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """Nodes of one group by state; `revision` is the newest that its nodes are to have, 0 for none.

    `source` says whose targets they are: "group", "family m5", "fleet", or empty for none. `wanted`
    counts the nodes that are to have any: while the first targets of a group are tried, those that
    try. `behind` names some of those that have others, and first of the `missed`: so many were born
    with others though theirs were in force already.
    """

    group: str
    revision: int
    source: str
    nodes: Mapping[State, int]
    wanted: int = 0
    behind: tuple[str, ...] = ()
    missed: int = 0


def progress(
    table: PolicyTable | None,
    nodes: Iterable[NodeFacts],
    agents: Mapping[str, Agent],
    in_force_s: Mapping[str, float] = MappingProxyType({}),
) -> tuple[GroupProgress, ...]:
    """The progress of each group, in the order of their names; `agents` maps node -> its aws-node
    pod, and `in_force_s` group -> since when all of its pods are to be born with its targets."""
    counts: dict[str, Counter[State]] = defaultdict(Counter)
    due: Counter[str] = Counter()
    behind: dict[str, list[tuple[bool, str]]] = defaultdict(list)
    wanted: dict[str, tuple[int, str]] = {}
    for node in nodes:
        found = table.find(NodePlace(node.group, node.instance_type), node.name) if table else None
        if found is not None:
            revision, source = found.targets.revision, found.source
            wanted[node.group] = max(wanted.get(node.group, (0, "")), (revision, source))
            due[node.group] += 1
        agent = agents.get(node.name)
        state = _state(agent, found)
        counts[node.group][state] += 1
        if state is not State.CURRENT and found is not None:
            since_s = in_force_s.get(node.group, math.inf)
            in_time = agent is None or agent.created_at_s < since_s + SPREAD_S
            behind[node.group].append((in_time, node.name))
    return tuple(
        GroupProgress(
            group,
            *wanted.get(group, (0, "")),
            {s: counted[s] for s in State},
            due[group],
            tuple(name for _, name in sorted(behind[group])[:MOST_NAMED]),
            sum(not in_time for in_time, _ in behind[group]),
        )
        for group, counted in sorted(counts.items())
    )


def _state(agent: Agent | None, found: Found | None) -> State:
    digest = digest_run(agent, found)
    if digest == TEMPLATE:
        return State.TEMPLATE
    if digest == ASTRAY:
        return State.ASTRAY
    current = found is not None and digest == found.targets.digest
    return State.CURRENT if current else State.OLDER


def told(groups: Iterable[GroupProgress]) -> tuple[int, int]:
    """Nodes that have what they are to have, and all nodes that are to have something."""
    current = total = 0
    for group in groups:
        if group.revision:
            current += group.nodes[State.CURRENT]
            total += group.wanted
    return current, total
