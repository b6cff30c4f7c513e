"""What targets are chosen for, and between which values: of a policy, and of a group of its own."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, Strict

from ippolicy.api.quantities import Share
from ippolicy.api.rules import SHARE_RULE, Part, Rule

Count = Annotated[int, Strict()]


class Goal(StrEnum):
    """What a policy is after: a preset of the two limits of the objective."""

    SAVE_ADDRESSES = "SaveAddresses"
    BALANCED = "Balanced"
    FAST_START = "FastStart"


GOAL_LIMITS: Mapping[Goal, tuple[Share, int]] = {
    Goal.SAVE_ADDRESSES: (Share("2%"), 120),
    Goal.BALANCED: (Share("0.5%"), 60),
    Goal.FAST_START: (Share("0.1%"), 30),
}
"""Goal -> (share of pod starts that may wait, mutating EC2 calls a minute)."""

_ORDERED = Rule(
    cel="self.min <= self.max",
    message="min must be at most max: lower min or raise max (one left out has its default)",
    holds=lambda bounds: bounds.min <= bounds.max,
)


def _least_one(message: str) -> Rule:
    return Rule(cel="self >= 1", message=message, holds=lambda value: value >= 1)


_NO_WARM_IP = _least_one(
    "must be at least 1: with WARM_IP_TARGET=0 a node never grows past MINIMUM_IP_TARGET, and pods"
    " above it get no address"
)
_NO_WARM_PREFIX = _least_one(
    "must be at least 1: with WARM_PREFIX_TARGET=0 in prefix mode aws-node refuses to start"
)


class Objective(Part):
    """What the targets are chosen for: the fewest addresses held within two limits."""

    goal: Goal = Goal.BALANCED
    """Preset of the two limits: SaveAddresses (2%, 120), Balanced (0.5%, 60), FastStart (0.1%, 30).
    """
    max_delayed_starts: Annotated[Share, SHARE_RULE] | None = None
    """Share of pod starts that may wait for an EC2 call, from 0% to 100%. The goal sets it when it
    is left out."""
    max_ec2_calls_per_minute: Annotated[Count, Field(ge=1, le=100_000)] | None = None
    """Mutating EC2 calls a minute by all aws-node pods of the cluster together. The goal sets it
    when it is left out."""

    @property
    def delayed_starts_limit(self) -> float:
        """The limit in force on delayed starts, as a fraction: 0.005 for 0.5%."""
        return (self.max_delayed_starts or GOAL_LIMITS[self.goal][0]).fraction

    @property
    def ec2_calls_per_minute_limit(self) -> int:
        """The limit in force on mutating EC2 calls a minute, cluster-wide."""
        return self.max_ec2_calls_per_minute or GOAL_LIMITS[self.goal][1]


class WarmIPBounds(Part):
    """Least and most that WARM_IP_TARGET may be."""

    RULES: ClassVar = (_ORDERED,)
    min: Annotated[Count, Field(le=1024), _NO_WARM_IP] = 1
    """Least value, at least 1: with 0 a node never grows past MINIMUM_IP_TARGET and pods above it
    stay without an address."""
    max: Annotated[Count, Field(ge=1, le=1024)] = 32
    """Most value."""


class MinimumIPBounds(Part):
    """Least and most that MINIMUM_IP_TARGET may be."""

    RULES: ClassVar = (_ORDERED,)
    min: Annotated[Count, Field(ge=0, le=1024)] = 0
    """Least value."""
    max: Annotated[Count, Field(ge=0, le=1024)] = 110
    """Most value."""


class WarmPrefixBounds(Part):
    """Least and most that WARM_PREFIX_TARGET may be."""

    RULES: ClassVar = (_ORDERED,)
    min: Annotated[Count, Field(le=64), _NO_WARM_PREFIX] = 1
    """Least value, at least 1: with 0 in prefix mode aws-node may refuse to start."""
    max: Annotated[Count, Field(ge=1, le=64)] = 4
    """Most value."""


class Bounds(Part):
    """Hard limits of the targets: nothing outside them is ever written."""

    warm_ip_target: WarmIPBounds = WarmIPBounds()
    """Bounds of WARM_IP_TARGET: addresses a node keeps spare."""
    minimum_ip_target: MinimumIPBounds = MinimumIPBounds()
    """Bounds of MINIMUM_IP_TARGET: addresses a node holds at least."""
    warm_prefix_target: WarmPrefixBounds = WarmPrefixBounds()
    """Bounds of WARM_PREFIX_TARGET: /28 prefixes a node keeps spare in prefix mode."""
