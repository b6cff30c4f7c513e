"""Mutating admission webhooks: whom the API asks before it makes an object, and what comes of it.

As in the real one: webhooks are asked one after another, by the names of their configurations;
where a later one changed the object, those that want it are asked once more; a webhook that cannot
be reached, is too slow or talks nonsense counts by its failurePolicy. Asked are creates only.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import msgspec

from ippolicy.sandbox.kube.admission import Write
from ippolicy.sandbox.kube.builtins import with_defaults
from ippolicy.sandbox.kube.objects import Json, Object, decode, dig, encode
from ippolicy.sandbox.kube.patch import json_patch
from ippolicy.sandbox.kube.refusals import Refused
from ippolicy.sandbox.kube.resources import (
    MUTATING_WEBHOOKS,
    NAMESPACES,
    SERVICES,
    Kind,
)
from ippolicy.sandbox.kube.selectors import label_selector_matches
from ippolicy.sandbox.kube.store import Store

_REVIEW = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
_HARMLESS = ("None", "NoneOnDryRun")


class _NoAnswer(Exception):
    """The webhook gave no answer that counts."""


@dataclass(frozen=True)
class _Creation:
    """The object that is to be made, and by what request."""

    kind: Kind
    namespace: str
    write: Write


class Webhooks:
    """Asks the webhooks of the MutatingWebhookConfigurations in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None
        self._trust: dict[str, ssl.SSLContext] = {}

    async def close(self) -> None:
        """End the connections to webhooks."""
        if self._session is not None:
            await self._session.close()
        self._session = None

    async def admit(self, kind: Kind, namespace: str, value: Json, write: Write) -> Json:
        """The object as the webhooks want it; raises `Refused` where one of them, or the lack of
        one that must be asked, forbids it."""
        hooks = self._hooks()
        if not hooks or not isinstance(value, dict) or kind is MUTATING_WEBHOOKS:
            return value
        creation = _Creation(kind, namespace, write)
        present = _as_sent(creation, value)
        asked: list[Object] = []
        again: list[Object] = []
        for hook in hooks:
            if not self._is_about(hook, creation, present):
                continue
            after = await self._outcome(hook, creation, present)
            if after != present:
                again += [each for each in asked if each not in again]
            asked.append(hook)
            present = after
        for hook in again:
            if hook["reinvocationPolicy"] == "IfNeeded" and self._is_about(hook, creation, present):
                present = await self._outcome(hook, creation, present)
        return present if asked else value

    def _hooks(self) -> list[Object]:
        records = self._store.list(MUTATING_WEBHOOKS.key)
        records = sorted(records, key=lambda record: record.address)
        return [hook for record in records for hook in record.value.get("webhooks") or ()]

    def _is_about(self, hook: Object, creation: _Creation, value: Object) -> bool:
        if not any(_covers(rule, creation.kind) for rule in hook.get("rules") or ()):
            return False
        labels = dig(value, "metadata", "labels") or {}
        if not label_selector_matches(hook["objectSelector"], labels):
            return False
        if not creation.kind.namespaced:
            return True
        namespace = self._store.get(NAMESPACES.key, "", creation.namespace)
        labels = dig(namespace.value, "metadata", "labels") or {} if namespace else {}
        return label_selector_matches(hook["namespaceSelector"], labels)

    async def _outcome(self, hook: Object, creation: _Creation, value: Object) -> Object:
        """The object after one webhook."""
        name = hook["name"]
        if creation.write.dry_run and hook["sideEffects"] not in _HARMLESS:
            raise Refused(400, f'admission webhook "{name}" does not support dry run')
        try:
            async with asyncio.timeout(hook["timeoutSeconds"]):
                response = await self._response(hook, creation, value)
        except (_NoAnswer, TimeoutError, aiohttp.ClientError, OSError) as error:
            if hook["failurePolicy"] == "Ignore":
                return value
            cause = str(error) or "context deadline exceeded"
            raise Refused(
                500,
                f'Internal error occurred: failed calling webhook "{name}": failed to call'
                f" webhook: {cause}",
            ) from error
        if not response.get("allowed"):
            raise _denied(name, response.get("status") or {})
        return _patched(name, response, value)

    async def _response(self, hook: Object, creation: _Creation, value: Object) -> Object:
        uid = str(uuid.uuid4())
        review = {**_REVIEW, "request": _request(uid, creation, value)}
        url, server_name = self._address(hook["clientConfig"])
        if self._session is None:
            self._session = aiohttp.ClientSession()
        async with self._session.post(
            url,
            data=encode(review),
            headers={"Content-Type": "application/json"},
            ssl=self._trusting(hook["clientConfig"].get("caBundle") or ""),
            server_hostname=server_name,
            allow_redirects=False,
        ) as reply:
            body = await reply.read()
            if reply.status != 200:
                raise _NoAnswer(f"an error on the server: HTTP {reply.status}")
        return _read_response(body, uid)

    def _address(self, client: Object) -> tuple[str, str | None]:
        """Where a webhook is, and the name that its certificate must have.

        A Service is reached by its external name: nobody routes cluster addresses here.
        """
        if "url" in client:
            return client["url"], None
        wanted = client["service"]
        where = f"{wanted['name']}.{wanted['namespace']}.svc"
        service = self._store.get(SERVICES.key, wanted["namespace"], wanted["name"])
        host = dig(service.value, "spec", "externalName") if service else None
        if not host:
            raise _NoAnswer(f"no endpoints available for service {wanted['name']}")
        return f"https://{host}:{wanted['port']}{wanted.get('path') or '/'}", where

    def _trusting(self, bundle: str) -> ssl.SSLContext:
        if bundle not in self._trust:
            try:
                pem = base64.b64decode(bundle).decode()
                self._trust[bundle] = ssl.create_default_context(cadata=pem or None)
            except (ValueError, ssl.SSLError) as error:
                raise _NoAnswer(f"unable to load root certificates: {error}") from error
        return self._trust[bundle]


