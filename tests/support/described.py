"""What people read of a policy: its conditions and Events, as `kubectl describe ipp` has them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.fleet.kubeclient import Object


def described(sandbox: Sandbox, name: str = "default") -> str:
    """A line for each condition (type, status, reason, message), then for each Event of the policy
    (type, reason, message), the oldest first."""
    conditions = (
        f"{kind} {one['status']} {one['reason']} {one['message']}"
        for kind, one in sandbox.conditions(name).items()
    )
    return "\n".join((*conditions, *(_line(event) for event in _events(sandbox, name))))


def told(sandbox: Sandbox, text: str) -> Object:
    """The oldest Event of the policy whose line holds `text`."""
    return next(event for event in _events(sandbox, "default") if text in _line(event))


def happened_s(event: Object) -> float:
    """When it did, by the operator's clock; Events of one pass happen at the same time."""
    return datetime.fromisoformat(event["firstTimestamp"]).timestamp()


def _events(sandbox: Sandbox, name: str) -> list[Object]:
    uid = (sandbox.policy(name) or {}).get("metadata", {}).get("uid")
    events = sandbox.events("IPPolicy")
    return [event for event in events if event["involvedObject"].get("uid") == uid]


def _line(event: Object) -> str:
    return f"{event['type']} {event['reason']} {event['message']}"


def reads(sandbox: Sandbox, *texts: str) -> Callable[[], bool]:
    """Whether all of these are to be read there."""

    def holds() -> bool:
        shown = described(sandbox)
        return all(text in shown for text in texts)

    return holds
