"""Which way a setting goes to aws-node, as the policy says or as the owners of its env tell. Pure.

spec.apply.method    env entries of aws-node                    the way
-------------------  -----------------------------------------  -----------------------------------
not Auto             any                                        as the policy says
Auto                 a wanted key is Helm's, Argo CD's, Flux's  None: they would set it back, or
                     or Terraform's, and not in takeOver        meet a conflict
Auto                 originals are recorded                     by which they were changed, for they
                                                                go back the same way
Auto                 the EKS add-on holds any entry             EKSAddon
Auto                 all others                                 DaemonSet
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ippolicy.api import IPPolicy, Method
from ippolicy.decide.gates.stop import Stop
from ippolicy.decide.types import Reason
from ippolicy.facts import DaemonSetFacts, Record, Writer
from ippolicy.facts.managers import ManagerKind, manager_kind

KEPT_ELSEWHERE = frozenset(
    {ManagerKind.HELM, ManagerKind.ARGO_CD, ManagerKind.FLUX, ManagerKind.TERRAFORM}
)
"""Who sets the env of aws-node from a source of its own, and would set it back."""
PASTE = (
    "put the targets in place there yourself, status.writer.snippets has them, as does"
    " ippolicy plan --format helm|addon|terraform|env"
)
"""What to do where nothing is written."""
WRITERS = {Method.DAEMON_SET: Writer.DAEMON_SET, Method.EKS_ADDON: Writer.EKS_ADDON}
"""Method -> the writer that carries it out."""
_METHODS = {writer: method for method, writer in WRITERS.items()}


@dataclass(frozen=True, slots=True)
class Way:
    """By which method a setting goes to aws-node, and why, in one line."""

    method: Method
    reason: str


def choose_way(
    policy: IPPolicy,
    daemon_set: DaemonSetFacts,
    record: Record | None,
    wanted: Collection[str] = (),
) -> Way:
    """The way for env keys that are wanted; the table above."""
    asked = policy.spec.apply.method
    if asked is not Method.AUTO:
        return Way(asked, f"spec.apply.method is {asked.value}")
    take_over = policy.spec.apply.take_over
    for key in sorted(set(wanted) - set(take_over)):
        for manager in daemon_set.owners.get(key, ()):
            kind = manager_kind(manager)
            if kind in KEPT_ELSEWHERE:
                return Way(Method.NONE, f"{key} is set by {manager} ({kind.value})")
    if record is not None and record.originals:
        method = _METHODS[record.writer]
        return Way(method, f"the originals are recorded for {method.value}")
    held = sorted(
        key
        for key, managers in daemon_set.owners.items()
        if any(manager_kind(manager) is ManagerKind.EKS for manager in managers)
    )
    if held:
        return Way(Method.EKS_ADDON, f"the EKS add-on sets {held[0]} and the like")
    return Way(Method.DAEMON_SET, "neither the EKS add-on nor a tool such as Helm sets the targets")


def way_gate(
    policy: IPPolicy,
    daemon_set: DaemonSetFacts,
    record: Record | None,
    wanted: Collection[str],
) -> Stop | None:
    """Whether the wanted keys are for others to set."""
    way = choose_way(policy, daemon_set, record, wanted)
    if way.method is not Method.NONE:
        return None
    return Stop(Reason.WRITER_NONE, f"{way.reason}: {PASTE}")
