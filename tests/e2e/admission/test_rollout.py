"""Targets go through a group on a real API server: tried by one node, widened, promoted, undone;
the DaemonSet stays as its owner has it throughout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from birthplace import Place, birthplace, steps
from ippolicy.decide.births.table import TEMPLATE, GroupTargets, PolicyTable, Stage
from ippolicy.sandbox.ec2 import AWS_NODE

pytestmark = pytest.mark.timeout(600)

GROUPS = {"batch": ("m5.large", 3, 2), "web": ("r5.xlarge", 5, 4)}
SPEED = 10.0
LATEST_S = 120.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with birthplace(tmp_path / "controlplane", GROUPS, speed=SPEED) as place:
        yield place


class Rollout:
    """Waits for what comes of a policy, with an eye on the DaemonSet at each glance."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.stages: dict[str, set[Stage]] = {group: set() for group in GROUPS}
        self.untouched = place.by_others()

    def until(self, holds: Callable[[PolicyTable], bool], what: str) -> None:
        def glance() -> bool:
            assert self.place.by_others() == self.untouched
            table = self.place.registry.table
            for group, trial in (table.trials if table else {}).items():
                self.stages[group].add(trial.stage)
            return table is not None and holds(table)

        self.place.sandbox.wait(glance, what, timeout_s=LATEST_S)

    def proven(self, minimum: int) -> dict[str, GroupTargets]:
        """The targets of all groups, once every node has those of its own."""

        def all_have(table: PolicyTable) -> bool:
            own = {group: table.groups.get(group) for group in GROUPS}
            digests = {one.digest for one in own.values() if one is not None}
            targets = [one.targets.minimum_ip for one in own.values() if one is not None]
            running = self.place.registry.running()
            return (
                targets == [minimum] * len(GROUPS)
                and set(running) == digests
                and running.total() == sum(nodes for _, nodes, _ in GROUPS.values())
            )

        self.until(all_have, f"MINIMUM_IP_TARGET={minimum} on every node")
        assert self.place.registry.table is not None
        return dict(self.place.registry.table.groups)


def test_the_daemonset_is_untouched_from_the_first_trial_to_its_undoing(place: Place) -> None:
    rollout, sandbox, registry = Rollout(place), place.sandbox, place.registry
    sandbox.wait(lambda: set(registry.running()) == {TEMPLATE}, "what is there at first")
    sandbox.apply_policy(steps(8))
    proven = rollout.proven(8)
    assert rollout.stages["web"] == set(Stage)

    for group, (kind, _, pods) in GROUPS.items():
        (born,) = place.add(kind, group, nodes=1, pods=pods)
        (one,) = registry.births_on(born)
        assert one.digest == proven[group].digest

    sandbox.ec2.faults.fail("DescribeNetworkInterfaces", caller=AWS_NODE)
    sandbox.apply_policy(steps(6))
    rollout.until(lambda table: len(table.refused) == len(GROUPS), "the refusals")
    sandbox.ec2.faults.clear()
    assert registry.table is not None
    refused = {group: one.targets.digest for group, (one,) in registry.table.refused.items()}
    rollout.until(
        lambda table: not table.trials and not refused.values() & registry.running().keys(),
        "the canaries to have what they had before",
    )
    for group, digest in refused.items():
        tried = {one.node for one in registry.born.values() if one.digest == digest}
        assert len(tried) <= 1, group
    sandbox.delete_policy()
    sandbox.wait(lambda: sandbox.policy() is None, "the policy to go", timeout_s=LATEST_S)
    sandbox.wait(lambda: set(registry.running()) == {TEMPLATE}, "the template's values")
    assert place.by_others() == rollout.untouched
    assert registry.most_down <= 2 + 2
