"""Somebody else changes what was set: it is told, set again a few times, and never fought over."""

from __future__ import annotations

from typing import Any

import pytest

from ippolicy.sandbox import manifests
from ippolicy.sandbox.cluster import Sandbox
from worlds import (
    AWS_NODE,
    SOON,
    World,
    changed,
    condition,
    held_rollout,
    targets,
    wait_until_applied,
)

W = "WARM_IP_TARGET"


def acting(max_reapply: int = 3, **change: Any) -> dict[str, Any]:
    """A policy that acts soon, and sets again what somebody else changed so often an hour."""
    return {**SOON, "change": {**SOON["change"], "maxReapply": max_reapply, **change}}


def drift_events(sandbox: Sandbox) -> list[str]:
    """The messages of the Events on drift."""
    found = (e for e in sandbox.events("IPPolicy") if e["reason"] == "TargetsDrifted")
    return [event["message"] for event in found]


def status(sandbox: Sandbox) -> dict[str, Any]:
    """The policy's status."""
    found: dict[str, Any] = (sandbox.policy() or {}).get("status") or {}
    return found


def newest_reason(sandbox: Sandbox) -> str:
    """Why the newest change in the status was made."""
    return str(status(sandbox)["changes"][0]["reason"])


def kinds(sandbox: Sandbox) -> dict[str, list[str]]:
    """Key -> kinds of those who own it, as the status has it."""
    return {one["key"]: one["kinds"] for one in status(sandbox)["inForce"]}


def apply_as(sandbox: Sandbox, manager: str, value: str) -> None:
    """Take WARM_IP_TARGET by server-side apply, as a GitOps tool does."""
    containers = [{"name": "aws-node", "env": [{"name": W, "value": value}]}]
    body = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "aws-node", "namespace": "kube-system"},
        "spec": {"template": {"spec": {"containers": containers}}},
    }
    sandbox.run(sandbox.client.apply(AWS_NODE, body, manager=manager))


def test_a_value_changed_by_hand_is_told_and_set_again(world: World) -> None:
    with world() as sandbox:
        before = targets(sandbox)
        sandbox.operator.start()
        sandbox.apply_policy(acting())
        wait_until_applied(sandbox)
        sandbox.set_env({W: "9"})
        sandbox.wait(lambda: targets(sandbox)[W] == "1", "the value to be set again")
        wait_until_applied(sandbox)
        (message,) = drift_events(sandbox)
        assert "WARM_IP_TARGET, set to 1, was changed to 9 by " in message
        sandbox.wait(lambda: newest_reason(sandbox) == "TargetsDrifted", "the change in status")
        sandbox.wait(lambda: kinds(sandbox).get(W) == ["Operator"], "the owner in status")

        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert targets(sandbox) == before


def test_after_so_many_times_it_is_a_conflict_that_names_who_does_it(world: World) -> None:
    with world() as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(acting(max_reapply=1))
        wait_until_applied(sandbox)
        sandbox.set_env({W: "8"})
        sandbox.wait(lambda: targets(sandbox)[W] == "1", "the value to be set again")
        wait_until_applied(sandbox)
        sandbox.set_env({W: "9"})
        told = condition(sandbox, "Conflict", "True", "DriftLimit")
        sandbox.wait(told, "the conflict")
        sandbox.wait(sandbox.rolled_out, "the rollout by hand")
        assert targets(sandbox)[W] == "9"
        assert "change.maxReapply is 1" in sandbox.conditions()["Conflict"]["message"]


@pytest.mark.parametrize("take_over", [(), (W,)], ids=["left", "taken-over"])
def test_an_owner_that_sets_it_again_is_a_conflict_at_once_unless_it_is_taken_over(
    world: World, take_over: tuple[str, ...]
) -> None:
    with world() as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(acting() | {"apply": {"method": "DaemonSet", "takeOver": take_over}})
        wait_until_applied(sandbox)
        apply_as(sandbox, "argocd-controller", "9")
        if take_over:
            sandbox.wait(lambda: targets(sandbox)[W] == "1", "the value to be set again")
            return
        told = condition(sandbox, "Conflict", "True", "argocd-controller")
        sandbox.wait(told, "the conflict")
        assert sandbox.conditions()["Conflict"]["reason"] == "FieldConflict"
        sandbox.wait(sandbox.rolled_out, "the rollout of the owner")
        assert targets(sandbox)[W] == "9"


def max_unavailable(sandbox: Sandbox) -> Any:
    return sandbox.daemonset()["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"]


def test_a_rollout_that_is_too_fast_is_slowed_down_and_the_pace_put_back(world: World) -> None:
    with world() as sandbox:
        patch = {"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}}}}
        sandbox.run(sandbox.client.patch(f"{manifests.DAEMON_SETS}/aws-node", patch))
        sandbox.operator.start()
        with held_rollout(sandbox):
            sandbox.apply_policy(
                acting(lowerMaxUnavailable=True) | {"objective": {"maxEC2CallsPerMinute": 10}}
            )
            sandbox.wait(lambda: changed(sandbox), "the targets")
            assert max_unavailable(sandbox) == 1
        wait_until_applied(sandbox)
        sandbox.wait(lambda: max_unavailable(sandbox) == "100%", "the pace to be put back")
        started = [
            e["message"] for e in sandbox.events("IPPolicy") if e["reason"] == "ChangeStarted"
        ]
        assert "with maxUnavailable 100%, the limit is 10: maxUnavailable is 1" in started[0]
        owners = sandbox.daemonset()["metadata"]["managedFields"]
        (ours,) = [one for one in owners if one["manager"] == "ippolicy-operator"]
        assert set(ours["fieldsV1"]["f:spec"]) == {"f:template"}
