"""The conditions that a policy has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConditionType:
    """A condition: what it says when it is True, and which status is the good one."""

    name: str
    meaning: str
    good_when: str


CONDITION_TYPES = (
    ConditionType("Ready", "The policy does what its mode says.", "True"),
    ConditionType("RecommendationProvided", "There are targets in status.recommendation.", "True"),
    ConditionType("LowConfidence", "Too little demand was seen to write on.", "False"),
    ConditionType("Applied", "The targets in force are the recommended ones.", "True"),
    ConditionType(
        "Progressing",
        "aws-node is being restarted with new targets, or gets them as it is made anew.",
        "False",
    ),
    ConditionType(
        "RolledBack",
        "A change did harm and was undone; until another one has come through well, or what a group"
        " tried may be tried again.",
        "False",
    ),
    ConditionType(
        "SubnetPressure",
        "A subnet is short of addresses now or soon, or no targets can save it.",
        "False",
    ),
    ConditionType(
        "APIBudgetExceeded",
        "Even the recommended targets make more EC2 calls than the objective allows.",
        "False",
    ),
    ConditionType("Conflict", "Someone else owns what this policy would set.", "False"),
    ConditionType("Paused", "The policy carries the annotation that stops all writes.", "False"),
    ConditionType("Degraded", "Something that the policy needs is missing or fails.", "False"),
)
"""The conditions, in the order they stand in the status."""
