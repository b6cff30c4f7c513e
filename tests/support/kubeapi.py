"""A Kubernetes API as tests see it: the official client, and raw requests beside it."""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config

from ippolicy.sandbox.clock import PATIENCE_S
from ippolicy.sandbox.kube import EmbeddedKube

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True)
class Reply:
    """An answer: its status code, headers and decoded body."""

    code: int
    body: Any
    headers: dict[str, str]

    @property
    def message(self) -> str:
        """The message of a Status."""
        return str(self.body["message"])


@dataclass(frozen=True)
class KubeAPI:
    """An API server, and a namespace in it to play in."""

    kubeconfig: Path
    namespace: str

    @property
    def url(self) -> str:
        """The address of the API server."""
        return str(self._shared.configuration.host)

    @functools.cached_property
    def _shared(self) -> client.ApiClient:
        return self.client()

    def client(self) -> client.ApiClient:
        """A client of its own, logged in."""
        api: client.ApiClient = config.new_client_from_config(  # type: ignore[no-untyped-call]  # as shipped
            str(self.kubeconfig)
        )
        api.user_agent = "conformance/1.0"
        return api

    def path(self, plural: str, name: str = "", *, group: str = "", version: str = "v1") -> str:
        """The path of a namespaced resource."""
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        base = f"{root}/namespaces/{self.namespace}/{plural}"
        return f"{base}/{name}" if name else base

    def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> urllib3.BaseHTTPResponse:
        """A request whose answer is not read yet, for watches; gives up after 10 s."""
        sent = {"User-Agent": "conformance/1.0", "Content-Type": content_type, **(headers or {})}
        bearer = self._shared.configuration.auth_settings().get("BearerToken")
        if bearer:
            sent["Authorization"] = bearer["value"]
        url = f"{self.url}{path}"
        if query:
            url += "?" + urlencode(query)
        pool: urllib3.PoolManager = self._shared.rest_client.pool_manager
        data = None if body is None else json.dumps(body).encode()
        answer: urllib3.BaseHTTPResponse = pool.request(
            method, url, body=data, headers=sent, preload_content=False, timeout=10, retries=False
        )
        return answer

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """A request and its answer."""
        answer = self.open(method, path, body, **options)
        data = answer.read()
        try:
            decoded = json.loads(data)
        except ValueError:
            decoded = data.decode()
        return Reply(answer.status, decoded, dict(answer.headers))

    def apply(self, path: str, body: Any, manager: str, **query: Any) -> Reply:
        """A server-side apply."""
        return self.call("PATCH", path, body, content_type=APPLY, fieldManager=manager, **query)

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """The events of a watch, until the server ends it."""
        query = {"watch": "true", "timeoutSeconds": 3, **query}
        answer = self.open("GET", path, **query)
        rest = b""
        try:
            for chunk in answer.stream(amt=None):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)
        finally:
            answer.close()


@dataclass(frozen=True)
class Served:
    """A running embedded API, and a client's view of it."""

    kube: EmbeddedKube
    api: KubeAPI


@contextlib.contextmanager
def fresh_namespace(kubeconfig: Path) -> Iterator[KubeAPI]:
    """The API with a namespace that is made for this and deleted afterwards."""
    api = KubeAPI(kubeconfig, f"t-{secrets.token_hex(4)}")
    made = api.call("POST", "/api/v1/namespaces", {"metadata": {"name": api.namespace}})
    if made.code != 201:
        raise AssertionError(f"namespace {api.namespace} could not be made: {made.body}")
    try:
        yield api
    finally:
        api.call("DELETE", f"/api/v1/namespaces/{api.namespace}")


def until(condition: Callable[[], Any], *, within_s: float = PATIENCE_S) -> Any:
    """The first true value of a condition; fails where it stays false for too long."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"still not so after {within_s} s")


def daemon_set(name: str = "aws-node", **env: str) -> dict[str, Any]:
    """A small aws-node with environment entries."""
    labels = {"k8s-app": name}
    container = {
        "name": "aws-node",
        "image": "example.com/amazon-k8s-cni:v1.20.0",
        "env": [{"name": key, "value": value} for key, value in env.items()],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def env_patch(name: str = "aws-node", **env: str) -> dict[str, Any]:
    """An apply configuration that states environment entries of aws-node only."""
    entries = [{"name": key, "value": value} for key, value in env.items()]
    container = {"name": "aws-node", "env": entries}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def env_of(body: dict[str, Any]) -> dict[str, Any]:
    """The environment of the first container of a DaemonSet."""
    entries = body["spec"]["template"]["spec"]["containers"][0].get("env") or ()
    return {entry["name"]: entry.get("value") for entry in entries}


def managers(body: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """fieldsV1 by manager and operation."""
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"]
        for entry in body["metadata"].get("managedFields", ())
    }
