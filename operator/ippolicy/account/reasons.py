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
    Reason.OUTSIDE_WINDOW: DecisionReason(
        True,
        "No window of spec.change.windows is open, and the change may not pass them.",
        "Wait for the window that the message names, or see spec.change.urgent.",
    ),
    Reason.OTHER_ROLLOUT: DecisionReason(
        True,
        "The DaemonSet of another policy is being rolled out: one rollout at a time.",
        "Wait; the message names the policy.",
    ),
    Reason.NODES_ROLLING: DecisionReason(
        True,
        "More than a tenth of the nodes, and at least two, are not Ready or cordoned: nodes are"
        " being replaced, or fail.",
        "Wait, or repair the nodes that the message names.",
    ),
    Reason.GROW_ONLY: DecisionReason(
        False,
        "EC2 refuses calls for load, subnets were not read for long, or too few aws-node pods can"
        " be read: only targets that hold more addresses are set, until it is over for a while.",
        "The message tells the cause; see the condition Degraded.",
    ),
    Reason.FROZEN: DecisionReason(
        False,
        "A source that every change needs is too old, the API server does not answer, or hardly"
        " any aws-node pod can be read: nothing is set until it is over for a while.",
        "The message tells the cause; see the condition Degraded.",
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
    Reason.NO_WARM_POOLS: DecisionReason(
        False,
        "Another CNI gives pods their addresses, or aws-node gives IPv6 ones: warm targets have no"
        " effect, and none is set. Subnets are accounted for all the same.",
        "Set spec.mode to Off to go on watching the subnets, or delete the policy.",
    ),
    Reason.ENV_UNREADABLE: DecisionReason(
        False,
        "An env entry of aws-node comes from elsewhere or is not a number.",
        "Give it a literal whole number, or remove it.",
    ),
    Reason.ROLLED_BACK: DecisionReason(
        False,
        "A guard found the last change harmful: the former values are about to be put back.",
        "See the condition RolledBack for the guard and its figures.",
    ),
    Reason.BACKING_OFF: DecisionReason(
        True,
        "The recommended targets, or more generous ones, were rolled back lately: they are tried"
        " again after a while (an hour, then twice as long each time, up to a day), or once demand"
        " or the policy have changed.",
        "See the condition RolledBack for what went wrong.",
    ),
    Reason.MISPREDICTED: DecisionReason(
        False,
        "Three changes in a row came to something else than was predicted. Only growth that demand"
        " asks for, the brake and rollbacks are written until the model explains again what is"
        " held, which is looked at each hour.",
        "Compare predicted and measured in status.changes, and tell the project.",
    ),
    Reason.WRITER_NONE: DecisionReason(
        True,
        "spec.apply.method is None; or it is Auto, and Helm, Argo CD, Flux or Terraform sets what"
        " is to be changed. Targets are shown and not set.",
        "Put them in place yourself: status.writer.snippets has them ready to be pasted, as has"
        " ippolicy plan --format helm|addon|terraform|env.",
    ),
    Reason.BOUNDS_DISAGREE: DecisionReason(
        False,
        "The bounds of the policy and of its groups leave no value that all nodes may have, and"
        " this method sets one for all.",
        "Set spec.apply.method: Admission, which sets targets by group, or widen the bounds that"
        " the message names.",
    ),
    Reason.AT_BIRTH: DecisionReason(
        True,
        "New aws-node pods are born with the targets of their node groups; not all nodes have them"
        " yet, as none is restarted for it.",
        "Nothing, or restart the aws-node pods of groups that are to have them at once.",
    ),
    Reason.WEBHOOK_UNAVAILABLE: DecisionReason(
        False,
        "spec.apply.method is Admission, and the webhook is off or cannot serve: pods come up with"
        " the values of the DaemonSet's template.",
        "Install the chart with webhook.enabled=true, or choose another method; else the message"
        " tells the cause.",
    ),
    Reason.TARGETS_DRIFTED: DecisionReason(
        False,
        "Somebody else changed targets by hand that were set here; they are about to be set again.",
        "Find who did it: the Event TargetsDrifted names the field manager.",
    ),
    Reason.DRIFT_LIMIT: DecisionReason(
        False,
        "Somebody else changes targets that were set here, and spec.change.maxReapply is used up"
        " for this hour.",
        "End what changes them, or set spec.mode to Recommend. The message names who does it.",
    ),
    Reason.FIELD_CONFLICT: DecisionReason(
        False,
        "Another field manager owns an env entry that would be set; nothing was changed.",
        "Set it where its owner takes it from, as the message says, or name the key in"
        " spec.apply.takeOver.",
    ),
}
"""Every reason of a decision; the conditions Ready and Applied carry it on."""
