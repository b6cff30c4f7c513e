"""Reading and writing the DaemonSet: one server-side apply, on exactly what was read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ippolicy.act.live import Live, read_live
from ippolicy.act.ownership import conflict_error
from ippolicy.act.requests import CallFailed, find, send
from ippolicy.errors import ActError, DaemonSetMissing, FactsChanged, FieldConflict
from ippolicy.facts import DaemonSetFacts, DaemonSetRef
from ippolicy.facts.daemonset import CONTAINER, FIELD_MANAGER

# The DaemonSet's status moves while it rolls, and with it the version that a write must name.
TRIES = 3
T = TypeVar("T")
_Left = Callable[[Live], list[Mapping[str, Any]] | None]
"""The managedFields that are left of a DaemonSet, None where there is nothing to let go of."""


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
        what, call = f"read DaemonSet {ref}", self._api.read_namespaced_daemon_set
        raw = find(what, call, ref.name, ref.namespace)
        if raw is None:
            raise _missing(ref)
        return self._live(ref, raw)

    def apply(
        self,
        live: Live,
        entries: Sequence[dict[str, Any]],
        *,
        force: bool,
        max_unavailable: str | None = None,
    ) -> Live:
        """Apply the env entries in one server-side apply; the DaemonSet as it then is.

        It holds for the object that was read and no other: `uid` and `resourceVersion` make the
        API server refuse it for one that changed since, and keep it from creating one. The
        container is named even when no entry is: an apply that leaves it out would remove it
        where nobody else claims it. `max_unavailable` is sent along where it is given, or ours from
        before. Selectors and all the rest are never sent.

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
                "template": {"spec": {"containers": [{"name": CONTAINER, "env": list(entries)}]}},
                **_strategy(live, max_unavailable),
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

    def let_go_of_max_unavailable(self, ref: DaemonSetRef, uid: str) -> None:
        """Let go of maxUnavailable alone, and leave its value as it is; as `release` does.

        Raises:
            FactsChanged: the object kept changing.
        """
        self._let_go(
            ref,
            uid,
            lambda live: (
                live.managed_fields_without_strategy() if live.holds_max_unavailable else None
            ),
        )

    def release(self, ref: DaemonSetRef, uid: str) -> None:
        """Let go of every field, and leave every value as it is; no pod restarts by it.

        Server-side apply has no way to give up a field that nobody else holds but removing it, so
        our entry is taken out of managedFields. Nothing is sent where it is not there, or where
        the DaemonSet `uid` is gone.

        Raises:
            FactsChanged: the object kept changing.
        """
        self._let_go(
            ref,
            uid,
            lambda live: live.managed_fields_without_ours() if live.holds_anything else None,
        )

    def _let_go(self, ref: DaemonSetRef, uid: str, left: _Left) -> None:
        def let_go() -> None:
            try:
                live = self.read(ref)
            except DaemonSetMissing:
                return
            managed_fields = left(live) if live.facts.uid == uid else None
            if managed_fields is not None:
                self._replace_managed_fields(live, managed_fields)

        again_while_it_moves(let_go)

    def _live(self, ref: DaemonSetRef, raw: Mapping[str, Any]) -> Live:
        try:
            return read_live(raw, read_at_s=self._clock())
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CallFailed(
                f"DaemonSet {ref}: the answer is not a DaemonSet ({type(error).__name__}): check "
                "that the configured server is a Kubernetes API"
            ) from error

    def _replace_managed_fields(
        self, live: Live, managed_fields: Sequence[Mapping[str, Any]]
    ) -> None:
        facts = live.facts
        body = {
            "metadata": {
                "uid": facts.uid,
                "resourceVersion": facts.resource_version,
                "managedFields": list(managed_fields),
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


def again_while_it_moves(read_and_write: Callable[[], T]) -> T:
    """What it gives, once the DaemonSet holds still from its read to its write.

    Raises:
        FactsChanged: it kept changing.
    """
    for _ in range(TRIES - 1):
        with contextlib.suppress(FactsChanged):
            return read_and_write()
    return read_and_write()


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


def _strategy(live: Live, max_unavailable: str | None) -> dict[str, Any]:
    """The updateStrategy to be sent: what is ours and left out would be set to its default."""
    value = max_unavailable
    if value is None and live.holds_max_unavailable:
        value = live.facts.rollout.max_unavailable
    if value is None:
        return {}
    at_once: int | str = int(value) if value.isdecimal() else value
    return {"updateStrategy": {"rollingUpdate": {"maxUnavailable": at_once}}}


def _missing(ref: DaemonSetRef) -> DaemonSetMissing:
    return DaemonSetMissing(f"DaemonSet {ref} not found: set spec.daemonSetRef, or mode Off")
