"""Targets by node group on the stock DaemonSet: right at birth, by a webhook."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ippolicy.sandbox import manifests
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.fleet import NodeSpec
from replicas import elected
from reviews import env_of
from worlds import SOON, World, condition

CORE = "/api/v1/namespaces/kube-system"
SERVICE = "ippolicy-operator-webhook"
CONFIGURATION = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{SERVICE}"
OURS = (CONFIGURATION, f"{CORE}/secrets/{SERVICE}", f"{CORE}/configmaps/ippolicy-targets-aws-node")
AT_BIRTH: Mapping[str, Any] = {**SOON, "apply": {"method": "Admission"}}
FLEET = {"batch": ("m5.xlarge", 3), "web": ("m5.2xlarge", 30)}  # group -> type, pods on each node


@contextmanager
def born(world: World) -> Iterator[Sandbox]:
    """Two groups of two nodes, and an operator that the API server can ask."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        **elected("1m"),
        "IPPOLICY_WEBHOOK_SERVICE": SERVICE,
        "IPPOLICY_WEBHOOK_PORT": str(port),
    }
    subnets = ("10.0.0.0/22",)
    with world(nodes=0, subnets=subnets, operator_settings=settings) as sandbox:
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE},
            "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
        }
        path = f"{CORE}/services/{SERVICE}"
        sandbox.run(sandbox.client.apply(path, service, manager=manifests.INSTALLER))
        for group in FLEET:
            add(sandbox, group, nodes=2)
        sandbox.operator.start()
        yield sandbox


def add(sandbox: Sandbox, group: str, *, nodes: int = 1) -> list[str]:
    """More nodes of a group."""
    kind, pods = FLEET[group]
    specs = [NodeSpec(kind, sandbox.subnets[0], group, 58)] * nodes
    return sandbox.add_nodes(specs, pods_per_node=pods)


def pod_on(sandbox: Sandbox, node: str) -> dict[str, Any]:
    """The aws-node pod of a node."""
    items, _ = sandbox.run(sandbox.client.list(f"{CORE}/pods", labelSelector="k8s-app=aws-node"))
    return next(one for one in items if one["spec"]["nodeName"] == node)


def targets_on(sandbox: Sandbox, node: str) -> dict[str, str]:
    """The warm targets that a node's aws-node was born with."""
    env = env_of(pod_on(sandbox, node))
    return {key: value for key, value in env.items() if key.endswith("_TARGET")}


def by_others(sandbox: Sandbox) -> tuple[int, list[Any]]:
    """The DaemonSet's generation, and who holds what of it but for its status."""
    found = sandbox.daemonset()["metadata"]
    return found["generation"], [e for e in found["managedFields"] if "subresource" not in e]


def lean(sandbox: Sandbox) -> bool:
    """Whether every group has targets that count addresses; the first glance may keep the CNI's."""
    found = sandbox.run(sandbox.client.find(OURS[-1]))
    groups = json.loads(found["data"]["targets.json"])["groups"] if found is not None else {}
    return set(groups) == set(FLEET) and all(row["warmIP"] > 0 for row in groups.values())


def is_there(sandbox: Sandbox, path: str) -> bool:
    return sandbox.run(sandbox.client.find(path)) is not None


def told_of(sandbox: Sandbox) -> Callable[[str], Mapping[str, Any]]:
    status = (sandbox.policy() or {}).get("status") or {}
    groups = {one["name"]: one for one in status.get("groups") or ()}
    return lambda group: groups[group]["births"]


def test_new_nodes_of_two_groups_are_born_with_their_own_targets(world: World) -> None:
    with born(world) as sandbox:
        untouched, template = by_others(sandbox), sandbox.env()
        sandbox.apply_policy(AT_BIRTH)
        sandbox.wait(condition(sandbox, "Progressing", "True", "0 of 4 nodes"), "the targets")
        sandbox.wait(lambda: is_there(sandbox, CONFIGURATION), "the webhook")
        sandbox.wait(lambda: lean(sandbox), "targets of both groups")
        sandbox.wait(condition(sandbox, "Applied", "False", "AtBirth"), "the way")

        nodes = {group: add(sandbox, group)[0] for group in FLEET}
        found = {group: targets_on(sandbox, node) for group, node in nodes.items()}
        assert found["batch"] != found["web"]
        of_template = {key: value for key, value in template.items() if key.endswith("_TARGET")}
        assert of_template not in found.values()
        for group, node in nodes.items():
            labels = pod_on(sandbox, node)["metadata"]["labels"]
            assert labels["ippolicy.dev/group"] == group
            assert labels["ippolicy.dev/policy"] == "default"

        sandbox.wait(condition(sandbox, "Progressing", "True", "of 6 nodes"), "the new nodes")
        told = told_of(sandbox)
        for group in FLEET:
            assert told(group)["template"] == 2
            assert told(group)["current"] + told(group)["older"] == 1
        assert by_others(sandbox) == untouched
        assert sandbox.env() == template


def test_when_the_policy_goes_new_pods_have_the_values_of_the_template(world: World) -> None:
    with born(world) as sandbox:
        untouched = by_others(sandbox)
        sandbox.apply_policy(AT_BIRTH)
        sandbox.wait(lambda: all(is_there(sandbox, path) for path in OURS), "the webhook")
        sandbox.wait(lambda: lean(sandbox), "targets of both groups")
        node = add(sandbox, "web")[0]
        assert "WARM_IP_TARGET" in targets_on(sandbox, node)

        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert [path for path in OURS if is_there(sandbox, path)] == []
        pod = pod_on(sandbox, node)["metadata"]
        sandbox.run(sandbox.client.delete(f"{CORE}/pods/{pod['name']}"))

        def reborn() -> bool:
            items, _ = sandbox.run(
                sandbox.client.list(f"{CORE}/pods", labelSelector="k8s-app=aws-node")
            )
            on_node = [one for one in items if one["spec"].get("nodeName") == node]
            return [one["metadata"]["uid"] for one in on_node] not in ([], [pod["uid"]])

        sandbox.wait(reborn, "the pod's successor")
        sandbox.settle()
        assert "WARM_IP_TARGET" not in targets_on(sandbox, node)
        assert by_others(sandbox) == untouched


def test_without_the_webhook_the_policy_says_how_to_turn_it_on(world: World) -> None:
    with world() as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(AT_BIRTH)
        says = "webhook.enabled=true"
        sandbox.wait(condition(sandbox, "Ready", "False", says), "the fix in the condition")
        assert sandbox.daemonset_generation() == 1
