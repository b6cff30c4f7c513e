"""A policy is applied, addresses are saved; it goes, and all is as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial

import pytest

from described import reads
from ippolicy.sandbox.clock import PATIENCE_S
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.fleet import KubeRefused
from served import page, value
from worlds import (
    HELD_AFTER,
    HELD_BEFORE,
    SOON,
    World,
    changed,
    condition,
    targets,
    wait_until_applied,
)


def test_a_policy_saves_addresses_and_its_deletion_puts_everything_back(world: World) -> None:
    with world() as sandbox:
        assert sandbox.report().held == HELD_BEFORE
        before = targets(sandbox)
        generation = sandbox.daemonset()["metadata"]["generation"]
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        sandbox.settle()
        assert sandbox.report().held == HELD_AFTER
        assert targets(sandbox) == before | {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "4"}
        assert sandbox.daemonset()["metadata"]["generation"] == generation + 1
        assert our_fields(sandbox.daemonset()) == {"WARM_IP_TARGET", "MINIMUM_IP_TARGET"}

        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert targets(sandbox) == before
        assert sandbox.daemonset()["metadata"]["generation"] == generation + 2
        sandbox.wait(sandbox.rolled_out, "the rollout of the originals")
        assert sandbox.operator.stop() == 0


def test_the_originals_can_be_put_back_by_hand(world: World) -> None:
    with world() as sandbox:
        before = targets(sandbox)
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        sandbox.operator.stop()
        tuned = targets(sandbox)
        plan = by_hand(sandbox, "restore", "--policy", "default", "--dry-run")
        assert "MINIMUM_IP_TARGET removed, WARM_IP_TARGET removed" in plan
        assert targets(sandbox) == tuned
        said = by_hand(sandbox, "restore", "--yes")
        assert "DaemonSet kube-system/aws-node" in said
        assert targets(sandbox) == before
        assert "was never changed" in by_hand(sandbox, "restore")


def by_hand(sandbox: Sandbox, *arguments: str) -> str:
    """What `ippolicy` says to whoever runs it beside the operator."""
    kubeconfig = str(sandbox.operator.kubeconfig)
    return subprocess.run(
        [sys.executable, "-c", "from ippolicy.cli import main; main()", *arguments],
        env={**os.environ, "KUBECONFIG": kubeconfig},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    ).stdout


def our_fields(daemon_set: dict[str, object]) -> set[str]:
    """The env entries that our field manager holds; fails if it holds anything else."""
    metadata = json.loads(json.dumps(daemon_set))["metadata"]
    ours = [e for e in metadata["managedFields"] if e["manager"] == "ippolicy-operator"]
    (entry,) = ours
    assert entry["operation"] == "Apply"
    path = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"aws-node"}')
    fields = entry["fieldsV1"]
    for step in path:
        assert set(fields) == {step}
        fields = fields[step]
    assert set(fields) - {".", "f:name"} == {"f:env"}
    return {json.loads(key.removeprefix("k:"))["name"] for key in fields["f:env"] if key != "."}


def test_status_and_metrics_and_probes_tell_what_happened(world: World) -> None:
    with world() as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        sandbox.settle()
        url = sandbox.operator.url
        held = partial(value, url, "ippolicy_held_addresses")
        sandbox.wait(lambda: held() == HELD_AFTER, "the held metric")
        for probe in ("healthz", "readyz"):
            assert page(f"{url}/{probe}") == (200, "ok\n")
        policy = sandbox.policy()
        assert policy is not None
        status = policy["status"]
        assert status["recommendation"]["text"] == "WARM_IP_TARGET=1 MINIMUM_IP_TARGET=4"
        assert [change["phase"] for change in status["changes"]] == ["Complete"]
        assert {subnet["usable"] for subnet in status["subnets"]} == {251}
        sandbox.wait(reads(sandbox, "Normal ChangeComplete "), "the Event on its end")
        reasons = [event["reason"] for event in sandbox.events()]
        assert reasons.count("ChangeStarted") == 1
        assert reasons.count("ChangeComplete") == 1


def test_recommend_and_a_pause_write_nothing(world: World) -> None:
    with world() as sandbox:
        generation = sandbox.daemonset()["metadata"]["generation"]
        sandbox.operator.start()
        sandbox.apply_policy({**SOON, "mode": "Recommend"})
        sandbox.wait(condition(sandbox, "LowConfidence", "False"), "enough evidence")
        sandbox.wait(condition(sandbox, "Ready", "True", "ModeRecommend"), "a recommendation")
        assert not changed(sandbox)
        sandbox.annotate_policy({"ippolicy.dev/paused": "true"})
        sandbox.apply_policy(SOON)
        sandbox.wait(condition(sandbox, "Paused", "True"), "condition Paused")
        assert sandbox.daemonset()["metadata"]["generation"] == generation
        sandbox.annotate_policy({"ippolicy.dev/paused": None})
        sandbox.wait(lambda: changed(sandbox), "the targets once the pause is over")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"mode": "Auto"}, 'supported values: "Off", "Recommend", "Apply"'),
        ({"bounds": {"warmIPTarget": {"min": 9, "max": 3}}}, "lower min or raise max"),
        ({"demand": {"window": "1 day"}}, "spec.demand.window"),
        ({"objective": {"maxDelayedStarts": "half"}}, "spec.objective.maxDelayedStarts"),
    ],
)
def test_nonsense_is_refused_by_the_api_server(
    world: World, spec: dict[str, object], says: str
) -> None:
    with world(nodes=0) as sandbox, pytest.raises(KubeRefused) as refused:
        sandbox.apply_policy(spec)
    assert says in str(refused.value)
