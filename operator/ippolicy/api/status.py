"""The status of an IPPolicy as types: what the operator saw, chose, changed, and what is wrong.

All counts are over the nodes that the policy tunes. `account` fills these in; the CRD's status
schema is generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from ippolicy.api.rules import Part

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A moment as Kubernetes writes it: 2026-11-22T16:49:00Z."""


class Condition(Part):
    """One condition, in the manner of metav1.Condition."""

    type: str
    """Name of the condition."""
    status: str
    """True, False or Unknown."""
    reason: str
    """Why, in one stable word; docs/reference/conditions.md lists them."""
    message: str
    """Why, in one line for a person, with the fix where there is something to fix."""
    observed_generation: int
    """The metadata.generation that this was found for."""
    last_transition_time: Timestamp
    """When the status last changed."""


class Targets(Part):
    """The four warm targets; a target that is not set is left out."""

    warm_eni: int | None = None
    """WARM_ENI_TARGET: whole ENIs a node keeps spare."""
    warm_ip: int | None = None
    """WARM_IP_TARGET: addresses a node keeps spare."""
    minimum_ip: int | None = None
    """MINIMUM_IP_TARGET: addresses a node holds at least."""
    warm_prefix: int | None = None
    """WARM_PREFIX_TARGET: /28 prefixes a node keeps spare."""


class Totals(Part):
    """Nodes, pods and addresses."""

    nodes: int
    """Nodes with a warm pool."""
    left_out: Mapping[str, int]
    """Nodes without a warm pool to tune, by kind: Fargate, AutoMode, Hybrid, Windows, NoAWSNode."""
    pods: int
    """Pods on the pod network of those nodes."""
    assigned: int
    """Addresses used by pods, as aws-node counts them."""
    warm: int
    """Addresses held that no pod uses."""
    held: int
    """Secondary addresses attached to the nodes' ENIs, used or not; 16 for each /28 prefix."""
    enis: int
    """ENIs attached, each of which takes one more address of its subnet."""
    endpoints_listed: int
    """aws-node pods whose metrics are to be read."""
    endpoints_read: int
    """aws-node pods whose metrics were read lately: the address counts are over these."""


class Setting(Part):
    """One of the four env entries of aws-node as it stands in the DaemonSet."""

    key: str
    """Name of the env entry."""
    value: str | None = None
    """Its value; left out when the entry is missing or comes from elsewhere."""
    value_from: str | None = None
    """Where the value comes from, when it is not literal."""
    owners: tuple[str, ...] = ()
    """Field managers that own the entry."""


class Effect(Part):
    """What settings come to: addresses with the pods of now, the rest over the demand seen."""

    held: int
    """Secondary addresses held over all nodes."""
    warm: int
    """The part of them that no pod uses."""
    enis: int
    """ENIs attached."""
    mean_held: int | None = None
    """Secondary addresses held in the mean over the demand seen; left out where none could be
    replayed."""
    delayed: str | None = None
    """Share of pod starts that wait for an EC2 call."""
    calls_per_minute: str | None = None
    """Mutating EC2 calls a minute by all aws-node pods together."""


class RecommendationStatus(Part):
    """Targets for all nodes alike, and what they would do."""

    targets: Targets
    """What to set, within bounds."""
    lower: Targets
    """What a lean reading of the demand gives."""
    upper: Targets
    """What a generous reading of the demand gives."""
    uncapped: Targets
    """What demand alone asks for, without bounds."""
    text: str
    """The targets as env entries."""
    binding: str
    """The limit or bound that keeps less from being held; "demand" if none does."""
    present: Effect
    """What the settings in force hold."""
    predicted: Effect
    """What the recommended targets would hold."""
    saves: int
    """Addresses that the change would give back; below zero if it takes more."""
    observed: str
    """How long demand has been watched."""
    evidence: str
    """What the recommendation rests on."""


class DecisionStatus(Part):
    """What the operator decided last."""

    verdict: str
    """Hold or Change."""
    reason: str
    """Why, in one stable word."""
    message: str
    """Why, in one line."""


class GroupStatus(Part):
    """One node group, and what would suit it alone."""

    name: str
    """Node group, or instance type where there is no group."""
    nodes: int
    """Nodes of the group."""
    pods: int
    """Pods on the pod network of those nodes."""
    held: int
    """Secondary addresses they hold."""
    assigned: int
    """Addresses used by pods."""
    text: str
    """The targets that would suit this group best, as env entries."""
    saves: int
    """Addresses that the group would give back with them."""


class SubnetStatus(Part):
    """One subnet."""

    id: str
    """Subnet id."""
    zone: str
    """Availability zone."""
    cidr: str
    """Address range."""
    free: int
    """Free addresses, as EC2 counts them."""
    usable: int
    """Addresses that can ever be used: the size less the 5 that AWS keeps."""


class ChangeStatus(Part):
    """One change of the env of aws-node."""

    time: Timestamp
    """When it was made."""
    phase: str
    """Intended, Rolling, Complete or Superseded."""
    before: Mapping[str, str]
    """Env entries before, "" for absent."""
    after: Mapping[str, str]
    """Env entries after, "" for absent."""
    reason: str
    """Why."""
    took: str | None = None
    """How long the rollout took."""


class PolicyStatus(Part):
    """What the operator saw, chose and changed."""

    observed_generation: int
    """The metadata.generation that this status is about."""
    observed_time: Timestamp
    """When the facts were taken."""
    daemon_set: str | None = None
    """The DaemonSet that the policy is about, as namespace/name. When spec.daemonSetRef names
    another one, the originals of this one are put back first."""
    conditions: tuple[Condition, ...]
    """Conditions; docs/reference/conditions.md lists their reasons."""
    totals: Totals | None = None
    """Nodes, pods and addresses."""
    in_force: tuple[Setting, ...] = ()
    """The env entries in the DaemonSet that make the warm pool, and who owns them."""
    recommendation: RecommendationStatus | None = None
    """Targets for all nodes alike, and what they would do."""
    decision: DecisionStatus | None = None
    """What the operator decided last."""
    groups: tuple[GroupStatus, ...] = ()
    """Node groups, largest first, at most 50."""
    more_groups: int = 0
    """Node groups that are not listed."""
    subnets: tuple[SubnetStatus, ...] = ()
    """Subnets, tightest first, at most 100."""
    more_subnets: int = 0
    """Subnets that are not listed."""
    subnet_left: str | None = None
    """Free addresses of the tightest subnet, and its id."""
    changes: tuple[ChangeStatus, ...] = ()
    """The last changes, newest first, at most 20."""
    traps: tuple[str, ...] = ()
    """Faults of the settings in force that leave pods without addresses, each with its fix."""
