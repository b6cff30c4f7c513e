"""Mutating webhooks on the birth of pods, with the test playing the webhook on loopback."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from certificates import issued, write
from kubeapi import JSON_PATCH, MERGE, KubeAPI, daemon_set, until

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
Response = dict[str, Any]


def patch(*operations: dict[str, Any]) -> Response:
    body = base64.b64encode(json.dumps(list(operations)).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": body}


def labelled(name: str, value: str) -> Response:
    return patch({"op": "add", "path": f"/metadata/labels/{name}", "value": value})


class Hook:
    """A webhook that answers as it is told to, and remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        ca = issued("webhook CA", None)
        write(folder, {"ca": ca, "server": issued("webhook", ca)})
        self.bundle = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
        self.answer: Callable[[dict[str, Any]], Response] = lambda _: {"allowed": True}
        self.asked: list[dict[str, Any]] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.asked.append(review["request"])
                response = hook.answer(review["request"])
                body = {**review, "response": {"uid": review["request"]["uid"], **response}}
                del body["request"]
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}/mutate"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; stopping twice is no error."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def about(self, name: str) -> list[dict[str, Any]]:
        """What it was asked about the objects of this name or prefix."""
        heads = [(request, request["object"]["metadata"]) for request in self.asked]
        return [r for r, m in heads if name in (m.get("name"), m.get("generateName"))]


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Hook]:
    hook = Hook(tmp_path)
    yield hook
    hook.stop()


@pytest.fixture
def configure(kube_api: KubeAPI, hook: Hook) -> Iterator[Callable[..., Any]]:
    """Registers the webhook for labelled pods of the test's namespace, and waits for it to be
    asked; several may be registered, under names that order them."""
    made = []

    def register(name: str = "a", **changes: Any) -> None:
        made.append(f"{name}-{secrets.token_hex(4)}")
        webhook = {
            "name": f"{name}.example.com",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": f"{hook.url}/{name}", "caBundle": hook.bundle},
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["pods"],
                }
            ],
            "namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": kube_api.namespace}
            },
            "objectSelector": {"matchLabels": {"k8s-app": "aws-node"}},
            "sideEffects": "None",
            "timeoutSeconds": 2,
            "failurePolicy": "Ignore",
            **changes,
        }
        kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": made[-1]}}
        body = {**kind, "kind": "MutatingWebhookConfiguration", "webhooks": [webhook]}
        reply = kube_api.call("POST", CONFIGURATIONS, body)
        assert reply.code == 201, reply.body
        served = reply.body["webhooks"][0]
        assert served["reinvocationPolicy"] == changes.get("reinvocationPolicy", "Never")
        assert served["rules"][0]["scope"] == "*"
        if "clientConfig" not in changes:
            seen = len(hook.asked)
            until(lambda: make(kube_api, "probe", dry_run=True) and len(hook.asked) > seen)
            hook.asked.clear()

    yield register
    for name in made:
        kube_api.call("DELETE", f"{CONFIGURATIONS}/{name}")


def make(api: KubeAPI, name: str, *, dry_run: bool = False, **labels: str) -> Any:
    """Make a pod of aws-node with more labels; the reply."""
    container = {"name": "aws-node", "image": "example.com/cni:v1", "env": []}
    spec = {"containers": [container], "automountServiceAccountToken": False}
    metadata = {"name": name, "labels": {"k8s-app": "aws-node", **labels}}
    query = {"dryRun": "All"} if dry_run else {}
    return api.call("POST", api.path("pods"), {"metadata": metadata, "spec": spec}, **query)


