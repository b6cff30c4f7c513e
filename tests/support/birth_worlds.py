"""Sandboxes whose API server asks the operator about each aws-node pod that is made, and what came
of the pods: which were born with which targets, on which nodes, in which order."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from hurried import PATIENT
from ippolicy.decide.births.document import read_table
from ippolicy.decide.births.table import TEMPLATE, PolicyTable
from ippolicy.sandbox import manifests
from ippolicy.sandbox.clock import PATIENCE_S
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.fleet import NodeSpec
from ippolicy.sandbox.kube.resources import PODS
from ippolicy.sandbox.kube.store import Change
from ippolicy.sandbox.operator import OperatorProcess
from lockstep import Lockstep
from ports import free_port
from replicas import elected
from worlds import World

CORE = "/api/v1/namespaces/kube-system"
SERVICE = "ippolicy-operator-webhook"
CONFIGURATION = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{SERVICE}"
TABLE = f"{CORE}/configmaps/ippolicy-targets-aws-node"
OURS = (CONFIGURATION, f"{CORE}/secrets/{SERVICE}", TABLE)
HOUR_S = 3_600.0
LEAP = 20_000.0
"""Speed of the clock while nothing happens but that time passes."""
BURST_S = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """Nodes of a group: so many of an instance type, with so many pods each."""

    instance_type: str
    pods: int
    nodes: int = 2
    max_pods: int = 58


Groups = Mapping[str, Kind]


@contextmanager
def asked(world: World, groups: Groups, **changes: Any) -> Iterator[Sandbox]:
    """Such nodes, and an operator that the API server can ask, not started yet."""
    settings = {
        **elected("1m"),
        "IPPOLICY_WEBHOOK_SERVICE": SERVICE,
        "IPPOLICY_WEBHOOK_PORT": str(free_port()),
        **changes.pop("operator_settings", {}),
    }
    layout = {"nodes": 0, "subnets": ("10.0.0.0/20",), "operator_settings": settings, **changes}
    with world(**layout) as sandbox:
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE},
            "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
        }
        path = f"{CORE}/services/{SERVICE}"
        sandbox.run(sandbox.client.apply(path, service, manager=manifests.INSTALLER))
        for group, kind in groups.items():
            add(sandbox, groups, group, nodes=kind.nodes)
        yield sandbox


@contextmanager
def lived(world: World, groups: Groups, *, speed: float, hours: float) -> Iterator[Sandbox]:
    """Nodes that have lived for hours, in sandbox time: the operator's and the API server's, too.

    The operator is not started yet.
    """
    often = {
        "IPPOLICY_SCRAPE_INTERVAL": f"{speed / 2:.0f}s",
        "IPPOLICY_FACTS_MAX_AGE": f"{5 * speed:.0f}s",
        "IPPOLICY_WATCH_TIMEOUT": "2s",
        "IPPOLICY_CHOICE": "rule",
        "IPPOLICY_RESTORE_GIVE_UP_AFTER": "12h",  # kopf tries again in real time
        **elected("1h"),
    }
    changes = {"speed": speed, "setup_speed": speed, "stamped_by_clock": True}
    with (
        Lockstep() as time,
        asked(
            world, groups, elapsed=time, operator_settings={**PATIENT, **often}, **changes
        ) as sandbox,
    ):
        sandbox.run(time.mind_the_loop())
        sandbox.settle()
        let_pass(sandbox, hours)
        sandbox.operator = operator_in_step(sandbox)
        try:
            yield sandbox
        finally:
            sandbox.operator.stop()


def operator_in_step(sandbox: Sandbox) -> OperatorProcess:
    """Another operator, whose time is the sandbox's from now on."""
    time = sandbox.layout.elapsed
    assert isinstance(time, Lockstep)
    assert sandbox.folder is not None
    return OperatorProcess(
        kubeconfig=sandbox.operator.kubeconfig,
        endpoint_url=sandbox.ec2.endpoint_url,
        region=sandbox.ec2.region,
        log=sandbox.folder / "operator.log",
        settings=sandbox.layout.operator_settings,
        command=time.in_step(sandbox.clock),
    )


def let_pass(sandbox: Sandbox, hours: float) -> None:
    """Hours in a moment. No operator may run: it would fall behind."""
    sandbox.clock.set_speed(LEAP)
    sandbox.run(sandbox.clock.sleep(hours * HOUR_S))
    sandbox.clock.set_speed(sandbox.layout.speed)


def add(sandbox: Sandbox, groups: Groups, group: str, *, nodes: int = 1) -> list[str]:
    """More nodes of a group."""
    kind = groups[group]
    specs = [
        NodeSpec(
            kind.instance_type, sandbox.subnets[n % len(sandbox.subnets)], group, kind.max_pods
        )
        for n in range(nodes)
    ]
    return sandbox.add_nodes(specs, pods_per_node=kind.pods)


def of(sandbox: Sandbox, group: str) -> list[str]:
    """The nodes of a group."""
    return [node.name for node in sandbox.report().nodes if node.group == group]


