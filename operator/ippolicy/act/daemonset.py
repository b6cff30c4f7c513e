"""Reading and writing the DaemonSet: one server-side apply, on exactly what was read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ippolicy.act.live import Live, read_live
from ippolicy.act.ownership import conflict_error
from ippolicy.act.requests import CallFailed, send
from ippolicy.errors import ActError, DaemonSetMissing, FactsChanged, FieldConflict
from ippolicy.facts import DaemonSetFacts, DaemonSetRef
from ippolicy.facts.daemonset import CONTAINER, FIELD_MANAGER

# The DaemonSet's status moves while it rolls, and with it the version that a write must name.
RELEASE_TRIES = 3


class DaemonSetWriter:
    """The one place that changes aws-node. Every method may raise CallFailed."""

    def __init__(self, apps_api: Any, clock: Callable[[], float]) -> None:
        """`apps_api` is a `kubernetes.client.AppsV1Api`."""
        self._api = apps_api
        self._clock = clock

    def read(self, ref: DaemonSetRef) -> Live:
        """The DaemonSet as the API server has it now.

        Raises:
            DaemonSetMissing: there is none of that name.
        """
        try:
            raw = send(
                f"read DaemonSet {ref}",
                self._api.read_namespaced_daemon_set,
                ref.name,
                ref.namespace,
            )
        except CallFailed as error:
            if error.status == 404:
                raise _missing(ref) from error
            raise
        return self._live(ref, raw)

    def apply(self, live: Live, entries: Sequence[dict[str, Any]], *, force: bool) -> Live:
        """Apply the env entries in one server-side apply; the DaemonSet as it then is.

        It holds for the object that was read and no other: `uid` and `resourceVersion` make the
        API server refuse it for one that changed since, and keep it from creating one. The
        container is named even when no entry is: an apply that leaves it out would remove it
        where nobody else claims it. Selectors and all the rest are never sent.

        Raises:
            FieldConflict: another manager holds an entry, and `force` is false.
            FactsChanged: the object is not the one that was read.
            ActError: there is no container aws-node, and an apply would add one.
        """
        facts, ref = live.facts, live.facts.ref
        check_container(facts)
        body = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {
                "name": ref.name,
                "namespace": ref.namespace,
                "uid": facts.uid,
                "resourceVersion": facts.resource_version,
            },
            "spec": {
                "template": {"spec": {"containers": [{"name": CONTAINER, "env": list(entries)}]}}
            },
        }
        try:
            raw = send(
                f"apply env of DaemonSet {ref}",
                self._api.patch_namespaced_daemon_set,
                ref.name,
                ref.namespace,
                body,
                field_manager=FIELD_MANAGER,
                force=force,
                _content_type="application/apply-patch+yaml",
            )
        except FieldConflict as error:
            raise conflict_error(ref, error.owners) from error
        return self._live(ref, raw)

    def release(self, ref: DaemonSetRef, uid: str) -> None:
        """Let go of every field, and leave every value as it is; no pod restarts by it.

        Server-side apply has no way to give up a field that nobody else holds but removing it, so
        our entry is taken out of managedFields. Nothing is sent where it is not there, or where
        the DaemonSet `uid` is gone.

        Raises:
            FactsChanged: the object kept changing.
        """
        for _ in range(RELEASE_TRIES - 1):
            with contextlib.suppress(FactsChanged):
                return self._release(ref, uid)
        return self._release(ref, uid)

    def _release(self, ref: DaemonSetRef, uid: str) -> None:
        try:
            live = self.read(ref)
        except DaemonSetMissing:
            return
        if live.facts.uid == uid and live.holds_anything:
            self._remove_our_claims(live)

    def _live(self, ref: DaemonSetRef, raw: Mapping[str, Any]) -> Live:
        try:
            return read_live(raw, read_at_s=self._clock())
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CallFailed(
                f"DaemonSet {ref}: the answer is not a DaemonSet ({type(error).__name__}): check "
                "that the configured server is a Kubernetes API"
            ) from error

    def _remove_our_claims(self, live: Live) -> None:
        facts = live.facts
        body = {
            "metadata": {
                "uid": facts.uid,
                "resourceVersion": facts.resource_version,
                "managedFields": live.managed_fields_without_ours(),
            }
        }
        send(
            f"release DaemonSet {facts.ref}",
            self._api.patch_namespaced_daemon_set,
            facts.ref.name,
            facts.ref.namespace,
            body,
            field_manager=FIELD_MANAGER,
            _content_type="application/merge-patch+json",
        )


def check_container(facts: DaemonSetFacts) -> None:
    """Refuse a DaemonSet without aws-node, since an apply would add a container of that name.

    Raises:
        ActError: names the DaemonSet, and the fix.
    """
    if not facts.has_container:
        raise ActError(
            f"DaemonSet {facts.ref} has no container {CONTAINER}: point spec.daemonSetRef at the "
            "one that runs the VPC CNI"
        )


def _missing(ref: DaemonSetRef) -> DaemonSetMissing:
    return DaemonSetMissing(f"DaemonSet {ref} not found: set spec.daemonSetRef, or mode Off")