def _as_sent(creation: _Creation, value: Object) -> Object:
    """The object as it is when webhooks see it: of its type, with defaults, without identity."""
    kind = creation.kind
    metadata = {**(value.get("metadata") or {})}
    if kind.namespaced:
        metadata["namespace"] = creation.namespace
    head = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return with_defaults(kind.kind, {**head, **{k: v for k, v in value.items() if k not in head}})


def _covers(rule: Mapping[str, Json], kind: Kind) -> bool:
    scope = rule.get("scope") or "*"
    of_scope = scope == "*" or (scope == "Namespaced") == kind.namespaced
    return of_scope and all(
        "*" in rule[field] or wanted in rule[field]
        for field, wanted in (
            ("operations", "CREATE"),
            ("apiGroups", kind.group),
            ("apiVersions", kind.version),
            ("resources", kind.plural),
        )
    )


def _request(uid: str, creation: _Creation, value: Object) -> Object:
    kind, write = creation.kind, creation.write
    of_kind = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    resource = {"group": kind.group, "version": kind.version, "resource": kind.plural}
    options = {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"}
    return {
        "uid": uid,
        "kind": of_kind,
        "resource": resource,
        "requestKind": of_kind,
        "requestResource": resource,
        "namespace": creation.namespace,
        "operation": "CREATE",
        "userInfo": {},
        "object": value,
        "oldObject": None,
        "dryRun": write.dry_run,
        "options": {**options, "fieldManager": write.manager},
    }


def _read_response(body: bytes, uid: str) -> Object:
    try:
        review = decode(body)
    except msgspec.DecodeError as error:
        raise _NoAnswer(f"the answer is not JSON: {error}") from error
    known = isinstance(review, dict) and all(review.get(k) == v for k, v in _REVIEW.items())
    response = review.get("response") if known else None
    if not isinstance(response, dict):
        raise _NoAnswer("webhook response is no AdmissionReview of admission.k8s.io/v1")
    if response.get("uid") != uid:
        raise _NoAnswer(f'expected response.uid="{uid}", got "{response.get("uid")}"')
    return response


def _denied(name: str, status: Object) -> Refused:
    denied = f'admission webhook "{name}" denied the request'
    said = status.get("message") or status.get("reason")
    message = f"{denied}: {said}" if said else f"{denied} without explanation"
    code = max(400, status.get("code") or 0)
    return Refused(code, message, reason=status.get("reason") or "")


def _patched(name: str, response: Object, value: Object) -> Object:
    if not response.get("patch"):
        return value
    try:
        operations = decode(base64.b64decode(response["patch"]))
        return json_patch(value, operations)
    except (binascii.Error, msgspec.DecodeError, Refused) as error:
        # Not a failure to call it: failurePolicy does not help here.
        raise Refused(
            500, f'Internal error occurred: webhook "{name}" sent an unusable patch: {error}'
        ) from error
