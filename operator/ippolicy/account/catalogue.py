"""Every condition and every reason it can have: one catalogue for the code and the docs."""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.account.reasons import DECISION_REASONS
from ippolicy.decide.types import Reason


@dataclass(frozen=True, slots=True)
class ConditionReason:
    """One reason of a condition: the status it comes with, when it is given, what to do."""

    type: str
    status: str
    reason: str
    when: str
    todo: str


_OLDER = (
    "An older policy acts on the same DaemonSet.",
    "Delete one of the two, or give this one another spec.daemonSetRef.",
)
_FAILED = (
    "A change could not be written; nothing was half written.",
    "The message tells the cause. It is tried again at the next pass.",
)
_INVALID = (
    "The policy breaks a rule of its CRD, which is older or newer than the operator.",
    "Correct the fields named, and apply the CRD of this release.",
)
_STUCK = (
    "The rollout of a change has made no progress for long.",
    "See which aws-node pods are not ready, and why. Nothing else is written meanwhile.",
)
_BLOCKED = (
    "The DaemonSet's updateStrategy is OnDelete: the change is written, and waits for your own"
    " restarts. The message says how many pods have it, and which nodes do not.",
    "Restart the aws-node pods when it suits you, or set updateStrategy RollingUpdate.",
)
_UNHEALTHY = (
    "The rollout of a change did not start, and aws-node pods are missing.",
    "See which aws-node pods are not ready, and why.",
)
_NOTHING = "Nothing."
_UNDONE = (
    "See the message for the figures. The same targets, and leaner ones, are tried again after a"
    " while, or once demand or the policy have changed."
)
_OTHER_CNI = (
    "Another CNI than the Amazon VPC CNI gives pods their addresses: there is nothing to tune, and"
    " subnets are accounted for all the same.",
    "Set spec.mode to Off to go on watching the subnets, or delete the policy.",
)
_IPV6 = (
    "aws-node gives IPv6 addresses, where it ignores all warm targets; subnets are accounted for"
    " all the same.",
    "Set spec.mode to Off to go on watching the subnets, or delete the policy.",
)


def _decided(kind: str, reason: Reason, status: bool) -> ConditionReason:
    shown = DECISION_REASONS[reason]
    return ConditionReason(kind, str(status), reason.value, shown.when, shown.todo)


def _row(kind: str, status: str, reason: str, text: tuple[str, str]) -> ConditionReason:
    return ConditionReason(kind, status, reason, *text)


