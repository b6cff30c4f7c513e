"""What the API server was asked: its audit log as facts that a test can assert on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # A watch is logged when it starts too: it may not end before the test does.
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "None", "nonResourceURLs": ["/readyz", "/livez", "/healthz"]},
        # What else must hold of a pod for it to be deleted is said in the request's body.
        {"level": "Request", "verbs": ["delete"], "resources": [{"resources": ["pods"]}]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class AuditEvent:
    """One request: who asked for what, and the HTTP status of the answer.

    `stage` is ResponseComplete, or ResponseStarted for a watch that began. `parameters` are those
    of the query string, such as fieldManager or resourceVersion. `body` is that of a pod's delete.
    """

    user: str
    user_agent: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    parameters: dict[str, str]
    code: int
    stage: str
    body: dict[str, Any] = field(default_factory=dict, hash=False)


def read_audit_log(path: Path) -> list[AuditEvent]:
    """All events of resource requests; a line that is still being written is left out."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text().rpartition("\n")
    records = (json.loads(line) for line in whole.splitlines())
    return [_event(record) for record in records if "objectRef" in record]


def _event(record: dict[str, Any]) -> AuditEvent:
    target = record["objectRef"]
    query = parse_qs(urlsplit(record["requestURI"]).query)
    return AuditEvent(
        user=record["user"]["username"],
        user_agent=record.get("userAgent", ""),
        verb=record["verb"],
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        parameters={key: values[-1] for key, values in query.items()},
        code=record.get("responseStatus", {}).get("code", 0),
        stage=record["stage"],
        body=record.get("requestObject") or {},
    )
