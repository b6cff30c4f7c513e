"""The DaemonSet controller, with the test playing kubelet."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubeapi import MERGE, STRATEGIC, KubeAPI, daemon_set, env_of, env_patch, until


@dataclass
class Fleet:
    """Nodes made for one test, told apart from others by a label, and their kubelets."""

    api: KubeAPI
    mark: str = field(default_factory=lambda: secrets.token_hex(4))
    nodes: list[str] = field(default_factory=list)

    def add(self, name: str, **labels: str) -> str:
        node = f"{name}-{self.mark}"
        room = {"pods": "110", "cpu": "4", "memory": "16Gi"}
        body = {
            "metadata": {"name": node, "labels": {"fleet": self.mark, **labels}},
            "status": {"capacity": room, "allocatable": room},
        }
        assert self.api.call("POST", "/api/v1/nodes", body).code == 201
        self.nodes.append(node)
        return node

    def daemon_set(self, **env: str) -> dict[str, Any]:
        body = daemon_set(**env)
        template = body["spec"]["template"]["spec"]
        terms = [
            {
                "matchExpressions": [
                    {"key": "fleet", "operator": "In", "values": [self.mark]},
                    {"key": "compute", "operator": "NotIn", "values": ["fargate", "hybrid"]},
                ]
            }
        ]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        template["affinity"] = {"nodeAffinity": required}
        template["automountServiceAccountToken"] = False
        template["hostNetwork"] = True
        return body

    @property
    def path(self) -> str:
        return self.api.path("daemonsets", "aws-node", group="apps")

    def pods(self) -> list[dict[str, Any]]:
        return list(self.api.call("GET", self.api.path("pods")).body["items"])

    def bound(self, count: int) -> Any:
        pods = self.pods()
        fine = len(pods) == count and all(pod["spec"].get("nodeName") for pod in pods)
        return pods if fine else None

    def kubelets(self) -> None:
        """Run every pod, and end those marked for it."""
        for pod in self.pods():
            path = self.api.path("pods", pod["metadata"]["name"])
            if pod["metadata"].get("deletionTimestamp"):
                self.api.call("DELETE", path, {"gracePeriodSeconds": 0})
            elif pod["status"]["phase"] == "Pending" and pod["spec"].get("nodeName"):
                ready = {"type": "Ready", "status": "True"}
                status = {"phase": "Running", "conditions": [ready]}
                self.api.call("PATCH", f"{path}/status", {"status": status}, content_type=STRATEGIC)

    def status(self) -> dict[str, Any]:
        return dict(self.api.call("GET", self.path).body["status"])


@pytest.fixture
def fleet(kube_api: KubeAPI) -> Iterator[Fleet]:
    """A fleet that is taken away afterwards."""
    made = Fleet(kube_api)
    yield made
    kube_api.call("DELETE", made.path)
    for node in made.nodes:
        kube_api.call("DELETE", f"/api/v1/nodes/{node}")


def settled(fleet: Fleet, count: int) -> Any:
    fleet.kubelets()
    status = fleet.status()
    fine = (
        status.get("numberAvailable", 0) == count
        and status.get("updatedNumberScheduled", 0) == count
        and status["desiredNumberScheduled"] == count
        and status.get("observedGeneration")
        == fleet.api.call("GET", fleet.path).body["metadata"]["generation"]
    )
    return status if fine else None


def start(fleet: Fleet, body: dict[str, Any], count: int) -> dict[str, Any]:
    reply = fleet.api.call("POST", fleet.api.path("daemonsets", group="apps"), body)
    assert reply.code == 201, reply.body
    return dict(until(lambda: settled(fleet, count)))


def test_one_pod_stands_on_each_matching_node(fleet: Fleet) -> None:
    expected = {fleet.add("a"), fleet.add("b")}
    fleet.add("f", compute="fargate")
    collection = fleet.api.path("daemonsets", group="apps")
    owner = fleet.api.call("POST", collection, fleet.daemon_set(WARM_IP_TARGET="5")).body
    pods = until(lambda: fleet.bound(2))
    assert {pod["spec"]["nodeName"] for pod in pods} == expected
    pod = pods[0]
    assert pod["metadata"]["generateName"] == "aws-node-"
    assert pod["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "name": "aws-node",
            "uid": owner["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    labels = pod["metadata"]["labels"]
    assert set(labels) == {"k8s-app", "controller-revision-hash", "pod-template-generation"}
    assert labels["pod-template-generation"] == "1"
    affinity = pod["spec"]["affinity"]["nodeAffinity"]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    name = pod["spec"]["nodeName"]
    assert terms == [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
    ]
    assert pod["spec"]["containers"][0]["env"] == [{"name": "WARM_IP_TARGET", "value": "5"}]
    scheduled = [c["status"] for c in pod["status"]["conditions"] if c["type"] == "PodScheduled"]
    assert scheduled == ["True"]
    assert {t["key"].partition("/")[2] for t in pod["spec"]["tolerations"]} == {
        "not-ready",
        "unreachable",
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
        "network-unavailable",
    }


def test_status_counts_the_pods(fleet: Fleet) -> None:
    fleet.add("a")
    fleet.add("b")
    status = start(fleet, fleet.daemon_set(), 2)
    assert status == {
        "currentNumberScheduled": 2,
        "desiredNumberScheduled": 2,
        "numberAvailable": 2,
        "numberMisscheduled": 0,
        "numberReady": 2,
        "observedGeneration": 1,
        "updatedNumberScheduled": 2,
    }


def test_a_rollout_goes_node_by_node(fleet: Fleet) -> None:
    for name in "abc":
        fleet.add(name)
    start(fleet, fleet.daemon_set(WARM_IP_TARGET="5"), 3)
    old = {pod["metadata"]["uid"] for pod in fleet.pods()}
    patch = env_patch(MINIMUM_IP_TARGET="20")
    fleet.api.apply(fleet.path, patch, "ippolicy-operator")

    def ending() -> list[Any]:
        return [pod for pod in fleet.pods() if pod["metadata"].get("deletionTimestamp")]

    until(ending)
    for _ in range(200):
        pods = fleet.pods()
        unready = [
            pod
            for pod in pods
            if pod["metadata"].get("deletionTimestamp") or pod["status"]["phase"] != "Running"
        ]
        assert len(unready) <= 1
        assert len(pods) >= 2
        fleet.kubelets()
        if settled(fleet, 3):
            break
    status = until(lambda: settled(fleet, 3))
    assert status["observedGeneration"] == 2
    pods = fleet.pods()
    assert not old & {pod["metadata"]["uid"] for pod in pods}
    assert {pod["metadata"]["labels"]["pod-template-generation"] for pod in pods} == {"2"}
    for pod in pods:
        names = [entry["name"] for entry in pod["spec"]["containers"][0]["env"]]
        assert set(names) == {"WARM_IP_TARGET", "MINIMUM_IP_TARGET"}


def test_max_unavailable_in_percent_is_rounded_up(fleet: Fleet) -> None:
    for name in "abc":
        fleet.add(name)
    body = fleet.daemon_set()
    rolling = {"maxUnavailable": "40%"}
    body["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
    start(fleet, body, 3)
    fleet.api.apply(fleet.path, env_patch(A="1"), "someone")
    ending = until(
        lambda: (
            [p for p in fleet.pods() if p["metadata"].get("deletionTimestamp")]
            if fleet.status().get("observedGeneration") == 2
            else None
        )
    )
    assert len(ending) == 2


def test_on_delete_waits_for_the_pods_to_be_deleted(fleet: Fleet) -> None:
    fleet.add("a")
    body = fleet.daemon_set(A="1")
    body["spec"]["updateStrategy"] = {"type": "OnDelete"}
    start(fleet, body, 1)
    fleet.api.apply(fleet.path, env_patch(B="2"), "someone")
    until(lambda: fleet.status().get("observedGeneration") == 2)
    (pod,) = fleet.pods()
    assert "deletionTimestamp" not in pod["metadata"]
    assert fleet.status().get("updatedNumberScheduled", 0) == 0
    fleet.api.call("DELETE", fleet.api.path("pods", pod["metadata"]["name"]))
    until(lambda: settled(fleet, 1))
    (pod,) = fleet.pods()
    env = {entry["name"]: entry["value"] for entry in pod["spec"]["containers"][0]["env"]}
    assert env == {"A": "1", "B": "2"}


def test_each_template_is_kept_as_a_revision(fleet: Fleet) -> None:
    fleet.add("a")
    start(fleet, fleet.daemon_set(A="1"), 1)
    change = fleet.api.apply(fleet.path, env_patch(B="2"), "someone").body
    until(lambda: settled(fleet, 1))
    assert env_of(change) == {"A": "1", "B": "2"}

    def revisions() -> list[int]:
        path = fleet.api.path("controllerrevisions", group="apps")
        return sorted(item["revision"] for item in fleet.api.call("GET", path).body["items"])

    assert revisions() == [1, 2]
    fleet.api.apply(fleet.path, env_patch(), "someone")
    until(lambda: revisions() == [2, 3])


def test_pods_follow_the_nodes(fleet: Fleet) -> None:
    first, second = fleet.add("a"), fleet.add("b")
    start(fleet, fleet.daemon_set(), 2)
    third = fleet.add("c")
    until(lambda: settled(fleet, 3))
    label = {"metadata": {"labels": {"compute": "fargate"}}}
    fleet.api.call("PATCH", f"/api/v1/nodes/{second}", label, content_type=MERGE)
    until(lambda: settled(fleet, 2) and fleet.bound(2))
    assert {pod["spec"]["nodeName"] for pod in fleet.pods()} == {first, third}


def test_a_failed_pod_is_replaced(fleet: Fleet) -> None:
    fleet.add("a")
    start(fleet, fleet.daemon_set(), 1)
    (pod,) = fleet.pods()
    path = fleet.api.path("pods", pod["metadata"]["name"])
    failed = {"status": {"phase": "Failed"}}
    fleet.api.call("PATCH", f"{path}/status", failed, content_type=MERGE)
    until(
        lambda: (
            settled(fleet, 1)
            and (pods := fleet.bound(1))
            and pods[0]["metadata"]["uid"] != pod["metadata"]["uid"]
        ),
    )


def test_pods_go_with_their_daemon_set(fleet: Fleet) -> None:
    fleet.add("a")
    start(fleet, fleet.daemon_set(), 1)
    fleet.api.call("DELETE", fleet.path)

    def gone() -> bool:
        fleet.kubelets()
        return not fleet.pods()

    until(gone)


def test_orphaned_pods_stay(fleet: Fleet) -> None:
    fleet.add("a")
    start(fleet, fleet.daemon_set(), 1)
    fleet.api.call("DELETE", fleet.path, {"propagationPolicy": "Orphan"})
    until(lambda: fleet.api.call("GET", fleet.path).code == 404)
    until(lambda: "ownerReferences" not in fleet.pods()[0]["metadata"])
    assert "deletionTimestamp" not in fleet.pods()[0]["metadata"]
