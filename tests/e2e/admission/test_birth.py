"""The webhook on a real API server, which calls it by its Service: pods of the real DaemonSet
controller are born with their groups' targets, and nothing else about the DaemonSet changes.

The operator's part has the chart's own rights. The Service is of type ExternalName, since no
cluster address leads anywhere here; who calls, the name in the certificate and the caBundle are as
in any cluster.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import client

from controlplane import ControlPlane
from ippolicy.act.webhook import WebhookObjects
from ippolicy.admission import Verdict, WebhookProcess
from ippolicy.admission.configuration import Service
from ippolicy.decide.births.table import GroupTargets, NodePlace, PolicyTable
from ippolicy.engine.webhook import WebhookKeeper
from ippolicy.facts import DaemonSetRef
from ippolicy.ipamd import WarmTargets
from ippolicy.kube import api_client, load_configuration
from kubeapi import daemon_set, until
from reviews import env_of

NAMESPACE = "kube-system"
WEBHOOK = "ippolicy-operator-webhook"
REF = DaemonSetRef(NAMESPACE, "aws-node")
TEMPLATE = {"WARM_ENI_TARGET": "1", "WARM_PREFIX_TARGET": "1"}
TARGETS = {
    "web": GroupTargets(WarmTargets(warm_ip=5, minimum_ip=20), 3),
    "batch": GroupTargets(WarmTargets(warm_ip=1, minimum_ip=4), 8),
}
PLACES = {
    "web-1": NodePlace("web", "m5.large"),
    "web-2": NodePlace("web", "m5.large"),
    "batch-1": NodePlace("batch", "c5.large"),
}


@dataclass
class Birth:
    """A cluster whose aws-node is born through the webhook, and the operator's part of it."""

    plane: ControlPlane
    api: client.ApiClient
    server: WebhookProcess
    keeper: WebhookKeeper

    def daemon_set(self) -> dict[str, Any]:
        return dict(json.loads(self.plane.kubectl("-n", NAMESPACE, "get", "ds/aws-node", "-ojson")))

    def pods(self) -> dict[str, dict[str, Any]]:
        """Node -> its aws-node pod, once it is bound."""
        found = json.loads(
            self.plane.kubectl("-n", NAMESPACE, "get", "pod", "-lk8s-app=aws-node", "-ojson")
        )
        return {p["spec"]["nodeName"]: p for p in found["items"] if p["spec"].get("nodeName")}

    def born(self, node: str) -> dict[str, Any]:
        """The node's pod, as soon as it is there."""
        return dict(until(lambda: self.pods().get(node)))

    def add_node(self, name: str) -> None:
        room = {"cpu": "4", "memory": "16Gi", "pods": "58"}
        status = client.V1NodeStatus(capacity=room, allocatable=room)
        node = client.V1Node(metadata=client.V1ObjectMeta(name=name), status=status)
        client.CoreV1Api(self.api).create_node(node)

    def delete_pod(self, name: str) -> None:
        """As the kubelet ends it: there is none here to do so."""
        core = client.CoreV1Api(self.api)
        core.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)


@pytest.fixture
async def birth(plane: ControlPlane) -> AsyncIterator[Birth]:
    account = plane.service_account_kubeconfig(NAMESPACE, "ippolicy-operator")
    with plane.client() as admin, api_client(load_configuration(str(account))) as operator:
        core, apps = client.CoreV1Api(admin), client.AppsV1Api(admin)
        spec = client.V1ServiceSpec(type="ExternalName", external_name="localhost")
        metadata = client.V1ObjectMeta(name=WEBHOOK)
        core.create_namespaced_service(NAMESPACE, client.V1Service(metadata=metadata, spec=spec))
        server = WebhookProcess(host="127.0.0.1", port=0)
        server.answer_by({REF: PolicyTable("default", groups=TARGETS)})
        server.place(REF, PLACES)
        objects = WebhookObjects(
            operator, namespace=NAMESPACE, secret=WEBHOOK, configuration=WEBHOOK
        )
        # The port is known once it listens; in a cluster the Service's is 443 whatever that is.
        first = WebhookKeeper(server, objects, Service(NAMESPACE, WEBHOOK))
        await first.look([NAMESPACE], leading=True)
        keeper = WebhookKeeper(server, objects, Service(NAMESPACE, WEBHOOK, server.port))
        await keeper.look([NAMESPACE], leading=True)
        made = Birth(plane, admin, server, keeper)
        await asyncio.to_thread(until, lambda: heard_of(core, server))
        body = daemon_set(**TEMPLATE)
        body["spec"]["template"]["spec"]["hostNetwork"] = True
        apps.create_namespaced_daemon_set(NAMESPACE, body, field_manager="helm")
        yield made
        await keeper.look([], leading=True)
        apps.delete_namespaced_daemon_set("aws-node", NAMESPACE)
        for node in core.list_node().items:
            core.delete_node(node.metadata.name)
        until(lambda: not ended(made))
        core.delete_namespaced_service(WEBHOOK, NAMESPACE)


