"""A real control plane where two operators answer behind one Service, and all that is born there.

No kube-proxy runs here: the Service's name leads to a relay on loopback, which passes connections
on to an operator that is there. The operators live in a faster time that they share.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes import client, watch

from controlplane import ControlPlane
from hurried import PATIENT, reckoning
from ippolicy.decide.births.document import read_table
from ippolicy.decide.births.table import TEMPLATE, PolicyTable
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.fleet import NodeSpec
from ports import free_port
from realworlds import DEPLOY, OPERATOR, real_sandbox
from relay import Relay
from replicas import Replicas, elected, kubelet, two_operators
from worlds import SOON, small

NAMESPACE = "kube-system"
SERVICE = "ippolicy-operator-webhook"
TABLE = "ippolicy-targets-aws-node"
HOSTS = {"one": "127.0.1.1", "two": "127.0.1.2"}
OLD_S = 3 * 86_400.0
"""Age of the nodes that are there from the beginning: a restart of them repays."""
AT_BIRTH: Mapping[str, Any] = {**SOON, "apply": {"method": "Admission"}}


def steps(minimum: int) -> dict[str, Any]:
    """A policy under which no node holds fewer addresses than that: for step after step down."""
    change = {
        **AT_BIRTH["change"],
        "minSaving": "0.1%",
        "rollback": {"within": "1s"},
        "restarts": {"atOnce": "34%"},
    }
    return {**AT_BIRTH, "bounds": {"minimumIPTarget": {"min": minimum}}, "change": change}


@dataclass(frozen=True, slots=True)
class Born:
    """An aws-node pod, on its node, and the digest that it was born with: empty for the
    template's."""

    uid: str
    node: str
    digest: str


@dataclass
class Registry:
    """All aws-node pods that ever were, and every version of the table of targets, as they come.

    `wanted` maps the uid of a pod that is to go -> the digest that its successor is to have. `down`
    names the nodes that have had a ready aws-node, and have none now; `most_down` is the longest
    that list ever was.
    """

    born: dict[str, Born] = field(default_factory=dict)
    wanted: dict[str, str] = field(default_factory=dict)
    table: PolicyTable | None = None
    most_down: int = 0
    troubles: list[Exception] = field(default_factory=list)
    _alive: dict[str, dict[str, bool]] = field(default_factory=lambda: defaultdict(dict))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def down(self) -> set[str]:
        """Nodes whose aws-node is on its way."""
        with self._lock:
            return {node for node, pods in self._alive.items() if not any(pods.values())}

    def running(self) -> Counter[str]:
        """Digest -> nodes whose ready aws-node was born with it."""
        self.check()
        with self._lock:
            ready = [uid for pods in self._alive.values() for uid, on in pods.items() if on]
            return Counter(self.born[uid].digest for uid in ready)

    def births_on(self, node: str) -> list[Born]:
        """The pods of a node, in the order of their births."""
        with self._lock:
            return [one for one in self.born.values() if one.node == node]

    def take_pod(self, kind: str, pod: client.V1Pod) -> None:
        """A pod as the API server has it now."""
        about = pod.metadata
        digest = (about.labels or {}).get("ippolicy.dev/digest", TEMPLATE)
        one = Born(about.uid, _node_of(pod), digest)
        conditions = (pod.status.conditions if pod.status else None) or ()
        ready = any(c.type == "Ready" and c.status == "True" for c in conditions)
        with self._lock:
            self.born.setdefault(one.uid, one)
            if kind == "DELETED":
                self._alive[one.node].pop(one.uid, None)
            elif ready or one.node in self._alive:
                self._alive[one.node][one.uid] = ready and about.deletion_timestamp is None
        self.most_down = max(self.most_down, len(self.down))

    def take_table(self, kind: str, found: client.V1ConfigMap) -> None:
        """The table as the API server has it now."""
        if kind == "DELETED":
            self.table = None
            return
        self.table = read_table(found.data["targets.json"])
        for one in self.table.restarts.values():
            assert self.wanted.setdefault(one.uid, one.digest) == one.digest

    def check(self) -> None:
        """Raise what ended a watch, if anything did."""
        for error in self.troubles:
            raise error


@dataclass
class Place:
    """Two operators, and what is known of all births."""

    sandbox: Sandbox
    plane: ControlPlane
    replicas: Replicas
    registry: Registry
    service: Relay
    _loop: asyncio.AbstractEventLoop

    def cut(self) -> None:
        """The API server reaches no operator from now on."""
        asyncio.run_coroutine_threadsafe(self.service.cut(), self._loop).result(10)

    def mend(self) -> None:
        """It does again."""
        asyncio.run_coroutine_threadsafe(self.service.mend(), self._loop).result(10)

    def add(self, kind: str, group: str, *, nodes: int, pods: int) -> list[str]:
        """More nodes of a group; gives their names when aws-node runs there."""
        return add(self.sandbox, kind, group, nodes=nodes, pods=pods)

    def by_others(self) -> tuple[int, list[Any]]:
        """The DaemonSet's generation, and who holds what of it but for its status."""
        found = self.sandbox.daemonset()["metadata"]
        return found["generation"], [e for e in found["managedFields"] if "subresource" not in e]

    def restarts(self) -> dict[tuple[str, str], list[str]]:
        """Node and the digest that it was restarted for -> the uids that were deleted for it.

        Each delete that the API server took was by uid, and the table had said so before; with no
        table any more, pods go back to the template.
        """
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for event in self.plane.audit_events():
            if (event.user, event.verb, event.resource) != (OPERATOR, "delete", "pods"):
                continue
            uid = event.body.get("preconditions", {}).get("uid")
            assert uid is not None, f"pod {event.name} was deleted whoever it was"
            if event.code == 200:
                key = self.registry.born[uid].node, self.registry.wanted.get(uid, TEMPLATE)
                found[key] += [uid] if uid not in found[key] else []
        return found

    def in_vain(self, node: str, uid: str) -> bool:
        """Whether the successor of a pod was born with other targets than it was to have."""
        pods = self.registry.births_on(node)
        index = next(number for number, one in enumerate(pods) if one.uid == uid)
        return pods[index + 1].digest != self.registry.wanted.get(uid, TEMPLATE)


