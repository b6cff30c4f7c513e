"""The IPPolicy resource as types: what a user may ask for, what is assumed, what is refused.

The CRD's schema, defaults, CEL rules and the reference page are generated from these types, so a
docstring below is what `kubectl explain` shows. An empty spec is a useful policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, Strict, StringConstraints

from ippolicy.api.groups import Groups
from ippolicy.api.objective import Bounds, Count, Objective
from ippolicy.api.prometheus import Prometheus
from ippolicy.api.quantities import DURATION_PATTERN, Duration, Share
from ippolicy.api.rules import SHARE_RULE, UNIQUE, Part, Rule, matches, span
from ippolicy.api.windows import MAX_WINDOWS, Window

GROUP = "ippolicy.dev"
VERSION = "v1alpha1"
KIND = "IPPolicy"
PLURAL = "ippolicies"
API_VERSION = f"{GROUP}/{VERSION}"
PAUSED_ANNOTATION = f"{GROUP}/paused"
FINALIZER = f"{GROUP}/restore"


class Mode(StrEnum):
    """How far the operator goes."""

    OFF = "Off"
    RECOMMEND = "Recommend"
    APPLY = "Apply"


class Method(StrEnum):
    """How a setting reaches aws-node."""

    AUTO = "Auto"
    DAEMON_SET = "DaemonSet"
    EKS_ADDON = "EKSAddon"
    ADMISSION = "Admission"
    NONE = "None"


class Urgent(StrEnum):
    """What may pass change.windows and change.cooldown under pressure."""

    GROW = "Grow"
    ANY = "Any"
    NEVER = "Never"


class OnDelete(StrEnum):
    """What becomes of the settings when their policy goes."""

    RESTORE = "Restore"
    RETAIN = "Retain"


class EnvKey(StrEnum):
    """The four env entries of aws-node that make its warm pool."""

    WARM_ENI_TARGET = "WARM_ENI_TARGET"
    WARM_IP_TARGET = "WARM_IP_TARGET"
    MINIMUM_IP_TARGET = "MINIMUM_IP_TARGET"
    WARM_PREFIX_TARGET = "WARM_PREFIX_TARGET"


_NAMESPACE = matches(
    "[a-z0-9]([-a-z0-9]*[a-z0-9])?", "must be the name of a namespace, such as kube-system"
)
_OBJECT_NAME = matches(
    "[a-z0-9]([-a-z0-9.]*[a-z0-9])?", "must be the name of a DaemonSet, such as aws-node"
)
_SUBNET_ID = matches(
    "subnet-[0-9a-f]{8,17}", "must be a subnet id such as subnet-0123456789abcdef0"
)


class DaemonSetReference(Part):
    """The DaemonSet that runs aws-node."""

    namespace: Annotated[str, StringConstraints(max_length=63), _NAMESPACE] = "kube-system"
    """Namespace of the DaemonSet."""
    name: Annotated[str, StringConstraints(max_length=253), _OBJECT_NAME] = "aws-node"
    """Name of the DaemonSet."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Demand(Part):
    """What demand is taken into account."""

    RULES: ClassVar = (
        Rule(
            cel=f"!self.window.matches('{DURATION_PATTERN}')"
            f" || !self.minEvidence.matches('{DURATION_PATTERN}')"
            " || duration(self.minEvidence) <= duration(self.window)",
            message="minEvidence must be at most window: lower minEvidence or widen window"
            " (one left out has its default)",
            holds=lambda demand: demand.min_evidence.seconds <= demand.window.seconds,
        ),
        Rule(
            cel="!has(self.prometheus) || !has(self.prometheus.window)"
            f" || !self.prometheus.window.matches('{DURATION_PATTERN}')"
            f" || !self.window.matches('{DURATION_PATTERN}')"
            " || duration(self.prometheus.window) <= duration(self.window)",
            message="prometheus.window must be at most window: lower it, or widen window (which has"
            " its default if it is left out)",
            holds=lambda demand: (
                demand.prometheus is None
                or demand.prometheus.window is None
                or demand.prometheus.window.seconds <= demand.window.seconds
            ),
        ),
    )
    window: Annotated[Duration, span("1s", "720h")] = Duration("24h")
    """How far back demand counts, from 1s to 720h. From 96h on, targets may go by the time of day:
    three whole days are needed, besides that under way."""
    min_evidence: Annotated[Duration, span("1s", "720h")] = Duration("1h")
    """How long demand must have been watched before anything is written, from 1s to 720h, at most
    the window. Fewer than 6 nodes must be watched for longer: so long that it makes as many node
    hours as 6 nodes would."""
    prometheus: Prometheus | None = None
    """A Prometheus that has scraped aws-node, so that the window is filled at the start instead of
    by waiting."""


