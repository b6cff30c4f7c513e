"""Small clusters for scenarios, with an operator that looks often and a policy that acts soon."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ippolicy.sandbox import manifests
from ippolicy.sandbox.cluster import Layout, Sandbox
from ippolicy.sandbox.ec2 import AWS_NODE as AWS_NODE_CALLER

AWS_NODE = f"{manifests.DAEMON_SETS}/aws-node"
RECORD = "/api/v1/namespaces/kube-system/configmaps/ippolicy-record-aws-node"

OFTEN = {
    "IPPOLICY_INTERVAL": "300ms",
    "IPPOLICY_SCRAPE_INTERVAL": "2s",
    "IPPOLICY_SCRAPE_TIMEOUT": "2s",
    "IPPOLICY_EC2_SUBNETS_INTERVAL": "2s",
    "IPPOLICY_EC2_INSTANCES_INTERVAL": "2s",
    "IPPOLICY_STATUS_INTERVAL": "1s",
    "IPPOLICY_WATCH_BACKOFF_MAX": "1s",
}
SOON: Mapping[str, Any] = {
    "mode": "Apply",
    "demand": {"minEvidence": "2s"},
    "change": {"stabilization": "0s", "cooldown": "0s", "maxPerDay": 48},
}
HELD_BEFORE, HELD_AFTER = 3 * 28, 3 * 5  # of three r5.xlarge nodes with four steady pods each

World = Callable[..., AbstractContextManager[Sandbox]]
"""Called with fields of `Layout` to be changed; gives a sandbox to be used in `with`."""


def small(**changes: Any) -> Layout:
    """Three nodes with four pods each in one subnet, at ten times real time."""
    settings = OFTEN | changes.pop("operator_settings", {})
    fields = {"nodes": 3, "pods_per_node": 4, "subnets": ("10.0.0.0/24",), "speed": 10.0}
    return Layout(**{**fields, **changes}, operator_settings=settings)


def targets(sandbox: Sandbox) -> dict[str, str]:
    """The warm targets in the DaemonSet's env."""
    return {key: value for key, value in sandbox.env().items() if key.endswith("_TARGET")}


def changed(sandbox: Sandbox) -> bool:
    """Whether the operator's targets are in the env."""
    return {"WARM_IP_TARGET", "MINIMUM_IP_TARGET"} <= set(targets(sandbox))


def condition(sandbox: Sandbox, kind: str, status: str, says: str = "") -> Callable[[], bool]:
    """Whether a condition has this status, and a reason or message that holds `says`."""

    def holds() -> bool:
        found = sandbox.conditions().get(kind, {})
        text = f"{found.get('reason')} {found.get('message')}"
        return found.get("status") == status and says in text

    return holds


def wait_until_applied(sandbox: Sandbox) -> None:
    """Wait until the policy's targets are in force on every node."""
    sandbox.wait(lambda: changed(sandbox), "the targets")
    sandbox.wait(sandbox.rolled_out, "the rollout")
    sandbox.wait(condition(sandbox, "Applied", "True"), "condition Applied")
    sandbox.wait(condition(sandbox, "Progressing", "False"), "the end of the rollout in status")


@contextmanager
def held_rollout(sandbox: Sandbox) -> Iterator[None]:
    """No aws-node that starts meanwhile comes up, so that a rollout lasts until it is let go on."""
    sandbox.ec2.faults.fail("DescribeNetworkInterfaces", caller=AWS_NODE_CALLER)
    yield
    sandbox.ec2.faults.clear()


def set_env_from_field(sandbox: Sandbox, key: str, field_path: str) -> None:
    """Let an env entry of aws-node come from a field of its pod."""
    entry = {"name": key, "valueFrom": {"fieldRef": {"fieldPath": field_path}}}
    containers = [{"name": "aws-node", "env": [entry]}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    kind = "application/strategic-merge-patch+json"
    sandbox.run(sandbox.client.patch(AWS_NODE, patch, kind=kind))


def delete_daemon_set(sandbox: Sandbox) -> None:
    """Delete aws-node, and wait until it is gone."""
    sandbox.run(sandbox.client.delete(AWS_NODE))
    sandbox.wait(lambda: sandbox.run(sandbox.client.find(AWS_NODE)) is None, "aws-node to go")


def create_daemon_set(sandbox: Sandbox, env: Mapping[str, str | None]) -> None:
    """Install aws-node with the chart's env, changed by `env`."""
    body = manifests.aws_node_daemon_set(env)
    sandbox.run(sandbox.client.apply(AWS_NODE, body, manager=manifests.INSTALLER))
