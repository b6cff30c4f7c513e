"""A DaemonSet as read, made up for pure tests: env entries and who holds which part of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ippolicy.act.live import Live, read_live
from ippolicy.facts.daemonset import FIELD_MANAGER

US = f"{FIELD_MANAGER}:Apply"
_PARTS: dict[str, dict[str, Any]] = {
    "all": {".": {}, "f:name": {}, "f:value": {}},
    "from": {".": {}, "f:name": {}, "f:valueFrom": {}},
    "name": {".": {}, "f:name": {}},
    "value": {"f:value": {}},
    "whole": {},
}


def read(
    env: Mapping[str, Any], claims: Mapping[str, Mapping[str, str]] | None = None, **metadata: Any
) -> Live:
    """aws-node with `env` (key -> literal, or valueFrom object).

    `claims` maps "manager" or "manager:Operation" -> env key -> all | from | name | value | whole.
    """
    entries = [
        {"name": key, "value": value}
        if isinstance(value, str)
        else {"name": key, "valueFrom": value}
        for key, value in env.items()
    ]
    held = {"creator": {}} if claims is None else claims
    raw = {
        "metadata": {
            "name": "aws-node",
            "namespace": "kube-system",
            "uid": "ds-uid",
            "resourceVersion": "100",
            "generation": 3,
            "managedFields": [managed_entry(who, keys) for who, keys in held.items()],
            **metadata,
        },
        "spec": {"template": {"spec": {"containers": [{"name": "aws-node", "env": entries}]}}},
    }
    return read_live(raw, read_at_s=0.0)


def managed_entry(who: str, keys: Mapping[str, str], subresource: str = "") -> dict[str, Any]:
    """One entry of managedFields."""
    manager, _, operation = who.partition(":")
    env = {f'k:{{"name":"{key}"}}': _PARTS[part] for key, part in keys.items()}
    container = {'k:{"name":"aws-node"}': {".": {}, "f:name": {}, "f:env": env}}
    entry = {
        "manager": manager,
        "operation": operation or "Update",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": container}}}},
    }
    return entry | ({"subresource": subresource} if subresource else {})
