"""Sets of field paths, in the terms of metadata.managedFields, and what they do to objects.

A path is a tuple of FieldsV1 elements: `f:<field>`, `k:{"name":"x"}` for an item of a keyed list,
`v:<json>` for an item of a set. The rules are those of structured-merge-diff: an item of a keyed
list is a member itself (`.`), a field of a struct only where it is a leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ippolicy.sandbox.kube.objects import Json, Object, decode
from ippolicy.sandbox.kube.shapes import Shape

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]
_Trie: TypeAlias = dict[str, Json]

EMPTY: Final[FieldSet] = frozenset()
_MISSING: Final = object()
_MEMBER: Final = "."


@dataclass(frozen=True)
class Comparison:
    """What changed between two versions of an object."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


def to_fields_v1(paths: Iterable[Path]) -> Object:
    """The set as the `fieldsV1` map of a managedFields entry."""
    return _trim(_trie(paths))


def _trie(paths: Iterable[Path]) -> _Trie:
    root: _Trie = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node[_MEMBER] = {}
    return root


def _trim(node: _Trie) -> Object:
    return {
        name: {} if name == _MEMBER or set(child) == {_MEMBER} else _trim(child)
        for name, child in node.items()
    }


def from_fields_v1(fields: Object) -> FieldSet:
    """The set that a `fieldsV1` map stands for."""
    return frozenset(_members(fields, ()))


def _members(fields: Object, prefix: Path) -> Iterator[Path]:
    for name, child in fields.items():
        if name == _MEMBER:
            yield prefix
        elif child:
            yield from _members(child, (*prefix, name))
        else:
            yield (*prefix, name)


def describe(path: Path) -> str:
    """The path as messages write it: `.spec.containers[name="aws-node"].image`."""
    return "".join(_describe(element) for element in path)


def _describe(element: str) -> str:
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "v:":
        return f"[={rest}]"
    pairs = (f"{key}={_scalar(value)}" for key, value in decode(rest.encode()).items())
    return f"[{','.join(pairs)}]"


def _scalar(value: Json) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def fields_of(value: Object, shape: Shape) -> FieldSet:
    """All fields that an applied configuration states."""
    found: set[Path] = set()
    _collect(value, shape, (), found)
    return frozenset(found)


def _collect(value: Json, shape: Shape, path: Path, found: set[Path]) -> None:
    if isinstance(value, dict) and not shape.atomic:
        for name, child in value.items():
            below = (*path, f"f:{name}")
            _collect(child, shape.child(name), below, found)
            if child is None or child == {} or not shape.names(name):
                found.add(below)
    elif isinstance(value, list) and shape.list_type != "atomic":
        for item in value:
            below = (*path, shape.element(item))
            _collect(item, shape.item(), below, found)
            found.add(below)
    elif value is not None:
        found.add(path)


def with_named_fields(paths: FieldSet, shape: Shape) -> FieldSet:
    """The set with every struct field above a member made a member too."""
    found = set(paths)
    _name(_trie(paths), shape, (), found)
    return frozenset(found)


def _name(node: _Trie, shape: Shape, path: Path, found: set[Path]) -> None:
    for element, child in node.items():
        if element == _MEMBER or set(child) == {_MEMBER}:
            continue
        below = (*path, element)
        is_field = element.startswith("f:")
        if is_field and shape.names(element[2:]):
            found.add(below)
        _name(child, shape.child(element[2:]) if is_field else shape.item(), below, found)


def compare(old: Object, new: Object, shape: Shape) -> Comparison:
    """The fields added, modified and removed from one version to the next."""
    result = Comparison()
    _compare(old, new, shape, (), result)
    return result


def _compare(old: Json, new: Json, shape: Shape, path: Path, result: Comparison) -> None:
    children = _children(old, new, shape)
    if children is None:
        if old is not _MISSING and new is not _MISSING and old != new:
            result.modified.add(path)
    else:
        for element, before, after, child in children:
            _compare(before, after, child, (*path, element), result)
    if old is _MISSING:
        result.added.add(path)
    elif new is _MISSING:
        result.removed.add(path)


