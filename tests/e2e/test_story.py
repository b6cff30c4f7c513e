"""The first story on a real control plane: 420 addresses become 230 or less, and come back."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from random import Random

import pytest

from controlplane import ControlPlane
from ippolicy.sandbox.cluster import Layout, Sandbox
from realworlds import RealWorld
from worlds import OFTEN, SOON, changed, condition, targets, wait_until_applied

OPERATOR = "system:serviceaccount:kube-system:ippolicy-operator"
RECORD = "/api/v1/namespaces/kube-system/configmaps/ippolicy-record-aws-node"
# Twenty steady pods a node are served alike by any smaller minimum: this one is told apart.
POLICY = {**SOON, "bounds": {"minimumIPTarget": {"min": 20}}}
TUNED = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "20"}
KILLS = 20
STORY = Layout(speed=10.0, operator_settings=OFTEN)


def generation(sandbox: Sandbox) -> int:
    """How often the DaemonSet's spec was changed; each change is a rollout."""
    return int(sandbox.daemonset()["metadata"]["generation"])


def test_the_story_comes_true_with_one_patch(real_world: RealWorld) -> None:
    with real_world(STORY) as (sandbox, plane):
        originals, before = targets(sandbox), generation(sandbox)
        assert sandbox.report().held == 420
        sandbox.operator.start()
        sandbox.apply_policy(POLICY)
        wait_until_applied(sandbox)
        sandbox.settle()
        assert sandbox.report().held <= 230
        assert targets(sandbox) == originals | TUNED
        assert generation(sandbox) == before + 1
        assert daemon_set_patches(plane) == 1
        assert our_entries(sandbox) == set(TUNED)
        assert others_entries(sandbox) >= set(originals)

        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert targets(sandbox) == originals
        assert generation(sandbox) == before + 2
        assert our_entries(sandbox) == set()


def daemon_set_patches(plane: ControlPlane) -> int:
    """Patches of aws-node that the operator sent and the API server took."""
    return sum(
        event.user == OPERATOR
        and event.verb == "patch"
        and event.resource == "daemonsets"
        and event.code == 200
        for event in plane.audit_events()
    )


def entries(sandbox: Sandbox, *, ours: bool) -> set[str]:
    """Env entries of aws-node that our field manager holds, or that others hold."""
    held = set()
    for manager in sandbox.daemonset()["metadata"]["managedFields"]:
        fields = manager["fieldsV1"]
        container = 'k:{"name":"aws-node"}'
        for step in ("f:spec", "f:template", "f:spec", "f:containers", container, "f:env"):
            fields = fields.get(step, {})
        if (manager["manager"] == "ippolicy-operator") is ours:
            held |= {json.loads(key[2:])["name"] for key in fields if key.startswith("k:")}
    return held


def our_entries(sandbox: Sandbox) -> set[str]:
    """Env entries that we hold."""
    return entries(sandbox, ours=True)


def others_entries(sandbox: Sandbox) -> set[str]:
    """Env entries that others hold."""
    return entries(sandbox, ours=False)


class Kill:
    """A kill -9 of the operator `after_s` from now, and its start, by whoever polls."""

    def __init__(self, sandbox: Sandbox, after_s: float) -> None:
        self._sandbox = sandbox
        self._at_s: float | None = time.monotonic() + after_s

    def look(self) -> None:
        """Kill if it is time."""
        if self._at_s is not None and time.monotonic() >= self._at_s:
            self._at_s = None
            self._sandbox.operator.kill9()
            self._sandbox.operator.start()

    def wait(self, predicate: Callable[[], bool], what: str) -> None:
        """Wait for `predicate`, killing meanwhile."""

        def holds() -> bool:
            self.look()
            return predicate()

        self._sandbox.wait(holds, what)


def live_through(sandbox: Sandbox, kill: Kill, story: str) -> None:
    """A policy comes, is carried out, and goes."""
    originals, before = targets(sandbox), generation(sandbox)
    sandbox.apply_policy(POLICY)
    kill.wait(lambda: changed(sandbox), f"the targets: {story}")
    kill.wait(sandbox.rolled_out, f"the rollout: {story}")
    kill.wait(condition(sandbox, "Applied", "True"), f"condition Applied: {story}")
    kill.wait(condition(sandbox, "Progressing", "False"), f"the end of the rollout: {story}")
    assert targets(sandbox) == originals | TUNED, story
    assert generation(sandbox) == before + 1, story
    sandbox.delete_policy()
    kill.wait(lambda: sandbox.policy() is None, f"the policy to go: {story}")
    assert targets(sandbox) == originals, story
    assert generation(sandbox) == before + 2, story
    assert sandbox.run(sandbox.client.find(RECORD)) is None, story
    kill.wait(sandbox.rolled_out, f"the rollout of the originals: {story}")


@pytest.mark.timeout(1_800)
def test_a_kill_at_any_moment_ends_in_the_same_state(real_world: RealWorld) -> None:
    random = Random(20)
    with real_world(STORY) as (sandbox, _):
        sandbox.operator.start()
        started_s = time.monotonic()
        live_through(sandbox, Kill(sandbox, math.inf), "no kill")
        whole_s = time.monotonic() - started_s
        for number in range(KILLS):
            moment_s = random.uniform(0.0, whole_s)
            story = f"kill {number + 1} of {KILLS}, {moment_s:.1f} s into {whole_s:.1f} s"
            live_through(sandbox, Kill(sandbox, moment_s), story)
