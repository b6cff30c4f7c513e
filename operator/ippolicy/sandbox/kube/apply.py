"""Field ownership: who set what (metadata.managedFields), and server-side apply.

    live has it   owned by others   applied now          outcome
    no            -                 value                created, owned by the applier
    yes           no                any value            set, owned by the applier
    yes           yes               the same value       shared by all of them
    yes           yes               another value        409, or taken from them with force
    yes           no                left out, was ours   removed
    yes           yes               left out, was ours   kept, only our ownership ends

All functions are pure; the rules are those of structured-merge-diff.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ippolicy.sandbox.kube import fieldsets
from ippolicy.sandbox.kube.fieldsets import EMPTY, FieldSet, Path
from ippolicy.sandbox.kube.objects import Object, without
from ippolicy.sandbox.kube.refusals import Refused
from ippolicy.sandbox.kube.shapes import Shape

_NEVER_OWNED: FieldSet = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",)]
    + [
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ]
)


@dataclass(frozen=True)
class Manager:
    """Who owns fields: one entry of managedFields is kept for each."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def same_as(self, other: Manager) -> bool:
        """Whether both are one owner: an applier is the same in every version of the API."""
        if self.operation == "Apply":
            return replace(self, api_version="") == replace(other, api_version="")
        return self == other

    def __str__(self) -> str:
        name = f'"{self.name}"'
        if self.subresource:
            name += f' with subresource "{self.subresource}"'
        return name if self.operation == "Apply" else f"{name} using {self.api_version}"


@dataclass(frozen=True)
class Owned:
    """The fields of one manager, and when they last changed (metav1.Time)."""

    fields: FieldSet
    time: str


Managed = dict[Manager, Owned]


def read_managed(live: Object) -> Managed:
    """The owners recorded on an object."""
    return {
        Manager(
            name=entry.get("manager", ""),
            operation=entry["operation"],
            api_version=entry.get("apiVersion", ""),
            subresource=entry.get("subresource", ""),
        ): Owned(
            fields=fieldsets.from_fields_v1(entry.get("fieldsV1", {})),
            time=entry.get("time", ""),
        )
        for entry in live.get("metadata", {}).get("managedFields") or ()
    }


def write_managed(managed: Managed) -> list[Object]:
    """The owners as managedFields entries: appliers first, then by time and name."""
    order = sorted(
        managed.items(), key=lambda pair: (pair[0].operation, pair[1].time, pair[0].name)
    )
    return [_entry(manager, owned) for manager, owned in order]


def _entry(manager: Manager, owned: Owned) -> Object:
    entry: Object = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": owned.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fieldsets.to_fields_v1(owned.fields),
    }
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def bare(value: Object) -> Object:
    """The object without managedFields."""
    metadata = value.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return value
    return {**value, "metadata": without(metadata, "managedFields")}


def record_update(
    managed: Managed, old: Object, new: Object, *, manager: Manager, shape: Shape, now: str
) -> Managed:
    """The owners after a create, update or patch: the writer takes all that it changed."""
    changes = fieldsets.compare(bare(old), bare(new), shape)
    taken = frozenset(changes.modified | changes.added) - _NEVER_OWNED
    removed = frozenset(changes.removed)
    result = _release(managed, taken | removed, keep=manager)
    mine = managed.get(manager, Owned(EMPTY, now)).fields
    fields = (mine - removed) | taken
    if not fields:
        result.pop(manager, None)
    elif fields != mine or taken:
        result[manager] = Owned(fields, now)
    return result


def _release(managed: Managed, fields: FieldSet, *, keep: Manager) -> Managed:
    """The owners without `fields`, for all but one; owners of nothing vanish."""
    left = {
        manager: owned if manager == keep else Owned(owned.fields - fields, owned.time)
        for manager, owned in managed.items()
    }
    return {manager: owned for manager, owned in left.items() if owned.fields or manager == keep}


@dataclass(frozen=True)
class Applied:
    """The outcome of an apply: the merged object (without managedFields) and its owners."""

    value: Object
    managed: Managed


def apply(
    live: Object,
    config: Object,
    *,
    managed: Managed,
    manager: Manager,
    shape: Shape,
    now: str,
    force: bool = False,
    ignored: FieldSet = EMPTY,
) -> Applied:
    """Lay `config` over `live` as `manager`.

    `ignored` names top-level fields that this endpoint never owns (status on the main resource).
    Raises `Refused` 409 where another manager owns a field that would change, unless forced.
    """
    live = bare(live)
    known = next((other for other in managed if other.same_as(manager)), None)
    last = managed[known].fields if known else EMPTY
    stated = fieldsets.fields_of(config, shape) - _NEVER_OWNED
    stated = frozenset(path for path in stated if not _below(path, ignored))
    owners = {other: owned for other, owned in managed.items() if other != known}
    merged = fieldsets.merge(live, config, shape)
    everyone = {**owners, manager: Owned(stated, now)}
    merged = _prune(merged, last, everyone, shape)
    changes = fieldsets.compare(live, merged, shape)
    changed = frozenset(changes.modified | changes.added)
    conflicts = {other: hit for other, owned in owners.items() if (hit := owned.fields & changed)}
    if conflicts and not force:
        raise _conflict(conflicts)
    owners = _release(owners, changed | changes.removed, keep=manager)
    if stated:
        time = managed[known].time if known and last == stated and known == manager else now
        owners[manager] = Owned(stated, time)
    return Applied(merged, owners)


def _below(path: Path, tops: FieldSet) -> bool:
    return any(path[: len(top)] == top for top in tops)


def _prune(merged: Object, last: FieldSet, managed: Managed, shape: Shape) -> Object:
    """Drop what the applier stated last time and nobody states now."""
    if not last:
        return merged
    last_named = fieldsets.with_named_fields(last, shape)
    pruned = fieldsets.remove(merged, last_named, shape)
    everything = fieldsets.with_named_fields(fieldsets.fields_of(merged, shape), shape)
    left = fieldsets.with_named_fields(fieldsets.fields_of(pruned, shape), shape)
    owned: set[Path] = set()
    for entry in managed.values():
        owned |= fieldsets.with_named_fields(entry.fields, shape)
    pruned = fieldsets.remove(merged, everything - left - owned, shape)
    left = fieldsets.with_named_fields(fieldsets.fields_of(pruned, shape), shape)
    return fieldsets.remove(merged, (everything - left) & last_named, shape)


def _conflict(conflicts: Mapping[Manager, FieldSet]) -> Refused:
    pairs = [
        (str(manager), fieldsets.describe(path))
        for manager, paths in conflicts.items()
        for path in sorted(paths)
    ]
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {manager}",
            "field": field,
        }
        for manager, field in pairs
    ]
    if len(pairs) == 1:
        text = f"Apply failed with 1 conflict: conflict with {pairs[0][0]}: {pairs[0][1]}"
    else:
        lines = []
        for name in sorted({manager for manager, _ in pairs}):
            lines.append(f"conflicts with {name}:")
            lines += [f"- {field}" for manager, field in pairs if manager == name]
        text = f"Apply failed with {len(pairs)} conflicts: " + "\n".join(lines)
    return Refused(409, text, details={"causes": causes})