def _children(old: Json, new: Json, shape: Shape) -> list[tuple[str, Json, Json, Shape]] | None:
    """The pairs to descend into, or None where the value is a leaf."""
    sides = [side for side in (old, new) if side is not _MISSING and side is not None]
    if not any(sides) or not sides:
        return None
    if all(isinstance(side, dict) for side in sides) and not shape.atomic:
        before = old if isinstance(old, dict) else {}
        after = new if isinstance(new, dict) else {}
        return [
            (f"f:{name}", before.get(name, _MISSING), after.get(name, _MISSING), shape.child(name))
            for name in before | after
        ]
    if all(isinstance(side, list) for side in sides) and shape.list_type != "atomic":
        first = keyed(old, shape) if isinstance(old, list) else {}
        second = keyed(new, shape) if isinstance(new, list) else {}
        return [
            (name, first.get(name, _MISSING), second.get(name, _MISSING), shape.item())
            for name in first | second
        ]
    return None


def keyed(items: list[Json], shape: Shape) -> dict[str, Json]:
    """The items of a keyed list or set by their path element."""
    return {shape.element(item): item for item in items}


def remove(value: Object, paths: FieldSet, shape: Shape) -> Object:
    """The object without the given fields; what is emptied by that goes too."""
    return _remove(value, _trie(paths), shape) or {}


def _remove(value: Json, gone: _Trie, shape: Shape) -> Json:
    if isinstance(value, dict) and not shape.atomic:
        kept = {}
        for name, child in value.items():
            below = gone.get(f"f:{name}")
            if below is None:
                kept[name] = child
            elif _MEMBER not in below:
                left = _remove(child, below, shape.child(name))
                if left is not None:
                    kept[name] = left
        return kept or None
    if isinstance(value, list) and shape.list_type != "atomic":
        items = []
        for item in value:
            below = gone.get(shape.element(item))
            if below is None:
                items.append(item)
            elif _MEMBER not in below:
                items.append(_remove(item, below, shape.item()))
        return items or None
    return value


def merge(live: Json, applied: Json, shape: Shape) -> Json:
    """The live value with the applied one laid over it."""
    if isinstance(live, dict) and isinstance(applied, dict) and not shape.atomic:
        merged = dict(live)
        for name, value in applied.items():
            merged[name] = merge(live[name], value, shape.child(name)) if name in live else value
        return merged
    if isinstance(live, list) and isinstance(applied, list) and shape.list_type != "atomic":
        return _merge_lists(live, applied, shape)
    return applied


def _merge_lists(live: list[Json], applied: list[Json], shape: Shape) -> list[Json]:
    """Shared items in the applied order, live-only items before what was applied beside them."""
    left, right = keyed(live, shape), keyed(applied, shape)
    waiting = list(left)
    merged: list[Json] = []
    for name, item in right.items():
        while waiting and waiting[0] not in right:
            merged.append(left[waiting.pop(0)])
        if name in left:
            waiting.remove(name)
            merged.append(merge(left[name], item, shape.item()))
        else:
            merged.append(item)
    return merged + [left[name] for name in waiting]


def repeated_keys(value: Json, shape: Shape, path: Path = ()) -> str:
    """What is said of a keyed list that names one key twice, or "" where none does."""
    if isinstance(value, dict) and not shape.atomic:
        children = [(f"f:{name}", item, shape.child(name)) for name, item in value.items()]
    elif isinstance(value, list) and shape.list_type != "atomic":
        seen: set[str] = set()
        for item in value:
            element = shape.element(item)
            if element in seen:
                return f"{describe(path)}: duplicate entries for key {_describe(element)}"
            seen.add(element)
        children = [(shape.element(item), item, shape.item()) for item in value]
    else:
        return ""
    found = (repeated_keys(item, child, (*path, name)) for name, item, child in children)
    return next(filter(None, found), "")
