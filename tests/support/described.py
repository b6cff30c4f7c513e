"""What people read of a policy: its conditions and Events, as `kubectl describe ipp` has them."""

from __future__ import annotations

from collections.abc import Callable

from ippolicy.sandbox.cluster import Sandbox


def described(sandbox: Sandbox, name: str = "default") -> str:
    """A line for each condition (type, status, reason, message), then for each Event of the policy
    (type, reason, message), the oldest first."""
    uid = (sandbox.policy(name) or {}).get("metadata", {}).get("uid")
    conditions = (
        f"{kind} {one['status']} {one['reason']} {one['message']}"
        for kind, one in sandbox.conditions(name).items()
    )
    events = (
        f"{event['type']} {event['reason']} {event['message']}"
        for event in sandbox.events("IPPolicy")
        if event["involvedObject"].get("uid") == uid
    )
    return "\n".join((*conditions, *events))


def reads(sandbox: Sandbox, *texts: str) -> Callable[[], bool]:
    """Whether all of these are to be read there."""

    def holds() -> bool:
        shown = described(sandbox)
        return all(text in shown for text in texts)

    return holds