_READY = (
    *(_decided("Ready", reason, shown.ready) for reason, shown in DECISION_REASONS.items()),
    _row("Ready", "False", "PolicyConflict", _OLDER),
    _row("Ready", "False", "WriteFailed", _FAILED),
    _row("Ready", "False", "InvalidPolicy", _INVALID),
)
_RECOMMENDATION_PROVIDED = (
    _row(
        "RecommendationProvided",
        "True",
        "Provided",
        ("Targets were chosen from the demand seen.", _NOTHING),
    ),
    *(
        _decided("RecommendationProvided", reason, False)
        for reason in (
            Reason.NO_DAEMON_SET,
            Reason.NO_CONTAINER,
            Reason.NO_NODES,
            Reason.NO_WARM_POOLS,
            Reason.FACTS_STALE,
        )
    ),
    _row("RecommendationProvided", "False", "PolicyConflict", _OLDER),
)
_LOW_CONFIDENCE = (
    _row(
        "LowConfidence",
        "True",
        "TooLittleEvidence",
        (
            "Demand was not yet watched for spec.demand.minEvidence (for longer where there are few"
            " nodes), or drawing nodes and days anew shows that the limits may not be kept; nothing"
            " is written.",
            "Wait, or lower spec.demand.minEvidence.",
        ),
    ),
    _row(
        "LowConfidence",
        "True",
        "Mispredicted",
        (
            DECISION_REASONS[Reason.MISPREDICTED].when,
            DECISION_REASONS[Reason.MISPREDICTED].todo,
        ),
    ),
    _row(
        "LowConfidence",
        "False",
        "EnoughEvidence",
        ("Enough demand was seen to write on.", _NOTHING),
    ),
    _row(
        "LowConfidence",
        "Unknown",
        "NoRecommendation",
        ("There is no recommendation to judge.", "See the condition RecommendationProvided."),
    ),
)
_APPLIED = (
    *(
        _decided("Applied", reason, reason is Reason.TARGETS_IN_PLACE)
        for reason in DECISION_REASONS
    ),
    _row("Applied", "False", "PolicyConflict", _OLDER),
    _row("Applied", "False", "WriteFailed", _FAILED),
)
_PROGRESSING = (
    _row(
        "Progressing",
        "True",
        "RollingOut",
        ("aws-node is being restarted with new targets.", "Wait."),
    ),
    _row(
        "Progressing",
        "True",
        "AtBirth",
        (DECISION_REASONS[Reason.AT_BIRTH].when, DECISION_REASONS[Reason.AT_BIRTH].todo),
    ),
    _row(
        "Progressing",
        "True",
        "TrialUnderWay",
        (
            "Some nodes of a group try new targets, and are held against the others of it before"
            " more follow.",
            "Wait; status.groups[].births.trial says who tries what.",
        ),
    ),
    _row("Progressing", "True", "RolloutStuck", _STUCK),
    _row("Progressing", "True", "RolloutBlocked", _BLOCKED),
    _row("Progressing", "True", "RolloutUnhealthy", _UNHEALTHY),
    _row("Progressing", "False", "Idle", ("No change is under way.", _NOTHING)),
)
_ROLLED_BACK = (
    *(
        _row("RolledBack", "True", guard, (when, _UNDONE))
        for guard, when in (
            ("DelayedStarts", "More pod starts waited for EC2 than allowed, and than before it."),
            ("NoAddresses", "Tries of the kubelet found no address far more often than before."),
            ("EC2Errors", "EC2 refused far more calls of aws-node than before."),
            ("PodsNotReady", "More aws-node pods were not ready than the update strategy allows."),
            ("RolloutStuck", "Its rollout made no progress."),
            ("EKSUpdateFailed", "EKS failed to update its add-on, or did not set the values."),
        )
    ),
    _row("RolledBack", "False", "NotRolledBack", ("No change was rolled back.", _NOTHING)),
)
_SUBNET_PRESSURE = (
    _row(
        "SubnetPressure",
        "True",
        "SubnetsShort",
        (
            "With the targets that the objective alone would have, less than"
            " spec.subnets.brake.freeBelow of a subnet is left, or it is exhausted within"
            " spec.subnets.brake.exhaustedWithin; leaner targets are chosen: see status.brake.",
            "Watch status.subnets; find what takes the addresses in its split.",
        ),
    ),
    _row(
        "SubnetPressure",
        "True",
        "NoTargetsSaveSubnet",
        (
            "A subnet runs out even with the leanest targets that spec.bounds allow.",
            "Go one of the ways out in status.deadEnds.",
        ),
    ),
    _row("SubnetPressure", "False", "EnoughAddresses", ("No subnet is short.", _NOTHING)),
    _row(
        "SubnetPressure",
        "Unknown",
        "NotWatched",
        ("Free addresses of no subnet were read yet.", "See the condition Degraded."),
    ),
)
_API_BUDGET_EXCEEDED = (
    _row(
        "APIBudgetExceeded",
        "True",
        "NoSettingWithinBudget",
        (
            "No targets within bounds keep both limits; the nearest are recommended, and they make"
            " more EC2 calls than spec.objective.maxEC2CallsPerMinute, or than are left of it where"
            " EC2 refuses calls for load.",
            "Raise spec.bounds.minimumIPTarget.max or the limit, or spread pods over more nodes.",
        ),
    ),
    _row(
        "APIBudgetExceeded",
        "False",
        "WithinBudget",
        ("The recommended targets make no more EC2 calls than allowed.", _NOTHING),
    ),
    _row(
        "APIBudgetExceeded",
        "Unknown",
        "NotReplayed",
        ("No demand could be replayed to count EC2 calls.", "Wait for demand and facts of EC2."),
    ),
)
_CONFLICT = (
    _row("Conflict", "True", "PolicyConflict", _OLDER),
    _decided("Conflict", Reason.FIELD_CONFLICT, True),
    _decided("Conflict", Reason.DRIFT_LIMIT, True),
    _row("Conflict", "False", "NoConflict", ("Nobody else owns what would be set.", _NOTHING)),
)
_PAUSED = (
    _row(
        "Paused",
        "True",
        "PausedByAnnotation",
        (
            'The policy carries ippolicy.dev/paused: "true". A rollout under way goes on.',
            "Remove the annotation to go on.",
        ),
    ),
    _row("Paused", "False", "NotPaused", ("The policy is not paused.", _NOTHING)),
)
_DEGRADED = (
    _row("Degraded", "True", "InvalidPolicy", _INVALID),
    _row("Degraded", "True", "WriteFailed", _FAILED),
    _row(
        "Degraded",
        "True",
        "RecordUnreadable",
        (
            "The record of the original values cannot be trusted, so nothing is written.",
            "The message names the ConfigMap: repair it, or delete it if the values now in force"
            " are to count as the originals.",
        ),
    ),
    *(
        _decided("Degraded", reason, True)
        for reason in (
            Reason.NO_DAEMON_SET,
            Reason.NO_CONTAINER,
            Reason.NO_NODES,
            Reason.ENV_UNREADABLE,
            Reason.DAEMON_SET_UNHEALTHY,
            Reason.COVERAGE_LOW,
            Reason.GROW_ONLY,
            Reason.FROZEN,
        )
    ),
    _row(
        "Degraded",
        "True",
        "TrapInForce",
        (
            "The settings in force leave pods without addresses, whatever the demand.",
            "Let the policy apply its targets, or set those that the message names.",
        ),
    ),
    _row("Degraded", "True", "RolloutStuck", _STUCK),
    _row("Degraded", "True", "RolloutUnhealthy", _UNHEALTHY),
    _row(
        "Degraded",
        "True",
        "ClusterUnavailable",
        (
            "The API server did not answer a list, a watch or a read.",
            "See that it is up, and that the operator's ClusterRole is the shipped one.",
        ),
    ),
    _row(
        "Degraded",
        "True",
        "MetricsUnavailable",
        (
            "The metrics of aws-node could not be read at all.",
            "Open port 61678 of the nodes to the operator.",
        ),
    ),
    _row(
        "Degraded",
        "True",
        "EC2PermissionMissing",
        (
            "EC2 refused a call for want of a permission; the loop goes on without those facts.",
            "Allow the action that the message names in the operator's IAM role.",
        ),
    ),
    _row(
        "Degraded",
        "True",
        "EC2Unavailable",
        (
            "EC2 did not answer, throttled, or there are no AWS credentials.",
            "The message tells the cause. It is tried again by itself.",
        ),
    ),
    _row(
        "Degraded",
        "True",
        "PrometheusUnavailable",
        (
            "The Prometheus of spec.demand.prometheus does not give the demand of the past; the"
            " loop goes on with what it has seen itself.",
            "The message tells the cause. It is tried again by itself.",
        ),
    ),
    _row(
        "Degraded",
        "True",
        "UnknownInstanceType",
        (
            "EC2 does not know an instance type, so its limits are not known.",
            "Check the nodes' label node.kubernetes.io/instance-type and AWS_REGION.",
        ),
    ),
    _row(
        "Degraded",
        "True",
        "CheckpointFailed",
        (
            "The demand seen could not be read from or kept on the cluster: a restart would lose"
            " what came since the last time it was kept.",
            "The message tells the cause. It is tried again by itself.",
        ),
    ),
    _row(
        "Degraded",
        "True",
        "CheckpointNewer",
        (
            "The demand kept on the cluster was written by a newer operator; it is left alone, and"
            " this one keeps demand in memory only.",
            "Go back to the newer operator, or delete the ConfigMap that the message names.",
        ),
    ),
    _row("Degraded", "True", "OtherCNI", _OTHER_CNI),
    _row("Degraded", "True", "IPv6Cluster", _IPV6),
    _row("Degraded", "False", "AllSourcesAnswer", ("Nothing is wrong.", _NOTHING)),
    _row(
        "Degraded",
        "False",
        "FeaturesOff",
        (
            "Nothing is wrong, but a right is kept back without which something is not shown.",
            "Allow the action that the message names, or do without; see docs/user/iam.md.",
        ),
    ),
    _row(
        "Degraded",
        "False",
        "WindowsSettings",
        (
            "Nothing is wrong. Somebody set targets in ConfigMap amazon-vpc-cni; the VPC resource"
            " controller reads them for Windows nodes, aws-node does not.",
            "Nothing, if they are meant for Windows nodes. For Linux nodes they have no effect.",
        ),
    ),
    _row("Degraded", "False", "OtherCNI", _OTHER_CNI),
    _row("Degraded", "False", "IPv6Cluster", _IPV6),
)

CATALOGUE: tuple[ConditionReason, ...] = (
    *_READY,
    *_RECOMMENDATION_PROVIDED,
    *_LOW_CONFIDENCE,
    *_APPLIED,
    *_PROGRESSING,
    *_ROLLED_BACK,
    *_SUBNET_PRESSURE,
    *_API_BUDGET_EXCEEDED,
    *_CONFLICT,
    *_PAUSED,
    *_DEGRADED,
)
"""Every reason that a condition can have, in the order of the conditions."""
