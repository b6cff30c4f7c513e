"""Targets by node group on the stock DaemonSet: right at birth, by a webhook."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from birth_worlds import (
    CORE,
    OURS,
    Kind,
    add,
    asked,
    by_others,
    is_there,
    on_node,
    table,
    told_of,
)
from ippolicy.sandbox.cluster import Sandbox
from reviews import env_of
from worlds import SOON, World, condition

AT_BIRTH: Mapping[str, Any] = {
    **SOON,
    "apply": {"method": "Admission"},
    # Nobody watches those that try, so that targets are proven as soon as a node runs them.
    "change": {**SOON["change"], "rollback": {"within": "0s"}},
}
FLEET = {"batch": Kind("m5.xlarge", 3), "web": Kind("m5.2xlarge", 30)}


@contextmanager
def born(world: World) -> Iterator[Sandbox]:
    """Two groups of two nodes, and an operator that the API server can ask."""
    with asked(world, FLEET, operator_settings={"IPPOLICY_API_TIMEOUT": "2s"}) as sandbox:
        sandbox.operator.start()
        yield sandbox


def targets_on(sandbox: Sandbox, node: str) -> dict[str, str]:
    """The warm targets that a node's aws-node was born with."""
    env = env_of(on_node(sandbox, node)[-1])
    return {key: value for key, value in env.items() if key.endswith("_TARGET")}


def proven(sandbox: Sandbox) -> bool:
    """Whether every group has targets that count addresses; the first glance may keep the CNI's."""
    groups = table(sandbox).groups
    return set(groups) == set(FLEET) and all(one.targets.warm_ip for one in groups.values())


def test_new_nodes_of_two_groups_are_born_with_their_own_targets(world: World) -> None:
    with born(world) as sandbox:
        untouched, template = by_others(sandbox), sandbox.env()
        sandbox.apply_policy(AT_BIRTH)
        sandbox.wait(condition(sandbox, "Progressing", "True", "TrialUnderWay"), "the trials")
        sandbox.wait(lambda: is_there(sandbox, OURS[0]), "the webhook")
        sandbox.wait(lambda: proven(sandbox), "targets of both groups")
        sandbox.wait(condition(sandbox, "Applied", "False", "AtBirth"), "the way")

        nodes = {group: add(sandbox, FLEET, group)[0] for group in FLEET}
        found = {group: targets_on(sandbox, node) for group, node in nodes.items()}
        assert found["batch"] != found["web"]
        of_template = {key: value for key, value in template.items() if key.endswith("_TARGET")}
        assert of_template not in found.values()
        for group, node in nodes.items():
            labels = on_node(sandbox, node)[-1]["metadata"]["labels"]
            assert labels["ippolicy.dev/group"] == group
            assert labels["ippolicy.dev/policy"] == "default"

        sandbox.wait(condition(sandbox, "Progressing", "True", "of 6 nodes"), "the new nodes")
        for group, told in told_of(sandbox).items():
            # One has tried, one was born with them, one is too young for a restart to repay.
            assert told["template"] == 1, group
            assert told["current"] + told["older"] == 2, group
        assert by_others(sandbox) == untouched
        assert sandbox.env() == template


def test_when_the_policy_goes_new_pods_have_the_values_of_the_template(world: World) -> None:
    with born(world) as sandbox:
        untouched = by_others(sandbox)
        sandbox.apply_policy(AT_BIRTH)
        sandbox.wait(lambda: all(is_there(sandbox, path) for path in OURS), "the webhook")
        sandbox.wait(lambda: proven(sandbox), "targets of both groups")
        node = add(sandbox, FLEET, "web")[0]
        assert "WARM_IP_TARGET" in targets_on(sandbox, node)

        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert [path for path in OURS if is_there(sandbox, path)] == []
        pod = on_node(sandbox, node)[-1]["metadata"]
        sandbox.run(sandbox.client.delete(f"{CORE}/pods/{pod['name']}"))

        def reborn() -> bool:
            uids = [one["metadata"]["uid"] for one in on_node(sandbox, node)]
            return uids not in ([], [pod["uid"]])

        sandbox.wait(reborn, "the pod's successor")
        sandbox.settle()
        assert "WARM_IP_TARGET" not in targets_on(sandbox, node)
        assert by_others(sandbox) == untouched


def test_each_trial_is_a_change_on_record_and_the_record_goes_with_the_policy(world: World) -> None:
    record = f"{CORE}/configmaps/ippolicy-record-aws-node"
    with born(world) as sandbox:
        untouched = by_others(sandbox)
        sandbox.apply_policy(AT_BIRTH)

        def complete() -> bool:
            changes = ((sandbox.policy() or {}).get("status") or {}).get("changes") or ()
            done = {one.get("group") for one in changes if one["phase"] == "Complete"}
            return done >= set(FLEET)

        sandbox.wait(complete, "a change of each group")
        found = json.loads(sandbox.run(sandbox.client.find(record))["data"]["record.json"])
        assert found["originals"] == {}
        assert found["changes"] == []
        assert {one["writer"] for one in found["groupChanges"]} == {"Admission"}
        ids = [one["id"] for one in found["groupChanges"]]
        assert len(set(ids)) == len(ids)

        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert not is_there(sandbox, record)
        assert by_others(sandbox) == untouched


def test_without_the_webhook_the_policy_says_how_to_turn_it_on(world: World) -> None:
    with world() as sandbox:
        sandbox.operator.start()
        sandbox.apply_policy(AT_BIRTH)
        says = "webhook.enabled=true"
        sandbox.wait(condition(sandbox, "Ready", "False", says), "the fix in the condition")
        assert sandbox.daemonset_generation() == 1
