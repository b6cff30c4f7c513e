"""How the reason of a decision is shown in the conditions Ready and Applied."""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.decide.types import Reason


@dataclass(frozen=True, slots=True)
class DecisionReason:
    """How a decision's reason is shown: `ready` says whether the policy does what its mode says."""

    ready: bool
    when: str
    todo: str = "Nothing."


DECISION_REASONS: dict[Reason, DecisionReason] = {
    Reason.SAVES_ADDRESSES: DecisionReason(
        False, "Targets that hold fewer addresses are about to be set."
    ),
    Reason.STARTS_FASTER: DecisionReason(
        False, "Targets that hold more addresses, as demand asks for, are about to be set."
    ),
    Reason.SUBNET_PRESSURE: DecisionReason(
        False,
        "Subnets are short of addresses: leaner targets are about to be set, ahead of"
        " spec.change.stabilization.",
        "See the condition SubnetPressure for the subnets.",
    ),
    Reason.BRAKED: DecisionReason(
        True,
        "Subnets are short of addresses, and the targets in force hold no more than the leaner ones"
        " that are recommended meanwhile.",
        "See the condition SubnetPressure for the subnets.",
    ),
    Reason.TARGETS_IN_PLACE: DecisionReason(True, "The targets in force are the recommended ones."),
    Reason.SAVING_TOO_SMALL: DecisionReason(
        True,
        "The change would not repay the restart of every aws-node, or too little is left of the"
        " part of the day that it is for.",
        "Lower spec.change.minSaving to have smaller savings applied.",
    ),
    Reason.MODE_OFF: DecisionReason(True, "spec.mode is Off: the operator only watches."),
    Reason.MODE_RECOMMEND: DecisionReason(
        True,
        "spec.mode is Recommend: targets are shown and not set.",
        "Set spec.mode to Apply to have them set.",
    ),
    Reason.PAUSED: DecisionReason(
        True, "The policy is paused.", "Remove the annotation ippolicy.dev/paused to go on."
    ),
    Reason.LOW_CONFIDENCE: DecisionReason(
        False,
        "Demand was not yet watched for spec.demand.minEvidence, or it varies too much to be sure.",
        "Wait, or lower spec.demand.minEvidence.",
    ),
    Reason.STABILIZING: DecisionReason(
        True, "Fewer addresses are advised, but not yet for spec.change.stabilization.", "Wait."
    ),
    Reason.COOLDOWN: DecisionReason(
        True,
        "The last change is less than spec.change.cooldown ago (an hour, where subnets are short).",
        "Wait.",
    ),
    Reason.DAILY_LIMIT: DecisionReason(
        True,
        "spec.change.maxPerDay changes were made in the last 24 hours, or would be before a part of"
        " the day that needs one.",
        "Wait, or raise spec.change.maxPerDay.",
    ),
    Reason.ROLLOUT_IN_PROGRESS: DecisionReason(False, "aws-node is being rolled out.", "Wait."),
    Reason.DAEMON_SET_UNHEALTHY: DecisionReason(
        False,
        "Too many aws-node pods are not available to restart any.",
        "Repair the aws-node pods first.",
    ),
    Reason.COVERAGE_LOW: DecisionReason(
        False,
        "Too few aws-node pods could be read to write on.",
        "Open port 61678 of the nodes to the operator.",
    ),
    Reason.FACTS_STALE: DecisionReason(
        False,
        "Facts are missing or too old to write on; also while the operator starts.",
        "See the condition Degraded for the source that fails.",
    ),
    Reason.NO_DAEMON_SET: DecisionReason(
        False,
        "The DaemonSet is not there.",
        "Set spec.daemonSetRef to where aws-node runs, or delete the policy.",
    ),
    Reason.NO_CONTAINER: DecisionReason(
        False,
        "The DaemonSet has no container aws-node.",
        "Set spec.daemonSetRef to the DaemonSet of the Amazon VPC CNI.",
    ),
    Reason.NO_NODES: DecisionReason(
        False,
        "No node has a warm pool: all are Fargate, Auto Mode, hybrid or Windows nodes, or run no"
        " aws-node.",
        "See status.totals.leftOut. With another CNI, delete the policy.",
    ),
    Reason.ENV_UNREADABLE: DecisionReason(
        False,
        "An env entry of aws-node comes from elsewhere or is not a number.",
        "Give it a literal whole number, or remove it.",
    ),
    Reason.WRITER_NONE: DecisionReason(
        True,
        "spec.apply.method is None: targets are shown and not set.",
        "Set them yourself, or set spec.apply.method to Auto.",
    ),
}
"""Every reason of a decision; the conditions Ready and Applied carry it on."""
