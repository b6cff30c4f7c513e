"""The API server refuses, forgets, hangs up: the operator gets there all the same, once."""

from __future__ import annotations

import pytest

from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.kube import EmbeddedKube, Fault
from worlds import SOON, changed, condition, small, targets, wait_until_applied

PATCH = ("patch", "daemonsets", "kube-system/aws-node")


def embedded(sandbox: Sandbox) -> EmbeddedKube:
    """The embedded API of a sandbox."""
    assert sandbox.kube is not None
    return sandbox.kube


def writes(sandbox: Sandbox) -> int:
    """Patches of aws-node by the operator that were carried out, a refused one not counted."""
    generation = sandbox.daemonset()["metadata"]["generation"]
    return int(generation) - 1


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_a_refused_patch_is_tried_again_and_lands_once(status: int) -> None:
    with Sandbox(small()) as sandbox:
        embedded(sandbox).faults.add(Fault(PATCH, status=status, retry_after_s=1, times=3))
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        assert writes(sandbox) == 1
        refused = embedded(sandbox).requests.find(verb="patch", resource="daemonsets")
        assert len([r for r in refused if r.manager == "ippolicy-operator"]) == 4


def test_a_right_that_is_missing_is_named_and_nothing_is_half_written() -> None:
    with Sandbox(small()) as sandbox:
        refusal = Fault(PATCH, status=403, message="daemonsets.apps is forbidden")
        embedded(sandbox).faults.add(refusal)
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(condition(sandbox, "Degraded", "True", "is forbidden"), "the refusal")
        assert not changed(sandbox)
        embedded(sandbox).faults.clear()
        wait_until_applied(sandbox)
        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert not changed(sandbox)


def test_dropped_watches_and_forgotten_history_lose_no_pod() -> None:
    with Sandbox(small()) as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy({**SOON, "mode": "Recommend"})
        sandbox.wait(condition(sandbox, "RecommendationProvided", "True"), "a recommendation")
        lost = Fault(("watch", "pods"), status=503)
        embedded(sandbox).faults.add(lost)
        embedded(sandbox).drop_watches()
        sandbox.run(sandbox.workload.scale(dict.fromkeys(sandbox.node_names, 9)))
        sandbox.run(sandbox.workload.scale(dict.fromkeys(sandbox.node_names, 6)))
        embedded(sandbox).store.compact()
        embedded(sandbox).faults.remove(lost)
        sandbox.wait(lambda: totals(sandbox)["pods"] == 18, "the pods that are there")


def totals(sandbox: Sandbox) -> dict[str, int]:
    """status.totals of the policy."""
    policy = sandbox.policy()
    found: dict[str, int] = ((policy or {}).get("status") or {}).get("totals") or {"pods": -1}
    return found


def test_status_that_is_not_taken_stops_no_change() -> None:
    with Sandbox(small()) as sandbox:
        embedded(sandbox).faults.add(Fault(("patch", "ippolicies/status"), status=500))
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(lambda: changed(sandbox), "the targets")
        embedded(sandbox).faults.clear()
        wait_until_applied(sandbox)
        assert writes(sandbox) == 1


def test_an_answer_that_never_comes_leads_to_one_change() -> None:
    with Sandbox(small()) as sandbox:
        embedded(sandbox).faults.add(Fault(PATCH, delay_s=1.0, drop_connection=True, times=1))
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        assert writes(sandbox) == 1
        assert targets(sandbox)["WARM_IP_TARGET"] == "1"


def test_an_operator_that_starts_before_the_api_gets_there() -> None:
    with Sandbox(small()) as sandbox:
        away = Fault((), status=503)
        embedded(sandbox).faults.add(away)
        sandbox.operator.start()
        sandbox.wait(lambda: "503" in "\n".join(sandbox.operator.last_lines(50)), "the refusals")
        assert sandbox.operator.running
        embedded(sandbox).faults.remove(away)
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
