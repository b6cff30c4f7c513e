"""What the API server says to a bad IPPolicy, said by the types of the spec."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sized
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ippolicy.api.spec import PolicySpec

NAME_MAX_LENGTH = 63
NAME_RULE = "self.metadata.name.size() <= 63"
NAME_MESSAGE = "metadata.name must have at most 63 characters: choose a shorter name"

_TYPES = {
    "int_type": "integer",
    "string_type": "string",
    "enum": "string",
    "tuple_type": "array",
    "mapping_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
}
_LIMITS = {
    "duplicate": 'Duplicate value: "{item}"',
    "greater_than_equal": (
        "Invalid value: {value}: {path} in body should be greater than or equal to {ge}"
    ),
    "less_than_equal": (
        "Invalid value: {value}: {path} in body should be less than or equal to {le}"
    ),
    "missing": "Required value",
    "string_too_long": "Too long: may not be more than {max_length} bytes",
    "too_long": "Too many: {size}: must have at most {max_length} items",
}


def read_spec(raw: Mapping[str, Any]) -> PolicySpec:
    """The spec of a raw object with every default filled in; an explicit null counts as left out.

    Raises:
        pydantic.ValidationError: the spec breaks a rule.
    """
    spec = raw.get("spec")
    return PolicySpec.model_validate({} if spec is None else without_nulls(spec))


def problems(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with a raw IPPolicy, one line a fault as the API server words it; [] if fine.

    For example `spec.bounds.warmIPTarget: Invalid value: min must be at most max: ...`.
    """
    name = (raw.get("metadata") or {}).get("name") or ""
    found = [] if len(name) <= NAME_MAX_LENGTH else [f"<nil>: Invalid value: {NAME_MESSAGE}"]
    try:
        read_spec(raw)
    except ValidationError as error:
        found += [_line(detail) for detail in error.errors(include_url=False)]
    return found


def without_nulls(value: Any) -> Any:
    """The API server drops the nulls of fields that are not nullable before it defaults them."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


def _line(detail: ErrorDetails) -> str:
    path, kind = _path(detail["loc"]), detail["type"]
    if kind == "duplicate":
        path += f"[{detail['ctx']['index']}]"
    if kind == "extra_forbidden":
        return f'unknown field "{path}": remove it, or correct its name'
    return f"{path}: {_fault(kind, path, detail)}"


def _fault(kind: str, path: str, detail: ErrorDetails) -> str:
    value, context = detail["input"], detail.get("ctx", {})
    if kind == "enum" and isinstance(value, str):
        allowed = context["expected"].replace("'", '"').replace(" or ", ", ")
        return f"Unsupported value: {_quoted(value)}: supported values: {allowed}"
    if kind in _TYPES:
        given = _json_type(value)
        return f'Invalid value: "{given}": {path} in body must be of type {_TYPES[kind]}: "{given}"'
    if kind in _LIMITS:
        size = len(value) if isinstance(value, Sized) else 0
        return _LIMITS[kind].format(path=path, value=value, size=size, **context)
    shown = "" if isinstance(value, Mapping | list) else f"{_quoted(value)}: "
    return f"Invalid value: {shown}{detail['msg']}"


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _path(location: tuple[int | str, ...]) -> str:
    path = "spec"
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path


def _json_type(value: Any) -> str:
    for kind, name in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
        (Mapping, "object"),
    ):
        if isinstance(value, kind):
            return name
    return "null"
