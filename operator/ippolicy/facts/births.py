"""What an aws-node pod says of itself, and of the targets that it was born with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Agent:
    """The aws-node pod that serves a node.

    `turned_at_s` is when it last became ready, or ceased to be; 0.0 for unknown. `ending` says that
    it was told to go, and no other is there yet. `birth` is None for one with
    the values of its template. `targets` has the warm targets that its container was given as
    literal values, env key -> value; one that is not given, or comes from elsewhere, is not in it.
    """

    name: str
    uid: str
    created_at_s: float
    ready: bool = True
    turned_at_s: float = 0.0
    ending: bool = False
    birth: Birth | None = None
    targets: Mapping[str, str] = field(default_factory=dict, hash=False)


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
