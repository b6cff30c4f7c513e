"""What the proven targets of some groups lend to others that have none.

to whom                         what
------------------------------  --------------------------------------------------------------
groups of an instance family    the largest of each target that its groups have proven
the rest of the fleet           what serves the whole fleet, once any group has proven its own
a group with bounds of its own  what it would borrow of these, within its bounds
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ippolicy.api.spec import PolicySpec
from ippolicy.decide.births.table import GroupTargets, PolicyTable, family_of, most_generous
from ippolicy.decide.rule import bounded
from ippolicy.facts import NodeFacts
from ippolicy.ipamd import WarmTargets


def lent(
    table: PolicyTable, spec: PolicySpec, nodes: Sequence[NodeFacts], fleet: WarmTargets | None
) -> PolicyTable:
    """The table with its loans as they are to be now; `fleet` is what would serve all groups.

    Nothing is lent before anything is proven. What is known of families without nodes stays.
    """
    if not table.groups:
        return table
    kinds = _types(nodes)
    by_family: dict[str, list[WarmTargets]] = defaultdict(list)
    for group, kind in kinds.items():
        if (own := table.groups.get(group)) is not None and (family := family_of(kind)):
            by_family[family].append(own.targets)
    families = dict(table.families)
    for family, known in by_family.items():
        families[family] = _next(table.families.get(family), most_generous(known))
    lending = table.fleet if fleet is None else _next(table.fleet, fleet)
    loans = {}
    for group in [one.name for one in spec.groups if one.bounds is not None]:
        borrowed = families.get(family_of(kinds.get(group, "")), lending)
        if borrowed is not None:
            within = bounded(borrowed.targets, spec.bounds_of(group))
            loans[group] = _next(table.loans.get(group), within)
    return replace(table, families=families, fleet=lending, loans=loans)


def _next(before: GroupTargets | None, targets: WarmTargets) -> GroupTargets:
    return before.followed_by(targets) if before is not None else GroupTargets(targets, 1)


def _types(nodes: Sequence[NodeFacts]) -> dict[str, str]:
    """Group -> an instance type of its nodes, for the groups that are of one family."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in nodes:
        found[node.group].add(node.instance_type)
    return {
        group: min(types)
        for group, types in found.items()
        if len({family_of(kind) for kind in types}) == 1
    }
