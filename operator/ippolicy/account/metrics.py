"""Every metric that the operator serves, declared once: name, kind, help, unit, labels.

Counters are declared without `_total`, which their series carry. Gauges of addresses are sums over
the nodes whose aws-node was read.
"""

from __future__ import annotations

from ippolicy.account.birth_metrics import BIRTH_METRICS
from ippolicy.account.change_metrics import CHANGE_METRICS
from ippolicy.account.metric import Kind, Metric, counter, gauge

NODES = gauge("nodes", "nodes", "Nodes with a warm pool.", "policy")
LEFT_OUT_NODES = gauge(
    "left_out_nodes", "nodes", "Nodes without a warm pool to tune, by kind.", "policy", "kind"
)
PODS = gauge("pods", "pods", "Pods on the pod network of the nodes.", "policy")
HELD = gauge(
    "held_addresses", "addresses", "Secondary addresses held by the nodes, used or not.", "policy"
)
ASSIGNED = gauge("assigned_addresses", "addresses", "Held addresses that pods use.", "policy")
WARM = gauge("warm_addresses", "addresses", "Held addresses that no pod uses.", "policy")
ENIS = gauge("enis", "ENIs", "ENIs attached to the nodes.", "policy")
PRESENT_HELD = gauge(
    "present_held_addresses",
    "addresses",
    "Addresses that the settings in force hold, as the recommendation reckons.",
    "policy",
)
PREDICTED_HELD = gauge(
    "predicted_held_addresses",
    "addresses",
    "Addresses that the recommended targets would hold.",
    "policy",
)
SAVINGS = gauge(
    "savings_addresses",
    "addresses",
    "Addresses that the recommended targets would give back; below zero if they take more.",
    "policy",
)
EVIDENCE = gauge("evidence_seconds", "seconds", "How long demand has been watched.", "policy")
TARGET = gauge(
    "target",
    "addresses, ENIs or prefixes",
    "Warm target by env key; state is in_force or recommended. Targets that are put aside are"
    " left out.",
    "policy",
    "state",
    "key",
)
TARGETS_INFO = gauge(
    "targets_info",
    "1",
    "Warm targets as text; state is in_force or recommended. Always 1.",
    "policy",
    "state",
    "targets",
)
CONDITION = gauge(
    "condition",
    "1 or 0",
    "Conditions of the policy: 1 for the status that holds.",
    "policy",
    "type",
    "status",
)
TARGETS_DRIFTED = gauge(
    "targets_drifted",
    "1 or 0",
    "Whether somebody else changed targets that the operator had set; of policies that apply only.",
    "policy",
)
PREFIX_DELEGATION = gauge(
    "prefix_delegation", "1 or 0", "Whether aws-node takes /28 prefixes from EC2.", "policy"
)
GROUP_NODES = gauge("group_nodes", "nodes", "Nodes of a node group.", "policy", "group")
GROUP_HELD = gauge(
    "group_held_addresses", "addresses", "Addresses held by a node group.", "policy", "group"
)
GROUP_ASSIGNED = gauge(
    "group_assigned_addresses",
    "addresses",
    "Addresses that pods of a node group use.",
    "policy",
    "group",
)
GROUP_WARM = gauge(
    "group_warm_addresses",
    "addresses",
    "Addresses held by a node group that no pod uses.",
    "policy",
    "group",
)
SUBNET_FREE = gauge(
    "subnet_free_addresses",
    "addresses",
    "Free addresses of a subnet, as EC2 counts them.",
    "policy",
    "subnet",
    "zone",
)
SUBNET_USABLE = gauge(
    "subnet_usable_addresses",
    "addresses",
    "Addresses of a subnet that can ever be used: its size less the 5 that AWS keeps.",
    "policy",
    "subnet",
    "zone",
)
SUBNET_SHORT_BELOW = gauge(
    "subnet_short_below_ratio",
    "ratio",
    "Share of free addresses below which a subnet is short: spec.subnets.brake.freeBelow.",
    "policy",
)
SUBNET_EXHAUSTED = gauge(
    "subnet_exhausted_timestamp_seconds",
    "seconds since the epoch",
    "When a subnet will have no free address left, as things are; bound is early, likely or late."
    " Left out where nothing is foreseen, and late where it may as well never be.",
    "policy",
    "subnet",
    "zone",
    "bound",
)
SUBNET_LEANEST_EXHAUSTED = gauge(
    "subnet_leanest_exhausted_timestamp_seconds",
    "seconds since the epoch",
    "When a subnet will have no free address left even with the leanest targets within bounds;"
    " bound is early, likely or late. Left out where nothing is foreseen.",
    "policy",
    "subnet",
    "zone",
    "bound",
)
SUBNET_HEADROOM = gauge(
    "subnet_headroom_nodes",
    "nodes",
    "Nodes of a group that still fit into a subnet, with the settings in_force and with the"
    " recommended ones.",
    "policy",
    "subnet",
    "zone",
    "group",
    "setting",
)
ZONE_EXHAUSTED = gauge(
    "zone_exhausted_timestamp_seconds",
    "seconds since the epoch",
    "When no subnet of a zone will have a free address left; bound is early, likely or late. Left"
    " out where nothing is foreseen.",
    "policy",
    "zone",
    "bound",
)
ZONE_LOSS_SHORT = gauge(
    "zone_loss_missing_addresses",
    "addresses",
    "Addresses that the other zones lack for the nodes of a zone that is lost, with the settings"
    " in_force and with the recommended ones.",
    "policy",
    "zone",
    "setting",
)
BRAKE_STEP = gauge(
    "brake_step",
    "steps",
    "How far the choice has moved toward fewer addresses because subnets are short: 0 not at all,"
    " 3 to the leanest targets within bounds.",
    "policy",
)
LADDER_STEP = gauge(
    "ladder_step",
    "steps",
    "What may be written on the facts there are: 0 all changes, 1 only those that hold more"
    " addresses, 2 none.",
    "policy",
)
SUBNET_READ = gauge(
    "subnet_read_timestamp_seconds",
    "seconds since the epoch",
    "When EC2 told the free addresses of a subnet.",
    "policy",
    "subnet",
    "zone",
)
SUBNET_HELD = gauge(
    "subnet_held_addresses",
    "addresses",
    "Addresses of a subnet by who holds them: this cluster's assigned, warm, unclear and"
    " eni-primaries, other-clusters, and all others by kind.",
    "policy",
    "subnet",
    "zone",
    "holder",
)
SUBNET_UNACCOUNTED = gauge(
    "subnet_unaccounted_addresses",
    "addresses",
    "Mismatch: usable addresses of a subnet that are neither free nor held by an ENI that is"
    " listed; below zero if more are.",
    "policy",
    "subnet",
    "zone",
)
SUBNET_LISTED = gauge(
    "subnet_listed_timestamp_seconds",
    "seconds since the epoch",
    "When the ENIs in a subnet were listed.",
    "policy",
    "subnet",
    "zone",
)
SUBNET_BLOCKS = gauge(
    "subnet_free_blocks",
    "/28 blocks",
    "Whole free /28 blocks of a subnet; kind is reserved (for prefixes) or open.",
    "policy",
    "subnet",
    "zone",
    "kind",
)
SUBNET_FRAGMENTATION = gauge(
    "subnet_fragmentation_ratio",
    "ratio",
    "Share of a subnet's free addresses that are in no whole free /28 block.",
    "policy",
    "subnet",
    "zone",
)
SUBNET_REFUSALS = gauge(
    "subnet_prefix_refusals",
    "calls",
    "Answers InsufficientCidrBlocks that nodes with ENIs in a subnet got since they were first"
    " read.",
    "policy",
    "subnet",
    "zone",
)
ENDPOINTS_LISTED = gauge(
    "scrape_listed_endpoints", "endpoints", "aws-node pods whose metrics are to be read.", "policy"
)
ENDPOINTS_READ = gauge(
    "scrape_read_endpoints", "endpoints", "aws-node pods whose metrics were read lately.", "policy"
)
ENDPOINTS_STALE = gauge(
    "scrape_stale_endpoints",
    "endpoints",
    "aws-node pods whose metrics were missed three times.",
    "policy",
)
COVERAGE = gauge(
    "scrape_coverage_ratio", "ratio", "Share of listed endpoints read lately.", "policy"
)
COVERAGE_NEEDED = gauge(
    "scrape_needed_ratio",
    "ratio",
    "Share of listed endpoints that must be read for anything to be written.",
    "policy",
)
SOURCE_UP = gauge(
    "source_up", "1 or 0", "Whether a source of facts answered last.", "policy", "source"
)
SOURCE_SUCCESS = gauge(
    "source_last_success_timestamp_seconds",
    "seconds since the epoch",
    "When a source of facts last answered.",
    "policy",
    "source",
)
CHECKPOINT_TIME = gauge(
    "checkpoint_timestamp_seconds",
    "seconds since the epoch",
    "Until when demand is kept on the cluster: what came later is lost with the operator.",
    "policy",
)
CHECKPOINT_BYTES = gauge(
    "checkpoint_bytes", "bytes", "Size of the demand last kept on the cluster.", "policy"
)
LAST_PASS = gauge(
    "last_pass_timestamp_seconds",
    "seconds since the epoch",
    "When a policy was last looked at.",
    "policy",
)
LEADER = gauge(
    "leader", "1 or 0", "Whether this operator is the one that acts. Of all, one has 1 at most."
)
BUILD_INFO = gauge("build_info", "1", "Version of the operator. Always 1.", "version")

