"""AdmissionReviews about aws-node pods as the API server sends them, and tables to answer by."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ippolicy.admission import Answer, Tables, answer
from ippolicy.admission.review import read_review
from ippolicy.decide.births.table import GroupTargets, NodePlace, PolicyTable
from ippolicy.facts import DaemonSetRef
from ippolicy.ipamd import WarmTargets
from ippolicy.sandbox.kube.patch import json_patch

AWS_NODE = DaemonSetRef("kube-system", "aws-node")
LEAN = GroupTargets(WarmTargets(warm_ip=2, minimum_ip=10), 7)
PLACES = {"node-1": NodePlace("batch", "m5.large"), "node-2": NodePlace("web", "c5.xlarge")}


def entries(env: Mapping[str, str]) -> list[dict[str, Any]]:
    """Env entries with literal values."""
    return [{"name": key, "value": value} for key, value in env.items()]


def aws_node_pod(
    node: str = "node-1", *, env: Sequence[Mapping[str, Any]] | None = (), **metadata: Any
) -> dict[str, Any]:
    """A pod as the DaemonSet controller makes it; `env` None leaves that list out."""
    pin = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [pin]}}
    container: dict[str, Any] = {"name": "aws-node", "image": "example.org/cni:v1.23.1"}
    if env is not None:
        container["env"] = [dict(entry) for entry in env]
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "aws-node", "uid": "u"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "aws-node-",
            "namespace": AWS_NODE.namespace,
            "labels": {"k8s-app": "aws-node", "controller-revision-hash": "abc"},
            "ownerReferences": [{**owner, "controller": True}],
            **metadata,
        },
        "spec": {
            "affinity": {"nodeAffinity": required},
            "containers": [{"name": "aws-eks-nodeagent", "image": "example.org/a:v1"}, container],
        },
    }


def review_of(pod: Any, **request: Any) -> dict[str, Any]:
    """The question whether the pod may be made."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "3f2b",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "",
            "namespace": AWS_NODE.namespace,
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:daemon-set-controller"},
            "object": pod,
            "oldObject": None,
            "dryRun": False,
            **request,
        },
    }


def tables(**groups: GroupTargets) -> Tables:
    """Tables of one policy for aws-node."""
    made = Tables()
    made.replace({AWS_NODE: PolicyTable("default", groups=groups or {"batch": LEAN})})
    return made


def asked(pod: Any, held: Tables | None = None, **request: Any) -> Answer:
    """The answer to the question whether the pod may be made."""
    review = read_review(json.dumps(review_of(pod, **request)).encode())
    return answer(review, held or tables(), lambda _, node: PLACES.get(node))


def patch_of(given: Answer) -> list[dict[str, Any]]:
    """The JSON patch of an answer, empty where there is none."""
    assert given.review is not None
    text = given.review["response"].get("patch")
    return list(json.loads(base64.b64decode(text))) if text else []


def patched(pod: dict[str, Any], given: Answer) -> dict[str, Any]:
    """The pod as the API server makes it upon an answer."""
    return json_patch(pod, patch_of(given))


def env_of(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Env of the container aws-node: key -> value, or the valueFrom object."""
    container = next(c for c in pod["spec"]["containers"] if c["name"] == "aws-node")
    return {e["name"]: e.get("valueFrom") or e.get("value", "") for e in container.get("env") or ()}
