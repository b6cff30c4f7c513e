"""The metrics of targets that aws-node pods are born with."""

from __future__ import annotations

from ippolicy.account.metric import Metric, counter, gauge

BORN_NODES = gauge(
    "group_nodes_by_birth",
    "nodes",
    "Nodes of a group by what their aws-node was born with: current, older, or template; astray has"
    " other values than its labels say.",
    "policy",
    "group",
    "state",
)
MISSED_NODES = gauge(
    "group_missed_nodes",
    "nodes",
    "Nodes of a group whose aws-node was born without its targets though they were in force.",
    "policy",
    "group",
)
REFUSED_TARGETS = gauge(
    "group_refused_targets",
    "1 or 0",
    "Whether a group has targets that are not tried now, since they did harm.",
    "policy",
    "group",
)
TRIAL_NODES = gauge(
    "trial_nodes",
    "nodes",
    "Nodes of a group that are to try targets; stage is Canary, Share or Promoted.",
    "policy",
    "group",
    "stage",
)
RESTARTS_UNDER_WAY = gauge(
    "agent_restarts_under_way",
    "restarts",
    "aws-node pods that are being made anew for other targets, or that were and got others.",
    "policy",
)
ANSWERS = counter(
    "webhook_answers", "answers", "Answers about new aws-node pods, by verdict.", "verdict"
)
AGENT_RESTARTS = counter(
    "agent_restarts",
    "restarts",
    "aws-node pods that were deleted so that they are born with the targets of their group.",
    "policy",
    "group",
)
TRIALS = counter(
    "trials", "steps", "Steps of trials of targets by a node group.", "policy", "group", "step"
)

BIRTH_METRICS: tuple[Metric, ...] = (
    BORN_NODES,
    MISSED_NODES,
    REFUSED_TARGETS,
    TRIAL_NODES,
    RESTARTS_UNDER_WAY,
    ANSWERS,
    AGENT_RESTARTS,
    TRIALS,
)
"""All of them, in the order they are served and documented in."""
