"""The Lease by which one of several operators is known to act."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ippolicy.act.requests import find, send

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A Lease as it was read, or is to be written.

    `holder` is "" while nobody holds it. Who finds the same `version` for `duration_s` seconds of
    its own clock may take it: clocks of different machines are never compared. Times are seconds
    since the epoch, and only for people.
    """

    holder: str
    duration_s: int
    acquired_at_s: float
    renewed_at_s: float
    transitions: int = 0
    version: str = ""


class LeaseStore:
    """Reads and writes one Lease; every write names the version that it follows."""

    def __init__(self, client: ApiClient, namespace: str, name: str) -> None:
        from kubernetes.client import CoordinationV1Api

        self._api = CoordinationV1Api(client)
        self._namespace, self._name = namespace, name

    def __str__(self) -> str:
        return f"Lease {self._namespace}/{self._name}"

    def read(self) -> LeaseState | None:
        """The Lease as it is; None where there is none. Raises CallFailed."""
        found = find(f"read {self}", self._api.read_namespaced_lease, self._name, self._namespace)
        if found is None:
            return None
        spec = found.get("spec") or {}
        return LeaseState(
            holder=str(spec.get("holderIdentity") or ""),
            duration_s=int(spec.get("leaseDurationSeconds") or 1),
            acquired_at_s=_seconds(spec.get("acquireTime")),
            renewed_at_s=_seconds(spec.get("renewTime")),
            transitions=int(spec.get("leaseTransitions") or 0),
            version=str(found["metadata"]["resourceVersion"]),
        )

    def write(self, state: LeaseState) -> None:
        """Replace the version that `state` names, or create the Lease where it names none.

        Raises:
            FactsChanged: somebody else was faster.
            CallFailed: everything else.
        """
        metadata = {"name": self._name, "namespace": self._namespace}
        body: dict[str, Any] = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": state.holder,
                "leaseDurationSeconds": state.duration_s,
                "acquireTime": _text(state.acquired_at_s),
                "renewTime": _text(state.renewed_at_s),
                "leaseTransitions": state.transitions,
            },
        }
        if not state.version:
            send(f"create {self}", self._api.create_namespaced_lease, self._namespace, body)
            return
        metadata["resourceVersion"] = state.version
        send(
            f"replace {self}",
            self._api.replace_namespaced_lease,
            self._name,
            self._namespace,
            body,
        )


def _text(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0
