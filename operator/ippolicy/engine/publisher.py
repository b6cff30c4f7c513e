"""Carries what `account` says to where people look: status, Events, metrics.

Telling never stands in the way of acting: what the API server does not take is counted, logged and
said again at the next pass. What was said is said only once: events come from what differs from the
last word on a policy, whether the API server took its status or not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ippolicy.account import events
from ippolicy.account.changes import rolled_back_by
from ippolicy.account.conditions import invalid_policy_conditions
from ippolicy.account.difference import either, merge_patch, patch_over_any, worth_writing
from ippolicy.account.events import Deduplicator, Event
from ippolicy.account.exporter import Exporter
from ippolicy.account.status import status_document
from ippolicy.account.transitions import new_drifts, transitions
from ippolicy.account.view import View
from ippolicy.account.words import timestamp
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.act.requests import may_pass_later, status_object
from ippolicy.api import GROUP, PLURAL, VERSION, IPPolicy, OnDelete
from ippolicy.api.status import Condition
from ippolicy.engine.outbox import NAMESPACE, Answer, Outbox
from ippolicy.offloop import call_off_loop

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_log = logging.getLogger("ippolicy")


@dataclass(frozen=True, slots=True)
class _Word:
    """The status last told of a policy, and when the API server took it; None where it may not have
    it: then the cluster has some of `maybe`."""

    uid: str
    status: Mapping[str, Any]
    taken_at_s: float | None
    maybe: Mapping[str, Any] = field(default_factory=dict)


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
        self._outbox = Outbox(self._create, exporter)
        self._words: dict[str, _Word] = {}

    def forget(self, name: str) -> None:
        """Drop all that is kept of a policy that is gone."""
        self.exporter.forget(name)
        self._events.forget(name)
        self._outbox.forget(name)
        self._words.pop(name, None)

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
        for event in transitions(view, before, after):
            self._tell(view.policy, event, now_s)
        await self._write(view.policy, shown, after, now_s)
        await self._outbox.send()

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
        self._tell(policy, events.policy_invalid(problem), now_s)
        await self._write(policy, shown, after, now_s)
        await self._outbox.send()

    async def restored(self, policy: IPPolicy, outcome: Outcome, now_s: float) -> None:
        """Tell what came of putting the originals back."""
        self.exporter.restored(policy.name, outcome.kind)
        if outcome.kind is OutcomeKind.RESTORED:
            retain = policy.spec.on_delete is OnDelete.RETAIN
            event = events.originals_retained if retain else events.originals_restored
            self._tell(policy, event(outcome.message), now_s)
        elif not outcome.settled and outcome.kind is not OutcomeKind.UNDER_WAY:
            self._tell(policy, events.restore_failed(outcome.message), now_s)
        await self._outbox.send()

    def _word(self, policy: IPPolicy) -> _Word | None:
        word = self._words.get(policy.name)
        return word if word is not None and word.uid == policy.uid else None

    def _before(self, policy: IPPolicy, shown: Mapping[str, Any]) -> Mapping[str, Any]:
        word = self._word(policy)
        return shown if word is None else word.status

    async def _write(
        self,
        policy: IPPolicy,
        shown: Mapping[str, Any],
        after: Mapping[str, Any],
        now_s: float,
    ) -> None:
        word = self._word(policy) or _Word(policy.uid, shown, float("-inf"))
        if word.taken_at_s is None:
            maybe = either(word.maybe, shown)
            difference = patch_over_any(maybe, after)
        else:
            age_s = abs(now_s - word.taken_at_s)
            if not worth_writing(word.status, after, age_s=age_s, refresh_s=self._refresh_s):
                return
            maybe = either(word.status, shown)
            difference = merge_patch(word.status, after)
        patch = {"metadata": {"uid": policy.uid}, "status": difference}
        answer = await self._send(
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
        if answer is Answer.TAKEN:
            self._words[policy.name] = _Word(policy.uid, after, now_s)
        else:
            # It may have been carried out all the same, and the watch may not show it yet.
            self._words[policy.name] = _Word(policy.uid, after, None, either(maybe, after))

    def _tell(self, policy: IPPolicy, event: Event, now_s: float) -> None:
        count = self._events.admit(policy.name, event, now_s)
        if not count:
            return
        log = _log.warning if event.type is events.EventType.WARNING else _log.info
        log("policy %s: %s: %s", policy.name, event.reason, event.message)
        self._outbox.put(policy, event, count=count, now_s=now_s)

    async def _create(self, body: Any) -> Answer:
        return await self._send(
            "create-event",
            lambda: self._core.create_namespaced_event(
                NAMESPACE,
                body,
                _request_timeout=self._timeout_s,
                _preload_content=False,
            ),
        )

    async def _send(self, operation: str, call: Callable[[], Any]) -> Answer:
        from kubernetes.client import ApiException
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError

        self.exporter.called("kubernetes", operation)
        try:
            # What is answered is read, so that the connection serves again, but not looked at.
            await call_off_loop(lambda: call().data)
        except ApiException as error:
            status = status_object(error.body)
            if status.get("reason") == "AlreadyExists":
                return Answer.TAKEN  # by a request whose answer was lost
            answer = Answer.LATER if may_pass_later(error.status or None) else Answer.REFUSED
            reason, said = str(error.status), str(status.get("message") or error.reason)
        except (ConfigException, HTTPError, OSError) as error:
            answer, reason = Answer.LATER, type(error).__name__
            said = reason
        else:
            return Answer.TAKEN
        self.exporter.failed("kubernetes", operation, reason)
        _log.warning("%s was not taken by the API server: %s", operation, said)
        return answer
