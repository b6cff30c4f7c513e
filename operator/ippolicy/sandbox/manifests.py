"""What stands in kube-system of every cluster on the Amazon VPC CNI: aws-node and its CRD.

The DaemonSet has the values that the CNI's chart v1.23.1 sets when nobody changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ippolicy.sandbox.fleet.endpoints import METRICS_PORT
from ippolicy.sandbox.fleet.kubeclient import Object
from ippolicy.sandbox.fleet.metrics import CNI_VERSION

DAEMON_SETS: Final = "/apis/apps/v1/namespaces/kube-system/daemonsets"
CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SERVICE_ACCOUNTS: Final = "/api/v1/namespaces/kube-system/serviceaccounts"
INSTALLER: Final = "helm"

CHART_ENV: Mapping[str, str] = MappingProxyType(
    {
        "ADDITIONAL_ENI_TAGS": "{}",
        "AWS_VPC_CNI_NODE_PORT_SUPPORT": "true",
        "AWS_VPC_ENI_MTU": "9001",
        "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "false",
        "AWS_VPC_K8S_CNI_EXTERNALSNAT": "false",
        "AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG",
        "AWS_VPC_K8S_CNI_LOG_FILE": "/host/var/log/aws-routed-eni/ipamd.log",
        "AWS_VPC_K8S_CNI_RANDOMIZESNAT": "prng",
        "AWS_VPC_K8S_CNI_VETHPREFIX": "eni",
        "AWS_VPC_K8S_PLUGIN_LOG_FILE": "/var/log/aws-routed-eni/plugin.log",
        "AWS_VPC_K8S_PLUGIN_LOG_LEVEL": "DEBUG",
        "DISABLE_INTROSPECTION": "false",
        "DISABLE_METRICS": "false",
        "DISABLE_NETWORK_RESOURCE_PROVISIONING": "false",
        "ENABLE_IMDS_ONLY_MODE": "false",
        "ENABLE_IPv4": "true",
        "ENABLE_IPv6": "false",
        "ENABLE_MULTI_NIC": "false",
        "ENABLE_POD_ENI": "false",
        "ENABLE_PREFIX_DELEGATION": "false",
        "ENABLE_SUBNET_DISCOVERY": "true",
        "NETWORK_POLICY_ENFORCING_MODE": "standard",
        "VPC_CNI_VERSION": CNI_VERSION,
        "WARM_ENI_TARGET": "1",
        "WARM_PREFIX_TARGET": "1",
    }
)
"""Env of the aws-node container by the chart's values."""

_CHART_LABELS = {"app.kubernetes.io/name": "aws-node", "app.kubernetes.io/instance": "aws-vpc-cni"}
_PROBE = {
    "exec": {
        "command": [
            "/app/grpc-health-probe",
            "-addr=unix:///var/run/aws-node/ipamd.sock",
            "-connect-timeout=5s",
            "-rpc-timeout=5s",
        ]
    },
    "timeoutSeconds": 10,
}
_HOST_PATHS = {
    "bpf-pin-path": ("/sys/fs/bpf", None),
    "cni-bin-dir": ("/opt/cni/bin", None),
    "cni-net-dir": ("/etc/cni/net.d", None),
    "log-dir": ("/var/log/aws-routed-eni", "DirectoryOrCreate"),
    "run-dir": ("/var/run/aws-node", "DirectoryOrCreate"),
    "xtables-lock": ("/run/xtables.lock", "FileOrCreate"),
}
_NOT_ON = {
    "kubernetes.io/os": ("In", ["linux"]),
    "kubernetes.io/arch": ("In", ["amd64", "arm64"]),
    "eks.amazonaws.com/compute-type": ("NotIn", ["fargate", "hybrid", "auto"]),
}


def aws_node_daemon_set(
    env: Mapping[str, str | None] | None = None,
    *,
    name: str = "aws-node",
    metrics_port: int = METRICS_PORT,
) -> Object:
    """The DaemonSet as the chart installs it; `env` changes entries, None takes one out."""
    entries = {**CHART_ENV, **(env or {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": {**_CHART_LABELS, "k8s-app": "aws-node"},
        },
        "spec": {
            "selector": {"matchLabels": _CHART_LABELS},
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "10%"},
            },
            "template": {
                "metadata": {"labels": {**_CHART_LABELS, "k8s-app": "aws-node"}},
                "spec": _pod_spec(entries, metrics_port),
            },
        },
    }


