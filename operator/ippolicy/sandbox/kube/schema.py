"""Structural OpenAPI schemas of custom resources: defaults, pruning and validation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from ippolicy.sandbox.kube.objects import Json, Object, clone, encode

Fault: TypeAlias = tuple[str, str, str]  # field, cause reason, message
_Schema: TypeAlias = Mapping[str, Json]

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_ENVELOPE = {"apiVersion": {}, "kind": {}, "metadata": {_PRESERVE: True}}
_DURATION = re.compile(
    r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*|0"
)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_FORMATS = {"duration": _DURATION, "date-time": _DATE_TIME}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def admit(value: Object, schema: _Schema) -> tuple[Object, list[str]]:
    """The object pruned and defaulted, and the paths of the unknown fields that were dropped."""
    if not schema:
        return value, []
    dropped: list[str] = []
    properties = {**schema.get("properties", {}), **_ENVELOPE}
    admitted = _prune(value, {**schema, "properties": properties}, "", dropped)
    return _default(admitted, schema), dropped


def _prune(value: Json, schema: _Schema, path: str, dropped: list[str]) -> Json:
    if isinstance(value, list):
        items = schema.get("items", {})
        return [_prune(item, items, f"{path}[{i}]", dropped) for i, item in enumerate(value)]
    if not isinstance(value, dict) or schema.get("x-kubernetes-embedded-resource"):
        return value
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    kept = {}
    for name, child in value.items():
        below = f"{path}.{name}" if path else name
        if name in properties:
            kept[name] = _prune(child, properties[name], below, dropped)
        elif isinstance(extra, dict):
            kept[name] = _prune(child, extra, below, dropped)
        elif extra is True or schema.get(_PRESERVE):
            kept[name] = child
        else:
            dropped.append(below)
    return kept


def _default(value: Json, schema: _Schema) -> Json:
    if isinstance(value, list):
        return [_default(item, schema.get("items", {})) for item in value]
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for name, sub in schema.get("properties", {}).items():
        absent = filled.get(name) is None and not sub.get("nullable")
        if (absent or name not in filled) and "default" in sub:
            filled[name] = clone(sub["default"])
        if name in filled:
            filled[name] = _default(filled[name], sub)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        known = schema.get("properties", {})
        filled = {k: v if k in known else _default(v, extra) for k, v in filled.items()}
    return filled


def faults(value: Json, schema: _Schema, path: str = "") -> Iterator[Fault]:
    """What is wrong with a value, in the words of the real API server."""
    if value is None and schema.get("nullable"):
        return
    if not _has_type(value, schema):
        expected = "integer,string" if schema.get(_INT_OR_STRING) else schema["type"]
        actual = _type_name(value)
        text = f'Invalid value: "{actual}": {path} in body must be of type {expected}: "{actual}"'
        yield path, "FieldValueTypeInvalid", text
        return
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(_show(option) for option in schema["enum"])
        text = f"Unsupported value: {_show(value)}: supported values: {allowed}"
        yield path, "FieldValueNotSupported", text
    if isinstance(value, dict):
        yield from _object_faults(value, schema, path)
    elif isinstance(value, list):
        yield from _list_faults(value, schema, path)
    elif isinstance(value, str):
        yield from _text_faults(value, schema, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number_faults(value, schema, path)
    yield from _combined_faults(value, schema, path)


def _has_type(value: Json, schema: _Schema) -> bool:
    if schema.get(_INT_OR_STRING):
        return isinstance(value, (int, str)) and not isinstance(value, bool)
    expected = schema.get("type")
    if expected is None:
        return True
    if isinstance(value, bool):
        return bool(expected == "boolean")
    if expected == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[expected])


def _type_name(value: Json) -> str:
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    return next(name for name, types in _TYPES.items() if isinstance(value, types))


def _bad(path: str, shown: str, message: str) -> Fault:
    return path, "FieldValueInvalid", f"Invalid value: {shown}: {message}"


def _show(value: Json) -> str:
    return encode(value).decode()


def _object_faults(value: Object, schema: _Schema, path: str) -> Iterator[Fault]:
    for name in schema.get("required", ()):
        if name not in value:
            yield (f"{path}.{name}" if path else name), "FieldValueRequired", "Required value"
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    for name, child in value.items():
        sub = properties.get(name, extra)
        if isinstance(sub, dict):
            yield from faults(child, sub, f"{path}.{name}" if path else name)
    low, high = schema.get("minProperties", 0), schema.get("maxProperties")
    if len(value) < low:
        yield _bad(path, _show(value), f"{path} in body should have at least {low} properties")
    if high is not None and len(value) > high:
        yield path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {high} items"


def _list_faults(value: list[Json], schema: _Schema, path: str) -> Iterator[Fault]:
    for index, item in enumerate(value):
        yield from faults(item, schema.get("items", {}), f"{path}[{index}]")
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    if len(value) < low:
        yield _bad(path, str(len(value)), f"{path} in body should have at least {low} items")
    if high is not None and len(value) > high:
        yield path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {high} items"
    kind = schema.get("x-kubernetes-list-type")
    if kind in ("map", "set"):
        keys = schema.get("x-kubernetes-list-map-keys", ())
        seen: list[Json] = []
        for index, item in enumerate(value):
            mark = {k: item.get(k) for k in keys} if kind == "map" else item
            if mark in seen:
                text = f"Duplicate value: {_show(mark)}"
                yield f"{path}[{index}]", "FieldValueDuplicate", text
            seen.append(mark)


def _text_faults(value: str, schema: _Schema, path: str) -> Iterator[Fault]:
    low, high = schema.get("minLength", 0), schema.get("maxLength")
    if len(value) < low:
        yield _bad(path, _show(value), f"{path} in body should be at least {low} chars long")
    if high is not None and len(value) > high:
        yield path, "FieldValueTooLong", f"Too long: may not be more than {high} bytes"
    pattern = schema.get("pattern")
    if pattern is not None and not re.search(pattern, value):
        yield _bad(path, _show(value), f"{path} in body should match '{pattern}'")
    form = _FORMATS.get(schema.get("format", ""))
    if form is not None and not form.fullmatch(value):
        message = f"{path} in body must be of type {schema['format']}: {_show(value)}"
        yield _bad(path, _show(value), message)


def _number_faults(value: float, schema: _Schema, path: str) -> Iterator[Fault]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value <= low if schema.get("exclusiveMinimum") else value < low):
        words = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield _bad(path, _show(value), f"{path} in body should be {words} {low}")
    if high is not None and (value >= high if schema.get("exclusiveMaximum") else value > high):
        words = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield _bad(path, _show(value), f"{path} in body should be {words} {high}")
    step = schema.get("multipleOf")
    if step is not None and value % step:
        yield _bad(path, _show(value), f"{path} in body should be a multiple of {step}")


def _combined_faults(value: Json, schema: _Schema, path: str) -> Iterator[Fault]:
    for sub in schema.get("allOf", ()):
        yield from faults(value, sub, path)
    for name, enough in (("anyOf", range(1, 1000)), ("oneOf", range(1, 2))):
        options = schema.get(name)
        if options and sum(not any(faults(value, sub, path)) for sub in options) not in enough:
            few = "at least" if name == "anyOf" else "one and only"
            message = f'"{path}" must validate {few} one schema ({name})'
            yield _bad(path, _show(value), message)
    if "not" in schema and not any(faults(value, schema["not"], path)):
        yield _bad(path, _show(value), f'"{path}" must not validate the schema (not)')
