"""What values of the chart take: the names that `@kind` in values.yaml may give, as JSON schema."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"

KINDS: dict[str, Schema] = {
    "replicas": {"type": "integer", "minimum": 0, "maximum": 10},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "countOrShare": {
        "type": ["integer", "string"],
        "minimum": 0,
        "pattern": "^([0-9]{1,2}|100)%$",
    },
    "repository": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9._/:]*[a-z0-9])?$"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "name": {"type": "string", "pattern": f"^{_LABEL}$"},
    "nameOrEmpty": {"type": "string", "pattern": f"^({_LABEL})?$"},
    "tag": {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"},
    "digest": {"type": "string", "pattern": "^(sha256:[a-f0-9]{64})?$"},
    "pullPolicy": {"type": "string", "enum": ["Always", "IfNotPresent", "Never"]},
    "duration": {"type": "string", "pattern": "^[1-9][0-9]{0,4}(ms|s|m)$"},
    "cidrs": {
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"},
    },
    "strings": {"type": "object", "additionalProperties": {"type": "string"}},
    "object": {"type": "object"},
    "objects": {"type": "array", "items": {"type": "object"}},
    "named": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": {"type": "string", "minLength": 1}},
            "required": ["name"],
        },
    },
    "references": {
        "type": "array",
        "uniqueItems": True,
        "items": {
            "type": "object",
            "properties": {"name": {"type": "string", "pattern": f"^{_LABEL}$"}},
            "required": ["name"],
            "additionalProperties": False,
        },
    },
    "probe": {
        "type": "object",
        "properties": {
            "initialDelaySeconds": {"type": "integer", "minimum": 0},
            "periodSeconds": {"type": "integer", "minimum": 1},
            "timeoutSeconds": {"type": "integer", "minimum": 1},
            "failureThreshold": {"type": "integer", "minimum": 1},
        },
        "additionalProperties": False,
    },
}
