"""Which group a node is of: the user's own first, then what its labels tell by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ippolicy.api.groups import NodeGroup
from ippolicy.facts import Snapshot


def group_of(labels: Mapping[str, str], observed: str, groups: Sequence[NodeGroup]) -> str:
    """The group of a node with these labels.

    `observed` is `NodeFacts.group`: its Karpenter node pool, EKS node group or instance type. It
    stands where none of the user's `groups` takes the node; of several that do, the first counts.
    """
    return next((group.name for group in groups if _takes(group, labels)), observed)


def grouped(snapshot: Snapshot, groups: Sequence[NodeGroup]) -> Snapshot:
    """The snapshot with each node in the group that the user's `groups` make it one of."""
    if not groups:
        return snapshot
    nodes = (replace(n, group=group_of(n.labels, n.group, groups)) for n in snapshot.nodes)
    return replace(snapshot, nodes=tuple(nodes))


def _takes(group: NodeGroup, labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in group.node_selector.items())
