"""A change that turns harmful is undone by itself, and people can read why."""

from __future__ import annotations

from typing import Any

from ippolicy.sandbox.cluster import Sandbox
from worlds import SOON, World, changed, condition, targets

ONCE = {**SOON, "change": {**SOON["change"], "cooldown": "1h", "urgent": "Never"}}
"""One change at once, and no other for an hour: whatever comes before that is a rollback."""


def make_harmful(sandbox: Sandbox) -> None:
    """Demand comes in bursts that lean targets were not chosen for, and EC2 takes its time."""
    for api in ("AssignPrivateIpAddresses", "CreateNetworkInterface", "AttachNetworkInterface"):
        sandbox.ec2.faults.delay(api, 20.0)


def burst_until(sandbox: Sandbox, kind: str) -> None:
    """Bursts of pods on every node until a condition is True."""
    told = condition(sandbox, kind, "True")

    def look() -> bool:
        if not told():
            sandbox.run(sandbox.workload.burst(sandbox.node_names, 8, lasting_s=20.0))
        return told()

    sandbox.wait(look, f"{kind} to be True")


def changes(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The changes in the policy's status, newest first."""
    found: list[dict[str, Any]] = ((sandbox.policy() or {}).get("status") or {})["changes"]
    return found


def test_a_change_that_turns_harmful_is_undone_and_told(world: World) -> None:
    with world() as sandbox:
        before = targets(sandbox)
        sandbox.operator.start()
        sandbox.apply_policy({**ONCE, "objective": {"goal": "FastStart"}})
        sandbox.wait(lambda: changed(sandbox), "the targets")
        sandbox.wait(condition(sandbox, "Progressing", "False"), "the end of the rollout")
        generation = sandbox.daemonset_generation()
        make_harmful(sandbox)
        burst_until(sandbox, "RolledBack")
        sandbox.wait(lambda: targets(sandbox) == before, "the former values")
        assert sandbox.daemonset_generation() == generation + 1, "one patch"
        told = sandbox.conditions()["RolledBack"]
        assert told["reason"] == "DelayedStarts"
        assert "starts waited for EC2" in told["message"]
        assert "the limit is 0.10%" in told["message"]
        sandbox.wait(
            lambda: any(event["reason"] == "RolledBack" for event in sandbox.events("IPPolicy")),
            "the event",
        )
        sandbox.wait(lambda: "undone" in changes(sandbox)[-1], "the change to be called undone")
        undo, undone = changes(sandbox)
        assert (undo["kind"], undone["kind"]) == ("Rollback", "Tune")
        assert undone["undone"].startswith("DelayedStarts: ")
        assert undone["predicted"]["held"] < undone["present"]["held"]
