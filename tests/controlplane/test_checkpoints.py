"""Demand is kept on a real API server under the rules of `deploy/rbac.yaml` that are about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import CustomObjectsApi

from builders import trace
from controlplane import ControlPlane
from ippolicy.act.checkpoints import CheckpointStore, checkpoint_name
from ippolicy.act.requests import CallFailed
from ippolicy.api import API_VERSION, GROUP, KIND, PLURAL, VERSION, IPPolicy
from ippolicy.facts import DaemonSetRef
from kubeapi import until

RBAC = Path(__file__).parents[2] / "deploy/rbac.yaml"
REF = DaemonSetRef("kube-system", "aws-node")
ACCOUNT = "only-checkpoints"


def rules() -> list[dict[str, Any]]:
    """The rule about checkpoints, and that about new ConfigMaps, which can have no name in it."""
    roles = (m for m in yaml.safe_load_all(RBAC.read_text()) if m["kind"] == "Role")
    about = [one for role in roles for one in role["rules"] if one["resources"] == ["configmaps"]]
    (named,) = (one for one in about if one.get("resourceNames") == [checkpoint_name(REF)])
    (new,) = (one for one in about if "resourceNames" not in one)
    assert new["verbs"] == ["create"]
    return [named, new]


@pytest.fixture(scope="module")
def store(deployed: ControlPlane) -> CheckpointStore:
    """A store whose account has these rules and no other."""
    metadata = {"name": ACCOUNT, "namespace": REF.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
    account = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": REF.namespace}
    made: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount"},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": rules()},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "roleRef": role,
            "subjects": [account],
        },
    ]
    items = [one | {"metadata": metadata} for one in made]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    deployed.kubectl("apply", "-f", "-", stdin=json.dumps(listed))
    kubeconfig = deployed.service_account_kubeconfig(REF.namespace, ACCOUNT)
    return CheckpointStore(deployed.client(kubeconfig))


@pytest.fixture
def policy(deployed: ControlPlane) -> Iterator[IPPolicy]:
    """The policy that the demand is kept for; it is deleted at the latest with the test."""
    policies: Any = CustomObjectsApi(deployed.client())
    raw = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "keeps"}, "spec": {}}
    yield IPPolicy.from_raw(policies.create_cluster_custom_object(GROUP, VERSION, PLURAL, raw))
    deployed.kubectl("delete", f"{PLURAL}.{GROUP}", "keeps", "--ignore-not-found")


def test_the_rules_let_a_checkpoint_be_made_replaced_read_and_removed(
    store: CheckpointStore, policy: IPPolicy
) -> None:
    for number in (1, 2):
        store.write(REF, [trace(n) for n in range(number)], 1_800_000_000.0, owners=[policy])
        read = store.read(REF)
        assert read is not None
        assert len(read.traces) == number
    store.delete(REF)
    assert store.read(REF) is None


def test_it_goes_with_its_policy_though_no_operator_runs(
    store: CheckpointStore, policy: IPPolicy, deployed: ControlPlane
) -> None:
    store.write(REF, [trace(1)], 1_800_000_000.0, owners=[policy])
    deployed.kubectl("delete", f"{PLURAL}.{GROUP}", policy.name)
    until(lambda: store.read(REF) is None)  # it looks for new kinds each 30 s


def test_the_rules_are_about_no_other_name(store: CheckpointStore, policy: IPPolicy) -> None:
    other = DaemonSetRef("kube-system", "other")
    with pytest.raises(CallFailed, match="HTTP 403"):
        store.write(other, [trace(1)], 1_800_000_000.0, owners=[policy])
    with pytest.raises(CallFailed, match="HTTP 403"):
        store.read(other)
