"""A cluster whose CNI is the EKS add-on: targets go through the add-on, and back the same way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from described import reads
from eks_sandbox import install_addon
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.eks import AddonState, EksStandIn, Failure
from worlds import SOON, World, changed, condition, targets, wait_until_applied

VALUES = {"enableNetworkPolicy": "true", "nodeAgent": {"cpu": 1.5}}
VIA_ADDON = {**SOON, "apply": {"method": "EKSAddon"}}


@contextmanager
def addon_world(world: World) -> Iterator[tuple[Sandbox, AddonState]]:
    """A sandbox whose aws-node EKS keeps."""
    with EksStandIn() as eks:
        settings = {"AWS_ENDPOINT_URL_EKS": eks.url, "IPPOLICY_CLUSTER_NAME": eks.cluster}
        with world(operator_settings=settings) as sandbox:
            eks.addon = install_addon(sandbox, json.dumps(VALUES))
            yield sandbox, eks.addon


def gone(sandbox: Sandbox) -> bool:
    """Whether the policy is there no more."""
    return sandbox.policy() is None


def test_targets_go_through_the_add_on_and_back(world: World) -> None:
    with addon_world(world) as (sandbox, addon):
        before = targets(sandbox)
        sandbox.operator.start()
        sandbox.apply_policy(VIA_ADDON)
        wait_until_applied(sandbox)
        assert json.loads(addon.values).items() >= VALUES.items()
        policy = sandbox.policy()
        assert policy is not None
        writer = policy["status"]["writer"]
        assert writer == {"method": "EKSAddon", "reason": "spec.apply.method is EKSAddon"}
        holders = {
            entry["manager"]
            for entry in sandbox.daemonset()["metadata"]["managedFields"]
            if "WARM_IP_TARGET" in json.dumps(entry)
        }
        assert holders == {"eks"}
        assert len(addon.updates_taken) == 1
        sandbox.delete_policy()
        sandbox.wait(lambda: gone(sandbox), "the end of the policy")
        assert json.loads(addon.values) == VALUES
        assert targets(sandbox) == before
        reasons = [event["reason"] for event in sandbox.events()]
        assert "OriginalsRestored" in reasons
        assert "RestoreFailed" not in reasons


def test_auto_finds_the_add_on_and_a_kill_in_the_middle_loses_nothing(world: World) -> None:
    with addon_world(world) as (sandbox, addon):
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(lambda: bool(addon.updates_taken), "an update")
        sandbox.operator.kill9()
        sandbox.operator.start()
        wait_until_applied(sandbox)
        assert len(addon.updates_taken) == 1
        sandbox.delete_policy()
        sandbox.wait(lambda: len(addon.updates_taken) == 2, "the originals to be sent")
        sandbox.operator.kill9()
        sandbox.operator.start()
        sandbox.wait(lambda: gone(sandbox), "the end of the policy")
        assert len(addon.updates_taken) == 2
        assert json.loads(addon.values) == VALUES


def test_an_update_that_fails_is_told_and_undone(world: World) -> None:
    with addon_world(world) as (sandbox, addon):
        before = targets(sandbox)
        addon.failures.append(Failure("AdmissionRequestDenied", "webhook says no", applied=True))
        sandbox.operator.start()
        spec = {**VIA_ADDON, "change": {**SOON["change"], "cooldown": "1h"}}
        sandbox.apply_policy(spec)
        told = reads(sandbox, "Warning WriteFailed ", "AdmissionRequestDenied: webhook says no")
        sandbox.wait(told, "EKS's own words")
        sandbox.wait(lambda: targets(sandbox) == before, "the former values")
        sandbox.wait(condition(sandbox, "Applied", "False", "Cooldown"), "the cooldown")
        assert json.loads(addon.values) == VALUES
        assert len(addon.updates_taken) == 2
        assert not changed(sandbox)
