"""Targets by node group come to running nodes: by one that tries, then some, then whom it repays.

All in sandbox time: nodes have lived for hours, and a trial lasts minutes.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from birth_worlds import (
    HOUR_S,
    OURS,
    Births,
    Kind,
    add,
    by_others,
    is_there,
    let_pass,
    lived,
    of,
    operator_in_step,
    table,
    told_of,
    wait_while_pods_come,
)
from described import described, reads
from ippolicy.decide.births.table import TEMPLATE, Stage
from ippolicy.sandbox.cluster import Sandbox
from worlds import World, condition

SPEED = 60.0
WITHIN = "5m"
AGED_H = 8.0


def trying(warm: int, minimum: int, **change: Any) -> dict[str, Any]:
    """A policy that comes to these targets for every group, whatever demand does."""
    return {
        "mode": "Apply",
        "apply": {"method": "Admission"},
        "demand": {"minEvidence": "5m"},
        "bounds": {
            "warmIPTarget": {"min": warm, "max": warm},
            "minimumIPTarget": {"min": minimum, "max": minimum},
        },
        "change": {
            "stabilization": "0s",
            "cooldown": "0s",
            "rollback": {"within": WITHIN},
            **change,
        },
    }


FLEET = {
    "api": Kind("c5.large", 7, nodes=5, max_pods=29),
    "batch": Kind("r5.xlarge", 20, nodes=5),
    "jobs": Kind("m5.2xlarge", 16, nodes=5),
    "small": Kind("t3.medium", 6, nodes=5, max_pods=17),
    "web": Kind("m5.xlarge", 9, nodes=5),
}
STEPS = ("TrialBegun", "TrialWidened", "TargetsPromoted", "TargetsProven")


def test_five_instance_types_come_to_targets_of_their_own_each_by_its_own_trial(
    world: World,
) -> None:
    with lived(world, FLEET, speed=SPEED, hours=AGED_H) as sandbox:
        births, untouched, before = Births(sandbox), by_others(sandbox), sandbox.report()
        jobs, nodes = of(sandbox, "jobs"), len(before.nodes)
        sandbox.operator.start()
        change = {"stabilization": "0s", "rollback": {"within": "2m"}}
        spec = {"mode": "Apply", "apply": {"method": "Admission"}, "change": change}
        sandbox.apply_policy({**spec, "demand": {"minEvidence": "5m"}})

        def arrived() -> bool:
            told = told_of(sandbox)
            return set(table(sandbox).groups) == set(FLEET) and all(
                told[group]["current"] == len(of(sandbox, group)) for group in FLEET
            )

        wait_while_pods_come(sandbox, arrived, "all nodes on their targets", nodes=jobs, pods=4)
        for group in FLEET:
            # The bursts of jobs may ask for more in the middle of a trial, which then skips stages.
            steps = [step for step in STEPS if (group, step) != ("jobs", "TrialWidened")]
            texts = (f"Normal {step} group {group}: WARM_IP_TARGET=" for step in steps)
            sandbox.wait(reads(sandbox, *texts), f"the steps of {group} to be told")
        proven = table(sandbox).groups
        assert len({one.digest for one in proven.values()}) == len(FLEET)
        assert births.most_of_a_revision() == 1
        assert max(births.most_away.values()) == 1
        sandbox.settle()
        after = sandbox.report()
        assert after.assigned == before.assigned
        assert after.held < 0.75 * before.held

        for group in FLEET:
            (node,) = add(sandbox, FLEET, group)
            assert births.digests(node) == [table(sandbox).newest(group).digest]
        assert by_others(sandbox) == untouched
        status = sandbox.daemonset()["status"]
        assert status["updatedNumberScheduled"] == nodes + len(FLEET)


HARMED = {"calm": Kind("m5.xlarge", 9, nodes=4), "hit": Kind("m5.2xlarge", 10, nodes=4)}


def test_targets_that_harm_one_group_are_stopped_at_the_one_node_that_tries_them(
    world: World,
) -> None:
    with lived(world, HARMED, speed=SPEED, hours=AGED_H) as sandbox:
        births, untouched, hit = Births(sandbox), by_others(sandbox), of(sandbox, "hit")
        sandbox.operator.start()
        sandbox.apply_policy(trying(1, 11))
        refused = reads(sandbox, "Warning TrialRefused group hit: WARM_IP_TARGET=1")
        wait_while_pods_come(sandbox, refused, "the refusal", nodes=hit, pods=8)
        (harm,) = table(sandbox).refused["hit"]
        figures = (
            r"DelayedStarts: \d+ of \d+ starts waited for EC2 \(.*%\), the limit is 0.50%, on "
        )
        assert reads(sandbox, "RolledBack True DelayedStarts group hit tried ")()
        assert re.search(figures + "the other nodes of the group it was 0.00%", described(sandbox))
        (tried,) = births.ran(harm.targets.digest) & set(hit)
        sandbox.wait(lambda: births.digests(tried)[-1] == TEMPLATE, "the way back")

        def calm() -> bool:
            return "calm" in table(sandbox).groups

        # As long as demand is the same, what did harm is not tried again.
        wait_while_pods_come(sandbox, calm, "the other group", nodes=hit, pods=8)
        assert births.ran(harm.targets.digest) & set(hit) == {tried}
        assert births.digests(tried) == [TEMPLATE, harm.targets.digest, TEMPLATE]
        assert {len(births.uids(node)) for node in hit if node != tried} == {1}
        assert "hit" not in table(sandbox).trials
        assert harm.until_s - HOUR_S < sandbox.clock.now() < harm.until_s
        # What the calm group has proven is lent to its family, but not to whom it did harm.
        assert births.digests(add(sandbox, HARMED, "hit")[0]) == [TEMPLATE]
        assert by_others(sandbox) == untouched


AWAY = {"web": Kind("m5.xlarge", 9, nodes=2)}
COME = 20


def test_nodes_that_come_while_the_webhook_is_away_are_counted_and_repaired_within_budget(
    world: World,
) -> None:
    with lived(world, AWAY, speed=SPEED, hours=AGED_H) as sandbox:
        births, untouched = Births(sandbox), by_others(sandbox)
        sandbox.operator.start()
        budget = {"rollback": {"within": "0s"}, "restarts": {"atOnce": "10%"}}
        sandbox.apply_policy(trying(1, 11, **budget))
        sandbox.wait(lambda: "web" in table(sandbox).groups, "targets of the group")
        sandbox.operator.stop()
        let_pass(sandbox, 0.2)  # who is born right after a promotion counts as born in time

        come = add(sandbox, AWAY, "web", nodes=COME)
        assert {births.digests(node)[0] for node in come} == {TEMPLATE}
        let_pass(sandbox, AGED_H)
        sandbox.operator = operator_in_step(sandbox)
        births.begin_anew()
        sandbox.operator.start()

        def counted() -> bool:
            told = told_of(sandbox)["web"]
            return COME // 2 < told["missed"] <= told["template"]

        sandbox.wait(counted, "what is behind to be counted")
        text = f" of {COME + 2} nodes have the tar"
        sandbox.wait(reads(sandbox, "Progressing True AtBirth ", text), "it to be told")
        wanted = table(sandbox).groups["web"].digest
        everybody = set(of(sandbox, "web"))
        sandbox.wait(
            lambda: all(births.digests(node)[-1] == wanted for node in everybody), "the repair"
        )
        sandbox.wait(lambda: told_of(sandbox)["web"]["current"] == COME + 2, "the count of it")
        assert births.most_away["web"] <= 2
        assert {len(births.uids(node)) for node in come} == {2}
        assert by_others(sandbox) == untouched


HALTED = {"web": Kind("m5.xlarge", 9, nodes=6)}


def in_canary(sandbox: Sandbox, births: Births) -> str:
    """The one node that tries, once its aws-node runs what is tried."""
    sandbox.operator.start()
    sandbox.apply_policy(trying(1, 11, rollback={"within": "10m"}))

    def tries() -> bool:
        trial = table(sandbox).trials.get("web")
        return trial is not None and births.ran(trial.targets.digest) == set(trial.nodes)

    sandbox.wait(tries, "the canary")
    trial = table(sandbox).trials["web"]
    assert trial.stage is Stage.CANARY
    return trial.nodes[0]


def let_be(sandbox: Sandbox, births: Births) -> None:
    """Assert that for longer than a stage lasts nothing is restarted."""
    before = births.made()
    sandbox.run(sandbox.clock.sleep(900.0))
    assert births.made() == before


def test_a_pause_in_the_middle_of_a_trial_halts_it_and_so_do_the_other_modes(world: World) -> None:
    with lived(world, HALTED, speed=SPEED, hours=AGED_H) as sandbox:
        births, untouched = Births(sandbox), by_others(sandbox)
        canary = in_canary(sandbox, births)
        sandbox.annotate_policy({"ippolicy.dev/paused": "true"})
        sandbox.wait(condition(sandbox, "Paused", "True"), "the pause")
        let_be(sandbox, births)
        for mode in ("Recommend", "Off"):
            sandbox.apply_policy(trying(1, 11) | {"mode": mode})
            sandbox.annotate_policy({"ippolicy.dev/paused": None})
            sandbox.wait(condition(sandbox, "Applied", "False", mode), mode)
            let_be(sandbox, births)
        trial = table(sandbox).trials["web"]
        assert (trial.stage, trial.nodes) == (Stage.CANARY, (canary,))

        sandbox.apply_policy(trying(1, 11, rollback={"within": "0s"}))
        sandbox.wait(lambda: "web" in table(sandbox).groups, "the rest of the trial")
        digest = table(sandbox).groups["web"].digest
        assert births.digests(canary) == [TEMPLATE, digest]
        assert by_others(sandbox) == untouched


@pytest.mark.parametrize("how", ["deleted, Restore", "deleted, Retain", "method None"])
def test_a_policy_that_goes_in_the_middle_of_a_trial_leaves_nothing_and_restarts_who_tried_at_most(
    world: World, how: str
) -> None:
    with lived(world, HALTED, speed=SPEED, hours=AGED_H) as sandbox:
        births, untouched = Births(sandbox), by_others(sandbox)
        canary = in_canary(sandbox, births)
        if how == "method None":
            sandbox.apply_policy(trying(1, 11) | {"apply": {"method": "None"}})
        else:
            sandbox.apply_policy(trying(1, 11) | {"onDelete": how.removeprefix("deleted, ")})
            sandbox.delete_policy()
            sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")

        def gone() -> bool:
            return not any(is_there(sandbox, path) for path in OURS)

        sandbox.wait(gone, "what is ours to go")
        let_be(sandbox, births)
        back = [TEMPLATE] if how == "deleted, Restore" else []
        assert births.digests(canary)[2:] == back
        assert births.digests(add(sandbox, HALTED, "web")[0]) == [TEMPLATE]
        assert by_others(sandbox) == untouched
