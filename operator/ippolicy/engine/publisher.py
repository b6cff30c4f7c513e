"""Carries what `account` says to where people look: status, Events, metrics.

Telling never stands in the way of acting: what the API server does not take is counted, logged and
said again at the next pass.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ippolicy.account import events
from ippolicy.account.changes import rolled_back_by
from ippolicy.account.conditions import invalid_policy_conditions
from ippolicy.account.difference import merge_patch, worth_writing
from ippolicy.account.events import Deduplicator, Event
from ippolicy.account.exporter import Exporter
from ippolicy.account.status import status_document
from ippolicy.account.transitions import new_drifts, transitions
from ippolicy.account.view import View
from ippolicy.account.words import timestamp
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.api import API_VERSION, GROUP, KIND, PLURAL, VERSION, IPPolicy, OnDelete
from ippolicy.api.status import Condition
from ippolicy.offloop import call_off_loop

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_log = logging.getLogger("ippolicy")
_EVENT_NAMESPACE = "default"  # where Events about cluster-scoped objects live


@dataclass(frozen=True, slots=True)
class _Written:
    uid: str
    at_s: float
    status: Mapping[str, Any]


class Publisher:
    """Writes status and Events of policies, and feeds the metrics.

    Its own last word on a policy counts as the status before: the watch may not show it yet.
    """

    def __init__(
        self, api_client: ApiClient, exporter: Exporter, *, refresh_s: float, timeout_s: float
    ) -> None:
        from kubernetes.client import CoreV1Api, CustomObjectsApi

        self.exporter = exporter
        self._custom = CustomObjectsApi(api_client)
        self._core = CoreV1Api(api_client)
        self._refresh_s = refresh_s
        self._timeout_s = timeout_s
        self._events = Deduplicator()
        self._written: dict[str, _Written] = {}

    def forget(self, name: str) -> None:
        """Drop all that is kept of a policy that is gone."""
        self.exporter.forget(name)
        self._events.forget(name)
        self._written.pop(name, None)

    async def publish(self, view: View, shown: Mapping[str, Any]) -> None:
        """Tell what one pass over a policy came to; `shown` is its status on the cluster."""
        name, now_s = view.policy.name, view.now_s
        before = self._before(view.policy, shown)
        after = status_document(view, before, now_s)
        told = [Condition.model_validate(c) for c in after.get("conditions", ())]
        self.exporter.update(view, told)
        if view.decision is not None:
            self.exporter.decided(name, view.decision.reason.value)
        if view.outcome is not None and view.outcome.kind is not OutcomeKind.NOTHING:
            self.exporter.acted(name, view.outcome.kind)
            if (guard := rolled_back_by(view.outcome)) is not None:
                self.exporter.rolled_back(name, guard)
            _log.debug("policy %s: %s: %s", name, view.outcome.kind.value, view.outcome.message)
        for one in view.news:
            self.exporter.tried(name, one.group, one.step.value)
        if drifted := new_drifts(view, before):
            self.exporter.drifted(name, len(drifted))
        await self._write(view.policy, before, after, now_s)
        for event in transitions(view, before, after):
            await self._post(view.policy, event, now_s)

    async def refuse(
        self, raw: Mapping[str, Any], problem: str, shown: Mapping[str, Any], now_s: float
    ) -> None:
        """Tell that an object cannot be read as a policy."""
        metadata = raw["metadata"]
        policy = IPPolicy(name=metadata["name"], uid=metadata.get("uid", ""))
        generation = int(metadata.get("generation") or 0)
        before = self._before(policy, shown)
        said = invalid_policy_conditions(problem, generation, before.get("conditions") or (), now_s)
        after = {
            "observedTime": timestamp(now_s),
            **before,
            "observedGeneration": generation,
            "conditions": [c.model_dump(mode="json", by_alias=True) for c in said],
        }
        await self._write(policy, before, after, now_s)
        await self._post(policy, events.policy_invalid(problem), now_s)

    async def restored(self, policy: IPPolicy, outcome: Outcome, now_s: float) -> None:
        """Tell what came of putting the originals back."""
        self.exporter.restored(policy.name, outcome.kind)
        if outcome.kind is OutcomeKind.RESTORED:
            retain = policy.spec.on_delete is OnDelete.RETAIN
            event = events.originals_retained if retain else events.originals_restored
            await self._post(policy, event(outcome.message), now_s)
        elif not outcome.settled and outcome.kind is not OutcomeKind.UNDER_WAY:
            await self._post(policy, events.restore_failed(outcome.message), now_s)

    def _before(self, policy: IPPolicy, shown: Mapping[str, Any]) -> Mapping[str, Any]:
        written = self._written.get(policy.name)
        return written.status if written is not None and written.uid == policy.uid else shown

    async def _write(
        self,
        policy: IPPolicy,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        now_s: float,
    ) -> None:
        written = self._written.get(policy.name)
        age_s = abs(now_s - written.at_s) if written is not None else float("inf")
        if not worth_writing(before, after, age_s=age_s, refresh_s=self._refresh_s):
            return
        patch = {"metadata": {"uid": policy.uid}, "status": merge_patch(before, after)}
        done = await self._send(
            "patch-status",
            lambda: self._custom.patch_cluster_custom_object_status(
                GROUP,
                VERSION,
                PLURAL,
                policy.name,
                patch,
                _content_type="application/merge-patch+json",
                _request_timeout=self._timeout_s,
                _preload_content=False,
            ),
        )
        if done:
            self._written[policy.name] = _Written(policy.uid, now_s, after)
        else:
            # What is on the cluster is no longer known; the next pass starts from the watch.
            self._written.pop(policy.name, None)

    async def _post(self, policy: IPPolicy, event: Event, now_s: float) -> None:
        count = self._events.admit(policy.name, event, now_s)
        if not count:
            return
        moment = timestamp(now_s)
        body: Any = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{policy.name}.{uuid.uuid4().hex[:16]}",
                "namespace": _EVENT_NAMESPACE,
            },
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": policy.name,
                "uid": policy.uid,
            },
            "reason": event.reason,
            "message": event.message,
            "type": event.type.value,
            "count": count,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "source": {"component": "ippolicy-operator"},
            "reportingComponent": "ippolicy-operator",
            "reportingInstance": "",
        }
        log = _log.warning if event.type is events.EventType.WARNING else _log.info
        log("policy %s: %s: %s", policy.name, event.reason, event.message)
        self.exporter.posted(policy.name, event.reason)
        await self._send(
            "create-event",
            lambda: self._core.create_namespaced_event(
                _EVENT_NAMESPACE,
                body,
                _request_timeout=self._timeout_s,
                _preload_content=False,
            ),
        )

    async def _send(self, operation: str, call: Callable[[], Any]) -> bool:
        from kubernetes.client import ApiException
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError

        self.exporter.called("kubernetes", operation)
        try:
            # What is answered is read, so that the connection serves again, but not looked at.
            await call_off_loop(lambda: call().data)
        except ApiException as error:
            reason = str(error.status)
            said = _status_message(error.body) or error.reason
        except (ConfigException, HTTPError, OSError) as error:
            reason = said = type(error).__name__
        else:
            return True
        self.exporter.failed("kubernetes", operation, reason)
        _log.warning("%s was not taken by the API server: %s", operation, said)
        return False


def _status_message(body: str | bytes | None) -> str | None:
    try:
        return str(json.loads(body or "{}").get("message") or "") or None
    except (ValueError, AttributeError):
        return None
