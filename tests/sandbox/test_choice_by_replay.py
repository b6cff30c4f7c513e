"""The operator with IPPOLICY_CHOICE=replay: the same job, its targets found by search."""

from __future__ import annotations

from ippolicy.sandbox.cluster import Sandbox
from worlds import HELD_AFTER, SOON, changed, small, targets, wait_until_applied


def test_targets_found_by_replay_are_put_in_force() -> None:
    with Sandbox(small(operator_settings={"IPPOLICY_CHOICE": "replay"})) as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(lambda: changed(sandbox), "the targets")
        wait_until_applied(sandbox)
        sandbox.settle()
        assert sandbox.report().held == HELD_AFTER
        assert targets(sandbox)["WARM_IP_TARGET"] == "1"
        policy = sandbox.policy()
        assert policy is not None
        predicted = policy["status"]["recommendation"]["predicted"]
        assert predicted["held"] == HELD_AFTER
        assert "callsPerMinute" in predicted
