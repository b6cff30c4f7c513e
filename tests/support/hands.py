"""The real clients with which people set the env of aws-node, on a real control plane."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import yaml

from aws_node import AwsNode
from controlplane import ControlPlane
from helm import Helm
from ippolicy.facts import ManagerKind
from kubeapi import daemon_set

Env = Mapping[str, str]
RESOURCE = "daemonset/aws-node"
DEFAULTS = {"WARM_ENI_TARGET": "1"}

_CHART_ENV = """env:
          {{- range $key, $value := .Values.env }}
          - name: {{ $key }}
            value: {{ $value | quote }}
          {{- end }}"""
_EDITOR = """
import json, sys, yaml
path, wanted = sys.argv[2], json.loads(sys.argv[1])
with open(path) as file:
    shown = yaml.safe_load(file)
(container,) = shown["spec"]["template"]["spec"]["containers"]
kept = [one for one in container["env"] if one["name"] not in wanted]
container["env"] = kept + [{"name": key, "value": value} for key, value in wanted.items()]
with open(path, "w") as file:
    yaml.safe_dump(shown, file)
"""


class Hands:
    """Whoever works on the aws-node of one namespace; `folder` is for charts and scripts."""

    def __init__(self, plane: ControlPlane, node: AwsNode, folder: Path) -> None:
        self._plane = plane
        self._node = node
        self._folder = folder
        self._helm = Helm(folder, plane.admin_kubeconfig)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> None:
        """Run kubectl in the namespace, and wait until the controller has seen what it did."""
        self._plane.kubectl("-n", self._node.namespace, *arguments, stdin=stdin)
        self._node.quiet()

    def apply(self, env: Env, *arguments: str) -> None:
        """`kubectl apply` of a manifest with the CNI's defaults and `env`."""
        body = daemon_set(**{**DEFAULTS, **env})
        self.kubectl("apply", "-f", "-", *arguments, stdin=json.dumps(body))

    def server_side(self, env: Env, manager: str = "kubectl") -> None:
        """`kubectl apply --server-side`, with force, as EKS and GitOps tools have it."""
        self.apply(env, "--server-side", "--force-conflicts", f"--field-manager={manager}")

    def edit(self, env: Env) -> None:
        """`kubectl edit` with an editor that sets these entries."""
        script = self._folder / "editor.py"
        script.write_text(_EDITOR)
        editor = f"{sys.executable} {script} '{json.dumps(dict(env))}'"
        with patch.dict(os.environ, {"KUBE_EDITOR": editor}):
            self.kubectl("edit", RESOURCE)

    def set_env(self, env: Env) -> None:
        """`kubectl set env`."""
        self.kubectl("set", "env", RESOURCE, *(f"{key}={value}" for key, value in env.items()))

    def remove_env(self, key: str) -> None:
        """`kubectl set env KEY-`."""
        self.kubectl("set", "env", RESOURCE, f"{key}-")

    def patch(self, env: Env) -> None:
        """`kubectl patch`, strategic."""
        entries = [{"name": key, "value": value} for key, value in env.items()]
        containers = [{"name": "aws-node", "env": entries}]
        body = {"spec": {"template": {"spec": {"containers": containers}}}}
        self.kubectl("patch", RESOURCE, "-p", json.dumps(body))

    def create(self, env: Env) -> None:
        """`kubectl create`, by which aws-node is there for those who only change it."""
        self.kubectl("create", "-f", "-", stdin=json.dumps(daemon_set(**{**DEFAULTS, **env})))

    def helm(self, env: Env) -> None:
        """`helm upgrade --install` of a chart with aws-node, by Helm's own engine."""
        chart = self._folder / "aws-vpc-cni"
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: aws-vpc-cni\nversion: 1.0.0\n")
        body = daemon_set(PLACE="HOLDER")
        body["metadata"]["namespace"] = self._node.namespace
        text = yaml.safe_dump(body)
        begin, end = text.index("env:"), text.index("image:")
        line = text.rindex("\n", 0, end)
        (chart / "templates/daemonset.yaml").write_text(text[:begin] + _CHART_ENV + text[line:])
        values = {"env": {**DEFAULTS, **env}}
        self._helm("upgrade", "--install", f"cni-{self._node.namespace}", chart, values=values)
        self._node.quiet()


@dataclass(frozen=True, slots=True)
class Client:
    """A client as people use it: what it leaves in managedFields, how it installs aws-node and how
    it sets entries; `by_hand` says that it sets them once."""

    manager: str
    kind: ManagerKind
    by_hand: bool
    install: Callable[[Hands, Env], None]
    put: Callable[[Hands, Env], None]


def _server_side(manager: str, kind: ManagerKind) -> Client:
    def put(hands: Hands, env: Env) -> None:
        hands.server_side(env, manager)

    return Client(manager, kind, by_hand=False, install=put, put=put)


CLIENTS = {
    "kubectl apply": Client(
        "kubectl-client-side-apply", ManagerKind.KUBECTL, False, Hands.apply, Hands.apply
    ),
    "kubectl apply --server-side": _server_side("kubectl", ManagerKind.KUBECTL),
    "server-side apply as eks": _server_side("eks", ManagerKind.EKS),
    "server-side apply as Argo CD": _server_side("argocd-controller", ManagerKind.ARGO_CD),
    "server-side apply as Flux": _server_side("kustomize-controller", ManagerKind.FLUX),
    "server-side apply as Terraform": _server_side("Terraform", ManagerKind.TERRAFORM),
    "helm": Client("helm", ManagerKind.HELM, False, Hands.helm, Hands.helm),
    "kubectl edit": Client("kubectl-edit", ManagerKind.KUBECTL, True, Hands.create, Hands.edit),
    "kubectl set env": Client(
        "kubectl-set", ManagerKind.KUBECTL, True, Hands.create, Hands.set_env
    ),
    "kubectl patch": Client("kubectl-patch", ManagerKind.KUBECTL, True, Hands.create, Hands.patch),
}
