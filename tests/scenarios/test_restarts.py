"""The operator dies or is replaced, and what it has seen of demand is still known."""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Callable

import pytest

from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.operator import OperatorProcess
from worlds import World, condition

CHECKPOINT = "/api/v1/namespaces/kube-system/configmaps/ippolicy-checkpoint-aws-node"
KEPT_OFTEN = {"IPPOLICY_CHECKPOINT_INTERVAL": "1s"}
WATCHING = {"mode": "Recommend", "demand": {"minEvidence": "5s"}}


def metric(sandbox: Sandbox, name: str) -> float | None:
    """A gauge of the policy, None where the operator does not serve it yet."""
    prefix = f'ippolicy_{name}{{policy="default"}} '
    try:
        with urllib.request.urlopen(f"{sandbox.operator.url}/metrics", timeout=5) as answer:  # noqa: S310  (our own loopback URL)
            lines = answer.read().decode().splitlines()
    except OSError:
        return None
    return next(
        (float(line.removeprefix(prefix)) for line in lines if line.startswith(prefix)), None
    )


def evidence_s(sandbox: Sandbox) -> float | None:
    """How long demand was watched."""
    return metric(sandbox, "evidence_seconds")


def first_evidence_s(sandbox: Sandbox) -> float:
    """The evidence of the first decision of an operator that was just started."""
    found: list[float] = []

    def served() -> bool:
        value = evidence_s(sandbox)
        found.extend([] if value is None else [value])
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
    sandbox.wait(lambda: sandbox.run(sandbox.client.find(CHECKPOINT)) is not None, "a checkpoint")
    value = evidence_s(sandbox)
    assert value is not None
    assert value >= 5
    return value


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
        # A second may have passed since it was kept last, and writing it takes its time.
        assert first_evidence_s(sandbox) >= before_s - 2.0
        sandbox.wait(lambda: (evidence_s(sandbox) or 0) >= before_s + 1, "more evidence")
        assert condition(sandbox, "LowConfidence", "False")()

        sandbox.delete_policy()
        gone = "the checkpoint to go with the policy"
        sandbox.wait(lambda: sandbox.run(sandbox.client.find(CHECKPOINT)) is None, gone)


def test_a_damaged_checkpoint_is_told_and_dropped(world: World) -> None:
    with world(operator_settings=KEPT_OFTEN) as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(WATCHING)
        before_s = watched(sandbox)
        sandbox.operator.kill9()
        damaged = base64.b64encode(b"no demand at all, but bytes").decode()
        sandbox.run(sandbox.client.patch(CHECKPOINT, {"binaryData": {"demand": damaged}}))
        sandbox.operator.start()
        assert first_evidence_s(sandbox) < before_s
        sandbox.wait(lambda: bool(told(sandbox)), "the Event")
        assert "kube-system/ippolicy-checkpoint-aws-node is damaged" in told(sandbox)[0]
        assert any("is damaged" in line for line in sandbox.operator.last_lines(200))
        sandbox.wait(
            lambda: metric(sandbox, "checkpoint_timestamp_seconds") is not None, "the next one"
        )
        sandbox.wait(condition(sandbox, "Degraded", "False"), "nothing to be wrong")
