"""A small kubelet: runs the pods of the chart as processes of this machine, as they are written.

    with PodRunner(plane, programs={IMAGE: ["ippolicy"]}):
        helm("install", "ippolicy", CHART, "--wait")

It brings nodes of its own; the cluster's scheduler binds pods to them. A pod's container becomes a
process with the container's command, arguments and environment and the pod's service account; the
pod has a loopback address of its own, gets ready by its own probes, is started again where it ends
though it should not, and ends itself by SIGTERM within its own grace period. A Service's name in
the environment stands for a ready pod behind it. Images, volumes and liveness are not looked at.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, Self

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from controlplane import ControlPlane

Object = dict[str, Any]

POLL_S = 0.1
RESTART_S = 1.0
KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
STRATEGIC = "application/strategic-merge-patch+json"
_SERVICE = re.compile(r"//([-a-z0-9]+)\.([-a-z0-9]+)\.svc:")


@dataclass
class _Pod:
    """A pod bound to one of the nodes, as the API server has it, and what is told of it."""

    object: Object
    address: str
    deleted: threading.Event = field(default_factory=threading.Event)
    restarts: int = 0

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.object["metadata"]["namespace"])

    @property
    def container(self) -> Object:
        """The one container that the pods of the chart have."""
        (container,) = self.object["spec"]["containers"]
        return dict(container)


class PodRunner:
    """Runs what is bound to its nodes, while in `with`.

    `programs` maps an image, without tag and digest, to its entry point. `environment` gives, for
    a pod's address, variables that win over those of the container.
    """

    def __init__(
        self,
        plane: ControlPlane,
        *,
        programs: Mapping[str, Sequence[str]],
        environment: Callable[[str], Mapping[str, str]] = lambda _: {},
        nodes: Sequence[str] = ("runner-a", "runner-b"),
    ) -> None:
        self._plane = plane
        self._programs = programs
        self._environment = environment
        self._nodes = nodes
        self._api = client.CoreV1Api(plane.client())
        block = SystemRandom().randrange(256)  # another runner may be at work
        self._addresses = (f"127.9.{block}.{last}" for last in range(1, 255))
        self._pods: dict[str, _Pod] = {}
        self._threads: list[threading.Thread] = []
        self._accounts: dict[tuple[str, str], str] = {}
        self._one_account = threading.Lock()
        self._ending = threading.Event()
        self._troubles: list[BaseException] = []

    def __enter__(self) -> Self:
        for number, name in enumerate(self._nodes):
            node = _node(name, zone=f"zone-{number}")
            self._plane.kubectl("create", "-f", "-", stdin=json.dumps(node))
        self._start(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        for name in self._nodes:
            self._api.delete_node(name)
        self._api.api_client.close()
        if self._troubles:
            raise self._troubles[0]

    def log(self, pod: str) -> str:
        """What the processes of a pod have written."""
        return (self._plane.folder / f"{pod}.log").read_text(errors="replace")

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        def guarded() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001  (raised where the runner ends)
                self._troubles.append(error)

        thread = threading.Thread(target=guarded, name="pod-runner")
        self._threads.append(thread)
        thread.start()

    def _watch(self) -> None:
        while not self._ending.wait(POLL_S):
            listed = self._raw(self._api.list_pod_for_all_namespaces())
            pods = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
            for uid, known in self._pods.items():
                if uid not in pods or "deletionTimestamp" in pods[uid]["metadata"]:
                    known.deleted.set()
            for uid, pod in pods.items():
                if pod["spec"].get("nodeName") in self._nodes and uid not in self._pods:
                    self._pods[uid] = _Pod(pod, next(self._addresses))
                    self._start(self._live, self._pods[uid])

    def _live(self, pod: _Pod) -> None:
        process = self._run(pod)
        ready, probes = False, _Probes(pod)
        self._report(pod, "Running", ready=False)
        while not (pod.deleted.is_set() or self._ending.is_set()):
            code = process.poll()
            if code is not None and pod.object["spec"]["restartPolicy"] == "Never":
                self._report(pod, "Failed" if code else "Succeeded", ready=False)
                self._until_deleted(pod)
                break
            if code is not None:
                pod.restarts += 1
                self._report(pod, "Running", ready=False)
                pod.deleted.wait(RESTART_S)
                process, ready, probes = self._run(pod), False, _Probes(pod)
            if ready != (ready := probes.ready(time.monotonic())):
                self._report(pod, "Running", ready=ready)
            pod.deleted.wait(POLL_S)
        process.terminate()
        try:
            process.wait(pod.object["spec"]["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._delete(pod)

    def _until_deleted(self, pod: _Pod) -> None:
        while not (pod.deleted.wait(POLL_S) or self._ending.is_set()):
            pass

    def _run(self, pod: _Pod) -> subprocess.Popen[bytes]:
        container = pod.container
        image = container["image"].partition("@")[0].rpartition(":")[0]
        command = [*(container.get("command") or self._programs[image]), *container.get("args", [])]
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= {one["name"]: self._value(one, pod) for one in container.get("env", [])}
        if pod.object["spec"].get("automountServiceAccountToken"):
            environment["KUBECONFIG"] = self._account(
                pod.namespace, pod.object["spec"]["serviceAccountName"]
            )
        with (self._plane.folder / f"{pod.name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env={**environment, **self._environment(pod.address)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _value(self, variable: Object, pod: _Pod) -> str:
        if "valueFrom" not in variable:
            return _SERVICE.sub(self._behind, variable.get("value", ""))
        found: Any = pod.object
        for step in variable["valueFrom"]["fieldRef"]["fieldPath"].split("."):
            found = found[step]
        return str(found)

    def _behind(self, service: re.Match[str]) -> str:
        """The address of a ready pod behind a Service, in place of the Service's name."""
        name, namespace = service.groups()
        spec = self._raw(self._api.read_namespaced_service(name, namespace))["spec"]
        labels = ",".join(f"{key}={value}" for key, value in spec["selector"].items())
        pods = self._raw(self._api.list_namespaced_pod(namespace, label_selector=labels))["items"]
        ready = {"type": "Ready", "status": "True"}
        for status in (pod["status"] for pod in pods):
            if any(ready.items() <= one.items() for one in status.get("conditions", [])):
                return f"//{status['podIP']}:"
        return service[0]

    def _raw(self, model: object) -> Object:
        """A typed object as the API server writes it."""
        raw: Object = self._api.api_client.sanitize_for_serialization(model)
        return raw

    def _account(self, namespace: str, name: str) -> str:
        with self._one_account:
            if (namespace, name) not in self._accounts:
                path = self._plane.service_account_kubeconfig(namespace, name)
                self._accounts[namespace, name] = str(path)
            return self._accounts[namespace, name]

    def _report(self, pod: _Pod, phase: str, *, ready: bool) -> None:
        conditions = [{"type": kind, "status": str(ready)} for kind in ("Ready", "ContainersReady")]
        container = {
            "name": pod.container["name"],
            "image": pod.container["image"],
            "imageID": "",
            "ready": ready,
            "state": {"running": {}} if phase == "Running" else {},
            "restartCount": pod.restarts,
        }
        status = {
            "phase": phase,
            "podIP": pod.address,
            "podIPs": [{"ip": pod.address}],
            "conditions": conditions,
            "containerStatuses": [container],
        }
        with _unless_gone():
            self._api.patch_namespaced_pod_status(
                pod.name, pod.namespace, {"status": status}, _content_type=STRATEGIC
            )

    def _delete(self, pod: _Pod) -> None:
        only = client.V1Preconditions(uid=pod.object["metadata"]["uid"])
        options = client.V1DeleteOptions(grace_period_seconds=0, preconditions=only)
        with _unless_gone():
            self._api.delete_namespaced_pod(pod.name, pod.namespace, body=options)


