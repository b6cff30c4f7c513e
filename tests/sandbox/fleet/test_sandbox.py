"""The assembled sandbox, as tests and the demo use it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ippolicy.errors import SandboxError
from ippolicy.sandbox.cluster import Layout, Sandbox
from ippolicy.sandbox.fleet import KubeRefused, NodeSpec
from ippolicy.sandbox.manifests import CHART_ENV

SCRIPT = str(Path(__file__).with_name("stand_in_operator.py"))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    layout = Layout(
        nodes=2,
        pods_per_node=3,
        setup_speed=60,
        speed=60,
        operator_command=(sys.executable, SCRIPT, "good"),
    )
    with Sandbox(layout) as made:
        yield made


def test_the_cluster_is_as_the_chart_leaves_it(sandbox: Sandbox) -> None:
    env = sandbox.env()
    assert env == dict(CHART_ENV)
    assert (env["WARM_ENI_TARGET"], env["WARM_PREFIX_TARGET"]) == ("1", "1")
    assert not {"WARM_IP_TARGET", "MINIMUM_IP_TARGET"} & env.keys()
    daemon_set = sandbox.daemonset()
    assert daemon_set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "10%"
    assert daemon_set["status"]["numberReady"] == 2
    assert sandbox.rolled_out()
    assert sandbox.report().pods == 6


def test_nonsense_in_a_policy_is_refused_with_a_message(sandbox: Sandbox) -> None:
    with pytest.raises(KubeRefused, match=r"min must be at most max"):
        sandbox.apply_policy({"bounds": {"warmIPTarget": {"min": 9, "max": 3}}}, name="bad")
    assert sandbox.policy("bad") is None


def test_the_operators_process_can_be_started_stopped_and_killed(sandbox: Sandbox) -> None:
    sandbox.apply_policy({"mode": "Apply"})
    sandbox.operator.start()
    with pytest.raises(SandboxError, match="runs already"):
        sandbox.operator.start()
    sandbox.wait(lambda: "Progressing" in sandbox.conditions(), "a condition")
    sandbox.wait(sandbox.rolled_out, "the rollout")
    assert sandbox.env()["WARM_IP_TARGET"] == "2"
    assert sandbox.daemonset_generation() == 2
    assert sandbox.operator.stop() == 0
    assert sandbox.operator.stop() is None
    sandbox.operator.start()
    sandbox.operator.kill9()
    assert not sandbox.operator.running
    assert sandbox.operator.last_lines()[-1].startswith("stand-in at")
    sandbox.delete_policy()
    sandbox.wait(lambda: sandbox.policy() is None, "the policy's end")


def test_env_set_by_hand_reaches_the_nodes_and_can_be_taken_back(sandbox: Sandbox) -> None:
    sandbox.set_env({"MAX_ENI": "2"})
    sandbox.wait(sandbox.rolled_out, "the rollout")
    assert sandbox.env()["MAX_ENI"] == "2"
    sandbox.set_env({"MAX_ENI": None})
    assert "MAX_ENI" not in sandbox.env()
    sandbox.wait(sandbox.rolled_out, "the rollout")


def test_nodes_join_and_leave(sandbox: Sandbox) -> None:
    spec = NodeSpec("m5.large", sandbox.subnets[0], group="spare")
    [name] = sandbox.add_nodes([spec], pods_per_node=2)
    sandbox.settle(pods=8)
    sandbox.remove_node(name)
    sandbox.settle(pods=6)
    report = sandbox.report()
    assert {node.group for node in report.nodes} == {"workers"}
    free = sum(subnet.free_addresses for subnet in sandbox.subnet_facts())
    assert free == 753 - report.held - report.enis


def test_a_wait_in_vain_says_for_what_and_shows_conditions_and_log(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match=r"in vain for rain\nconditions of IPPolicy default:"):
        sandbox.wait(lambda: False, "rain", timeout_s=0.05)


def test_a_sandbox_that_cannot_be_set_up_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SandboxError), Sandbox(Layout(nodes=1, subnets=("10.9.0.0/24",))):
        pytest.fail("a subnet outside the VPC was taken")
    assert list(tmp_path.iterdir()) == []
