"""A real Kubernetes control plane on loopback for tests: etcd, API server, controllers, scheduler.

    with ControlPlane() as plane:
        client = plane.client()                      # as admin (system:masters)
        config = plane.service_account_kubeconfig("kube-system", "ippolicy-operator")

RBAC is on and every request is in the audit log. There is no kubelet: nodes are objects that a
test creates, and whoever plays the kubelet sets the status of their pods. So the controllers that
judge nodes by their heartbeats do not run, and nodes are not tainted at birth.
"""

from __future__ import annotations

import base64
import http
import http.client
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from kubernetes import client, config

from controlplane_assets import assets_dir
from controlplane_audit import AUDIT_POLICY, AuditEvent, read_audit_log
from controlplane_process import ControlPlaneError, Process, wait_until
from ippolicy.sandbox.clock import PATIENCE_S
from ports import free_port

__all__ = ["AuditEvent", "ControlPlane", "ControlPlaneError"]


CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
)

_ADMIN, _CONTROLLERS, _SCHEDULER = "admin", "controllers", "scheduler"
_USERS = {
    _ADMIN: ("ippolicy-test-admin", "system:masters"),
    _CONTROLLERS: ("system:kube-controller-manager", "system:authenticated"),
    _SCHEDULER: ("system:kube-scheduler", "system:authenticated"),
}


