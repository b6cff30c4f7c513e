"""The first story on a real control plane: 420 addresses become 230 or less, and come back."""

from __future__ import annotations

import json

from controlplane import ControlPlane
from ippolicy.facts.daemonset import FIELD_MANAGER
from ippolicy.sandbox.cluster import Layout, Sandbox
from kills import Kills
from realworlds import OPERATOR, RealWorld
from worlds import OFTEN, RECORD, SOON, changed, condition, targets, wait_until_applied

# Twenty steady pods a node are served alike by any smaller minimum: this one is told apart.
POLICY = {**SOON, "bounds": {"minimumIPTarget": {"min": 20}}}
TUNED = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "20"}
PARTS = ("the targets", "the rollout", "condition Applied", "the end of the rollout", "the end")
STORY = Layout(speed=10.0, operator_settings=OFTEN)


def test_the_story_comes_true_with_one_patch(real_world: RealWorld) -> None:
    with real_world(STORY) as (sandbox, plane):
        originals, before = targets(sandbox), sandbox.daemonset_generation()
        assert sandbox.report().held == 420
        sandbox.operator.start()
        sandbox.apply_policy(POLICY)
        wait_until_applied(sandbox)
        sandbox.settle()
        assert sandbox.report().held <= 230
        assert targets(sandbox) == originals | TUNED
        assert sandbox.daemonset_generation() == before + 1
        assert daemon_set_patches(plane) == 1
        assert entries(sandbox, ours=True) == set(TUNED)
        assert entries(sandbox, ours=False) >= set(originals)

        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert targets(sandbox) == originals
        assert sandbox.daemonset_generation() == before + 2
        assert entries(sandbox, ours=True) == set()


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
        if (manager["manager"] == FIELD_MANAGER) is ours:
            held |= {json.loads(key[2:])["name"] for key in fields if key.startswith("k:")}
    return held


def live_through(sandbox: Sandbox, kills: Kills, story: str) -> None:
    """A policy comes, is carried out, and goes."""
    originals, before = targets(sandbox), sandbox.daemonset_generation()
    came, rolled, applied, told, gone = PARTS
    sandbox.apply_policy(POLICY)
    kills.wait(lambda: changed(sandbox), came)
    kills.wait(sandbox.rolled_out, rolled)
    kills.wait(condition(sandbox, "Applied", "True"), applied)
    kills.wait(condition(sandbox, "Progressing", "False"), told)
    assert targets(sandbox) == originals | TUNED, story
    assert sandbox.daemonset_generation() == before + 1, story
    sandbox.delete_policy()
    kills.wait(lambda: sandbox.policy() is None, gone)
    assert targets(sandbox) == originals, story
    assert sandbox.daemonset_generation() == before + 2, story
    assert sandbox.run(sandbox.client.find(RECORD)) is None, story
    sandbox.wait(sandbox.rolled_out, f"the rollout of the originals: {story}")


def test_a_kill_in_each_part_ends_in_the_same_state(real_world: RealWorld) -> None:
    with real_world(STORY) as (sandbox, _):
        kills = Kills(sandbox)
        sandbox.operator.start()
        live_through(sandbox, kills, "no kill")
        for part in PARTS:
            kills.plan({part: [kills.took_s[part] / 2]})
            live_through(sandbox, kills, f"a kill in {part}")