DECISIONS = counter("decisions", "decisions", "Decisions made, by reason.", "policy", "reason")
CHANGES = counter(
    "changes", "changes", "Attempts to change the targets, by what came of it.", "policy", "outcome"
)
RESTORES = counter(
    "restores",
    "restores",
    "Attempts to put the originals back, by what came of it.",
    "policy",
    "outcome",
)
DRIFTS = counter(
    "drift",
    "entries",
    "Env entries of aws-node that the operator had set and somebody else changed.",
    "policy",
)
IMPORTED = counter(
    "imported_node_seconds",
    "seconds",
    "Demand taken up from Prometheus, summed over nodes.",
    "policy",
)
IMPORT_LEFT_OUT = counter(
    "import_left_out_nodes",
    "nodes",
    "Nodes that are gone whose demand in Prometheus was left out, as no label tells their group.",
    "policy",
)
CHECKPOINTS = counter(
    "checkpoints",
    "checkpoints",
    "Checkpoints of demand; outcome is Written, Restored, Failed, Dropped (damaged) or Newer (left"
    " alone).",
    "policy",
    "outcome",
)
ADDS = counter(
    "cni_adds",
    "requests",
    "Requests for an address that aws-node got, the kubelet's tries anew included.",
    "policy",
    "group",
)
FAILED_ADDS = counter(
    "cni_failed_adds",
    "requests",
    "Requests for which aws-node had no address: starts of pods that were delayed.",
    "policy",
    "group",
)
CNI_EC2_CALLS = counter(
    "cni_ec2_calls", "calls", "Calls to EC2 that aws-node made.", "policy", "operation"
)
CNI_EC2_OVERLOADS = counter(
    "cni_ec2_overloads",
    "calls",
    "Calls of aws-node that EC2 refused for load, after all retries.",
    "policy",
    "operation",
)
EVENTS = counter(
    "events", "events", "Events that the API server took, by reason.", "policy", "reason"
)
EVENTS_LOST = counter(
    "events_lost",
    "events",
    "Events that the API server never took, which the log alone has; cause is Refused, or QueueFull"
    " where it was away until too many waited.",
    "policy",
    "cause",
)
API_CALLS = counter(
    "api_calls",
    "calls",
    "Calls made; kind is kubernetes, ec2, scrape or prometheus.",
    "kind",
    "operation",
)
API_ERRORS = counter(
    "api_errors",
    "calls",
    "Calls that failed; kind is kubernetes, ec2, scrape, prometheus, or engine for a failed pass,"
    " import or checkpoint.",
    "kind",
    "operation",
    "reason",
)
LOOP_DURATION = Metric(
    "ippolicy_loop_duration_seconds",
    Kind.HISTOGRAM,
    "seconds",
    "Duration of one pass of observe, decide, act and account over all policies.",
)

CATALOGUE: tuple[Metric, ...] = (
    *(one for one in tuple(vars().values()) if isinstance(one, Metric)),
    *BIRTH_METRICS,
    *CHANGE_METRICS,
)
"""Every metric, in the order it is served and documented in."""
GAUGES = tuple(metric for metric in CATALOGUE if metric.kind is Kind.GAUGE)
COUNTERS = tuple(metric for metric in CATALOGUE if metric.kind is Kind.COUNTER)
