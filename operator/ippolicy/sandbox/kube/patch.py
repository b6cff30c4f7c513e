"""JSON patch (RFC 6902), JSON merge patch (RFC 7386) and strategic merge patch."""

from __future__ import annotations

from collections.abc import Sequence

from ippolicy.sandbox.kube.objects import Json, Object, clone
from ippolicy.sandbox.kube.refusals import Refused
from ippolicy.sandbox.kube.shapes import Shape

_DIRECTIVES = ("$patch", "$retainKeys")
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_SET_ORDER = "$setElementOrder/"


def merge_patch(value: Json, change: Json) -> Json:
    """The value after a JSON merge patch: null removes, lists are replaced."""
    if not isinstance(change, dict):
        return clone(change)
    merged = dict(value) if isinstance(value, dict) else {}
    for name, child in change.items():
        if child is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), child)
    return merged


def json_patch(value: Object, operations: Json) -> Object:
    """The object after a JSON patch; raises `Refused` 422 where an operation cannot be done."""
    if not isinstance(operations, list):
        raise Refused(400, "error decoding patch: a JSON patch is a list of operations")
    result = clone(value)
    for operation in operations:
        result = _operate(result, operation)
    if not isinstance(result, dict):
        raise Refused(422, "the server rejected our request due to an error in our request")
    return result


def _operate(root: Json, operation: Object) -> Json:
    verb = operation.get("op")
    path = _pointer(operation.get("path", ""))
    if verb == "test":
        if _read(root, path) != operation.get("value"):
            raise _unfit(f"testing value {operation.get('path')} failed")
        return root
    if verb in ("move", "copy"):
        source = _pointer(operation.get("from", ""))
        value = clone(_read(root, source))
        if verb == "move":
            _drop(root, source)
        return _put(root, path, value, insert=True)
    if verb == "remove":
        _drop(root, path)
        return root
    if verb in ("add", "replace"):
        if verb == "replace":
            _read(root, path)
        return _put(root, path, clone(operation.get("value")), insert=verb == "add")
    raise Refused(400, f"Unexpected kind: {verb}")


def _unfit(message: str) -> Refused:
    return Refused(
        422, f"the server rejected our request due to an error in our request: {message}"
    )


def _pointer(text: str) -> list[str]:
    parts = text.split("/")[1:]
    return [part.replace("~1", "/").replace("~0", "~") for part in parts]


def _read(root: Json, path: Sequence[str]) -> Json:
    value = root
    for name in path:
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            raise _unfit(f"path /{'/'.join(path)} does not exist")
    return value


def _drop(root: Json, path: Sequence[str]) -> None:
    _read(root, path)
    holder = _read(root, path[:-1])
    if isinstance(holder, list):
        del holder[int(path[-1])]
    else:
        del holder[path[-1]]


def _put(root: Json, path: Sequence[str], value: Json, *, insert: bool) -> Json:
    if not path:
        return value
    holder, name = _read(root, path[:-1]), path[-1]
    if isinstance(holder, dict):
        holder[name] = value
    elif isinstance(holder, list) and name == "-":
        holder.append(value)
    elif isinstance(holder, list) and name.isdigit() and int(name) <= len(holder):
        if insert:
            holder.insert(int(name), value)
        else:
            holder[int(name)] = value
    else:
        raise _unfit(f"path /{'/'.join(path)} does not exist")
    return root


def strategic_patch(value: Json, change: Json, shape: Shape) -> Json:
    """The value after a strategic merge patch, with the merge keys of its kind."""
    if not isinstance(change, dict):
        return clone(change)
    directive = change.get("$patch")
    if directive == "delete":
        return {}
    if directive == "replace":
        return {name: clone(item) for name, item in change.items() if name not in _DIRECTIVES}
    merged = dict(value) if isinstance(value, dict) else {}
    retained = change.get("$retainKeys")
    if retained is not None:
        merged = {name: item for name, item in merged.items() if name in retained}
    for name, child in change.items():
        _strategic_field(merged, name, child, shape)
    for name, order in change.items():
        if name.startswith(_SET_ORDER):
            target = name.removeprefix(_SET_ORDER)
            merged[target] = _ordered(merged.get(target) or [], order, shape.child(target))
    return merged


def _strategic_field(merged: Object, name: str, child: Json, shape: Shape) -> None:
    if name.startswith(_DELETE_PRIMITIVES):
        target = name.removeprefix(_DELETE_PRIMITIVES)
        merged[target] = [item for item in merged.get(target) or [] if item not in child]
    elif name in _DIRECTIVES or name.startswith(_SET_ORDER):
        return
    elif child is None:
        merged.pop(name, None)
    else:
        merged[name] = _strategic_child(merged.get(name), child, shape.child(name))


def _strategic_child(live: Json, child: Json, shape: Shape) -> Json:
    if not isinstance(child, list):
        return strategic_patch(live, child, shape)
    current = live if isinstance(live, list) else []
    if shape.merge_set:
        return [*current, *(item for item in child if item not in current)]
    if shape.merge_key:
        return _merge_keyed(current, child, shape)
    return clone(child)


def _merge_keyed(live: list[Json], change: list[Json], shape: Shape) -> list[Json]:
    key = shape.merge_key
    if any(item.get("$patch") == "replace" and key not in item for item in change):
        return [clone(item) for item in change if "$patch" not in item]
    merged = {item.get(key): item for item in live}
    for item in change:
        if key not in item:
            raise Refused(
                400, f"map: {item} does not contain declared merge key: {key}", reason="BadRequest"
            )
        name = item[key]
        if item.get("$patch") == "delete":
            merged.pop(name, None)
        else:
            merged[name] = strategic_patch(merged.get(name, {}), item, shape.item())
    return list(merged.values())


def _ordered(items: list[Json], order: list[Json], shape: Shape) -> list[Json]:
    """The items in the order the patch states; those it does not name keep their place."""
    key = shape.merge_key
    names = [entry.get(key) if key else entry for entry in order]
    place = {name: position for position, name in enumerate(names)}
    named = [item for item in items if (item.get(key) if key else item) in place]
    named.sort(key=lambda item: place[item.get(key) if key else item])
    queue = iter(named)
    return [next(queue) if (item.get(key) if key else item) in place else item for item in items]
