"""A pod of a DaemonSet is deleted by its uid, and made anew once it is gone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from ippolicy.act.restarts import PodRestarts
from kubeapi import KubeAPI, daemon_set, until

GRACE_S = 7


@pytest.fixture
def old(kube_api: KubeAPI) -> Iterator[dict[str, Any]]:
    """The aws-node pod of the one node that the DaemonSet is for."""
    node = f"node-{secrets.token_hex(4)}"
    room = {"pods": "110", "cpu": "4", "memory": "16Gi"}
    status = {"capacity": room, "allocatable": room}
    body = {"metadata": {"name": node, "labels": {"only": node}}, "status": status}
    assert kube_api.call("POST", "/api/v1/nodes", body).code == 201
    wanted = daemon_set(WARM_IP_TARGET="1")
    wanted["spec"]["template"]["spec"] |= {
        "nodeSelector": {"only": node},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_S,
    }
    path = kube_api.path("daemonsets", "aws-node", group="apps")
    kube_api.call("POST", path.rpartition("/")[0], wanted)
    yield until(lambda: next((one for one in pods(kube_api) if one["spec"].get("nodeName")), None))
    kube_api.call("DELETE", path)
    kube_api.call("DELETE", f"/api/v1/nodes/{node}")


def pods(kube_api: KubeAPI) -> list[dict[str, Any]]:
    return list(kube_api.call("GET", kube_api.path("pods")).body["items"])


def test_a_pod_goes_by_its_uid_and_its_successor_is_let_be(
    kube_api: KubeAPI, old: dict[str, Any]
) -> None:
    restarts, about = PodRestarts(kube_api.client()), old["metadata"]
    namespace, name, uid = kube_api.namespace, about["name"], about["uid"]
    assert restarts.delete(namespace, name, "another") is False
    assert "deletionTimestamp" not in pods(kube_api)[0]["metadata"]

    assert restarts.delete(namespace, name, uid) is True
    (ending,) = pods(kube_api)
    assert ending["metadata"]["deletionGracePeriodSeconds"] == GRACE_S
    assert restarts.delete(namespace, name, uid) is True, "whoever asks again changes nothing"
    (again,) = pods(kube_api)
    assert again["metadata"]["deletionTimestamp"] == ending["metadata"]["deletionTimestamp"]

    # As the kubelet does once it has ended; until then there is no successor.
    kube_api.call("DELETE", kube_api.path("pods", name), {"gracePeriodSeconds": 0})
    new = until(lambda: next((p for p in pods(kube_api) if p["metadata"]["uid"] != uid), None))
    assert restarts.delete(namespace, name, uid) is False
    assert restarts.delete(namespace, new["metadata"]["name"], uid) is False
    assert [one["metadata"]["uid"] for one in pods(kube_api)] == [new["metadata"]["uid"]]
    path = kube_api.path("daemonsets", "aws-node", group="apps")
    assert kube_api.call("GET", path).body["metadata"]["generation"] == 1
