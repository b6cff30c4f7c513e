"""An aws-node DaemonSet on some API server, the people who set its env, and our actor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from kubernetes.client import ApiClient, ApiException, AppsV1Api, CoreV1Api

from ippolicy.act import Actor, Outcome
from ippolicy.act.live import Live, read_live
from ippolicy.act.records import DATA_KEY, record_name
from ippolicy.api import IPPolicy
from ippolicy.decide.types import Decision, Reason, Verdict
from ippolicy.facts import DaemonSetFacts, DaemonSetRef
from ippolicy.facts.daemonset import FIELD_MANAGER
from kubeapi import APPLY, MERGE, STRATEGIC, daemon_set, until

NOW_S = 1_800_000_000.0
CNI_ENV = {"WARM_ENI_TARGET": "1", "WARM_PREFIX_TARGET": "1", "ENABLE_PREFIX_DELEGATION": "false"}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


def decision(**env: str | None) -> Decision:
    """A decision to put these values in force."""
    return Decision(
        verdict=Verdict.CHANGE,
        reason=Reason.SAVES_ADDRESSES,
        message="fewer addresses held",
        at_s=NOW_S,
        env=env,
        fleet=None,
        groups=(),
    )


def policy(*take_over: str, method: str = "Auto") -> IPPolicy:
    """A policy that may take these env keys from other managers."""
    return IPPolicy.from_raw(
        {
            "apiVersion": "ippolicy.dev/v1alpha1",
            "kind": "IPPolicy",
            "metadata": {"name": "default", "uid": "policy-uid"},
            "spec": {
                "mode": "Apply",
                "apply": {"method": method, "takeOver": list(take_over)},
            },
        }
    )


class API(Protocol):
    """An API server, and a namespace in it to play in."""

    @property
    def namespace(self) -> str: ...

    def client(self) -> ApiClient: ...


class AwsNode:
    """The DaemonSet, seen and changed by requests of its own beside whatever the actor does."""

    def __init__(self, api: API) -> None:
        self.api = api
        self.namespace = api.namespace
        self.ref = DaemonSetRef(api.namespace, "aws-node")
        self.record = record_name(self.ref)
        self.clock = Clock()
        client = api.client()
        self._apps, self._core = AppsV1Api(client), CoreV1Api(client)

    def actor(self, client: ApiClient | None = None) -> Actor:
        """A new actor, as after a restart of the operator."""
        return Actor(client or self.api.client(), self.clock)

    def create(self, env: Mapping[str, str] = CNI_ENV, manager: str = "helm") -> None:
        """Make it, as whoever installed the CNI."""
        self.create_raw(daemon_set(**env), manager)

    def create_raw(self, body: dict[str, Any], manager: str = "helm") -> None:
        """Make it from a whole object."""
        create = self._apps.create_namespaced_daemon_set
        _call(create, self.namespace, body, field_manager=manager)
        self.quiet()

    def delete(self) -> None:
        """Delete it."""
        _call(self._apps.delete_namespaced_daemon_set, "aws-node", self.namespace)
        until(lambda: not self.exists())

    def exists(self) -> bool:
        """Whether it is there."""
        try:
            self.raw()
        except ApiException as error:
            if error.status != 404:
                raise
            return False
        return True

    def raw(self) -> dict[str, Any]:
        """The whole object."""
        return _call(self._apps.read_namespaced_daemon_set, "aws-node", self.namespace)

    def quiet(self) -> None:
        """Wait until its controller has seen the newest generation and written so."""

        def seen() -> bool:
            raw = self.raw()
            seen_generation = (raw.get("status") or {}).get("observedGeneration")
            return bool(seen_generation == raw["metadata"]["generation"])

        until(seen)

    def live(self) -> Live:
        """Facts and claims."""
        return read_live(self.raw(), read_at_s=self.clock())

    def facts(self) -> DaemonSetFacts:
        """Facts."""
        return self.live().facts

    def env(self) -> dict[str, str | None]:
        """Env key -> literal value."""
        return {key: entry.value for key, entry in self.facts().env.items()}

    @property
    def generation(self) -> int:
        """How often its spec changed, from 1."""
        return self.facts().generation

    def owners(self, key: str) -> set[str]:
        """The managers that hold the value of an env entry."""
        return {claim.manager for claim in self.live().claims.get(key, ()) if claim.value}

    def ours(self) -> set[str]:
        """The env keys of which we hold anything."""
        live = self.live()
        return {key for key in live.claims if live.named_by_us(key)}

    def our_fields(self) -> dict[str, Any]:
        """Our entry of managedFields, empty when there is none."""
        entries = self.raw()["metadata"].get("managedFields") or ()
        return next((e["fieldsV1"] for e in entries if e["manager"] == FIELD_MANAGER), {})

    def kubectl_set(self, env: Mapping[str, str | None]) -> None:
        """Change env by an ordinary patch, as `kubectl set env` does; None removes an entry."""
        entries = [
            {"name": key, "$patch": "delete"} if value is None else {"name": key, "value": value}
            for key, value in env.items()
        ]
        self._patch(_template(entries), STRATEGIC, "kubectl-set")

    def apply_as(self, manager: str, env: Mapping[str, str], *, force: bool = False) -> None:
        """Set env by server-side apply, as EKS or Argo CD do."""
        body = _template([{"name": key, "value": value} for key, value in env.items()])
        body |= {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "aws-node"}}
        self._patch(body, APPLY, manager, force=force)

    def merge(self, body: dict[str, Any], manager: str = "somebody") -> None:
        """Change anything by a merge patch."""
        self._patch(body, MERGE, manager)

    def carry_out(
        self,
        env: Mapping[str, str | None],
        *,
        take_over: Iterable[str] = (),
        method: str = "Auto",
        actor: Actor | None = None,
        decided_on: DaemonSetFacts | None = None,
    ) -> Outcome:
        """Carry out a decision for `env`, made on the facts of now unless others are given."""
        outcome = (actor or self.actor()).carry_out(
            policy=policy(*take_over, method=method),
            ref=self.ref,
            decision=decision(**env),
            decided_on=decided_on or self.facts(),
            now_s=self.clock(),
        )
        self.quiet()
        return outcome

    def record_text(self) -> str | None:
        """The record as it is on the cluster, None when there is none."""
        try:
            raw = _call(self._core.read_namespaced_config_map, self.record, self.namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return None
        return str(raw["data"][DATA_KEY])

    def write_record_text(self, text: str) -> None:
        """Put something else in the record's place."""
        self.merge_record({"data": {DATA_KEY: text}})

    def merge_record(self, body: dict[str, Any]) -> None:
        """Change anything about the ConfigMap by a merge patch."""
        patch = self._core.patch_namespaced_config_map
        _call(patch, self.record, self.namespace, body, _content_type=MERGE)

    def delete_record(self) -> None:
        """Delete the ConfigMap."""
        _call(self._core.delete_namespaced_config_map, self.record, self.namespace)

    def _patch(self, body: dict[str, Any], kind: str, manager: str, **query: Any) -> None:
        patch = self._apps.patch_namespaced_daemon_set
        options = {"_content_type": kind, "field_manager": manager, **query}
        _call(patch, "aws-node", self.namespace, body, **options)
        self.quiet()


def _template(entries: list[dict[str, Any]]) -> dict[str, Any]:
    containers = [{"name": "aws-node", "env": entries}]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


def _call(method: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    answer = method(*args, _preload_content=False, _request_timeout=10, **kwargs)
    return dict(json.loads(answer.data))
