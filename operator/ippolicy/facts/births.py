"""What an aws-node pod says of the targets that it was born with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ippolicy.api import GROUP

POLICY_LABEL = f"{GROUP}/policy"
GROUP_LABEL = f"{GROUP}/group"
REVISION_LABEL = f"{GROUP}/revision"
DIGEST_LABEL = f"{GROUP}/digest"


@dataclass(frozen=True, slots=True)
class Birth:
    """The labels that the webhook put on a pod: policy, group, and which targets.

    `revision` counts within a group; `digest` is alike for alike targets.
    """

    policy: str
    group: str
    revision: str
    digest: str


def read_birth(labels: Mapping[str, str]) -> Birth | None:
    """The birth that a pod's labels tell of; None for a pod with the values of its template."""
    if DIGEST_LABEL not in labels:
        return None
    return Birth(
        policy=labels.get(POLICY_LABEL, ""),
        group=labels.get(GROUP_LABEL, ""),
        revision=labels.get(REVISION_LABEL, ""),
        digest=labels[DIGEST_LABEL],
    )
