"""A real kopf operator on the embedded API: it sees, patches, holds and lets go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import kopf
import pytest
from kubernetes import client, config

from kubeapi import MERGE, Served, until

THINGS = "/apis/example.com/v1/things"
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"size": {"type": "integer"}},
                            },
                            "status": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                        },
                    }
                },
            }
        ],
    },
}


def handlers(seen: list[tuple[str, str]]) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    def _settings(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.watching.server_timeout = 5
        settings.posting.enabled = True

    @kopf.on.event("example.com", "v1", "things", registry=registry)
    def _event(type: str | None, name: str, **_: Any) -> None:  # noqa: A002 - kopf's name
        seen.append((str(type), name))

    @kopf.on.create("example.com", "v1", "things", registry=registry)
    @kopf.on.update("example.com", "v1", "things", registry=registry)
    def _measure(spec: Any, patch: Any, body: Any, **_: Any) -> None:
        patch.status["doubled"] = spec["size"] * 2
        kopf.info(body, reason="Measured", message="doubled")

    @kopf.on.delete("example.com", "v1", "things", registry=registry)
    def _delete(name: str, **_: Any) -> None:
        seen.append(("let go", name))

    return registry


@pytest.fixture
def seen(served: Served) -> Iterator[list[tuple[str, str]]]:
    """What the running operator saw."""
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert served.api.call("POST", root, DEFINITION).code == 201
    found: list[tuple[str, str]] = []
    registry = handlers(found)

    @kopf.on.login(registry=registry)
    def _login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=served.kube.url)

    ready, stop = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(
                kopf.operator(
                    registry=registry,
                    clusterwide=True,
                    standalone=True,
                    ready_flag=ready,
                    stop_flag=stop,
                )
            )
        except Exception as error:  # noqa: BLE001 - handed to the test below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(10)
        yield found
    finally:
        stop.set()
        thread.join(10)
    assert failures == []


def test_kopf_runs_on_it(served: Served, seen: list[tuple[str, str]]) -> None:
    api = served.api
    body = {
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {"name": "a"},
        "spec": {"size": 2},
    }
    assert api.call("POST", THINGS, body).code == 201
    path = f"{THINGS}/a"

    def doubled() -> Any:
        return api.call("GET", path).body.get("status", {}).get("doubled")

    until(lambda: doubled() == 4)
    assert api.call("GET", path).body["metadata"]["finalizers"]
    api.call("PATCH", path, {"spec": {"size": 5}}, content_type=MERGE)
    until(lambda: doubled() == 10)
    assert api.call("GET", path).body["metadata"]["generation"] == 2
    events = until(lambda: api.call("GET", "/api/v1/events").body["items"])
    assert events[0]["reason"] == "Measured"
    served.kube.drop_watches("things")
    api.call("DELETE", path)
    until(lambda: api.call("GET", path).code == 404)
    until(lambda: ("let go", "a") in seen)
    until(lambda: ("DELETED", "a") in seen)


def test_the_client_library_reads_the_kubeconfig(served: Served) -> None:
    api = config.new_client_from_config(str(served.api.kubeconfig))
    names = [item.metadata.name for item in client.CoreV1Api(api).list_namespace().items]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