def ended(birth: Birth) -> Mapping[str, Any]:
    """The pods that are left, each ended as a kubelet would."""
    left = birth.pods()
    for pod in left.values():
        birth.delete_pod(pod["metadata"]["name"])
    return left


def heard_of(core: client.CoreV1Api, server: WebhookProcess) -> bool:
    """Whether the API server asks already: it learns of a configuration a moment after."""
    container = client.V1Container(name="aws-node", image="example.org/cni:v1")
    spec = client.V1PodSpec(containers=[container], automount_service_account_token=False)
    metadata = client.V1ObjectMeta(name="probe", labels={"k8s-app": "aws-node"})
    pod = client.V1Pod(metadata=metadata, spec=spec)
    core.create_namespaced_pod(NAMESPACE, pod, dry_run="All")
    return sum(server.counts.values()) > 0


async def test_each_pod_is_born_with_the_targets_of_its_group(birth: Birth) -> None:
    before = birth.daemon_set()
    for node in ("web-1", "batch-1", "new-1"):
        birth.add_node(node)
    web, batch, new = (birth.born(node) for node in ("web-1", "batch-1", "new-1"))
    assert env_of(web) == TEMPLATE | {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "20"}
    assert env_of(batch) == TEMPLATE | {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "4"}
    assert env_of(new) == TEMPLATE, "nobody knows its group yet"
    labels = batch["metadata"]["labels"]
    assert {name: labels[f"ippolicy.dev/{name}"] for name in ("policy", "group", "revision")} == {
        "policy": "default",
        "group": "batch",
        "revision": "8",
    }
    assert labels["ippolicy.dev/digest"] == TARGETS["batch"].digest
    assert "ippolicy.dev/group" not in new["metadata"]["labels"]
    await birth.server.stop()
    assert birth.server.counts[Verdict.MUTATED] == 2
    assert birth.server.counts[Verdict.UNKNOWN_NODE] == 1

    def counted() -> dict[str, Any]:
        found = birth.daemon_set()
        done = found["status"].get("updatedNumberScheduled") == 3
        return found if done else {}

    after = until(counted)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["spec"] == before["spec"]
    assert by_hand(after) == by_hand(before)


def by_hand(found: Mapping[str, Any]) -> list[Any]:
    """managedFields of all but the status, which the controller writes."""
    return [e for e in found["metadata"].get("managedFields", ()) if "subresource" not in e]


async def test_a_pod_that_is_deleted_comes_back_with_newer_targets(birth: Birth) -> None:
    birth.add_node("web-1")
    old = birth.born("web-1")
    newer = GroupTargets(WarmTargets(warm_ip=9, minimum_ip=30), 4)
    birth.server.answer_by({REF: PolicyTable("default", groups={"web": newer})})
    birth.delete_pod(old["metadata"]["name"])

    def reborn() -> dict[str, Any]:
        pod = birth.pods().get("web-1", old)
        return pod if pod["metadata"]["uid"] != old["metadata"]["uid"] else {}

    pod = until(reborn)
    assert env_of(pod)["WARM_IP_TARGET"] == "9"
    assert pod["metadata"]["labels"]["ippolicy.dev/revision"] == "4"


async def test_without_the_webhook_pods_come_up_on_the_templates_values(birth: Birth) -> None:
    await birth.server.stop()
    birth.add_node("web-2")
    pod = birth.born("web-2")
    assert env_of(pod) == TEMPLATE
    assert "ippolicy.dev/group" not in pod["metadata"]["labels"]


async def test_with_the_last_policy_the_api_server_asks_no_more(birth: Birth) -> None:
    await birth.keeper.look([], leading=True)
    name = "mutatingwebhookconfigurations"
    found = birth.plane.kubectl("get", name, "-oname")
    assert "ippolicy-operator" not in found
    birth.add_node("web-1")
    assert env_of(birth.born("web-1")) == TEMPLATE