@contextmanager
def birthplace(
    folder: Path,
    groups: Mapping[str, tuple[str, int, int]],
    *,
    speed: float,
    lease: str = "15s",
    settings: Mapping[str, str] | None = None,
) -> Iterator[Place]:
    """Two operators on a control plane that keeps its files in `folder`, beside old nodes.

    `groups` maps a group -> its instance type, how many nodes it has, and how many pods each. A
    `lease` that is short in real time is for those who wait for another to take over.
    """
    port = free_port()
    often = f"{speed:g}s"  # once a second
    operator_settings = {
        **PATIENT,
        **elected(lease),
        "IPPOLICY_CHOICE": "rule",
        "IPPOLICY_WEBHOOK_SERVICE": SERVICE,
        "IPPOLICY_WEBHOOK_PORT": str(port),
        "IPPOLICY_CHECKPOINT_INTERVAL": often,
        "IPPOLICY_SCRAPE_INTERVAL": often,
        "IPPOLICY_RESTORE_GIVE_UP_AFTER": "24h",  # from a moment in the time of the API server
        **(settings or {}),
    }
    subnets = ("10.0.0.0/18",)
    layout = small(nodes=0, subnets=subnets, speed=20.0, operator_settings=operator_settings)
    with ExitStack() as parts:
        sandbox, plane = parts.enter_context(real_sandbox(layout, folder))
        install(plane)
        for group, (kind, nodes, pods) in groups.items():
            add(sandbox, kind, group, nodes=nodes, pods=pods)
        sandbox.layout = replace(layout, operator_command=reckoning(speed, older_s=OLD_S))
        loop = parts.enter_context(loop_in_a_thread())
        servers = [(host, port) for host in HOSTS.values()]
        service = Relay(*servers, at=("127.0.0.1", port))
        asyncio.run_coroutine_threadsafe(service.__aenter__(), loop).result(10)
        registry = parts.enter_context(watched(plane))
        own = {name: {"IPPOLICY_HTTP_HOST": host} for name, host in HOSTS.items()}
        replicas = parts.enter_context(two_operators(sandbox, own))
        parts.enter_context(kubelet(replicas))
        try:
            yield Place(sandbox, plane, replicas, registry, service, loop)
            registry.check()
        except BaseException:
            for one in replicas.all:
                print(one.name, *one.process.last_lines(40), sep="\n  ")  # noqa: T201  (what led to it)
            raise
        finally:
            asyncio.run_coroutine_threadsafe(service.__aexit__(None, None, None), loop).result(10)


def add(sandbox: Sandbox, kind: str, group: str, *, nodes: int, pods: int) -> list[str]:
    """More nodes of a group; gives their names when aws-node runs there."""
    specs = [NodeSpec(kind, sandbox.subnets[0], group, 58)] * nodes
    return sandbox.add_nodes(specs, pods_per_node=pods)


def install(plane: ControlPlane) -> None:
    """The rights of the webhook, and a Service that leads to loopback."""
    plane.kubectl("apply", "-f", str(DEPLOY / "webhook.yaml"))
    plane.kubectl("-n", NAMESPACE, "delete", "service", SERVICE)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(service))


@contextmanager
def loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that goes on whatever this thread does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def watched(plane: ControlPlane) -> Iterator[Registry]:
    """A registry that takes in all as it comes."""
    registry = Registry()
    core = client.CoreV1Api(plane.client())
    pods = partial(core.list_namespaced_pod, label_selector="k8s-app=aws-node")
    tables = partial(core.list_namespaced_config_map, field_selector=f"metadata.name={TABLE}")
    watches = [watch.Watch(), watch.Watch()]
    over = threading.Event()

    def follow(one: watch.Watch, listed: Callable[..., Any], take: Callable[..., None]) -> None:
        since: dict[str, str] = {}
        try:
            while not over.is_set():  # the API server ends a watch that lags behind
                for event in one.stream(listed, NAMESPACE, timeout_seconds=3600, **since):
                    take(event["type"], event["object"])
                since = {"resource_version": one.resource_version} if one.resource_version else {}
        except Exception as error:  # noqa: BLE001  (raised by `check`)
            registry.troubles.append(error)

    work = zip(watches, (pods, tables), (registry.take_pod, registry.take_table), strict=True)
    threads = [threading.Thread(target=follow, args=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    yield registry
    over.set()
    for one in watches:
        one.stop()


def _node_of(pod: client.V1Pod) -> str:
    """The node that the DaemonSet controller has made it for."""
    required = pod.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
    return str(required.node_selector_terms[0].match_fields[0].values[0])