class SubnetSelector(Part):
    """Which subnets to account for. Empty: those that the nodes' ENIs are in."""

    ids: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=24), _SUBNET_ID], ...],
        Field(max_length=100),
        UNIQUE,
    ] = ()
    """Subnet ids. With tags as well, a subnet must meet both."""
    tags: Annotated[
        Mapping[str, Annotated[str, StringConstraints(max_length=256)]],
        Field(max_length=10),
        Rule(
            cel="self.all(key, size(key) >= 1 && size(key) <= 128)",
            message="each tag key must have 1 to 128 characters",
            holds=lambda tags: all(1 <= len(key) <= 128 for key in tags),
        ),
    ] = Field(default_factory=dict)
    """Tags, key to value, all of which a subnet must carry."""


class Brake(Part):
    """When the choice moves toward fewer held addresses, whatever pod starts it delays.

    It does so in steps, within the bounds, ahead of change.stabilization, and of windows unless
    change.urgent is Never; and goes back once no subnet has been short for an hour. A share of 0%
    or a time of 0s turns that part off.
    """

    free_below: Annotated[Share, SHARE_RULE] = Share("10%")
    """A subnet is short when a smaller share of its addresses is free, with the targets chosen."""
    exhausted_within: Annotated[Duration, span("0s", "168h")] = Duration("6h")
    """A subnet is short when it will likely be exhausted within this time, from 0s to 168h."""


class Subnets(Part):
    """Where the addresses come from."""

    quota: Annotated[Count, Field(ge=1, le=16_777_216)] | None = None
    """Addresses that this cluster may hold in each subnet, which it shares with others: a subnet
    counts as having no more than this. Left out, all of them."""
    brake: Brake = Brake()
    """When the choice moves toward fewer held addresses, whatever pod starts it delays."""
    selector: SubnetSelector = SubnetSelector()
    """Which subnets to account for. Empty: those that the nodes' ENIs are in."""


class Rollback(Part):
    """When a change that does harm is undone by itself."""

    within: Annotated[Duration, span("0s", "24h")] = Duration("15m")
    """How long after its rollout a change is watched, besides while it rolls, from 0s to 24h: late
    starts, refused EC2 calls or missing aws-node pods put the former values back. 0s turns it
    off."""


class Restarts(Part):
    """How aws-node is restarted node by node, with apply.method Admission."""

    canary: Annotated[Share, SHARE_RULE] = Share("2%")
    """Share of a node group that tries new targets first, at least one node. The others follow once
    it was watched for change.rollback.within and did no harm: first a quarter of the group, then
    new nodes and whoever repays the restart."""
    at_once: Annotated[Share, SHARE_RULE] = Share("5%")
    """Share of the nodes of a group, and of a zone, whose aws-node may be restarting at once; at
    least one."""
    most: Annotated[Count, Field(ge=1, le=1_000)] = 10
    """Nodes of a group, and of a zone, whose aws-node may be restarting at once, whatever share of
    them that is."""


class ChangePolicy(Part):
    """When the settings in force may be changed."""

    min_saving: Annotated[Share, SHARE_RULE] = Share("5%")
    """Least share of the addresses held now that a change must save in the mean over the day after
    it, its rollout counted in: it restarts every aws-node."""
    stabilization: Annotated[Duration, span("0s", "24h")] = Duration("30m")
    """How long a smaller recommendation must have stood before it is applied, from 0s to 24h."""
    cooldown: Annotated[Duration, span("0s", "168h")] = Duration("1h")
    """Least time between two changes, from 0s to 168h."""
    max_per_day: Annotated[Count, Field(ge=1, le=48)] = 2
    """Most changes in any 24 hours. With 2 or more, targets may go by the time of day, where that
    repays the restarts; see demand.window."""
    max_reapply: Annotated[Count, Field(ge=0, le=60)] = 3
    """How often in any hour targets are set again that somebody else changed by hand, from 0 to 60.
    Beyond that, and at once where EKS, Helm, a GitOps tool or a manifest sets them, the condition
    Conflict names who does it."""
    lower_max_unavailable: Annotated[bool, Strict()] = False
    """Whether updateStrategy.rollingUpdate.maxUnavailable of the DaemonSet may be lowered for the
    rollout of a change, where its restarts would make more EC2 calls a minute than the objective
    allows. It is put back once the rollout is complete."""
    windows: Annotated[tuple[Window, ...], Field(max_length=MAX_WINDOWS)] = ()
    """Times in which a change may start, at most 20; none given is any time. What has started goes
    on past the end. With windows, targets do not go by the time of day."""
    urgent: Urgent = Urgent.GROW
    """What may pass windows and cooldown under pressure, which is: pods start late, as was measured
    in the last hour, and the targets in force miss the objective; or the brake is on. Grow lets
    growth pass, and the brake; Any lets every such change pass; Never none."""
    rollback: Rollback = Rollback()
    """When a change that does harm is undone by itself."""
    restarts: Restarts = Restarts()
    """How aws-node is restarted node by node, with apply.method Admission. Other methods restart it
    as the update strategy of the DaemonSet says."""