class ControlPlane:
    """The four processes, their folder and their credentials; a context manager.

    `folder` (default: a temporary one, removed at the end) gets logs, credentials and
    etcd's data. Start it from a thread that outlives it: the kernel kills the processes when
    that thread ends, so that a killed test run leaves nothing behind.
    """

    def __init__(self, *, folder: Path | None = None) -> None:
        self._assets = assets_dir()
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="controlplane-"))
        self.url = f"https://127.0.0.1:{free_port()}"
        self._etcd_url = f"http://127.0.0.1:{free_port()}"
        self._tokens = {user: secrets.token_hex(16) for user in _USERS}
        self._ca = self.folder / "certs/apiserver.crt"
        self._audit_log = self.folder / "audit.jsonl"
        self.admin_kubeconfig = self.folder / f"{_ADMIN}.kubeconfig"
        self._etcd = self._process("etcd", self._etcd_arguments())
        self._api_server = self._process("kube-apiserver", self._api_server_arguments())
        self._controllers = self._process("kube-controller-manager", self._controllers_arguments())
        self._scheduler = self._process("kube-scheduler", self._scheduler_arguments())

    def __enter__(self) -> Self:
        try:
            self._write_files()
            self._etcd.start()
            self.start_api_server()
            for user in _USERS:
                self._write_kubeconfig(user, self._tokens[user])
            self._controllers.start()
            self._scheduler.start()
            wait_until(
                "the default service account",
                self._has_default_service_account,
                processes=self._running(),
                timeout_s=PATIENCE_S,
            )
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill everything; nothing of it is worth a graceful end. Twice is no error."""
        for process in (self._scheduler, self._controllers, self._api_server, self._etcd):
            process.stop()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill_api_server(self, *, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """End the API server, by SIGTERM gracefully; all data and the others stay."""
        self._api_server.stop(with_signal=with_signal)

    def start_api_server(self) -> None:
        """Start the API server at the same URL with the same data; returns when it is ready."""
        self._api_server.start()
        wait_until(
            "the API server's /readyz",
            self._api_server_is_ready,
            processes=self._running(),
            timeout_s=PATIENCE_S,
        )

    def client(self, kubeconfig: Path | None = None) -> client.ApiClient:
        """An API client for a kubeconfig of this control plane (default: admin)."""
        made: client.ApiClient = config.new_client_from_config(  # type: ignore[no-untyped-call]  # as shipped
            str(kubeconfig or self.admin_kubeconfig)
        )
        return made

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig with a fresh one-hour token of that service account, which must exist."""
        request = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600)
        )
        with self.client() as admin:
            answer = client.CoreV1Api(admin).create_namespaced_service_account_token(
                name, namespace, request
            )
        assert answer.status is not None
        assert answer.status.token is not None
        return self._write_kubeconfig(f"{namespace}.{name}", answer.status.token)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as admin; gives its output, raises `ControlPlaneError` when it fails."""
        environment = os.environ | {"KUBECONFIG": str(self.admin_kubeconfig)}
        environment["KUBECACHEDIR"] = str(self.folder / "kubectl-cache")
        done = subprocess.run(
            [self._assets / "kubectl", *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ControlPlaneError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def wait_for_resources(self) -> None:
        """Return once all custom resources are served; kubectl fails on those defined just now."""
        wait_until(
            "the custom resources",
            self._has_all_resources,
            processes=self._running(),
            timeout_s=PATIENCE_S,
        )

    def audit_events(self) -> list[AuditEvent]:
        """Every request answered so far, in the order of the audit log."""
        return read_audit_log(self._audit_log)

    def pids(self) -> dict[str, int]:
        """Name -> process id of what runs now."""
        return {process.name: process.pid for process in self._running()}

    def _running(self) -> list[Process]:
        every = (self._etcd, self._api_server, self._controllers, self._scheduler)
        return [process for process in every if process.started]

    def _process(self, name: str, arguments: list[str]) -> Process:
        return Process(
            program=self._assets / name, arguments=arguments, log=self.folder / f"{name}.log"
        )

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"{self._tokens[user]},{_USERS[user][0]},{user},{_USERS[user][1]}" for user in _USERS
        ]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        (self.folder / "audit-policy.yaml").write_text(json.dumps(AUDIT_POLICY))

    def _write_kubeconfig(self, name: str, token: str) -> Path:
        """A kubeconfig that is whole in itself, so that it can be read in an image, too."""
        path = self.folder / f"{name}.kubeconfig"
        authority = base64.b64encode(self._ca.read_bytes()).decode()
        cluster = {"server": self.url, "certificate-authority-data": authority}
        context = {"cluster": "test", "user": name, "namespace": "default"}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return path

    def _api_server_is_ready(self) -> bool:
        try:
            trust = ssl.create_default_context(cafile=self._ca)
        except OSError:  # not there yet, or not whole
            return False
        address = self.url.removeprefix("https://")
        connection = http.client.HTTPSConnection(address, timeout=2, context=trust)
        try:
            connection.request(
                "GET", "/readyz", headers={"Authorization": f"Bearer {self._tokens[_ADMIN]}"}
            )
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _has_default_service_account(self) -> bool:
        with self.client() as admin:
            accounts = client.CoreV1Api(admin).list_namespaced_service_account("default")
        return bool(accounts.items)

    def _has_all_resources(self) -> bool:
        with self.client() as admin:
            listed = client.ApiextensionsV1Api(admin).list_custom_resource_definition().items
        states = [(crd.status and crd.status.conditions) or () for crd in listed]
        return all(("Established", "True") in [(c.type, c.status) for c in one] for one in states)

    def _etcd_arguments(self) -> list[str]:
        peer = f"http://127.0.0.1:{free_port()}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=warn",
        ]

    def _api_server_arguments(self) -> list[str]:
        # The server makes its own serving certificate, and that RSA key signs the tokens of
        # service accounts as well: one key less to make, and no tool needed to make it.
        key = self.folder / "certs/apiserver.key"
        return [
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.url.rsplit(':', 1)[1]}",
            f"--cert-dir={self._ca.parent}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
            "--service-cluster-ip-range=10.255.0.0/24",
            "--disable-admission-plugins=TaintNodesByCondition",
            "--allow-privileged=true",
            f"--audit-policy-file={self.folder / 'audit-policy.yaml'}",
            f"--audit-log-path={self._audit_log}",
            "--shutdown-delay-duration=0s",
        ]

    def _controllers_arguments(self) -> list[str]:
        return [
            f"--kubeconfig={self.folder / f'{_CONTROLLERS}.kubeconfig'}",
            f"--controllers={','.join(CONTROLLERS)}",
            f"--root-ca-file={self._ca}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]

    def _scheduler_arguments(self) -> list[str]:
        return [
            f"--kubeconfig={self.folder / f'{_SCHEDULER}.kubeconfig'}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]
