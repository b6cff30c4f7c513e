"""Which group a node is of: the user's own first, then what its labels tell by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ippolicy.api.groups import NodeGroup


def group_of(labels: Mapping[str, str], observed: str, groups: Sequence[NodeGroup]) -> str:
    """The group of a node with these labels.

    `observed` is `NodeFacts.group`: its Karpenter node pool, EKS node group or instance type. It
    stands where none of the user's `groups` takes the node; of several that do, the first counts.
    """
    return next((group.name for group in groups if _takes(group, labels)), observed)


def _takes(group: NodeGroup, labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in group.node_selector.items())
