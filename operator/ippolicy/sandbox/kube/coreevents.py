"""Events are one set of objects in two dresses: core/v1 and events.k8s.io/v1.

They are stored as core/v1.
"""

from __future__ import annotations

from ippolicy.sandbox.kube.objects import Object
from ippolicy.sandbox.kube.resources import Kind

_GROUP = "events.k8s.io"
_NAMES = {  # events.k8s.io/v1 -> core/v1
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}


def needs_conversion(kind: Kind) -> bool:
    """Whether a kind's objects are stored in the other dress."""
    return kind.group == _GROUP


def to_core(value: Object) -> Object:
    """An events.k8s.io/v1 Event as it is stored."""
    renamed = {_NAMES.get(name, name): item for name, item in value.items()}
    return {**renamed, "apiVersion": "v1", "kind": "Event"}


def to_events_group(value: Object) -> Object:
    """A stored Event as events.k8s.io/v1."""
    back = {core: name for name, core in _NAMES.items()}
    renamed = {back.get(name, name): item for name, item in value.items()}
    return {**renamed, "apiVersion": f"{_GROUP}/v1", "kind": "Event"}
