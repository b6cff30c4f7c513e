"""Node groups of the user's own: which nodes are of each, and what is asked for them alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, Strict, StringConstraints

from ippolicy.api.quantities import Share
from ippolicy.api.rules import SHARE_RULE, Part, Rule, matches

MAX_GROUPS = 50
_LABEL = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_GROUP_NAME = matches(_LABEL, "must be fit for a label: letters, digits, -, _ and . between them")
_LABEL_VALUE = matches(f"({_LABEL})?", "must be the value of a label")
_ORDERED = Rule(
    cel="self.min <= self.max",
    message="min must be at most max: lower min or raise max",
    holds=lambda bounds: bounds.min <= bounds.max,
)
_FROM_ONE = Rule(
    cel="self.min >= 1",
    message="min must be at least 1: without a spare, pods wait for an address or get none",
    holds=lambda bounds: bounds.min >= 1,
)
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

Count = Annotated[int, Strict()]


class CountRange(Part):
    """Least and most that a target may be."""

    RULES: ClassVar[tuple[Rule, ...]] = (_ORDERED,)
    min: Annotated[Count, Field(ge=0, le=1024)]
    """Least value."""
    max: Annotated[Count, Field(ge=0, le=1024)]
    """Most value."""


class SpareRange(CountRange):
    """Least and most that a target of spare addresses may be."""

    RULES: ClassVar = (_ORDERED, _FROM_ONE)


class GroupBounds(Part):
    """Hard limits of the targets of one group, each in the place of the policy's own."""

    warm_ip_target: SpareRange | None = None
    """Bounds of WARM_IP_TARGET; left out, those of the policy."""
    minimum_ip_target: CountRange | None = None
    """Bounds of MINIMUM_IP_TARGET; left out, those of the policy."""
    warm_prefix_target: SpareRange | None = None
    """Bounds of WARM_PREFIX_TARGET; left out, those of the policy."""


class GroupObjective(Part):
    """What the targets of one group are chosen for. EC2 calls are limited for all groups together,
    so that limit is the policy's alone."""

    max_delayed_starts: Annotated[Share, SHARE_RULE]
    """Share of the pod starts on these nodes that may wait for an EC2 call, from 0% to 100%."""


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
    objective: GroupObjective | None = None
    """What its targets are chosen for; left out, as the policy says."""
    bounds: GroupBounds | None = None
    """Hard limits of its targets; left out, those of the policy."""


Groups = Annotated[tuple[NodeGroup, ...], Field(max_length=MAX_GROUPS), _NAMED_ONCE]
"""Groups of one policy, at most 50; their order counts."""
