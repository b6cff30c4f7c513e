"""Node groups of the user's own: which nodes are of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from ippolicy.api.rules import Part, Rule, matches

MAX_GROUPS = 50
_LABEL = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_GROUP_NAME = matches(_LABEL, "must be fit for a label: letters, digits, -, _ and . between them")
_LABEL_VALUE = matches(f"({_LABEL})?", "must be the value of a label")
_SELECTIVE = Rule(
    cel="size(self) >= 1 && self.all(key, size(key) >= 1 && size(key) <= 317)",
    message="must name at least one label, each key with 1 to 317 characters",
    holds=lambda labels: len(labels) >= 1 and all(1 <= len(key) <= 317 for key in labels),
)
_NAMED_ONCE = Rule(
    cel="self.all(one, self.exists_one(other, other.name == one.name))",
    message="each group must have a name of its own",
    holds=lambda groups: len({group.name for group in groups}) == len(groups),
)


class NodeGroup(Part):
    """Nodes that share demand and targets. A node is of the first group whose labels it has."""

    name: Annotated[str, StringConstraints(max_length=63), _GROUP_NAME]
    """Name of the group, as status, metrics and the label `ippolicy.dev/group` show it. A node that
    no group takes keeps its Karpenter node pool, EKS node group or instance type as its group, so
    choose another name than theirs."""
    node_selector: Annotated[
        Mapping[str, Annotated[str, StringConstraints(max_length=63), _LABEL_VALUE]],
        Field(max_length=10),
        _SELECTIVE,
    ]
    """Labels of its nodes, 1 to 10, all of which a node must have."""


Groups = Annotated[tuple[NodeGroup, ...], Field(max_length=MAX_GROUPS), _NAMED_ONCE]
"""Groups of one policy, at most 50; their order counts."""
