"""The metrics of what changes were to bring, and what they brought."""

from __future__ import annotations

from ippolicy.account.metric import counter, gauge

CHANGE_PREDICTED = gauge(
    "change_predicted_held_addresses",
    "addresses",
    "Addresses that the last change was predicted to hold in the mean over time.",
    "policy",
)
CHANGE_MEASURED = gauge(
    "change_measured_held_addresses",
    "addresses",
    "Addresses held in the mean over so long a time after the last change was complete; after is"
    " 15m, 1h or 1d.",
    "policy",
    "after",
)
CHANGE_EXPECTED = gauge(
    "change_expected_held_addresses",
    "addresses",
    "What the model makes of the demand that there really was in that time.",
    "policy",
    "after",
)
MISPREDICTED = gauge(
    "mispredicted_changes",
    "changes",
    "Changes in a row that came to something else than was predicted; 3 stop writes.",
    "policy",
)
SAVED = gauge(
    "saved_address_hours",
    "address hours",
    "Addresses times hours that all changes have saved, against what the model says the defaults of"
    " the CNI would have held; below zero if they took more.",
    "policy",
)
ROLLBACKS = counter(
    "rollbacks",
    "changes",
    "Changes that were undone, by the guard that tripped.",
    "policy",
    "guard",
)

CHANGE_METRICS = (
    CHANGE_PREDICTED,
    CHANGE_MEASURED,
    CHANGE_EXPECTED,
    MISPREDICTED,
    SAVED,
    ROLLBACKS,
)
"""All of them, in the order they are served and documented in."""
