"""What an apply patch must be, and what of it counts."""

from __future__ import annotations

from ippolicy.sandbox.kube import admission, fieldsets
from ippolicy.sandbox.kube.fieldsets import EMPTY, FieldSet
from ippolicy.sandbox.kube.objects import Json, Object, without
from ippolicy.sandbox.kube.refusals import Refused, conflict, not_found
from ippolicy.sandbox.kube.resources import Kind

_STATUS: FieldSet = frozenset([("f:status",)])


def read(kind: Kind, namespace: str, name: str, body: Json) -> Object:
    """The applied configuration with its name filled in; raises `Refused` where it is none."""
    config = admission.check_envelope(kind, body, namespace)
    for field in ("apiVersion", "kind"):
        if field not in config:
            raise Refused(400, f"invalid object type: {field} is missing in the patch")
    if config["metadata"].get("managedFields"):
        raise Refused(400, "metadata.managedFields must be nil")
    repeated = fieldsets.repeated_keys(config, kind.shape)
    if repeated:
        raise Refused(
            500,
            f"failed to create typed patch object ({namespace}/{name};"
            f" {kind.api_version}, Kind={kind.kind}): {repeated}",
            reason="",
        )
    return {**config, "metadata": {"name": name, **config["metadata"]}}


def check_creatable(kind: Kind, config: Object, subresource: str) -> None:
    """Raise `Refused` where an apply to an object that is not there cannot create it."""
    metadata = config["metadata"]
    if subresource:
        raise not_found(kind.plural, kind.group, metadata["name"])
    uid = metadata.get("uid")
    if uid:
        cause = (
            f"uid mismatch: the provided object specified uid {uid}, and no existing object was"
            " found"
        )
        raise conflict(kind.plural, kind.group, metadata["name"], cause)


def owned_part(config: Object) -> Object:
    """The configuration without what is a condition of the apply, not a part of the object."""
    metadata = without(config["metadata"], "uid", "resourceVersion", "creationTimestamp")
    return {**config, "metadata": metadata}


def never_owned(kind: Kind, config: Object, subresource: str) -> FieldSet:
    """The fields of the configuration that this endpoint does not write."""
    if subresource == "status":
        return frozenset((f"f:{name}",) for name in config if name != "status")
    return _STATUS if kind.has_status else EMPTY