class _Probes:
    """The startup probe until it succeeds once, then the readiness probe, each by its period."""

    def __init__(self, pod: _Pod) -> None:
        self._pod = pod
        self._started = "startupProbe" not in pod.container
        self._ready = "readinessProbe" not in pod.container
        self._next_s = 0.0

    def ready(self, now_s: float) -> bool:
        """Whether the pod is ready, asked anew if it is time."""
        probe = self._pod.container.get("readinessProbe" if self._started else "startupProbe")
        if probe and now_s >= self._next_s:
            good = self._ask(probe)
            self._next_s = now_s + probe["periodSeconds"]
            if not self._started:
                self._started, self._next_s = good, now_s if good else self._next_s
            else:
                self._ready = good
        return self._started and self._ready

    def _ask(self, probe: Object) -> bool:
        ports = {one["name"]: one["containerPort"] for one in self._pod.container["ports"]}
        get = probe["httpGet"]
        url = f"http://{self._pod.address}:{ports.get(get['port'], get['port'])}{get['path']}"
        try:
            with urllib.request.urlopen(url, timeout=probe["timeoutSeconds"]) as answer:
                return int(answer.status) < 400
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Let it pass that a pod is not there any more, or is another one by now."""
    try:
        yield
    except ApiException as error:
        if error.status not in (404, 409):
            raise


def _node(name: str, *, zone: str) -> Object:
    room = {"cpu": "4", "memory": "8Gi", "pods": "58"}
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": zone,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
