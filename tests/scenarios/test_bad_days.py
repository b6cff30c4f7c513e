"""What is missing, broken or in the way is named with its fix, and nothing is half written."""

from __future__ import annotations

import json
import sys
import urllib.request

import pytest

from ippolicy.api import FINALIZER
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.ec2 import OPERATOR
from ippolicy.sandbox.fleet import MetricsFault
from worlds import (
    SOON,
    World,
    changed,
    condition,
    create_daemon_set,
    delete_daemon_set,
    held_rollout,
    set_env_from_field,
    targets,
    wait_until_applied,
)

AS_NOBODY = """
import getpass

def unknown():
    raise KeyError("uid not found")

getpass.getuser = unknown
from ippolicy.cli import main
main()
"""


def generation(sandbox: Sandbox) -> int:
    """How often the DaemonSet's template or spec was changed."""
    return int(sandbox.daemonset()["metadata"]["generation"])


def test_a_missing_daemon_set_is_named_until_the_policy_names_one(world: World) -> None:
    with world() as sandbox:
        sandbox.operator.start()
        elsewhere = {**SOON, "daemonSetRef": {"name": "cni"}}
        sandbox.apply_policy(elsewhere)
        missing = "DaemonSet kube-system/cni not found: set spec.daemonSetRef"
        sandbox.wait(condition(sandbox, "Degraded", "True", missing), "the missing DaemonSet")
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        before = set(targets(sandbox)) - {"WARM_IP_TARGET", "MINIMUM_IP_TARGET"}
        sandbox.apply_policy(elsewhere)
        sandbox.wait(lambda: set(targets(sandbox)) == before, "its originals")
        sandbox.wait(condition(sandbox, "Degraded", "True", missing), "the missing DaemonSet")
        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")


def test_of_two_policies_the_oldest_acts_and_the_other_says_so(world: World) -> None:
    with world() as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(SOON, name="first")
        sandbox.wait(lambda: changed(sandbox), "the targets of the first policy")
        sandbox.apply_policy({**SOON, "bounds": {"warmIPTarget": {"min": 9}}}, name="second")
        sandbox.wait(
            lambda: sandbox.conditions("second").get("Conflict", {}).get("status") == "True",
            "condition Conflict of the second policy",
        )
        assert "first" in sandbox.conditions("second")["Conflict"]["message"]
        assert targets(sandbox)["WARM_IP_TARGET"] == "1"
        sandbox.delete_policy("first")
        sandbox.wait(lambda: targets(sandbox)["WARM_IP_TARGET"] == "9", "the second policy's turn")
        sandbox.delete_policy("second")
        sandbox.wait(lambda: not changed(sandbox), "the originals")


def test_an_entry_of_another_owner_is_not_forced(world: World) -> None:
    with world() as sandbox:
        sandbox.set_env({"WARM_IP_TARGET": "7"})
        sandbox.wait(sandbox.rolled_out, "the rollout by hand")
        before = generation(sandbox)
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(condition(sandbox, "Conflict", "True", "WARM_IP_TARGET"), "the conflict")
        assert "sandbox-user" in sandbox.conditions()["Conflict"]["message"]
        assert generation(sandbox) == before
        assert targets(sandbox)["WARM_IP_TARGET"] == "7"
        sandbox.apply_policy({**SOON, "apply": {"takeOver": ["WARM_IP_TARGET"]}})
        wait_until_applied(sandbox)
        sandbox.delete_policy()
        sandbox.wait(lambda: targets(sandbox)["WARM_IP_TARGET"] == "7", "the original by hand")


@pytest.mark.parametrize(
    ("value", "says"), [("ten", "is not a whole number"), ("", "is not a whole number")]
)
def test_a_value_that_is_no_number_stops_writes(world: World, value: str, says: str) -> None:
    with world() as sandbox:
        sandbox.set_env({"MINIMUM_IP_TARGET": value})
        sandbox.wait(sandbox.rolled_out, "the rollout by hand")
        before = generation(sandbox)
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(condition(sandbox, "Degraded", "True", says), "the bad value")
        sandbox.wait(condition(sandbox, "Ready", "False", "EnvUnreadable"), "not Ready")
        assert generation(sandbox) == before


def test_a_value_from_elsewhere_stops_writes(world: World) -> None:
    with world() as sandbox:
        set_env_from_field(sandbox, "WARM_IP_TARGET", "metadata.annotations['warm']")
        sandbox.wait(sandbox.rolled_out, "the rollout by hand")
        before = generation(sandbox)
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(condition(sandbox, "Degraded", "True", "WARM_IP_TARGET"), "the valueFrom")
        sandbox.wait(condition(sandbox, "Ready", "False", "EnvUnreadable"), "not Ready")
        assert generation(sandbox) == before


@pytest.mark.parametrize(
    "fault",
    [
        MetricsFault.HANG,
        MetricsFault.GARBAGE,
        MetricsFault.HALF_PAGE,
        MetricsFault.ERROR_500,
        MetricsFault.REFUSE,
    ],
)
def test_endpoints_that_fail_stop_writes_until_they_answer(
    world: World, fault: MetricsFault
) -> None:
    with world() as sandbox:
        before = generation(sandbox)
        for name in sandbox.node_names[:2]:
            sandbox.run(sandbox.fleet.set_metrics_fault(name, fault))
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        says = "1 of 3 aws-node pods could be read"
        sandbox.wait(condition(sandbox, "Degraded", "True", says), "the lost coverage")
        sandbox.wait(condition(sandbox, "Ready", "False", "CoverageLow"), "not Ready")
        assert generation(sandbox) == before
        for name in sandbox.node_names[:2]:
            sandbox.run(sandbox.fleet.set_metrics_fault(name, None))
        wait_until_applied(sandbox)


