"""How many nodes run the targets of their group, by what their aws-node pods say. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ippolicy.decide.births.table import NodePlace, PolicyTable, Stage
from ippolicy.facts import Birth, NodeFacts

MOST_NAMED = 5


class State(StrEnum):
    """Which targets a node's aws-node was born with."""

    CURRENT = "current"  # those that it would be born with now
    OLDER = "older"  # others of ours
    TEMPLATE = "template"  # those of the DaemonSet's template


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """Nodes of one group by state; `revision` is the newest that its nodes are to have, 0 for none.

    `source` says whose targets they are: "group", "family m5", "fleet", or empty for none. `wanted`
    counts the nodes that are to have any: while the first targets of a group are tried, those that
    try. `behind` names some of those that have others. `trial` is how far targets are that the
    group tries.
    """

    group: str
    revision: int
    source: str
    nodes: Mapping[State, int]
    wanted: int = 0
    behind: tuple[str, ...] = ()
    trial: Stage | None = None


def progress(
    table: PolicyTable | None, nodes: Iterable[NodeFacts], births: Mapping[str, Birth]
) -> tuple[GroupProgress, ...]:
    """The progress of each group, in the order of their names; `births` maps node -> its birth."""
    counts: dict[str, Counter[State]] = defaultdict(Counter)
    due: Counter[str] = Counter()
    behind: dict[str, list[str]] = defaultdict(list)
    wanted: dict[str, tuple[int, str]] = {}
    trials = table.trials if table else {}
    for node in nodes:
        found = table.find(NodePlace(node.group, node.instance_type, node.name)) if table else None
        if found is not None:
            revision, source = found.targets.revision, found.source
            wanted[node.group] = max(wanted.get(node.group, (0, "")), (revision, source))
            due[node.group] += 1
        birth = births.get(node.name)
        if birth is None:
            state = State.TEMPLATE
        elif found is not None and birth.digest == found.targets.digest:
            state = State.CURRENT
        else:
            state = State.OLDER
        counts[node.group][state] += 1
        if state is not State.CURRENT and found is not None:
            behind[node.group].append(node.name)
    return tuple(
        GroupProgress(
            group,
            *wanted.get(group, (0, "")),
            {s: counted[s] for s in State},
            due[group],
            tuple(sorted(behind[group])[:MOST_NAMED]),
            trials[group].stage if group in trials else None,
        )
        for group, counted in sorted(counts.items())
    )


def told(groups: Iterable[GroupProgress]) -> tuple[int, int]:
    """Nodes that have what they are to have, and all nodes that are to have something."""
    current = total = 0
    for group in groups:
        if group.revision:
            current += group.nodes[State.CURRENT]
            total += group.wanted
    return current, total
