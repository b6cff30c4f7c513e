"""The aws-node DaemonSet as the operator sees it: env, owners, rollout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

CONTAINER = "aws-node"
FIELD_MANAGER = "ippolicy-operator"
HEALTHY_SHARE = 0.95


@dataclass(frozen=True, slots=True, order=True)
class DaemonSetRef:
    """Namespace and name of a DaemonSet; prints as `namespace/name`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """One env entry: a literal `value`, or None when it comes from elsewhere (`source` says where).

    `source` is the raw valueFrom object.
    """

    value: str | None
    source: Mapping[str, Any] | None = None

    @property
    def origin(self) -> str:
        """Where an entry without a literal value comes from: "configMapKeyRef cni/warm"."""
        for kind, reference in (self.source or {}).items():
            if isinstance(reference, Mapping):
                parts = (reference.get("name"), reference.get("key") or reference.get("fieldPath"))
                return f"{kind} {'/'.join(str(part) for part in parts if part)}"
        return "valueFrom"


@dataclass(frozen=True, slots=True)
class Hand:
    """A manager that holds the value of an env entry, as managedFields tell it.

    `operation` is Apply for whoever declares what he wants by server-side apply, else Update.
    `at_s` is when that manager last changed anything that it holds, None where it is not told.
    """

    manager: str
    operation: str
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """Progress of a rolling update, from the DaemonSet's status.

    `max_unavailable` is as the user wrote it: a count or a share such as "10%".
    """

    observed_generation: int
    desired: int
    scheduled: int
    updated: int
    ready: int
    available: int
    strategy: str
    max_unavailable: str

    @property
    def on_delete(self) -> bool:
        """Whether pods are restarted by the user alone."""
        return self.strategy == "OnDelete"

    @property
    def healthy(self) -> bool:
        """Whether enough pods are available; some node of a large cluster is always on its way."""
        return self.available >= self.desired * HEALTHY_SHARE

    def complete(self, generation: int) -> bool:
        """Whether every pod runs the template of `generation`, and the DaemonSet is healthy."""
        return (
            self.observed_generation >= generation and self.updated >= self.desired and self.healthy
        )


@dataclass(frozen=True, slots=True)
class DaemonSetFacts:
    """The DaemonSet whose aws-node container is tuned.

    `env` maps key -> entry of that container. `owners` maps key -> the managers that hold the
    entry's value in managedFields, in order; a claim on the name alone is none. `hands` has the
    same managers with how and when they wrote. `image` is the container's image.
    """

    ref: DaemonSetRef
    uid: str
    resource_version: str
    generation: int
    env: Mapping[str, EnvEntry]
    owners: Mapping[str, tuple[str, ...]]
    image: str
    rollout: RolloutFacts
    node_selector: Mapping[str, str]
    read_at_s: float
    has_container: bool = True
    hands: Mapping[str, tuple[Hand, ...]] = field(default_factory=dict)

    @property
    def rolling(self) -> bool:
        """Whether some pod does not run the newest template yet."""
        rollout = self.rollout
        return rollout.observed_generation < self.generation or rollout.updated < rollout.desired

    def literal_env(self) -> dict[str, str]:
        """Env entries with a literal value, as ipamd would read them."""
        return {key: entry.value for key, entry in self.env.items() if entry.value is not None}


def read_daemon_set(raw: Mapping[str, Any], *, read_at_s: float) -> DaemonSetFacts:
    """Facts of a raw apps/v1 DaemonSet object."""
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status", {})
    pod_spec = spec.get("template", {}).get("spec", {})
    containers = pod_spec.get("containers", ())
    container = next((c for c in containers if c.get("name") == CONTAINER), None)
    strategy = spec.get("updateStrategy", {})
    hands = _hands(metadata.get("managedFields") or ())
    return DaemonSetFacts(
        ref=DaemonSetRef(metadata["namespace"], metadata["name"]),
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        generation=int(metadata.get("generation", 0)),
        env={e["name"]: _entry(e) for e in (container or {}).get("env") or () if e.get("name")},
        owners={key: tuple(hand.manager for hand in held) for key, held in hands.items()},
        image=(container or {}).get("image", ""),
        rollout=RolloutFacts(
            observed_generation=int(status.get("observedGeneration", 0)),
            desired=int(status.get("desiredNumberScheduled", 0)),
            scheduled=int(status.get("currentNumberScheduled", 0)),
            updated=int(status.get("updatedNumberScheduled", 0)),
            ready=int(status.get("numberReady", 0)),
            available=int(status.get("numberAvailable", 0)),
            strategy=strategy.get("type", "RollingUpdate"),
            max_unavailable=str((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1)),
        ),
        node_selector=dict(pod_spec.get("nodeSelector") or {}),
        read_at_s=read_at_s,
        has_container=container is not None,
        hands=hands,
    )


def _entry(raw: Mapping[str, Any]) -> EnvEntry:
    if raw.get("valueFrom") is not None:
        return EnvEntry(value=None, source=raw["valueFrom"])
    return EnvEntry(value=str(raw.get("value", "")))


def _hands(managed_fields: Any) -> dict[str, tuple[Hand, ...]]:
    hands: dict[str, tuple[Hand, ...]] = {}
    for entry in managed_fields:
        if entry.get("subresource"):
            continue
        hand = Hand(entry.get("manager", ""), entry.get("operation", ""), _moment(entry))
        for key, fields in owned_env(entry.get("fieldsV1") or {}):
            if holds_value(fields):
                hands[key] = (*hands.get(key, ()), hand)
    return hands


def _moment(entry: Mapping[str, Any]) -> float | None:
    text = entry.get("time")
    return datetime.fromisoformat(text).timestamp() if text else None


def owned_env(fields: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Env keys of aws-node in a FieldsV1 set, each with the set of its own fields."""
    at: Any = fields
    container = f'k:{{"name":"{CONTAINER}"}}'
    for step in ("f:spec", "f:template", "f:spec", "f:containers", container, "f:env"):
        at = at.get(step) or {}
    for path, inner in at.items():
        if path.startswith("k:"):
            yield json.loads(path.removeprefix("k:"))["name"], inner


def holds_value(fields: Mapping[str, Any]) -> bool:
    """Whether the fields of an owned env entry take in its value, not its name alone.

    An empty set stands for the whole entry: so it is written for names that occur twice.
    """
    return not fields or "f:value" in fields or "f:valueFrom" in fields