@pytest.mark.parametrize(
    "action", ["DescribeSubnets", "DescribeInstanceTypes", "DescribeInstances"]
)
def test_a_missing_permission_is_named_and_the_rest_goes_on(world: World, action: str) -> None:
    with world() as sandbox:
        sandbox.ec2.faults.deny(action, caller=OPERATOR)
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(condition(sandbox, "Degraded", "True", f"ec2:{action}"), "the permission")
        wait_until_applied(sandbox)
        sandbox.ec2.faults.clear()
        sandbox.wait(condition(sandbox, "Degraded", "False"), "recovery")


def test_no_credential_or_account_id_is_in_log_status_or_metrics(world: World) -> None:
    secret, token, account = "K7MDENGbPxRfiCY", "FwoGZXIvYXdzEBYaD", "111122223333"
    settings = {
        "IPPOLICY_LOG_LEVEL": "debug",
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": token,
    }
    refusal = f"User: arn:aws:sts::{account}:assumed-role/mine/1 is not authorized"
    with world(operator_settings=settings) as sandbox:
        sandbox.ec2.faults.fail(
            "DescribeSubnets", code="UnauthorizedOperation", status=403, message=refusal
        )
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(condition(sandbox, "Degraded", "True", "ec2:DescribeSubnets"), "the refusal")
        with urllib.request.urlopen(f"{sandbox.operator.url}/metrics", timeout=10) as answer:  # noqa: S310  (our own loopback URL)
            metrics = answer.read().decode()
        log = sandbox.operator.log.read_text()
        told = json.dumps(sandbox.policy()), metrics, log
        assert "ec2:DescribeSubnets" in log
        for text in told:
            assert not [one for one in (secret, token, account) if one in text]


def test_without_aws_credentials_the_loop_goes_on(world: World) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": "/nonexistent"}
    with world(operator_settings=nobody) as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(condition(sandbox, "Degraded", "True", "credentials"), "the credentials")
        wait_until_applied(sandbox)


def test_an_instance_type_that_ec2_does_not_know_is_named(world: World) -> None:
    with world() as sandbox:
        sandbox.ec2.faults.fail(
            "DescribeInstanceTypes",
            code="InvalidInstanceType",
            message="The following supplied instance types do not exist: [r5.xlarge]",
            status=400,
            caller=OPERATOR,
        )
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        sandbox.wait(condition(sandbox, "Degraded", "True", "r5.xlarge"), "the unknown type")
        wait_until_applied(sandbox)


def test_a_policy_changed_in_the_middle_of_a_rollout_waits_for_its_end(world: World) -> None:
    with world() as sandbox:
        before = generation(sandbox)
        sandbox.operator.start()
        with held_rollout(sandbox):
            sandbox.apply_policy(SOON)
            sandbox.wait(lambda: changed(sandbox), "the targets")
            assert not sandbox.rolled_out()
            sandbox.apply_policy({**SOON, "bounds": {"warmIPTarget": {"min": 5}}})
            sandbox.wait(condition(sandbox, "Ready", "False", "RolloutInProgress"), "the wait")
            assert targets(sandbox)["WARM_IP_TARGET"] == "1"
        sandbox.wait(lambda: targets(sandbox)["WARM_IP_TARGET"] == "5", "the second change")
        wait_until_applied(sandbox)
        assert generation(sandbox) == before + 2


def test_a_policy_deleted_in_the_middle_of_a_rollout_leaves_the_originals(world: World) -> None:
    with world() as sandbox:
        before = targets(sandbox)
        sandbox.operator.start()
        with held_rollout(sandbox):
            sandbox.apply_policy(SOON)
            sandbox.wait(lambda: changed(sandbox), "the targets")
            assert not sandbox.rolled_out()
            sandbox.delete_policy()
            sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
            assert targets(sandbox) == before
        sandbox.wait(sandbox.rolled_out, "the rollout of the originals")


def test_a_daemon_set_that_was_made_anew_is_tuned_anew(world: World) -> None:
    with world() as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        delete_daemon_set(sandbox)
        create_daemon_set(sandbox, {"WARM_ENI_TARGET": "2"})
        sandbox.wait(sandbox.rolled_out, "the new DaemonSet")
        sandbox.wait(lambda: changed(sandbox), "the targets again")
        wait_until_applied(sandbox)
        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert targets(sandbox) == {"WARM_ENI_TARGET": "2", "WARM_PREFIX_TARGET": "1"}


def test_retain_leaves_the_targets(world: World) -> None:
    with world() as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy({**SOON, "onDelete": "Retain"})
        wait_until_applied(sandbox)
        tuned = targets(sandbox)
        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert targets(sandbox) == tuned


def test_a_daemon_set_that_is_gone_does_not_hold_up_the_deletion(world: World) -> None:
    with world() as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        delete_daemon_set(sandbox)
        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")


def test_the_operator_runs_as_a_user_that_the_image_has_no_name_for(world: World) -> None:
    with world(operator_command=(sys.executable, "-c", AS_NOBODY, "run")) as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy({"mode": "Recommend"})

        def is_held() -> bool:
            return FINALIZER in (sandbox.policy() or {})["metadata"].get("finalizers", ())

        sandbox.wait(is_held, "the finalizer of the policy")
        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
