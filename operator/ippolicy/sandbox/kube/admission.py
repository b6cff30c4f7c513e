"""What becomes of a written object before it is stored: isolation, defaults, checks."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ippolicy.sandbox.kube import builtins, schema
from ippolicy.sandbox.kube.objects import Json, Object, dig, without
from ippolicy.sandbox.kube.refusals import Refused, conflict, invalid, not_found
from ippolicy.sandbox.kube.resources import NAMESPACES, Kind
from ippolicy.sandbox.kube.store import Store

Validator: TypeAlias = Callable[[Object], list[str]]
CRD_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_SYSTEM = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True)
class Write:
    """Who writes and how: `subresource` is "" or "status"."""

    manager: str
    subresource: str = ""
    dry_run: bool = False
    field_validation: str = "Warn"


def identify(value: Object, kind: Kind, namespace: str, now: str, rng: random.Random) -> Object:
    """A new object with its name, uid and times; what only the server sets is taken away."""
    metadata = without(value.get("metadata") or {}, *_SYSTEM, "resourceVersion", "managedFields")
    given = value.get("metadata") or {}
    name = given.get("name") or ""
    if not name and given.get("generateName"):
        name = given["generateName"] + "".join(rng.choices(_SUFFIX, k=5))
    metadata["name"] = name
    if kind.namespaced:
        metadata["namespace"] = namespace
    metadata["uid"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    metadata["creationTimestamp"] = now
    if kind.generation:
        metadata["generation"] = 1
    if kind.kind == "CustomResourceDefinition":
        metadata["finalizers"] = [*(metadata.get("finalizers") or ()), CRD_CLEANUP]
    head = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return {**head, **without(value, *head)}


def carry_over(value: Object, old: Object) -> Object:
    """The new version of an object with what clients cannot change."""
    metadata = without(value.get("metadata") or {}, *_SYSTEM, "resourceVersion", "managedFields")
    kept = {name: old["metadata"][name] for name in _SYSTEM if name in old["metadata"]}
    head = {"apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": {**kept, **metadata}}
    return {**head, **without(value, *head)}


def isolate(kind: Kind, old: Object, new: Object, subresource: str) -> Object:
    """Keep status from writes to the main resource, and all else from writes to status."""
    if subresource == "status":
        status = {"status": new["status"]} if "status" in new else {}
        metadata = old["metadata"] if kind.custom else new["metadata"]
        return {**without(old, "status"), "metadata": metadata, **status}
    if not kind.has_status:
        return new
    status = {"status": old["status"]} if "status" in old else {}
    return {**without(new, "status"), **status}


def desired(kind: Kind, value: Object) -> Object:
    """What metadata.generation counts the changes of."""
    return without(value, "metadata", "status") if kind.has_status else without(value, "metadata")


def check_identity(
    kind: Kind, old: Object, new: Object, name: str, *, patched: bool = False
) -> None:
    """Raise `Refused` where a write is based on another version, or meant for another object."""
    metadata = new.get("metadata") or {}
    given = metadata.get("name")
    if given and given != name:
        message = f"the name of the object ({given}) does not match the name on the URL ({name})"
        raise Refused(400, message)
    live = old["metadata"]
    uid = metadata.get("uid")
    if uid and uid != live["uid"] and patched:
        text = f'Invalid value: "{uid}": field is immutable'
        raise invalid(kind.kind, kind.group, name, [("metadata.uid", "FieldValueInvalid", text)])
    if uid and uid != live["uid"]:
        cause = (
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {live['uid']}"
        )
        raise conflict(kind.plural, kind.group, name, cause)
    version = metadata.get("resourceVersion")
    if version and version != live["resourceVersion"]:
        raise conflict(kind.plural, kind.group, name)


def check_envelope(kind: Kind, value: Json, namespace: str) -> Object:
    """The body as an object of the kind; raises `Refused` 400 where it is something else."""
    if not isinstance(value, dict):
        raise Refused(400, "the object provided is unrecognized: it must be a JSON object")
    for field, expected in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        if value.get(field, expected) != expected:
            raise Refused(
                400,
                f"the {field} of the object ({value[field]}) does not match the one of the"
                f" request ({expected})",
            )
    given = dig(value, "metadata", "namespace")
    if kind.namespaced and given and given != namespace:
        raise Refused(
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        )
    return {**value, "metadata": value.get("metadata") or {}}


def check_namespace(store: Store, namespace: str, resource: str) -> None:
    """Raise `Refused` where a namespace cannot take new objects."""
    record = store.get(NAMESPACES.key, "", namespace)
    if record is None:
        raise not_found("namespaces", "", namespace)
    if record.value["metadata"].get("deletionTimestamp"):
        raise Refused(
            403,
            f"{resource} is forbidden: unable to create new content in namespace {namespace}"
            " because it is being terminated",
            details={"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]},
        )


def admit(
    kind: Kind,
    value: Object,
    old: Object | None,
    write: Write,
    validators: Mapping[str, Validator],
) -> tuple[Object, list[str]]:
    """The object pruned, defaulted and checked, and warnings about it.

    Raises `Refused` 400 where it cannot be decoded and 422 where it is invalid.
    """
    warnings: list[str] = []
    if kind.custom:
        value, dropped = schema.admit(value, kind.schema)
        warnings = [f'unknown field "{path}"' for path in dropped]
        if warnings and write.field_validation == "Strict":
            raise Refused(400, f"strict decoding error: {', '.join(warnings)}")
    else:
        value = builtins.drop_nulls(value)
        if misfit := builtins.misfits(kind.kind, value):
            raise Refused(
                400,
                f'{kind.kind} in version "{kind.version}" cannot be handled as a'
                f" {kind.kind}: {misfit}",
            )
        value = builtins.with_defaults(kind.kind, value)
    faults = _faults(kind, value, old)
    faults += [
        ("spec", "FieldValueInvalid", f"Invalid value: {text}")
        for text in (validators[kind.kind](value) if kind.kind in validators else ())
    ]
    faults += _finalizer_faults(value, old)
    if faults:
        raise invalid(kind.kind, kind.group, value["metadata"].get("name") or "", faults)
    return value, warnings if write.field_validation == "Warn" else []


def _faults(kind: Kind, value: Object, old: Object | None) -> list[schema.Fault]:
    if not kind.custom:
        return list(builtins.faults(kind.kind, value, old))
    found = list(builtins.name_faults(value))
    if kind.schema:
        found += schema.faults(value, kind.schema)
    return found


def _finalizer_faults(value: Object, old: Object | None) -> list[schema.Fault]:
    if old is None or not old["metadata"].get("deletionTimestamp"):
        return []
    known = old["metadata"].get("finalizers") or ()
    new = [name for name in value["metadata"].get("finalizers") or () if name not in known]
    if not new:
        return []
    shown = ", ".join(f'"{name}"' for name in new)
    text = (
        "Forbidden: no new finalizers can be added if the object is being deleted,"
        f" found new finalizers []string{{{shown}}}"
    )
    return [("metadata.finalizers", "FieldValueForbidden", text)]
