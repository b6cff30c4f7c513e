"""A release's life on a real control plane: installed, tested, upgraded, rolled back, removed."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane import ControlPlane, ControlPlaneError
from helm import CHART, NAMESPACE, RELEASE, Helm, HelmError
from ippolicy.sandbox.clock import PATIENCE_S
from pod_runner import PodRunner

CRD = "customresourcedefinition/ippolicies.ippolicy.dev"
DEPLOYMENT = "deployment/ippolicy-operator"
READY_WITHIN_S = 60.0
PATIENTLY = f"--timeout={PATIENCE_S:.0f}s"
MINE = {
    "apiVersion": "ippolicy.dev/v1alpha1",
    "kind": "IPPolicy",
    "metadata": {"name": "mine"},
    "spec": {"mode": "Off"},
}


@pytest.fixture(scope="session")
def previous(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packaged version before this one: its resource knows no column Mode yet."""
    folder = tmp_path_factory.mktemp("previous")
    chart = Path(shutil.copytree(CHART, folder / CHART.name))
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(
        yaml.safe_dump(about | {"version": "0.0.9", "appVersion": "0.0.9"})
    )
    crd = yaml.safe_load((chart / "files/crd.yaml").read_text())
    columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    columns[:] = [column for column in columns if column["name"] != "Mode"]
    (chart / "files/crd.yaml").write_text(yaml.safe_dump(crd))
    helm("package", chart, "--destination", folder)
    return folder / f"{CHART.name}-0.0.9.tgz"


def got(plane: ControlPlane, *what: str) -> Any:
    """An object, or a list of them, as the API server has it."""
    return json.loads(plane.kubectl("get", "-n", NAMESPACE, *what, "-o", "json"))


def columns(plane: ControlPlane) -> set[str]:
    """What `kubectl get ippolicies` shows."""
    version = got(plane, CRD)["spec"]["versions"][0]
    return {column["name"] for column in version["additionalPrinterColumns"]}


def rolled_out(plane: ControlPlane) -> str:
    """The tag of the image that all operators run, once they do. Helm itself waits for one only."""
    plane.kubectl("-n", NAMESPACE, "rollout", "status", DEPLOYMENT, PATIENTLY)
    (container,) = got(plane, DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
    return str(container["image"].rpartition(":")[2])


def policies(plane: ControlPlane) -> dict[str, Any]:
    """Mode of each policy by its name."""
    items = got(plane, "ippolicies.ippolicy.dev")["items"]
    return {one["metadata"]["name"]: one["spec"]["mode"] for one in items}


def delete_policies(plane: ControlPlane) -> None:
    """Delete all; the operator releases them."""
    plane.kubectl("delete", "ippolicies.ippolicy.dev", "--all", PATIENTLY)


def test_an_empty_cluster_is_ready_within_a_minute(
    plane: ControlPlane, cluster: Helm, runner: PodRunner
) -> None:
    started_s = time.monotonic()
    notes = cluster(
        *("install", RELEASE, CHART, "--wait", "--timeout", f"{READY_WITHIN_S:.0f}s"),
        values={"policy": {"create": True}},
    )
    assert rolled_out(plane) == "0.1.0"
    assert time.monotonic() - started_s < READY_WITHIN_S
    deployment = got(plane, DEPLOYMENT)
    assert deployment["status"]["readyReplicas"] == deployment["spec"]["replicas"] == 2
    pods = {pod["metadata"]["name"]: pod for pod in got(plane, "pods")["items"]}
    assert len({pod["spec"]["nodeName"] for pod in pods.values()}) == 2
    holder = got(plane, "lease", "ippolicy-operator")["spec"]["holderIdentity"]
    assert holder.rpartition("_")[0] in pods
    assert policies(plane) == {"default": "Recommend"}
    plane.kubectl("wait", "--for=condition=Ready=false", "ippolicy/default", PATIENTLY)
    reason = "jsonpath={.status.conditions[?(@.type=='Ready')].reason}"
    assert plane.kubectl("get", "ippolicy", "default", "-o", reason) == "NoDaemonSet"
    assert "names no IAM role" in notes
    assert "Phase:          Succeeded" in cluster("test", RELEASE)
    delete_policies(plane)


def test_an_upgrade_renews_the_resource_and_a_rollback_takes_it_back(
    plane: ControlPlane, cluster: Helm, runner: PodRunner, previous: Path
) -> None:
    cluster("install", RELEASE, previous, "--wait")
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(MINE))
    assert rolled_out(plane) == "0.0.9"
    assert "Mode" not in columns(plane)

    cluster("upgrade", RELEASE, CHART, "--wait")
    assert rolled_out(plane) == "0.1.0"
    assert "Mode" in columns(plane)
    assert policies(plane) == {"mine": "Off"}

    cluster("rollback", RELEASE, "1", "--wait")
    assert rolled_out(plane) == "0.0.9"
    assert "Mode" not in columns(plane)
    assert policies(plane) == {"mine": "Off"}
    states = [each["status"] for each in json.loads(cluster("history", RELEASE, "-o", "json"))]
    assert states == ["superseded", "superseded", "deployed"]
    delete_policies(plane)


