"""The embedded API as a server: who may come in, what it keeps, how it starts and stops."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from pathlib import Path

import pytest
import urllib3

from ippolicy.errors import SandboxError
from ippolicy.sandbox.kube import EmbeddedKube
from ippolicy.sandbox.kube.admission import Write
from ippolicy.sandbox.kube.resources import NODES, PODS
from kubeapi import APPLY, MERGE, KubeAPI, Served, daemon_set, env_patch, until

DAEMON_SETS = "/apis/apps/v1/namespaces/default/daemonsets"


def test_it_listens_on_loopback_only(served: Served) -> None:
    assert served.kube.url == f"http://127.0.0.1:{served.kube.port}"
    for path in ("/readyz", "/livez", "/healthz"):
        assert served.api.call("GET", path).body == "ok"
    assert served.api.call("GET", "/version").body["minor"] == "35"


async def test_a_taken_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        kube = EmbeddedKube(port=port)
        with pytest.raises(SandboxError, match=f"cannot listen on 127.0.0.1:{port}"):
            await kube.start()
        await kube.stop()


async def test_it_stops_with_a_watch_still_running() -> None:
    before = set(threading.enumerate())
    async with asyncio.timeout(5), EmbeddedKube() as kube:
        with socket.create_connection(("127.0.0.1", kube.port)) as client:
            client.sendall(b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            client.setblocking(False)
    assert set(threading.enumerate()) <= before


def test_a_bearer_token_is_asked_for_where_nobody_is_anonymous(tmp_path: Path) -> None:
    kube = EmbeddedKube(tokens={"s3cret": "system:serviceaccount:a:b"}, anonymous=False)
    with kube.start_in_thread():
        inside = KubeAPI(kube.kubeconfig(tmp_path / "in", token="s3cret"), "default")
        assert inside.call("GET", "/api/v1/nodes").code == 200
        assert kube.requests.find(resource="nodes")[0].user == "system:serviceaccount:a:b"
        for token in ("", "wrong"):
            outside = KubeAPI(kube.kubeconfig(tmp_path / "out", token=token), "default")
            reply = outside.call("GET", "/api/v1/nodes")
            assert (reply.code, reply.body["reason"]) == (401, "Unauthorized")


def test_requests_are_kept_with_manager_and_body(served: Served) -> None:
    served.api.call("POST", DAEMON_SETS, daemon_set())
    served.kube.requests.clear()
    patch = env_patch(WARM_IP_TARGET="2")
    served.api.apply(f"{DAEMON_SETS}/aws-node", patch, "ippolicy-operator")
    served.api.call("GET", f"{DAEMON_SETS}/aws-node")
    served.api.call("PATCH", f"{DAEMON_SETS}/aws-node", {}, content_type=MERGE)
    (request,) = served.kube.requests.find(verb="patch", manager="ippolicy-*")
    assert (request.resource, request.name, request.subresource) == ("daemonsets", "aws-node", "")
    assert (request.content_type, request.code, request.body) == (APPLY, 200, patch)
    assert request.user_agent == "conformance/1.0"
    writes = served.kube.requests.writes(resource="daemonsets")
    assert [write.manager for write in writes] == ["ippolicy-operator", "conformance"]


def test_a_validator_refuses_what_a_schema_cannot(tmp_path: Path) -> None:
    def no_nodes_named_x(value: dict[str, object]) -> list[str]:
        return ["x is no name for a node"] if value["metadata"]["name"] == "x" else []  # type: ignore[index]  # a JSON map

    kube = EmbeddedKube(validators={"Node": no_nodes_named_x})
    with kube.start_in_thread():
        api = KubeAPI(kube.kubeconfig(tmp_path / "config"), "default")
        assert api.call("POST", "/api/v1/nodes", {"metadata": {"name": "y"}}).code == 201
        reply = api.call("POST", "/api/v1/nodes", {"metadata": {"name": "x"}})
    assert (reply.code, reply.body["reason"]) == (422, "Invalid")
    assert reply.message == 'Node "x" is invalid: spec: Invalid value: x is no name for a node'


def test_the_store_may_be_written_from_any_thread(served: Served) -> None:
    def write(start: int) -> None:
        for number in range(start, start + 50):
            body = {"metadata": {"name": f"n{number}"}}
            served.kube.writer.create(NODES, "", body, Write("fleet"))

    threads = [threading.Thread(target=write, args=(100 * index,)) for index in range(4)]
    since = served.kube.store.version
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = []
    for event in served.api.watch("/api/v1/nodes", resourceVersion=str(since)):
        events.append(int(event["object"]["metadata"]["resourceVersion"]))
        if len(events) == 200:
            break
    assert events == sorted(set(events))


def test_a_thousand_nodes_and_twenty_thousand_pods_are_listed_in_pages(served: Served) -> None:
    rng = random.Random(1)
    for number in range(20_000):
        metadata = {"name": f"p{number}", "namespace": "default", "uid": str(number)}
        spec = {"nodeName": f"n{rng.randrange(1000)}", "hostNetwork": number % 20 == 0}
        value = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": spec,
            "status": {"phase": "Running"},
        }
        served.kube.store.put(PODS.key, value)
    seen: set[str] = set()
    token = ""
    while True:
        query = {"limit": 500, "fieldSelector": "spec.hostNetwork=false", "continue": token}
        page = served.api.call("GET", "/api/v1/pods", **query).body
        names = [item["metadata"]["name"] for item in page["items"]]
        assert len(names) == 500
        seen.update(names)
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert len(seen) == 19_000


def test_pages_across_namespaces_miss_nothing(served: Served) -> None:
    """`a-b/x` stands before `a/x`, as in etcd: a page may end between the two."""
    for namespace in ("a", "a-b", "a0"):
        served.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        body = {"metadata": {"name": "x"}}
        served.api.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)
    found, token = [], ""
    for _ in range(3):
        page = served.api.call("GET", "/api/v1/configmaps", limit=1, **{"continue": token}).body
        found += [item["metadata"]["namespace"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
    assert found == ["a-b", "a", "a0"]
    assert token == ""


def test_a_namespace_goes_with_all_that_is_in_it(served: Served) -> None:
    served.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}})
    path = "/api/v1/namespaces/x/configmaps"
    held = {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}}
    served.api.call("POST", path, held)
    marked = served.api.call("DELETE", "/api/v1/namespaces/x").body
    assert marked["status"]["phase"] == "Terminating"
    reply = served.api.call("POST", path, {"metadata": {"name": "b"}})
    assert (reply.code, reply.body["details"]["causes"][0]["reason"]) == (
        403,
        "NamespaceTerminating",
    )
    until(lambda: "deletionTimestamp" in served.api.call("GET", f"{path}/a").body["metadata"])
    assert served.api.call("GET", "/api/v1/namespaces/x").code == 200
    loose = {"metadata": {"finalizers": None}}
    served.api.call("PATCH", f"{path}/a", loose, content_type=MERGE)
    until(lambda: served.api.call("GET", "/api/v1/namespaces/x").code == 404)


def test_a_body_that_is_no_json_is_refused(served: Served) -> None:
    answer = urllib3.request(
        "POST",
        f"{served.kube.url}{DAEMON_SETS}",
        body=b"{",
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status, answer.json()["reason"]) == (400, "BadRequest")


def test_an_apply_may_be_yaml(served: Served) -> None:
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: 'on'}\n"
    answer = urllib3.request(
        "PATCH",
        f"{served.kube.url}/api/v1/namespaces/default/configmaps/a?fieldManager=me",
        body=body,
        headers={"Content-Type": APPLY},
    )
    assert (answer.status, answer.json()["data"]) == (201, {"x": "on"})
