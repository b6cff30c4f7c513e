"""The operator dies or is replaced, and what it has seen of demand is still known."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import pytest

from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.operator import OperatorProcess
from served import value
from worlds import World, condition

CHECKPOINT = "/api/v1/namespaces/kube-system/configmaps/ippolicy-checkpoint-aws-node"
KEPT_OFTEN = {"IPPOLICY_CHECKPOINT_INTERVAL": "1s"}
WATCHING = {"mode": "Recommend", "demand": {"minEvidence": "5s"}}


def evidence_s(sandbox: Sandbox) -> float | None:
    """How long demand was watched."""
    return value(sandbox.operator.url, "ippolicy_evidence_seconds")


def kept_until_s(sandbox: Sandbox) -> float:
    """The moment until which demand is kept on the cluster; 0 where none is."""
    return value(sandbox.operator.url, "ippolicy_checkpoint_timestamp_seconds") or 0.0


def first_evidence_s(sandbox: Sandbox) -> float:
    """The evidence of the first decision of an operator that was just started."""
    found: list[float] = []

    def served() -> bool:
        evidence = evidence_s(sandbox)
        found.extend([] if evidence is None else [evidence])
        return bool(found)

    sandbox.wait(served, "a decision")
    return found[0]


def told(sandbox: Sandbox) -> list[str]:
    """What Events say of dropped checkpoints."""
    events = sandbox.events("IPPolicy")
    return [str(e["message"]) for e in events if e["reason"] == "CheckpointDropped"]


def watched(sandbox: Sandbox) -> float:
    """The evidence once there is enough of it, and it is kept; in seconds."""
    sandbox.wait(condition(sandbox, "LowConfidence", "False"), "enough evidence")
    evidence, seen_at_s = evidence_s(sandbox), time.time()
    assert evidence is not None
    assert evidence >= 5
    sandbox.wait(lambda: kept_until_s(sandbox) >= seen_at_s, "a checkpoint of all that")
    return evidence


@pytest.mark.parametrize("end", [OperatorProcess.kill9, OperatorProcess.stop])
def test_evidence_goes_on_after_a_restart(
    world: World, end: Callable[[OperatorProcess], object]
) -> None:
    with world(operator_settings=KEPT_OFTEN) as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(WATCHING)
        before_s = watched(sandbox)
        end(sandbox.operator)
        sandbox.operator.start()
        assert first_evidence_s(sandbox) >= before_s
        sandbox.wait(lambda: (evidence_s(sandbox) or 0) >= before_s + 1, "more evidence")
        assert condition(sandbox, "LowConfidence", "False")()

        sandbox.delete_policy()
        gone = "the checkpoint to go with the policy"
        sandbox.wait(lambda: sandbox.run(sandbox.client.find(CHECKPOINT)) is None, gone)


def test_a_damaged_checkpoint_is_told_and_dropped(world: World) -> None:
    with world(operator_settings=KEPT_OFTEN) as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(WATCHING)
        watched(sandbox)
        sandbox.operator.kill9()
        damaged = base64.b64encode(b"no demand at all, but bytes").decode()
        sandbox.run(sandbox.client.patch(CHECKPOINT, {"binaryData": {"demand": damaged}}))
        started_at_s = time.time()
        sandbox.operator.start()
        assert first_evidence_s(sandbox) <= time.time() - started_at_s, "it is watched anew"
        sandbox.wait(lambda: bool(told(sandbox)), "the Event")
        assert "kube-system/ippolicy-checkpoint-aws-node is damaged" in told(sandbox)[0]
        assert any("is damaged" in line for line in sandbox.operator.last_lines(200))
        sandbox.wait(lambda: kept_until_s(sandbox) >= started_at_s, "the next one")
        sandbox.wait(condition(sandbox, "Degraded", "False"), "nothing to be wrong")