def test_policies_outlive_the_release_and_are_found_again(
    plane: ControlPlane, cluster: Helm, previous: Path
) -> None:
    cluster("install", RELEASE, previous)
    plane.wait_for_resources()
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(MINE))
    cluster("uninstall", RELEASE, "--wait")
    assert policies(plane) == {"mine": "Off"}
    left = "serviceaccounts,roles,rolebindings,services,deployments,poddisruptionbudgets"
    assert "ippolicy" not in plane.kubectl("get", "-A", left, "-o", "name")
    assert "ippolicy" not in plane.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")

    cluster("install", RELEASE, CHART)
    assert policies(plane) == {"mine": "Off"}
    assert "Mode" in columns(plane)


def test_a_cluster_has_one_release_and_its_resource_goes_with_it_if_told_to(
    plane: ControlPlane, cluster: Helm
) -> None:
    cluster("install", RELEASE, CHART, values={"crds": {"keep": False}})
    plane.wait_for_resources()
    with pytest.raises(HelmError, match="cannot be imported into the current release"):
        cluster("install", "another", CHART)  # two of them would act against each other
    cluster("uninstall", RELEASE, "--wait")
    with pytest.raises(ControlPlaneError, match="not found"):
        got(plane, CRD)


def test_a_resource_that_is_managed_elsewhere_is_left_alone(
    plane: ControlPlane, cluster: Helm, previous: Path
) -> None:
    cluster("install", RELEASE, previous)
    before = got(plane, CRD)["spec"]
    cluster("upgrade", RELEASE, CHART, values={"crds": {"enabled": False}})
    assert got(plane, CRD)["spec"] == before


def test_the_first_policy_is_made_once_and_then_left_to_its_owner(
    plane: ControlPlane, cluster: Helm
) -> None:
    first = {"policy": {"create": True, "spec": {"mode": "Off"}}}
    cluster("install", RELEASE, CHART, values={"replicaCount": 0})
    plane.wait_for_resources()
    assert policies(plane) == {}
    cluster("upgrade", RELEASE, CHART, values=first | {"replicaCount": 0})
    assert policies(plane) == {"default": "Off"}

    change = {"spec": {"mode": "Apply"}}
    plane.kubectl("patch", "ippolicy", "default", "--type=merge", "-p", json.dumps(change))
    cluster("upgrade", RELEASE, CHART, values=first | {"replicaCount": 1})
    cluster("rollback", RELEASE, "1")
    cluster("uninstall", RELEASE, "--wait")
    assert policies(plane) == {"default": "Apply"}


def test_plain_manifests_are_handed_over_without_a_restart(
    plane: ControlPlane, cluster: Helm, runner: PodRunner
) -> None:
    plane.kubectl("apply", "--server-side", "-k", str(CHART.parents[1] / "deploy"))
    rolled_out(plane)
    before = {pod["metadata"]["uid"] for pod in got(plane, "pods")["items"]}
    with pytest.raises(HelmError, match="cannot be imported into the current release"):
        cluster("install", RELEASE, CHART)
    cluster("install", RELEASE, CHART, "--wait", "--take-ownership")
    assert {pod["metadata"]["uid"] for pod in got(plane, "pods")["items"]} == before


def test_operators_are_replaced_one_after_the_other(
    plane: ControlPlane, cluster: Helm, runner: PodRunner
) -> None:
    cluster("install", RELEASE, CHART, "--wait")
    cluster("upgrade", RELEASE, CHART, values={"podLabels": {"a": "b"}})
    watched = ["get", DEPLOYMENT, "-n", NAMESPACE, "-o", "json"]
    while (status := json.loads(plane.kubectl(*watched))["status"]).get("updatedReplicas") != 2:
        assert status["replicas"] <= 2
        assert status["availableReplicas"] >= 1
        time.sleep(0.2)
