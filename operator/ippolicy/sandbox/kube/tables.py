"""Tables as `kubectl get` shows them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence

from ippolicy.sandbox.kube.objects import Json, Object, dig
from ippolicy.sandbox.kube.resources import Kind

_Cell = Callable[[Object], Json]
_STEP = re.compile(
    r"\.(?P<name>[\w-]+)|\['(?P<quoted>[^']+)'\]|\[(?P<index>\d+|\*)\]|"
    r"\[\?\(@\.(?P<key>[\w.-]+)\s*==\s*[\"'](?P<value>[^\"']*)[\"']\)\]"
)


def evaluate(path: str, value: Json) -> Json:
    """What a printer column's JSONPath finds first, or None."""
    found = [value]
    for step in _STEP.finditer(path if path.startswith((".", "[")) else f".{path}"):
        found = [item for each in found for item in _follow(each, step)]
    return found[0] if found else None


def _follow(value: Json, step: re.Match[str]) -> list[Json]:
    name = step["name"] or step["quoted"]
    if name:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if step["key"]:
        keys = step["key"].split(".")
        return [item for item in value if dig(item, *keys) == step["value"]]
    return value if step["index"] == "*" else value[int(step["index"]) :][:1]


def _ready(value: Object) -> str:
    statuses = dig(value, "status", "containerStatuses") or ()
    ready = sum(bool(status.get("ready")) for status in statuses)
    return f"{ready}/{len(dig(value, 'spec', 'containers') or ())}"


def _pod_status(value: Object) -> Json:
    if value["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return dig(value, "status", "reason") or dig(value, "status", "phase")


def _restarts(value: Object) -> int:
    statuses = dig(value, "status", "containerStatuses") or ()
    return sum(status.get("restartCount", 0) for status in statuses)


def _node_status(value: Object) -> str:
    conditions = dig(value, "status", "conditions") or ()
    ready = next((c["status"] for c in conditions if c["type"] == "Ready"), "Unknown")
    text = {"True": "Ready", "False": "NotReady"}.get(ready, "Unknown")
    return f"{text},SchedulingDisabled" if dig(value, "spec", "unschedulable") else text


def _at(*path: str) -> _Cell:
    return lambda value: dig(value, *path)


_COLUMNS: Mapping[str, Sequence[tuple[str, str, _Cell]]] = {
    "Pod": (
        ("Ready", "string", _ready),
        ("Status", "string", _pod_status),
        ("Restarts", "integer", _restarts),
    ),
    "Node": (("Status", "string", _node_status),),
    "DaemonSet": tuple(
        (title, "integer", _at("status", name))
        for title, name in (
            ("Desired", "desiredNumberScheduled"),
            ("Current", "currentNumberScheduled"),
            ("Ready", "numberReady"),
            ("Up-to-date", "updatedNumberScheduled"),
            ("Available", "numberAvailable"),
        )
    ),
    "Namespace": (("Status", "string", _at("status", "phase")),),
    "Event": (
        ("Type", "string", _at("type")),
        ("Reason", "string", _at("reason")),
        ("Message", "string", _at("message")),
    ),
    "Lease": (("Holder", "string", _at("spec", "holderIdentity")),),
}
_NAME = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "priority": 0,
    "description": "Name must be unique within a namespace",
}
_AGE: Object = {"name": "Age", "type": "string", "format": "", "priority": 0, "description": ""}


def table(
    kind: Kind, values: Sequence[Object], metadata: Object, now: dt.datetime, *, whole: bool
) -> Object:
    """A meta.k8s.io/v1 Table; `whole` puts each object into its row, not just its metadata."""
    columns = _columns(kind)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_NAME, *(definition for definition, _ in columns)],
        "rows": [
            {
                "cells": [
                    value["metadata"]["name"],
                    *(_cell(definition, cell(value), now) for definition, cell in columns),
                ],
                "object": value if whole else _metadata_only(value),
            }
            for value in values
        ],
    }


def _columns(kind: Kind) -> list[tuple[Object, _Cell]]:
    if kind.columns:
        return [
            (
                {"format": "", "priority": 0, "description": "", **column},
                _by_path(column["jsonPath"]),
            )
            for column in kind.columns
        ]
    known = [
        ({"name": name, "type": type_, "format": "", "priority": 0, "description": ""}, cell)
        for name, type_, cell in _COLUMNS.get(kind.kind, ())
    ]
    age = {**_AGE, "type": "date"}
    return [*known, (age, _at("metadata", "creationTimestamp"))]


def _by_path(path: str) -> _Cell:
    return lambda value: evaluate(path, value)


def _cell(definition: Object, value: Json, now: dt.datetime) -> Json:
    if definition["type"] == "date" and isinstance(value, str):
        return _age(now - dt.datetime.fromisoformat(value))
    return "" if value is None and definition["type"] == "string" else value


def _age(span: dt.timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    for limit, size, unit in ((120, 1, "s"), (7_200, 60, "m"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86_400}d"


def _metadata_only(value: Object) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": value["metadata"],
    }
