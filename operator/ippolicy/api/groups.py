"""Node groups of the user's own: which nodes are of each, and what is wanted for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from ippolicy.api.objective import (
    Bounds,
    Count,
    Goal,
    MinimumIPBounds,
    Objective,
    WarmIPBounds,
    WarmPrefixBounds,
)
from ippolicy.api.quantities import Share
from ippolicy.api.rules import SHARE_RULE, Part, Rule, matches

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


class GroupObjective(Part):
    """What the targets of a group are chosen for. What is left out is as the policy has it."""

    goal: Goal | None = None
    """Preset of the two limits, for those of them that are not given here."""
    max_delayed_starts: Annotated[Share, SHARE_RULE] | None = None
    """Share of the group's pod starts that may wait for an EC2 call, from 0% to 100%."""
    max_ec2_calls_per_minute: Annotated[Count, Field(ge=1, le=100_000)] | None = None
    """Mutating EC2 calls a minute by the aws-node pods of the group. Besides, it has no more than
    its share of the policy's limit, by nodes: the smaller one counts."""

    def over(self, policy: Objective) -> Objective:
        """The objective of the group, where `policy` is that of the policy."""
        preset = Objective(goal=self.goal) if self.goal is not None else policy
        delayed, calls = self.max_delayed_starts, self.max_ec2_calls_per_minute
        return Objective(
            goal=preset.goal,
            max_delayed_starts=delayed or preset.max_delayed_starts,
            max_ec2_calls_per_minute=calls or preset.max_ec2_calls_per_minute,
        )


class GroupBounds(Part):
    """Hard limits of the targets of a group, in the place of the policy's. One that is left out is
    as the policy has it."""

    warm_ip_target: WarmIPBounds | None = None
    """Bounds of WARM_IP_TARGET: addresses a node keeps spare."""
    minimum_ip_target: MinimumIPBounds | None = None
    """Bounds of MINIMUM_IP_TARGET: addresses a node holds at least."""
    warm_prefix_target: WarmPrefixBounds | None = None
    """Bounds of WARM_PREFIX_TARGET: /28 prefixes a node keeps spare in prefix mode."""

    def over(self, policy: Bounds) -> Bounds:
        """The bounds of the group, where `policy` are those of the policy."""
        return Bounds(
            warm_ip_target=self.warm_ip_target or policy.warm_ip_target,
            minimum_ip_target=self.minimum_ip_target or policy.minimum_ip_target,
            warm_prefix_target=self.warm_prefix_target or policy.warm_prefix_target,
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
    objective: GroupObjective | None = None
    """What the targets of its nodes are chosen for, where that is not what the policy says."""
    bounds: GroupBounds | None = None
    """Hard limits of the targets of its nodes, where they are not those of the policy. What is set
    for all nodes alike (any method but Admission) keeps the bounds of every group, too."""


Groups = Annotated[tuple[NodeGroup, ...], Field(max_length=MAX_GROUPS), _NAMED_ONCE]
"""Groups of one policy, at most 50; their order counts."""
