"""What a delete does: preconditions, grace, and what holds an object back."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from ippolicy.sandbox.kube.objects import Object, dig, stamp
from ippolicy.sandbox.kube.refusals import conflict
from ippolicy.sandbox.kube.resources import Kind


@dataclass(frozen=True)
class Deletion:
    """DeleteOptions as far as they matter here; None is "not given"."""

    grace_s: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False
    orphan: bool = False


def finalizing(kind: Kind, value: Object) -> bool:
    """Whether a namespace still waits for its content to go."""
    return kind.kind == "Namespace" and bool(dig(value, "spec", "finalizers"))


def marked(kind: Kind, value: Object, grace_s: int, now: dt.datetime) -> Object:
    """The object marked for deletion after a grace period."""
    metadata = {
        **value["metadata"],
        "deletionTimestamp": stamp(now + dt.timedelta(seconds=grace_s)),
        "deletionGracePeriodSeconds": grace_s,
    }
    if kind.generation and "deletionTimestamp" not in value["metadata"]:
        metadata["generation"] = metadata.get("generation", 0) + 1
    result = {**value, "metadata": metadata}
    if kind.kind == "Namespace":
        result["status"] = {**(value.get("status") or {}), "phase": "Terminating"}
    return result


def grace_period_s(kind: Kind, value: Object, asked_s: int | None) -> int:
    """The seconds a delete leaves an object; only pods on a node are given any."""
    if not kind.graceful:
        return 0
    if not dig(value, "spec", "nodeName") or dig(value, "status", "phase") in (
        "Succeeded",
        "Failed",
    ):
        return 0
    if asked_s is None:
        return int(dig(value, "spec", "terminationGracePeriodSeconds") or 0)
    return asked_s if asked_s >= 0 else 1


def check_preconditions(kind: Kind, metadata: Object, options: Deletion) -> None:
    """Raise `Refused` 409 where the object is not the one that was meant."""
    if options.uid is not None and options.uid != metadata["uid"]:
        cause = (
            f"Precondition failed: UID in precondition: {options.uid}, UID in object meta:"
            f" {metadata['uid']}"
        )
        raise conflict(kind.plural, kind.group, metadata["name"], cause)
    wanted = options.resource_version
    if wanted is not None and wanted != metadata["resourceVersion"]:
        cause = (
            f"the ResourceVersion in the precondition ({wanted}) does not match the"
            f" ResourceVersion in record ({metadata['resourceVersion']}). The object might have"
            " been modified"
        )
        raise conflict(kind.plural, kind.group, metadata["name"], cause)
