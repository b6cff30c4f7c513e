"""The status of an IPPolicy as types: what the operator saw, chose, changed, and what is wrong.

All counts are over the nodes that the policy tunes. `account` fills these in; the CRD's status
schema is generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping

from ippolicy.api.change_status import ChangeStatus, SavedStatus
from ippolicy.api.quantities import Timestamp
from ippolicy.api.rules import Part
from ippolicy.api.subnet_status import (
    BrakeStatus,
    DeadEndStatus,
    PrefixModeStatus,
    SubnetStatus,
    ZoneStatus,
)


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
    kinds: tuple[str, ...] = ()
    """Who these are, in the same order: Operator, EKS, Helm, ArgoCD, Flux, Terraform, Kubectl,
    BeforeFirstApply or Unknown."""


class Snippets(Part):
    """The recommended targets, ready to be pasted where the env of aws-node comes from."""

    helm: str
    """Values of the chart aws-vpc-cni."""
    addon: str
    """Configuration values of the EKS add-on vpc-cni."""
    terraform: str
    """An argument of Terraform's aws_eks_addon."""
    env: str
    """Lines KEY=VALUE, as kubectl set env takes them."""


class WriterStatus(Part):
    """How a setting reaches aws-node."""

    method: str
    """DaemonSet, EKSAddon or None: what spec.apply.method says, or Auto has chosen."""
    reason: str
    """Why."""
    snippets: Snippets | None = None
    """With method None, the recommended targets for people to put in place."""


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


class OptionStatus(Part):
    """Targets that were not chosen."""

    text: str
    """The targets as env entries."""
    held: int
    """Secondary addresses held in the mean over the demand seen."""
    delayed: str
    """Share of pod starts that would wait for an EC2 call."""
    calls_per_minute: str
    """Mutating EC2 calls a minute by all aws-node pods together."""
    why: str
    """Why they were not chosen."""


class DayPartStatus(Part):
    """Targets for a part of the day."""

    start: str
    """The hour in UTC from which they are to be in force: 08:00. A part that holds more than the
    one before is rolled out ahead of it."""
    text: str
    """The targets as env entries."""
    held: int
    """Secondary addresses held in the mean over the part."""


class ScheduleStatus(Part):
    """Targets by the time of day."""

    parts: tuple[DayPartStatus, ...]
    """The parts of the day, in order."""
    now: str
    """Start of the part that is in force."""
    next_switch: Timestamp
    """When the switch to the next part is due."""
    held: int
    """Secondary addresses held in the mean over the day."""
    saves: int
    """Addresses that this saves in the mean over the day, against the best single setting, the
    restarts of the switches counted in."""


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
    raised: str | None = None
    """Late starts that were measured, which forbid leaner targets; left out for none."""
    schedule: ScheduleStatus | None = None
    """Targets by the time of day, where these repay the restarts; left out for one setting."""
    options: tuple[OptionStatus, ...] = ()
    """The next best targets, at most 5."""


class DecisionStatus(Part):
    """What the operator decided last."""

    verdict: str
    """Hold or Change."""
    reason: str
    """Why, in one stable word."""
    message: str
    """Why, in one line."""


class TrialStatus(Part):
    """Targets that a group tries."""

    stage: str
    """Canary (one node, or a few of many), Share (a part of the group) or Promoted (whoever is
    born; watched, and may still be undone)."""
    text: str
    """The targets as env entries."""
    nodes: int
    """Nodes that are to try them."""
    names: tuple[str, ...] = ()
    """Some of these, at most 5; none once all are to have them."""
    since: Timestamp
    """Since when it is at this stage."""


class RefusedStatus(Part):
    """Targets that a group tried, and that did harm."""

    text: str
    """The targets as env entries."""
    until: Timestamp
    """Neither they nor leaner ones are tried before, unless demand or the policy change."""
    cause: str
    """The guard, with its figures."""


class BirthStatus(Part):
    """How many nodes of a group run the targets that its new aws-node pods are born with."""

    revision: int
    """The newest revision that its nodes are to have; 0 where nothing sets any for it now."""
    source: str
    """Whose targets they are: `group`; or `family m5`, or `fleet`, where the group has none."""
    current: int
    """Nodes that have them."""
    older: int
    """Nodes whose aws-node was born with other ones before, and was not made anew since."""
    template: int
    """Nodes whose aws-node has the values of the DaemonSet's template."""
    astray: int = 0
    """Nodes whose aws-node has other values than its labels say: something else changed its env."""
    missed: int = 0
    """Nodes whose aws-node was born with others though its own were in force already: the webhook
    was away."""
    behind: tuple[str, ...] = ()
    """Some of the nodes that do not have the targets that they would be born with now, those that
    missed them first, at most 5."""
    trial: TrialStatus | None = None
    """What the group tries now."""
    refused: tuple[RefusedStatus, ...] = ()
    """What it tried last that did harm, newest first, at most 2."""


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
    births: BirthStatus | None = None
    """With apply.method Admission: how far its nodes are."""


class LadderStatus(Part):
    """How far the facts are trusted to write on."""

    step: str
    """GrowOnly: only changes that hold more addresses are written. Frozen: none."""
    causes: tuple[str, ...] = ()
    """What called for the step lately, at most 5."""


class PolicyStatus(Part):
    """What the operator saw, chose and changed."""

    observed_generation: int
    """The metadata.generation that this status is about."""
    observed_time: Timestamp
    """When the facts were taken."""
    daemon_set: str | None = None
    """The DaemonSet that the policy is about, as namespace/name. When spec.daemonSetRef names
    another one, the originals of this one are put back first."""
    cni: str | None = None
    """The CNI that gives pods their addresses, and how that was told."""
    conditions: tuple[Condition, ...]
    """Conditions; docs/reference/conditions.md lists their reasons."""
    totals: Totals | None = None
    """Nodes, pods and addresses."""
    in_force: tuple[Setting, ...] = ()
    """The env entries in the DaemonSet that make the warm pool, and who owns them."""
    writer: WriterStatus | None = None
    """How a setting reaches aws-node, and why so."""
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
    zones: tuple[ZoneStatus, ...] = ()
    """Availability zones with subnets."""
    ladder: LadderStatus | None = None
    """How far the facts are trusted to write on; left out where all changes are written."""
    brake: BrakeStatus | None = None
    """How far the choice has moved toward fewer addresses because subnets are short."""
    dead_ends: tuple[DeadEndStatus, ...] = ()
    """Subnets that run out even with the leanest targets that the bounds allow, at most 5."""
    prefix_mode: PrefixModeStatus | None = None
    """What prefix mode means for these nodes."""
    changes: tuple[ChangeStatus, ...] = ()
    """The last changes, newest first, at most 20."""
    saved: SavedStatus | None = None
    """What all changes together have saved."""
    traps: tuple[str, ...] = ()
    """Faults of the settings in force that leave pods without addresses, each with its fix."""