def _pod_spec(env: Mapping[str, str | None], metrics_port: int) -> Object:
    return {
        "priorityClassName": "system-node-critical",
        "serviceAccountName": "aws-node",
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 10,
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": _node_affinity()},
        "initContainers": [
            {
                "name": "aws-vpc-cni-init",
                "image": f"amazon-k8s-cni-init:{CNI_VERSION}",
                "env": _env({"DISABLE_TCP_EARLY_DEMUX": "false", "ENABLE_IPv6": "false"}),
                "securityContext": {"privileged": True},
                "resources": {"requests": {"cpu": "25m"}},
                "volumeMounts": _mounts({"/host/opt/cni/bin": "cni-bin-dir"}),
            }
        ],
        "containers": [_aws_node(env, metrics_port), _node_agent()],
        "volumes": [
            {"name": name, "hostPath": {"path": path, **({"type": kind} if kind else {})}}
            for name, (path, kind) in _HOST_PATHS.items()
        ],
    }


def _aws_node(env: Mapping[str, str | None], metrics_port: int) -> Object:
    return {
        "name": "aws-node",
        "image": f"amazon-k8s-cni:{CNI_VERSION}",
        "ports": [{"containerPort": metrics_port, "name": "metrics"}],
        "livenessProbe": {**_PROBE, "initialDelaySeconds": 60},
        "readinessProbe": {**_PROBE, "initialDelaySeconds": 1},
        "env": [
            *_env(env),
            _field("MY_NODE_NAME", "spec.nodeName"),
            _field("MY_POD_NAME", "metadata.name"),
        ],
        "resources": {"requests": {"cpu": "25m"}},
        "securityContext": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
        "volumeMounts": _mounts(
            {
                "/host/opt/cni/bin": "cni-bin-dir",
                "/host/etc/cni/net.d": "cni-net-dir",
                "/host/var/log/aws-routed-eni": "log-dir",
                "/var/run/aws-node": "run-dir",
                "/run/xtables.lock": "xtables-lock",
            }
        ),
    }


def _node_agent() -> Object:
    return {
        "name": "aws-eks-nodeagent",
        "image": "amazon-aws-network-policy-agent:v1.4.2",
        "ports": [{"containerPort": 8162, "name": "agentmetrics"}],
        "env": [_field("MY_NODE_NAME", "spec.nodeName")],
        "args": [
            "--enable-ipv6=false",
            "--enable-network-policy=false",
            "--enable-cloudwatch-logs=false",
            "--metrics-bind-addr=:8162",
            "--health-probe-bind-addr=:8163",
        ],
        "resources": {"requests": {"cpu": "25m"}},
        "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}, "privileged": True},
        "volumeMounts": _mounts(
            {
                "/host/opt/cni/bin": "cni-bin-dir",
                "/sys/fs/bpf": "bpf-pin-path",
                "/var/log/aws-routed-eni": "log-dir",
                "/var/run/aws-node": "run-dir",
            }
        ),
    }


def _node_affinity() -> Object:
    expressions = [
        {"key": key, "operator": operator, "values": values}
        for key, (operator, values) in _NOT_ON.items()
    ]
    terms = [{"matchExpressions": expressions}]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}


def _env(values: Mapping[str, str | None]) -> list[Any]:
    return [{"name": key, "value": value} for key, value in values.items() if value is not None]


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _mounts(paths: Mapping[str, str]) -> list[Any]:
    return [{"mountPath": path, "name": name} for path, name in paths.items()]


def eni_config_crd() -> Object:
    """The CNI's own custom resource, by which custom networking is set up."""
    spec = {
        "type": "object",
        "required": ["subnet"],
        "properties": {
            "subnet": {"type": "string"},
            "securityGroups": {"type": "array", "items": {"type": "string"}},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "eniconfigs.crd.k8s.amazonaws.com"},
        "spec": {
            "scope": "Cluster",
            "group": "crd.k8s.amazonaws.com",
            "names": {
                "plural": "eniconfigs",
                "singular": "eniconfig",
                "kind": "ENIConfig",
                "listKind": "ENIConfigList",
            },
            "versions": [
                {
                    "name": "v1alpha1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": True,
                            "properties": {"spec": spec, "status": {"type": "object"}},
                        }
                    },
                }
            ],
        },
    }


def aws_node_service_account() -> Object:
    """The account that aws-node runs under."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "aws-node", "namespace": "kube-system"},
    }
