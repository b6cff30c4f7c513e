"""What kubelets write to the Kubernetes API: Nodes, pod statuses, leases; and reading pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from ippolicy.sandbox.fleet.kubeclient import Object

AWS_NODE_LABEL: Final = "aws-node"
AWS_NODE_CONTAINER: Final = "aws-node"
KUBELET_VERSION: Final = "v1.35.4-eks-sandbox"


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node to be: what it is, where it stands, and whose group it is of.

    `max_pods` is Node.status.capacity.pods. `labels` and `taints` are added to the usual ones.
    `custom_subnet` is that of the node's ENIConfig, for custom networking.
    """

    instance_type: str
    subnet_id: str
    group: str = "workers"
    max_pods: int = 58
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    custom_subnet: str | None = None


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What is known of a node once its instance runs; `address` is its InternalIP."""

    name: str
    instance_id: str
    zone: str
    region: str
    address: str


def stamp() -> str:
    """The real time now as the API writes it: API servers compare it with their own."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node_object(spec: NodeSpec, identity: NodeIdentity) -> Object:
    """The Node as its kubelet registers it, Ready."""
    labels = {
        "kubernetes.io/hostname": identity.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": spec.instance_type,
        "topology.kubernetes.io/region": identity.region,
        "topology.kubernetes.io/zone": identity.zone,
        "eks.amazonaws.com/nodegroup": spec.group,
        **spec.labels,
    }
    resources = {
        "cpu": "64",
        "memory": "256Gi",
        "ephemeral-storage": "200Gi",
        "pods": str(spec.max_pods),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": identity.name, "labels": labels},
        "spec": {
            "providerID": f"aws:///{identity.zone}/{identity.instance_id}",
            **({"taints": [dict(taint) for taint in spec.taints]} if spec.taints else {}),
        },
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [ready_node_condition()],
            "addresses": [
                {"type": "InternalIP", "address": identity.address},
                {"type": "Hostname", "address": identity.name},
            ],
            "nodeInfo": {
                "kubeletVersion": KUBELET_VERSION,
                "operatingSystem": "linux",
                "architecture": "amd64",
                "containerRuntimeVersion": "containerd://2.1.0",
                "kernelVersion": "6.12.0",
                "osImage": "Sandbox Linux",
                "machineID": identity.instance_id,
                "systemUUID": identity.instance_id,
                "bootID": identity.instance_id,
                "kubeProxyVersion": "",
            },
        },
    }


def ready_node_condition() -> Object:
    """The Ready condition of a Node."""
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": stamp(),
        "lastTransitionTime": stamp(),
    }


def lease_object(node: str) -> Object:
    """The node's heartbeat."""
    renewed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": renewed},
    }


def pod_path(pod: Object) -> str:
    """The API path of a pod."""
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def is_aws_node(pod: Object) -> bool:
    """Whether the pod is an aws-node, by the label that every release puts on it."""
    return (pod["metadata"].get("labels") or {}).get("k8s-app") == AWS_NODE_LABEL


def is_over(pod: Object) -> bool:
    """Whether the pod has run to its end."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def aws_node_env(pod: Object) -> dict[str, str]:
    """Env of the aws-node container: literals and the pod's own fields.

    An entry from a ConfigMap or Secret counts as unset, as an optional one that is missing does.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    fields = {
        "spec.nodeName": spec.get("nodeName", ""),
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
    }
    env: dict[str, str] = {}
    for entry in _container(spec["containers"]).get("env") or ():
        source = entry.get("valueFrom")
        if not source:
            env[entry["name"]] = entry.get("value", "")
        elif (path := (source.get("fieldRef") or {}).get("fieldPath")) in fields:
            env[entry["name"]] = fields[path]
    return env


def _container(containers: Iterable[Object]) -> Object:
    return next((one for one in containers if one["name"] == AWS_NODE_CONTAINER), {})


def running_status(pod: Object, *, host: str, address: str, restarts: int = 0) -> Object:
    """A status patch: every container runs and is ready."""
    started = {"running": {"startedAt": stamp()}}
    return {
        "status": {
            "phase": "Running",
            "hostIP": host,
            "hostIPs": [{"ip": host}],
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": stamp(),
            "conditions": _conditions(ready=True),
            "initContainerStatuses": [
                _container_status(one, {"terminated": {"exitCode": 0, "reason": "Completed"}})
                for one in pod["spec"].get("initContainers") or ()
            ],
            "containerStatuses": [
                _container_status(one, started, ready=True, restarts=restarts)
                for one in pod["spec"]["containers"]
            ],
        }
    }


def crashed_status(pod: Object, *, host: str, restarts: int, why: str) -> Object:
    """A status patch: the aws-node container exited 1 and waits to be started again."""
    crashed = {"waiting": {"reason": "CrashLoopBackOff", "message": why}}
    last = {"terminated": {"exitCode": 1, "reason": "Error", "message": why}}
    containers = [
        {**_container_status(one, crashed, restarts=restarts), "lastState": last}
        if one["name"] == AWS_NODE_CONTAINER
        else _container_status(one, {"running": {"startedAt": stamp()}}, ready=True)
        for one in pod["spec"]["containers"]
    ]
    return {
        "status": {
            "phase": "Running",
            "hostIP": host,
            "hostIPs": [{"ip": host}],
            "podIP": host,
            "podIPs": [{"ip": host}],
            "conditions": _conditions(ready=False),
            "containerStatuses": containers,
        }
    }


def _conditions(*, ready: bool) -> list[Object]:
    state = "True" if ready else "False"
    states = {"Initialized": "True", "ContainersReady": state, "Ready": state}
    return [
        {"type": name, "status": status, "lastTransitionTime": stamp()}
        for name, status in states.items()
    ]


def _container_status(
    container: Object, state: Object, *, ready: bool = False, restarts: int = 0
) -> Object:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": container["image"],
        "containerID": f"containerd://{container['name']}",
        "ready": ready,
        "started": ready,
        "restartCount": restarts,
        "state": state,
    }