class Apply(Part):
    """How a setting reaches aws-node."""

    method: Method = Method.AUTO
    """Auto picks the way that fits the cluster; status.writer says which and why. DaemonSet patches
    the env of aws-node by server-side apply. EKSAddon merges the targets into the configuration
    values of the EKS add-on vpc-cni, which then sets them. Admission gives each aws-node pod the
    targets of its node group as it is made, by a webhook (webhook.enabled in the chart), and leaves
    the DaemonSet as it is: new nodes are right at birth, and of the others those are restarted, one
    by one, for which it pays. None writes nothing, and has the status
    show them ready to be pasted. With another method, what was changed is put back first by the
    former one."""
    take_over: Annotated[
        tuple[EnvKey, ...],
        Field(max_length=len(EnvKey)),
        UNIQUE,
    ] = ()
    """Env entries to take over from another owner, such as Helm or the EKS add-on. An entry of
    another owner that is not named here is left alone, with the condition Conflict."""


class PolicySpec(Part):
    """What a user asks for. Every field has a default."""

    mode: Mode = Mode.RECOMMEND
    """Off only watches. Recommend shows in the status what it would set, and keeps the demand seen
    in a ConfigMap of the operator's own. Apply also sets it."""
    daemon_set_ref: DaemonSetReference = DaemonSetReference()
    """The DaemonSet that runs aws-node."""
    objective: Objective = Objective()
    """What the targets are chosen for: the fewest addresses held within two limits."""
    bounds: Bounds = Bounds()
    """Hard limits of the targets: nothing outside them is ever written."""
    demand: Demand = Demand()
    """What demand is taken into account."""
    subnets: Subnets = Subnets()
    """Where the addresses come from."""
    groups: Groups = ()
    """Groups of nodes, at most 50; the first that takes a node counts. A node that none takes has
    its Karpenter node pool, EKS node group or instance type as its group. Recommendations are shown
    by group, and apply.method Admission sets them so. A group may have an objective and bounds of
    its own."""
    change: ChangePolicy = ChangePolicy()
    """When the settings in force may be changed."""
    apply: Apply = Apply()
    """How a setting reaches aws-node."""
    on_delete: OnDelete = OnDelete.RESTORE
    """Restore puts back what stood in the env before the first change when the policy is deleted.
    Retain leaves the settings in force."""

    def objective_of(self, group: str) -> Objective:
        """What the targets of a group are chosen for: its own where it is one of `groups`, else the
        policy's."""
        own = next((one.objective for one in self.groups if one.name == group), None)
        return self.objective if own is None else own.over(self.objective)

    def bounds_of(self, group: str) -> Bounds:
        """The bounds of a group: its own where it is one of `groups`, else the policy's."""
        own = next((one.bounds for one in self.groups if one.name == group), None)
        return self.bounds if own is None else own.over(self.bounds)

    @property
    def common_bounds(self) -> Bounds:
        """What keeps the bounds of the policy and of every group at once; the policy's for a target
        of which they leave no such value."""
        every = [self.bounds, *(self.bounds_of(group.name) for group in self.groups)]
        update = {}
        for name in Bounds.model_fields:
            each = [getattr(bounds, name) for bounds in every]
            least, most = max(one.min for one in each), min(one.max for one in each)
            if least <= most:
                update[name] = each[0].model_copy(update={"min": least, "max": most})
        return self.bounds.model_copy(update=update)

    def apart(self, name: str) -> tuple[str, ...]:
        """The groups whose bounds of a target, by its name in `Bounds`, the common ones do not
        keep."""
        common = getattr(self.common_bounds, name)
        own = ((group.name, getattr(self.bounds_of(group.name), name)) for group in self.groups)
        return tuple(n for n, one in own if one.min > common.min or one.max < common.max)
