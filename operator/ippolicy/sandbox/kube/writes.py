"""Create, update, patch and delete: what a write does to an object, as the real API does it."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from ippolicy.sandbox.kube import admission, apply, applyconfig, patch
from ippolicy.sandbox.kube.admission import Validator, Write
from ippolicy.sandbox.kube.apply import Managed, Manager
from ippolicy.sandbox.kube.builtins import template_generation
from ippolicy.sandbox.kube.deletion import (
    Deletion,
    check_preconditions,
    finalizing,
    grace_period_s,
    marked,
)
from ippolicy.sandbox.kube.objects import Clock, Json, Object, dig, stamp, without
from ippolicy.sandbox.kube.refusals import (
    Refused,
    already_exists,
    conflict,
    invalid,
    not_found,
)
from ippolicy.sandbox.kube.resources import CRDS, NAMESPACES, PODS, Kind, Registry
from ippolicy.sandbox.kube.store import Change, Record, Store

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
# Kinds whose status may be set as they are created: a kubelet registers its node so.
_BORN_WITH_STATUS = ("Node", "Namespace", "CustomResourceDefinition")


@dataclass(frozen=True)
class Outcome:
    """What a write left: `removed` says the object is gone, `record` being its last state."""

    record: Record
    created: bool = False
    removed: bool = False
    warnings: tuple[str, ...] = ()


class Writer:
    """All writes to the store; each is one transaction, from any thread.

    `validators` gives messages for what a kind's schema cannot say, by kind. `orphaned` holds
    the uids whose dependents are to be let go, not deleted.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        clock: Clock,
        rng: random.Random,
        validators: Mapping[str, Validator],
    ) -> None:
        self.store = store
        self.registry = registry
        self.orphaned: set[str] = set()
        self._clock = clock
        self._rng = rng
        self._validators = validators
        store.watch(CRDS.key, self._follow_definition)

    def _follow_definition(self, change: Change) -> None:
        if change.type == "DELETED":
            self.registry.undefine(change.record.value)
        else:
            self.registry.define(change.record.value)

    def now(self) -> dt.datetime:
        """The present moment, by the cluster's clock."""
        return self._clock()

    def create(self, kind: Kind, namespace: str, value: Json, write: Write) -> Outcome:
        """A new object; raises `Refused` 409 where the name is taken."""
        value = admission.check_envelope(kind, value, namespace)
        if value["metadata"].get("resourceVersion"):
            message = "resourceVersion should not be set on objects to be created"
            raise Refused(500, message, reason="")
        with self.store.lock:
            return self._create(kind, namespace, value, write)

    def _create(
        self,
        kind: Kind,
        namespace: str,
        value: Object,
        write: Write,
        *,
        managed: Managed | None = None,
    ) -> Outcome:
        new = admission.identify(value, kind, namespace, self._stamp(), self._rng)
        name = new["metadata"]["name"]
        if kind.namespaced:
            admission.check_namespace(self.store, namespace, f'{kind.plural} "{name}"')
        if kind.has_status and kind.kind not in _BORN_WITH_STATUS:
            new = without(new, "status")
        new, warnings = admission.admit(kind, new, None, write, self._validators)
        if kind.kind == "DaemonSet":
            new = template_generation(None, new)
        if self.store.get(kind.key, namespace if kind.namespaced else "", name):
            raise already_exists(kind.plural, kind.group, name)
        if managed is None:
            owned = without(new, "status") if kind.has_status else new
            managed = self._record(kind, {}, kind.blank, owned, write)
        new = _with_managed(new, managed)
        record = Record(new, 0) if write.dry_run else self.store.put(kind.key, new)
        return Outcome(record, created=True, warnings=tuple(warnings))

    def update(self, kind: Kind, namespace: str, name: str, value: Json, write: Write) -> Outcome:
        """Replace an object (PUT); raises `Refused` 404, 409 or 422."""
        value = admission.check_envelope(kind, value, namespace)
        with self.store.lock:
            old = self.store.get(kind.key, namespace, name)
            if old is None:
                if kind.create_on_update and not write.subresource:
                    return self._create(kind, namespace, value, write)
                raise not_found(kind.plural, kind.group, name)
            if not value["metadata"].get("resourceVersion") and not kind.unconditional:
                text = "Invalid value: 0: must be specified for an update"
                error = ("metadata.resourceVersion", "FieldValueInvalid", text)
                raise invalid(kind.kind, kind.group, name, [error])
            admission.check_identity(kind, old.value, value, name)
            return self._replace(kind, old, value, write)

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Json,
        write: Write,
        *,
        content_type: str,
        force: bool = False,
    ) -> Outcome:
        """Change an object by a patch of one of the four content types.

        Raises `Refused` 404, 409 (another version, or another manager's field), 415 or 422.
        """
        with self.store.lock:
            if content_type == APPLY:
                config = applyconfig.read(kind, namespace, name, body)
                return self._apply(kind, namespace, config, write, force=force)
            old = self.store.get(kind.key, namespace, name)
            if old is None:
                raise not_found(kind.plural, kind.group, name)
            value = _patched(kind, content_type, old.value, body)
            admission.check_identity(kind, old.value, value, name, patched=True)
            return self._replace(kind, old, value, write)

    def _apply(
        self, kind: Kind, namespace: str, config: Object, write: Write, *, force: bool
    ) -> Outcome:
        name = config["metadata"]["name"]
        old = self.store.get(kind.key, namespace, name)
        if old is None:
            applyconfig.check_creatable(kind, config, write.subresource)
            config = without(config, "status") if kind.has_status else config
            live, managed = kind.blank, Managed()
        else:
            admission.check_identity(kind, old.value, config, name, patched=True)
            live, managed = old.value, self._owners(kind, old.value)
        applied = apply.apply(
            live,
            applyconfig.owned_part(config),
            managed=managed,
            manager=Manager(write.manager, "Apply", kind.api_version, write.subresource),
            shape=kind.shape,
            now=self._stamp(),
            force=force,
            ignored=applyconfig.never_owned(kind, config, write.subresource),
        )
        if old is None:
            return self._create(kind, namespace, applied.value, write, managed=applied.managed)
        return self._replace(kind, old, applied.value, write, managed=applied.managed)

    def _owners(self, kind: Kind, live: Object) -> Managed:
        managed = apply.read_managed(live)
        if managed:
            return managed
        return self._record(kind, {}, kind.blank, live, Write("before-first-apply"))

    def _replace(
        self,
        kind: Kind,
        old: Record,
        value: Object,
        write: Write,
        *,
        managed: Managed | None = None,
    ) -> Outcome:
        before = old.value
        new = admission.isolate(kind, before, value, write.subresource)
        new = admission.carry_over(new, before)
        new, found = admission.admit(kind, new, before, write, self._validators)
        warnings = tuple(found)
        if kind.generation and admission.desired(kind, before) != admission.desired(kind, new):
            generation = before["metadata"].get("generation", 0) + 1
            new = {**new, "metadata": {**new["metadata"], "generation": generation}}
        if managed is None:
            owners = _stated_owners(before, dig(value, "metadata", "managedFields"))
            managed = self._record(kind, owners, before, new, write)
        if kind.kind == "DaemonSet":
            new = template_generation(before, new)
        new = _with_managed(new, managed)
        if _same(before, new):
            return Outcome(old, warnings=warnings)
        if write.dry_run:
            return Outcome(Record(new, old.version), warnings=warnings)
        return replace(self._settle(kind, new), warnings=warnings)

    def _record(
        self, kind: Kind, owners: Managed, old: Object, new: Object, write: Write
    ) -> Managed:
        manager = Manager(write.manager, "Update", kind.api_version, write.subresource)
        return apply.record_update(
            owners, old, new, manager=manager, shape=kind.shape, now=self._stamp()
        )

    def _settle(self, kind: Kind, value: Object) -> Outcome:
        """Store a new version, and take the object away where nothing holds it any more."""
        record = self.store.put(kind.key, value)
        metadata = record.value["metadata"]
        held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
        if not metadata.get("deletionTimestamp") or held or finalizing(kind, record.value):
            return Outcome(record)
        return Outcome(self.store.remove(kind.key, *record.address), removed=True)

    def delete(self, kind: Kind, namespace: str, name: str, options: Deletion) -> Outcome:
        """Delete an object, or mark it where finalizers or a grace period hold it."""
        with self.store.lock:
            record = self.store.get(kind.key, namespace, name)
            if record is None:
                raise not_found(kind.plural, kind.group, name)
            metadata = record.value["metadata"]
            check_preconditions(kind, metadata, options)
            grace_s = grace_period_s(kind, record.value, options.grace_s)
            stays = metadata.get("finalizers") or grace_s or finalizing(kind, record.value)
            if options.dry_run:
                return Outcome(record, removed=not stays)
            if options.orphan:
                self.orphaned.add(metadata["uid"])
            if not stays:
                return Outcome(self.store.remove(kind.key, namespace, name), removed=True)
            pending_s = metadata.get("deletionGracePeriodSeconds") or 0
            if metadata.get("deletionTimestamp") and grace_s >= pending_s:
                return Outcome(record)
            return self._settle(kind, marked(kind, record.value, grace_s, self._clock()))

    def bind(self, namespace: str, name: str, node: str, write: Write) -> None:
        """Place a pod on a node, as the scheduler does."""
        with self.store.lock:
            record = self.store.get(PODS.key, namespace, name)
            if record is None:
                raise not_found("pods", "", name)
            pod = record.value
            if pod["spec"].get("nodeName"):
                cause = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
                raise conflict("pods/binding", "", name, cause)
            condition = {
                "type": "PodScheduled",
                "status": "True",
                "lastTransitionTime": self._stamp(),
            }
            status = patch.strategic_patch(
                pod["status"], {"conditions": [condition]}, PODS.shape.child("status")
            )
            managed = self._record(
                PODS,
                apply.read_managed(pod),
                {"status": pod["status"]},
                {"status": status},
                replace(write, subresource="status"),
            )
            bound = {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status}
            self.store.put(PODS.key, _with_managed(bound, managed))

    def finalize(self, namespace: str) -> None:
        """Let go of a terminating namespace that is empty by now."""
        with self.store.lock:
            record = self.store.get(NAMESPACES.key, "", namespace)
            if record is not None:
                self._settle(NAMESPACES, {**record.value, "spec": {}})

    def _stamp(self) -> str:
        return stamp(self._clock())