def by_others(sandbox: Sandbox) -> tuple[int, list[Any]]:
    """The DaemonSet's generation, and who holds what of it but for its status."""
    found = sandbox.daemonset()["metadata"]
    return found["generation"], [e for e in found["managedFields"] if "subresource" not in e]


def is_there(sandbox: Sandbox, path: str) -> bool:
    return sandbox.run(sandbox.client.find(path)) is not None


def table(sandbox: Sandbox) -> PolicyTable:
    """The table on the cluster; an empty one where there is none."""
    found = sandbox.run(sandbox.client.find(TABLE))
    return read_table(found["data"]["targets.json"]) if found is not None else PolicyTable("")


def told_of(sandbox: Sandbox) -> Mapping[str, Mapping[str, Any]]:
    """Group -> what the status says of its births."""
    status = (sandbox.policy() or {}).get("status") or {}
    return {one["name"]: one["births"] for one in status.get("groups") or () if one.get("births")}


def wait_while_pods_come(
    sandbox: Sandbox,
    predicate: Callable[[], bool],
    what: str,
    *,
    nodes: Sequence[str],
    pods: int,
) -> None:
    """Wait while so many pods come to these nodes and go again."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not predicate():
        assert time.monotonic() < deadline_s, f"{what}\n{table(sandbox)}\n{sandbox.explain()}"
        sandbox.run(sandbox.workload.burst(nodes, pods, lasting_s=BURST_S))
        sandbox.run(sandbox.clock.sleep(BURST_S))


class Born(NamedTuple):
    """One aws-node pod, and what it was born with."""

    uid: str
    digest: str
    revision: str


class Births:
    """The aws-node pods of each node, in the order in which they were made, as the API has them.

    Attributes:
        most_away: group -> the most of its nodes whose aws-node was on its way at a time.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        assert sandbox.kube is not None
        self.most_away: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._groups = {node.name: node.group for node in sandbox.report().nodes}
        self._sandbox = sandbox
        self._pods: dict[str, list[Born]] = defaultdict(list)
        self._ready: dict[str, bool] = {}
        sandbox.kube.store.observe(self._follow)
        for pod in aws_node_pods(sandbox):
            self._see(pod)

    def digests(self, node: str) -> list[str]:
        """What the pods of a node were born with, the oldest first."""
        with self._lock:
            return [pod.digest for pod in self._pods[node]]

    def uids(self, node: str) -> list[str]:
        """The pods of a node, the oldest first."""
        with self._lock:
            return [pod.uid for pod in self._pods[node]]

    def most_of_a_revision(self) -> int:
        """The most often that a node's aws-node was made with one revision of its targets."""
        with self._lock:
            alike = Counter(
                (node, pod.revision) for node, pods in self._pods.items() for pod in pods
            )
        return max(alike.values())

    def made(self) -> Mapping[str, int]:
        """Node -> pods that it had so far."""
        with self._lock:
            return {node: len(pods) for node, pods in self._pods.items()}

    def ran(self, digest: str) -> set[str]:
        """The nodes that ever had a pod with these targets."""
        with self._lock:
            return {node for node, pods in self._pods.items() if digest in {p.digest for p in pods}}

    def begin_anew(self) -> None:
        """Count `most_away` from now on, of the groups as they are now."""
        groups = {node.name: node.group for node in self._sandbox.report().nodes}
        with self._lock:
            self._groups = groups
            self.most_away.clear()

    def _follow(self, key: str, change: Change) -> None:
        pod = change.record.value
        ours = (pod["metadata"].get("labels") or {}).get("k8s-app") == "aws-node"
        if key == PODS.key and ours and "nodeName" in pod["spec"]:
            self._see(pod, gone=change.type == "DELETED")

    def _see(self, pod: Mapping[str, Any], *, gone: bool = False) -> None:
        node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
        labels = pod["metadata"]["labels"]
        digest = labels.get("ippolicy.dev/digest", TEMPLATE)
        with self._lock:
            pods = self._pods[node]
            if uid not in (known.uid for known in pods):
                pods.append(Born(uid, digest, labels.get("ippolicy.dev/revision", "")))
            if uid == pods[-1].uid:
                self._ready[node] = not gone and _ready(pod)
            group = self._groups.get(node)
            if group is not None:
                away = sum(
                    not self._ready.get(n, True) for n, g in self._groups.items() if g == group
                )
                self.most_away[group] = max(self.most_away[group], away)


def aws_node_pods(sandbox: Sandbox) -> list[dict[str, Any]]:
    """All aws-node pods that are there."""
    items, _ = sandbox.run(sandbox.client.list(f"{CORE}/pods", labelSelector="k8s-app=aws-node"))
    return [one for one in items if "nodeName" in one["spec"]]


def on_node(sandbox: Sandbox, node: str) -> list[dict[str, Any]]:
    """The aws-node pods of a node: one, or meanwhile two."""
    return [one for one in aws_node_pods(sandbox) if one["spec"]["nodeName"] == node]


def _ready(pod: Mapping[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
