"""values.schema.json: what Helm holds the values to, made from values.yaml and the types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kinds import KINDS, Schema
from pydantic.alias_generators import to_camel
from values import ChartError, Value

from ippolicy.api.crd import custom_resource_definition
from ippolicy.settings import Settings

OF_THE_POD = ("lease_namespace", "lease_holder", "webhook_service", "webhook_certificates")
"""Settings that the Deployment takes from each pod itself, or from other values."""

_BY_DEFAULT: dict[type, str] = {bool: "boolean", int: "integer", str: "string"}


def values_schema(values: Sequence[Value], rule_groups: Sequence[str]) -> Schema:
    """The schema of all values; `rule_groups` are the groups of rules that the chart ships."""
    from_types = {
        "settings": settings_schema(),
        "policy.spec": policy_schema(),
        "prometheusRule.groups": _closed({group: {"type": "boolean"} for group in rule_groups}),
    }
    schema = _group(values, from_types)
    # Helm hands the values of a chart above this one down under `global`.
    schema["properties"]["global"] = {"type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def settings_schema() -> Schema:
    """The operator's settings, each by its name in camelCase."""
    found = Settings.model_json_schema()["properties"]
    properties = {
        to_camel(name): {key: value for key, value in field.items() if key != "title"}
        for name, field in found.items()
        if name not in OF_THE_POD
    }
    properties["httpPort"]["minimum"] = 1  # any free port would be one that no probe knows
    return _closed(properties)


def policy_schema() -> Schema:
    """The spec of an IPPolicy. Rules over several fields are left to the API server."""
    version = custom_resource_definition()["spec"]["versions"][0]
    return _plain(version["schema"]["openAPIV3Schema"]["properties"]["spec"])


def _group(values: Sequence[Value], from_types: Mapping[str, Schema]) -> Schema:
    properties = {
        value.path[-1]: _group(value.children, from_types)
        if value.children
        else {"description": value.about, "default": value.default, **_leaf(value, from_types)}
        for value in values
    }
    # A value set to null is left out: templates rely on all of them.
    return _closed(properties) | {"required": list(properties)}


def _leaf(value: Value, from_types: Mapping[str, Schema]) -> Schema:
    if value.name in from_types:
        return from_types[value.name]
    if value.kind:
        if value.kind not in KINDS:
            raise ChartError(f"values.yaml: {value.name} has @kind {value.kind}: no such kind")
        return KINDS[value.kind]
    kind = _BY_DEFAULT.get(type(value.default))
    if kind is None:
        raise ChartError(f"values.yaml: {value.name} does not tell its kind: add a line `@kind`")
    return {"type": kind}


def _closed(properties: Mapping[str, Any]) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties)}


def _plain(node: Mapping[str, Any]) -> Schema:
    """A structural schema without what only Kubernetes knows, closed at every level."""
    schema = {
        key: value
        for key, value in node.items()
        if not key.startswith("x-kubernetes") and not (key == "default" and "properties" in node)
    }
    if "properties" in node:
        schema["properties"] = {name: _plain(child) for name, child in node["properties"].items()}
        schema["additionalProperties"] = False
    if isinstance(node.get("additionalProperties"), Mapping):
        schema["additionalProperties"] = _plain(node["additionalProperties"])
    if isinstance(node.get("items"), Mapping):
        schema["items"] = _plain(node["items"])
    return schema