def _stated_owners(live: Object, given: Json) -> Managed:
    """The owners that a written object states; none stated leaves those there are."""
    if given == [{}]:
        return {}
    return apply.read_managed({"metadata": {"managedFields": given}} if given else live)


def _patched(kind: Kind, content_type: str, value: Object, body: Json) -> Object:
    if content_type == JSON_PATCH:
        return patch.json_patch(value, body)
    if not isinstance(body, dict):
        raise Refused(400, "error decoding patch: the patch must be a JSON object")
    if content_type == MERGE:
        return cast("Object", patch.merge_patch(value, body))
    if content_type == STRATEGIC and not kind.custom:
        return cast("Object", patch.strategic_patch(value, body, kind.shape))
    accepted = [JSON_PATCH, MERGE, *([] if kind.custom else [STRATEGIC]), APPLY]
    raise Refused(
        415,
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted),
    )


def _with_managed(value: Object, managed: Managed) -> Object:
    metadata = {**value["metadata"], "managedFields": apply.write_managed(managed)}
    if not managed:
        del metadata["managedFields"]
    return {**value, "metadata": metadata}


def _same(old: Object, new: Object) -> bool:
    """Whether nothing changed but the times of managedFields."""
    return _timeless(old) == _timeless(new)


def _timeless(value: Object) -> tuple[Object, Object, list[Object]]:
    metadata = value["metadata"]
    entries = [without(entry, "time") for entry in metadata.get("managedFields") or ()]
    entries.sort(key=lambda entry: (entry["operation"], entry["manager"], str(entry)))
    rest = without(metadata, "managedFields", "resourceVersion")
    return without(value, "metadata"), rest, entries
