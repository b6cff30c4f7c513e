"""The control plane does what the scenarios on it rely on, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from controlplane import ControlPlane, ControlPlaneError
from controlplane_assets import BINARIES

NODES = ("node-a", "node-b", "node-c")
MANAGER = "ippolicy-operator"
APPLY = "application/apply-patch+yaml"


def node(name: str) -> client.V1Node:
    capacity = {"cpu": "4", "memory": "16Gi", "pods": "58"}
    return client.V1Node(
        metadata=client.V1ObjectMeta(name=name),
        status=client.V1NodeStatus(capacity=capacity, allocatable=capacity),
    )


def aws_node(*, env: dict[str, str]) -> client.V1DaemonSet:
    labels = {"k8s-app": "aws-node"}
    container = client.V1Container(
        name="aws-node",
        image="example.org/amazon-k8s-cni:v1.23.1",
        env=[client.V1EnvVar(name=name, value=value) for name, value in env.items()],
    )
    return client.V1DaemonSet(
        metadata=client.V1ObjectMeta(name="aws-node"),
        spec=client.V1DaemonSetSpec(
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels),
                spec=client.V1PodSpec(containers=[container], host_network=True),
            ),
        ),
    )


def applied(env: dict[str, str]) -> dict[str, object]:
    """A server-side apply body that names these env entries and nothing else."""
    entries = [{"name": name, "value": value} for name, value in env.items()]
    containers = [{"name": "aws-node", "env": entries}]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "aws-node"},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def eventually(found: Callable[[], bool], *, within_s: float = 20) -> bool:
    deadline = time.monotonic() + within_s
    while not found():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def is_alive(pid: int) -> bool:
    """Whether the process exists and is more than a zombie that nobody has reaped."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def daemon_set(admin: client.ApiClient) -> Iterator[client.AppsV1Api]:
    """Three nodes and an aws-node DaemonSet on them; gives the API to change it by."""
    core, apps = client.CoreV1Api(admin), client.AppsV1Api(admin)
    for name in NODES:
        core.create_node(node(name))
    apps.create_namespaced_daemon_set(
        "kube-system", aws_node(env={"AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG", "WARM_ENI_TARGET": "1"})
    )
    yield apps
    apps.delete_namespaced_daemon_set("aws-node", "kube-system")
    for name in NODES:
        core.delete_node(name)


def test_the_server_says_the_version_it_was_built_from(admin: client.ApiClient) -> None:
    version = client.VersionApi(admin).get_code()
    assert (version.major, version.minor) == ("1", "35")
    assert version.git_version == "v1.35.4"


def test_each_node_gets_one_pod_and_the_scheduler_binds_it(
    plane: ControlPlane, admin: client.ApiClient, daemon_set: client.AppsV1Api
) -> None:
    core = client.CoreV1Api(admin)

    def bound() -> list[str]:
        pods = core.list_namespaced_pod("kube-system", label_selector="k8s-app=aws-node").items
        return sorted(pod.spec.node_name for pod in pods if pod.spec and pod.spec.node_name)

    assert eventually(lambda: bound() == list(NODES)), bound()
    binders = [
        event.user
        for event in plane.audit_events()
        if (event.resource, event.subresource, event.code) == ("pods", "binding", 201)
        and event.namespace == "kube-system"
    ]
    assert binders == ["system:kube-scheduler"] * len(NODES)


def test_one_env_entry_is_applied_and_owned_alone(
    plane: ControlPlane, daemon_set: client.AppsV1Api
) -> None:
    answer: Any = daemon_set.patch_namespaced_daemon_set(
        "aws-node",
        "kube-system",
        applied({"WARM_IP_TARGET": "5"}),
        field_manager=MANAGER,
        _content_type=APPLY,
        _preload_content=False,
    )
    after = json.loads(answer.data)
    [container] = after["spec"]["template"]["spec"]["containers"]
    assert {entry["name"]: entry["value"] for entry in container["env"]} == {
        "AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG",
        "WARM_ENI_TARGET": "1",
        "WARM_IP_TARGET": "5",
    }
    [ours] = [each for each in after["metadata"]["managedFields"] if each["manager"] == MANAGER]
    assert ours["operation"] == "Apply"
    containers = ours["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert containers['k:{"name":"aws-node"}']["f:env"] == {
        'k:{"name":"WARM_IP_TARGET"}': {".": {}, "f:name": {}, "f:value": {}}
    }


