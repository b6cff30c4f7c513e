"""What the operator may do on a real API server, right by right: each is needed, and no other used.

One control plane, one operator at a time, with the service account and the roles that `deploy/` has
from the chart. Rights are kept back, several at once where each shows by itself, and given back in
the order in which they are missed; what shows must name the right. In the end the audit log must
know each right, and no request outside of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from controlplane import AuditEvent, ControlPlane
from ippolicy.sandbox import manifests
from ippolicy.sandbox.cluster import POLICIES, Sandbox
from ippolicy.sandbox.operator import OperatorProcess
from ports import free_port
from rbac import Right, Rights
from realworlds import ACCOUNT, DEPLOY, real_sandbox
from replicas import LEASE, elected
from served import page
from worlds import SOON, changed, condition, small

USER = f"system:serviceaccount:kube-system:{ACCOUNT}"
FORBIDDEN = 403
RECORD, CHECKPOINT = "ippolicy-record-aws-node", "ippolicy-checkpoint-aws-node"
TARGETS, WEBHOOK = "ippolicy-targets-aws-node", "ippolicy-operator-webhook"
CONFIGURATIONS = "mutatingwebhookconfigurations"
AT_BIRTH = {
    **SOON,
    "apply": {"method": "Admission"},
    "change": {**SOON["change"], "rollback": {"within": "0s"}},
}
POLICY = f"{POLICIES}/default"
SETTINGS = {
    **elected("6s"),
    "IPPOLICY_CHOICE": "rule",
    "IPPOLICY_CHECKPOINT_INTERVAL": "1s",
    "IPPOLICY_WATCH_TIMEOUT": "30s",
}
WATCHED = ("nodes", "pods", "ippolicies", "customresourcedefinitions", "daemonsets")
REFUSED = "was answered with HTTP 403"
SIGNS = {
    # Whoever cannot list is not ready; kopf, which watches on its own, logs what it misses.
    "list nodes": f"GET /api/v1/nodes {REFUSED}",
    "list pods": f"GET /api/v1/pods {REFUSED}",
    "list ippolicies": f"GET /apis/ippolicy.dev/v1alpha1/ippolicies {REFUSED}",
    "list customresourcedefinitions": "/customresourcedefinitions -> APIForbiddenError",
    "list daemonsets": f"namespaces/kube-system/daemonsets {REFUSED}",
    "list eniconfigs": "allow list eniconfigs to the operator's service account",
    "watch nodes": "allow list, watch nodes to the operator's service account",
    "watch pods": "allow list, watch pods to the operator's service account",
    "watch ippolicies": "/ippolicies?watch=true",
    "watch customresourcedefinitions": "/customresourcedefinitions?watch=true",
    "watch daemonsets": "allow list, watch daemonsets to the operator's service account",
    "get leases ippolicy-operator": "read Lease kube-system/ippolicy-operator: HTTP 403",
    "create leases": "create Lease kube-system/ippolicy-operator: HTTP 403",
    "update leases ippolicy-operator": "replace Lease kube-system/ippolicy-operator: HTTP 403",
    "patch ippolicies": "/ippolicies/default -> APIForbiddenError",
    "patch ippolicies/status": "patch-status was not taken by the API server",
    "create events": "create-event was not taken by the API server",
    "get daemonsets": "read DaemonSet kube-system/aws-node: HTTP 403",
    "patch daemonsets aws-node": "apply env of DaemonSet kube-system/aws-node: HTTP 403",
    "create configmaps": f"create ConfigMap kube-system/{RECORD}: HTTP 403",
    f"get configmaps {RECORD}": f"read ConfigMap kube-system/{RECORD}: HTTP 403",
    f"patch configmaps {RECORD}": f"write ConfigMap kube-system/{RECORD}: HTTP 403",
    f"delete configmaps {RECORD}": f"delete ConfigMap kube-system/{RECORD}: HTTP 403",
    f"get configmaps {CHECKPOINT}": f"read ConfigMap kube-system/{CHECKPOINT}: HTTP 403",
    f"patch configmaps {CHECKPOINT}": f"write ConfigMap kube-system/{CHECKPOINT}: HTTP 403",
    f"delete configmaps {CHECKPOINT}": f"delete ConfigMap kube-system/{CHECKPOINT}: HTTP 403",
    "get configmaps cilium-config": "Cilium's mode is not read: allow get configmaps",
    "get configmaps amazon-vpc-cni": "are not told apart: allow get configmaps",
    "get pods/proxy": "allow get pods/proxy to the operator's service account",
    f"get configmaps {TARGETS}": f"read ConfigMap kube-system/{TARGETS}: HTTP 403",
    f"patch configmaps {TARGETS}": f"write ConfigMap kube-system/{TARGETS}: HTTP 403",
    f"delete configmaps {TARGETS}": f"delete ConfigMap kube-system/{TARGETS}: HTTP 403",
    f"get secrets {WEBHOOK}": f"read Secret kube-system/{WEBHOOK}: HTTP 403",
    f"patch secrets {WEBHOOK}": 'cannot patch resource "secrets"',
    f"create secrets {WEBHOOK}": 'cannot create resource "secrets"',
    f"delete secrets {WEBHOOK}": f"delete Secret kube-system/{WEBHOOK}: HTTP 403",
    f"get {CONFIGURATIONS} {WEBHOOK}": f"read MutatingWebhookConfiguration {WEBHOOK}: HTTP 403",
    f"patch {CONFIGURATIONS} {WEBHOOK}": f'cannot patch resource "{CONFIGURATIONS}"',
    f"create {CONFIGURATIONS} {WEBHOOK}": f'cannot create resource "{CONFIGURATIONS}"',
    f"delete {CONFIGURATIONS} {WEBHOOK}": f"delete MutatingWebhookConfiguration {WEBHOOK}: HTTP",
    "delete pods": "delete Pod kube-system/aws-node-",
}
"""Right -> what is said without it, in a condition, in the log or by /readyz."""

CILIUM: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "cilium", "namespace": "kube-system"},
    "spec": {
        "selector": {"matchLabels": {"k8s-app": "cilium"}},
        "template": {
            "metadata": {"labels": {"k8s-app": "cilium"}},
            "spec": {
                "nodeSelector": {"nowhere": "true"},
                "containers": [{"name": "cilium-agent", "image": "cilium:v1.18"}],
            },
        },
    },
}


@dataclass
class Deprived:
    """An operator whose rights are kept back and given back."""

    sandbox: Sandbox
    plane: ControlPlane
    rights: Rights
    missed: set[str] = field(default_factory=set)

    def right(self, name: str) -> Right:
        (found,) = (right for right in self.rights.all if str(right) == name)
        return found

    @contextmanager
    def operator(
        self, *without: str, settings: Mapping[str, str] | None = None
    ) -> Iterator[OperatorProcess]:
        """An operator that starts without some rights, which it has again in the end."""
        assert self.sandbox.folder is not None
        process = OperatorProcess(
            kubeconfig=self.sandbox.operator.kubeconfig,
            endpoint_url=self.sandbox.ec2.endpoint_url,
            region=self.sandbox.ec2.region,
            log=self.sandbox.operator.log,
            settings={**self.sandbox.layout.operator_settings, **(settings or {})},
        )
        process.log.write_text("")
        self.rights.keep_back(*map(self.right, without))
        process.start()
        try:
            yield process
        finally:
            process.kill9()
            self.rights.keep_back()

    def misses(self, process: OperatorProcess, *names: str) -> None:
        """Wait until each of these rights is named."""
        for name in names:
            self.sandbox.wait(partial(self._names, name, process), f"a word on {name}")
            self.missed.add(name)

    def give_back_in_turn(self, process: OperatorProcess, *names: str) -> None:
        """Without all of these rights, wait for a word on the first and give it back, and so on."""
        for number, name in enumerate(names, 1):
            self.misses(process, name)
            self.rights.keep_back(*map(self.right, names[number:]))

    def asked(self) -> list[AuditEvent]:
        """Every request of an operator so far."""
        return [event for event in self.plane.audit_events() if event.user == USER]

    def idle(self, *rights: Right) -> list[Right]:
        """Those of these rights by which nothing was ever done."""
        granted = [event for event in self.asked() if event.code != FORBIDDEN]
        return [right for right in rights if not any(right.covers(event) for event in granted)]

    def uses(self, *names: str) -> None:
        """Wait until each of these rights was used."""
        rights = [self.right(name) for name in names]
        self.sandbox.wait(lambda: not self.idle(*rights), f"the use of {', '.join(names)}")

    def _names(self, name: str, process: OperatorProcess) -> bool:
        return SIGNS[name] in self._said(process)

    def _said(self, process: OperatorProcess) -> str:
        conditions = [str(one["message"]) for one in self.sandbox.conditions().values()]
        return "\n".join([process.log.read_text(), *conditions, page(f"{process.url}/readyz")[1]])


@pytest.fixture(scope="module")
def deprived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deprived]:
    folder = tmp_path_factory.mktemp("rights") / "controlplane"
    with real_sandbox(small(nodes=2, operator_settings=SETTINGS), folder) as (sandbox, plane):
        for apart in ("rbac-proxy-scrape.yaml", "webhook.yaml"):
            plane.kubectl("apply", "-f", str(DEPLOY / apart))
        sandbox.apply_policy({"mode": "Recommend"})
        yield Deprived(sandbox, plane, Rights(plane))


def kept(sandbox: Sandbox) -> bool:
    path = f"/api/v1/namespaces/kube-system/configmaps/{CHECKPOINT}"
    return sandbox.run(sandbox.client.find(path)) is not None


def gone(sandbox: Sandbox) -> bool:
    return sandbox.policy() is None


def test_an_operator_that_cannot_list_says_what(deprived: Deprived) -> None:
    lists = [f"list {resource}" for resource in WATCHED if resource != "daemonsets"]
    with deprived.operator(*lists) as operator:
        deprived.misses(operator, *lists)
    with deprived.operator("list daemonsets") as operator:
        deprived.misses(operator, "list daemonsets")


def test_an_operator_that_cannot_watch_says_what(deprived: Deprived) -> None:
    watches = [f"watch {resource}" for resource in WATCHED]
    with deprived.operator(*watches, f"get configmaps {CHECKPOINT}") as operator:
        deprived.misses(operator, *watches, f"get configmaps {CHECKPOINT}")


def test_an_operator_that_cannot_have_the_lease_says_so(deprived: Deprived) -> None:
    deprived.sandbox.run(deprived.sandbox.client.delete(LEASE))
    steps = [f"{verb} leases ippolicy-operator" for verb in ("get", "update")]
    with deprived.operator(*steps, "create leases") as operator:
        deprived.give_back_in_turn(operator, steps[0], "create leases", steps[1])


def test_an_operator_that_cannot_scrape_through_the_proxy_says_so(deprived: Deprived) -> None:
    with deprived.operator("get pods/proxy", settings={"IPPOLICY_SCRAPE_VIA": "proxy"}) as operator:
        deprived.give_back_in_turn(operator, "get pods/proxy")
        deprived.uses("get pods/proxy")


def test_an_operator_that_cannot_read_what_some_clusters_have_says_so(deprived: Deprived) -> None:
    sandbox = deprived.sandbox
    sandbox.set_env({"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"})
    sandbox.run(sandbox.client.create(manifests.DAEMON_SETS, CILIUM))
    reads = ("list eniconfigs", "get configmaps cilium-config", "get configmaps amazon-vpc-cni")
    with deprived.operator(*reads) as operator:
        deprived.give_back_in_turn(operator, *reads)
        deprived.uses(*reads)
    sandbox.run(sandbox.client.delete(f"{manifests.DAEMON_SETS}/cilium"))
    sandbox.set_env({"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "false"})
    sandbox.wait(sandbox.rolled_out, "the rollout by hand")


def test_an_operator_that_cannot_write_says_what(deprived: Deprived) -> None:
    sandbox = deprived.sandbox
    writes = (
        "patch ippolicies/status",
        "patch ippolicies",
        "create events",
        f"get configmaps {RECORD}",
        "get daemonsets",
        "create configmaps",
        "patch daemonsets aws-node",
        f"patch configmaps {RECORD}",
        f"patch configmaps {CHECKPOINT}",
    )
    sandbox.run(sandbox.client.patch(POLICY, {"metadata": {"finalizers": None}}))
    sandbox.delete_policy()
    sandbox.wait(lambda: gone(sandbox), "the policy to go")
    sandbox.apply_policy(SOON)
    with deprived.operator(*writes) as operator:
        deprived.give_back_in_turn(operator, *writes)
        sandbox.wait(lambda: changed(sandbox), "the targets")
        sandbox.wait(condition(sandbox, "Progressing", "False"), "the end of the rollout")
        deletes = [f"delete configmaps {name}" for name in (RECORD, CHECKPOINT)]
        deprived.rights.keep_back(*map(deprived.right, deletes))
        sandbox.delete_policy()
        deprived.give_back_in_turn(operator, *deletes)
        sandbox.wait(lambda: gone(sandbox), "the policy to go")
        sandbox.apply_policy({"mode": "Recommend"})
        sandbox.wait(lambda: kept(sandbox), "a checkpoint")
        sandbox.delete_policy()
        deprived.uses(*deletes)


def test_an_operator_that_cannot_set_targets_at_birth_says_what(deprived: Deprived) -> None:
    sandbox = deprived.sandbox
    steps = (
        f"get configmaps {TARGETS}",
        f"get secrets {WEBHOOK}",
        f"get {CONFIGURATIONS} {WEBHOOK}",
        f"patch secrets {WEBHOOK}",
        f"create secrets {WEBHOOK}",
        f"patch {CONFIGURATIONS} {WEBHOOK}",
        f"create {CONFIGURATIONS} {WEBHOOK}",
        f"patch configmaps {TARGETS}",
        "delete pods",
    )
    settings = {"IPPOLICY_WEBHOOK_SERVICE": WEBHOOK, "IPPOLICY_WEBHOOK_PORT": str(free_port())}
    sandbox.apply_policy(AT_BIRTH)
    with deprived.operator(*steps, settings=settings) as operator:
        deprived.give_back_in_turn(operator, *steps)
        deprived.uses(*steps)
        ends = [f"delete configmaps {TARGETS}", f"delete {CONFIGURATIONS} {WEBHOOK}"]
        ends.append(f"delete secrets {WEBHOOK}")
        deprived.rights.keep_back(*map(deprived.right, ends))
        sandbox.delete_policy()
        deprived.give_back_in_turn(operator, *ends)
        sandbox.wait(lambda: gone(sandbox), "the policy to go")
        deprived.uses(*ends)


def test_every_right_was_missed_and_used_and_nothing_else_was_asked(deprived: Deprived) -> None:
    rights = deprived.rights.all
    assert deprived.missed == {str(right) for right in rights} == set(SIGNS)
    asked = deprived.asked()
    assert [event for event in asked if not any(right.covers(event) for right in rights)] == []
    assert deprived.idle(*rights) == []