def test_a_patch_lands_in_the_pod(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure()
    entry = {"name": "WARM_IP_TARGET", "value": "3"}
    hook.answer = lambda _: patch(
        {"op": "add", "path": "/spec/containers/0/env", "value": [entry]},
        {"op": "add", "path": "/metadata/annotations", "value": {"a/b": "c"}},
    )
    reply = make(kube_api, "one")
    assert reply.code == 201
    assert reply.body["spec"]["containers"][0]["env"] == [entry]
    assert reply.body["metadata"]["annotations"] == {"a/b": "c"}
    stored = kube_api.call("GET", kube_api.path("pods", "one")).body
    assert stored["spec"]["containers"][0]["env"] == [entry]


def test_the_webhook_sees_the_pod_as_it_would_be(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure()
    make(kube_api, "one")
    (request,) = hook.about("one")
    assert request["operation"] == "CREATE"
    assert request["resource"] == {"group": "", "version": "v1", "resource": "pods"}
    assert request["kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert request["namespace"] == kube_api.namespace
    assert request["oldObject"] is None
    assert request["dryRun"] is False
    pod = request["object"]
    assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
    assert pod["metadata"]["namespace"] == kube_api.namespace
    assert pod["spec"]["restartPolicy"] == "Always"


def test_only_what_the_selectors_and_rules_name_is_asked_about(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure()
    make(kube_api, "one")
    make(kube_api, "other", **{"k8s-app": "kube-proxy"})
    elsewhere = KubeAPI(kube_api.kubeconfig, "default")
    make(elsewhere, kube_api.namespace, dry_run=True)
    body = {"metadata": {"name": "map", "labels": {"k8s-app": "aws-node"}}}
    kube_api.call("POST", kube_api.path("configmaps"), body)
    change = {"metadata": {"labels": {"x": "y"}}}
    kube_api.call("PATCH", kube_api.path("pods", "one"), change, content_type=MERGE)
    kube_api.call("DELETE", kube_api.path("pods", "one"))
    assert len(hook.asked) == len(hook.about("one")) == 1


def test_a_rehearsal_is_told(kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]) -> None:
    configure()
    hook.answer = lambda _: labelled("x", "y")
    assert make(kube_api, "one", dry_run=True).body["metadata"]["labels"]["x"] == "y"
    (request,) = hook.about("one")
    assert request["dryRun"] is True


def test_a_webhook_that_denies_is_heeded(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure()
    hook.answer = lambda _: {"allowed": False, "status": {"message": "not today"}}
    reply = make(kube_api, "one")
    assert reply.code == 400
    assert reply.message == 'admission webhook "a.example.com" denied the request: not today'


def test_an_unusable_patch_is_no_failure_to_pass_over(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure()
    hook.answer = lambda _: patch({"op": "remove", "path": "/spec/containers/7"})
    assert make(kube_api, "one").code == 500


def test_a_patch_to_an_impossible_pod_is_refused(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure()
    hook.answer = lambda _: patch({"op": "replace", "path": "/spec/containers", "value": []})
    reply = make(kube_api, "one")
    assert (reply.code, reply.body["reason"]) == (422, "Invalid")


def test_a_missing_webhook_is_passed_over_where_it_may_be(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure()
    hook.stop()
    assert make(kube_api, "one").code == 201


def test_a_missing_webhook_that_must_be_asked_refuses(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure(failurePolicy="Fail")
    hook.answer = lambda _: {"uid": "of another question", "allowed": True}
    reply = make(kube_api, "one")
    assert (reply.code, reply.body["reason"]) == (500, "InternalError")
    assert 'failed calling webhook "a.example.com"' in reply.message


def test_a_webhook_of_another_ca_is_not_believed(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any], tmp_path: Path
) -> None:
    write(tmp_path, {"other": issued("other CA", None)})
    other = base64.b64encode((tmp_path / "other.crt").read_bytes()).decode()
    configure("b")
    configure("a", clientConfig={"url": hook.url, "caBundle": other}, failurePolicy="Fail")
    until(lambda: make(kube_api, f"p-{secrets.token_hex(4)}", dry_run=True).code == 500)


def test_a_slow_webhook_is_not_waited_for(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure(timeoutSeconds=1)
    done = threading.Event()
    hook.answer = lambda _: {"allowed": done.wait(8)}
    started_s = time.monotonic()
    assert make(kube_api, "one").code == 201
    assert 0.9 < time.monotonic() - started_s < 6
    done.set()


def test_webhooks_are_asked_in_the_order_of_their_names(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure("b")
    configure("a")
    hook.answer = lambda _: labelled(f"step{len(hook.about('one'))}", "seen")
    labels = make(kube_api, "one").body["metadata"]["labels"]
    assert {"step1", "step2"} < set(labels)
    assert "step3" not in labels
    first, second = hook.about("one")
    assert "step1" not in first["object"]["metadata"]["labels"]
    assert "step1" in second["object"]["metadata"]["labels"]


def test_who_wants_it_is_asked_again_where_another_changed_the_pod(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    configure("a", reinvocationPolicy="IfNeeded")
    configure("b")
    hook.answer = lambda _: labelled(f"step{len(hook.about('one'))}", "seen")
    labels = make(kube_api, "one").body["metadata"]["labels"]
    assert {"step1", "step2", "step3"} < set(labels)
    assert len(hook.about("one")) == 3


def test_pods_of_a_daemon_set_are_changed_and_their_daemon_set_is_not(
    kube_api: KubeAPI, hook: Hook, configure: Callable[..., Any]
) -> None:
    """The webhook knows the node, and the pod counts as one of the newest template."""
    configure()
    node = f"node-{secrets.token_hex(4)}"
    room = {"pods": "110", "cpu": "4", "memory": "16Gi"}
    capacity = {"capacity": room, "allocatable": room}
    body = {"metadata": {"name": node, "labels": {"only": node}}, "status": capacity}
    assert kube_api.call("POST", "/api/v1/nodes", body).code == 201
    entry = {"name": "WARM_IP_TARGET", "value": "7"}
    hook.answer = lambda _: patch(
        {"op": "replace", "path": "/spec/containers/0/env/0", "value": entry},
        {"op": "add", "path": "/metadata/labels/revision", "value": "1"},
    )
    wanted = daemon_set(WARM_IP_TARGET="1")
    spec = wanted["spec"]["template"]["spec"]
    spec |= {"nodeSelector": {"only": node}, "automountServiceAccountToken": False}
    path = kube_api.path("daemonsets", "aws-node", group="apps")
    made = kube_api.call("POST", path.rpartition("/")[0], wanted).body

    def pods() -> Any:
        items = kube_api.call("GET", kube_api.path("pods")).body["items"]
        return [pod for pod in items if pod["spec"].get("nodeName")]

    def status() -> Any:
        found = kube_api.call("GET", path).body
        return found if found["status"].get("updatedNumberScheduled") else None

    try:
        (pod,) = until(pods)
        assert pod["spec"]["containers"][0]["env"] == [entry]
        assert pod["metadata"]["labels"]["revision"] == "1"
        (request,) = hook.about("aws-node-")
        required = request["object"]["spec"]["affinity"]["nodeAffinity"]
        (term,) = required["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert term["matchFields"][0]["values"] == [node]
        after = until(status)
        assert after["metadata"]["generation"] == made["metadata"]["generation"] == 1
        assert after["spec"] == made["spec"]
        by_users = [e for e in after["metadata"]["managedFields"] if "subresource" not in e]
        assert by_users == made["metadata"]["managedFields"]
    finally:
        kube_api.call("DELETE", path)
        kube_api.call("DELETE", f"/api/v1/nodes/{node}")


def test_a_configuration_is_applied_field_by_field(kube_api: KubeAPI, hook: Hook) -> None:
    """An injector may fill in the bundle that the other manager leaves out."""
    name = f"hook-{secrets.token_hex(4)}"
    path = f"{CONFIGURATIONS}/{name}"
    webhook = {
        "name": "a.example.com",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "x", "name": "y"}},
        "sideEffects": "None",
    }
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    body = {**head, "kind": "MutatingWebhookConfiguration", "webhooks": [webhook]}
    reply = kube_api.apply(path, body, "ippolicy-operator")
    assert reply.code == 201, reply.body
    assert reply.body["webhooks"][0]["clientConfig"]["service"]["port"] == 443
    added = {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": hook.bundle}
    kube_api.call("PATCH", path, [added], content_type=JSON_PATCH, fieldManager="injector")
    again = kube_api.apply(path, body, "ippolicy-operator")
    assert again.body["webhooks"][0]["clientConfig"]["caBundle"] == hook.bundle
    kube_api.call("DELETE", path)