def test_an_entry_of_another_manager_is_a_conflict_that_names_it(
    daemon_set: client.AppsV1Api,
) -> None:
    with pytest.raises(client.ApiException) as refused:
        daemon_set.patch_namespaced_daemon_set(
            "aws-node",
            "kube-system",
            applied({"WARM_ENI_TARGET": "0"}),
            field_manager="somebody-else",
            _content_type=APPLY,
        )
    assert refused.value.status == 409
    assert '.env[name=\\"WARM_ENI_TARGET\\"].value' in str(refused.value.body)


def test_a_service_account_without_rights_is_denied_and_the_audit_log_tells(
    plane: ControlPlane, admin: client.ApiClient
) -> None:
    core = client.CoreV1Api(admin)
    core.create_namespaced_service_account(
        "default", client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="nobody"))
    )
    with (
        plane.client(plane.service_account_kubeconfig("default", "nobody")) as nobody,
        pytest.raises(client.ApiException) as refused,
    ):
        client.CoreV1Api(nobody).list_namespaced_secret("kube-system")
    assert refused.value.status == 403

    def denied() -> bool:
        return any(
            (event.verb, event.resource, event.namespace, event.code)
            == ("list", "secrets", "kube-system", 403)
            for event in plane.audit_events()
            if event.user == "system:serviceaccount:default:nobody"
        )

    assert eventually(denied)


def test_a_killed_api_server_comes_back_with_its_data(
    plane: ControlPlane, admin: client.ApiClient
) -> None:
    core = client.CoreV1Api(admin)
    core.create_namespaced_config_map(
        "default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="kept"), data={"a": "1"})
    )
    before = plane.pids()
    plane.kill_api_server()
    assert not is_alive(before["kube-apiserver"])
    plane.start_api_server()
    assert core.read_namespaced_config_map("kept", "default").data == {"a": "1"}
    assert plane.pids() | {"kube-apiserver": 0} == before | {"kube-apiserver": 0}


def test_an_exception_stops_every_process_and_removes_the_folder() -> None:
    plane = ControlPlane()
    pids: dict[str, int] = {}

    def fail_while_it_runs() -> None:
        with plane:
            pids.update(plane.pids())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_it_runs()
    assert sorted(pids) == sorted(set(BINARIES) - {"kubectl"})
    assert not any(is_alive(pid) for pid in pids.values())
    assert not plane.folder.exists()


def test_a_killed_test_run_leaves_no_process_behind(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import pathlib, sys, time
        from controlplane import ControlPlane
        with ControlPlane(folder=pathlib.Path(sys.argv[1])) as plane:
            print(*plane.pids().values(), flush=True)
            time.sleep(100)
    """)
    support = Path(__file__).parent.parent / "support"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(support)},
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        pids = [int(pid) for pid in run.stdout.readline().split()]
        assert len(pids) == 4
        run.send_signal(signal.SIGKILL)
    assert eventually(lambda: not any(is_alive(pid) for pid in pids), within_s=5)


def test_a_program_that_ends_at_the_start_is_named_with_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in BINARIES:
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho no room for $0\nexit 3\n")
        program.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    plane = ControlPlane()
    with pytest.raises(ControlPlaneError) as failed:
        plane.__enter__()
    assert "etcd has ended with 3" in str(failed.value)
    assert f"etcd: no room for {tmp_path}/etcd" in str(failed.value)
    assert not plane.folder.exists()
