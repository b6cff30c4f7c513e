"""Every metric that the operator serves, declared once: name, kind, help, unit, labels.

Counters are declared without `_total`, which their series carry. Gauges of addresses are sums over
the nodes whose aws-node was read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Types of metrics."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family; `unit` says what is counted, `policy` is a label of most."""

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()


def _gauge(name: str, unit: str, about: str, *labels: str) -> Metric:
    return Metric(f"ippolicy_{name}", Kind.GAUGE, unit, about, labels)


def _counter(name: str, unit: str, about: str, *labels: str) -> Metric:
    return Metric(f"ippolicy_{name}", Kind.COUNTER, unit, about, labels)


NODES = _gauge("nodes", "nodes", "Nodes with a warm pool.", "policy")
LEFT_OUT_NODES = _gauge(
    "left_out_nodes", "nodes", "Nodes without a warm pool to tune, by kind.", "policy", "kind"
)
PODS = _gauge("pods", "pods", "Pods on the pod network of the nodes.", "policy")
HELD = _gauge(
    "held_addresses", "addresses", "Secondary addresses held by the nodes, used or not.", "policy"
)
ASSIGNED = _gauge("assigned_addresses", "addresses", "Held addresses that pods use.", "policy")
WARM = _gauge("warm_addresses", "addresses", "Held addresses that no pod uses.", "policy")
ENIS = _gauge("enis", "ENIs", "ENIs attached to the nodes.", "policy")
PRESENT_HELD = _gauge(
    "present_held_addresses",
    "addresses",
    "Addresses that the settings in force hold, as the recommendation reckons.",
    "policy",
)
PREDICTED_HELD = _gauge(
    "predicted_held_addresses",
    "addresses",
    "Addresses that the recommended targets would hold.",
    "policy",
)
SAVINGS = _gauge(
    "savings_addresses",
    "addresses",
    "Addresses that the recommended targets would give back; below zero if they take more.",
    "policy",
)
EVIDENCE = _gauge("evidence_seconds", "seconds", "How long demand has been watched.", "policy")
TARGET = _gauge(
    "target",
    "addresses, ENIs or prefixes",
    "Warm target by env key; state is in_force or recommended. Targets that are put aside are"
    " left out.",
    "policy",
    "state",
    "key",
)
TARGETS_INFO = _gauge(
    "targets_info",
    "1",
    "Warm targets as text; state is in_force or recommended. Always 1.",
    "policy",
    "state",
    "targets",
)
CONDITION = _gauge(
    "condition",
    "1 or 0",
    "Conditions of the policy: 1 for the status that holds.",
    "policy",
    "type",
    "status",
)
GROUP_NODES = _gauge("group_nodes", "nodes", "Nodes of a node group.", "policy", "group")
GROUP_HELD = _gauge(
    "group_held_addresses", "addresses", "Addresses held by a node group.", "policy", "group"
)
GROUP_ASSIGNED = _gauge(
    "group_assigned_addresses",
    "addresses",
    "Addresses that pods of a node group use.",
    "policy",
    "group",
)
GROUP_WARM = _gauge(
    "group_warm_addresses",
    "addresses",
    "Addresses held by a node group that no pod uses.",
    "policy",
    "group",
)
SUBNET_FREE = _gauge(
    "subnet_free_addresses",
    "addresses",
    "Free addresses of a subnet, as EC2 counts them.",
    "policy",
    "subnet",
    "zone",
)
SUBNET_USABLE = _gauge(
    "subnet_usable_addresses",
    "addresses",
    "Addresses of a subnet that can ever be used: its size less the 5 that AWS keeps.",
    "policy",
    "subnet",
    "zone",
)
ENDPOINTS_LISTED = _gauge(
    "scrape_listed_endpoints", "endpoints", "aws-node pods whose metrics are to be read.", "policy"
)
ENDPOINTS_READ = _gauge(
    "scrape_read_endpoints", "endpoints", "aws-node pods whose metrics were read lately.", "policy"
)
ENDPOINTS_STALE = _gauge(
    "scrape_stale_endpoints",
    "endpoints",
    "aws-node pods whose metrics were missed three times.",
    "policy",
)
COVERAGE = _gauge(
    "scrape_coverage_ratio", "ratio", "Share of listed endpoints read lately.", "policy"
)
SOURCE_UP = _gauge(
    "source_up", "1 or 0", "Whether a source of facts answered last.", "policy", "source"
)
SOURCE_SUCCESS = _gauge(
    "source_last_success_timestamp_seconds",
    "seconds since the epoch",
    "When a source of facts last answered.",
    "policy",
    "source",
)
LAST_PASS = _gauge(
    "last_pass_timestamp_seconds",
    "seconds since the epoch",
    "When a policy was last looked at.",
    "policy",
)
BUILD_INFO = _gauge("build_info", "1", "Version of the operator. Always 1.", "version")

DECISIONS = _counter("decisions", "decisions", "Decisions made, by reason.", "policy", "reason")
CHANGES = _counter(
    "changes", "changes", "Attempts to change the targets, by what came of it.", "policy", "outcome"
)
RESTORES = _counter(
    "restores",
    "restores",
    "Attempts to put the originals back, by what came of it.",
    "policy",
    "outcome",
)
EVENTS = _counter("events", "events", "Events posted, by reason.", "policy", "reason")
API_CALLS = _counter(
    "api_calls",
    "calls",
    "Calls made; kind is kubernetes, ec2 or scrape.",
    "kind",
    "operation",
)
API_ERRORS = _counter(
    "api_errors",
    "calls",
    "Calls that failed; kind is kubernetes, ec2, scrape, or engine for a failed pass.",
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

GAUGES: tuple[Metric, ...] = (
    NODES,
    LEFT_OUT_NODES,
    PODS,
    HELD,
    ASSIGNED,
    WARM,
    ENIS,
    PRESENT_HELD,
    PREDICTED_HELD,
    SAVINGS,
    EVIDENCE,
    TARGET,
    TARGETS_INFO,
    CONDITION,
    GROUP_NODES,
    GROUP_HELD,
    GROUP_ASSIGNED,
    GROUP_WARM,
    SUBNET_FREE,
    SUBNET_USABLE,
    ENDPOINTS_LISTED,
    ENDPOINTS_READ,
    ENDPOINTS_STALE,
    COVERAGE,
    SOURCE_UP,
    SOURCE_SUCCESS,
    LAST_PASS,
    BUILD_INFO,
)
COUNTERS: tuple[Metric, ...] = (DECISIONS, CHANGES, RESTORES, EVENTS, API_CALLS, API_ERRORS)
CATALOGUE: tuple[Metric, ...] = (*GAUGES, *COUNTERS, LOOP_DURATION)
"""Every metric, in the order it is served and documented in."""
