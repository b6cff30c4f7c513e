"""Whatever people, demand, faults and deaths make of a cluster, some things always hold.

A machine drives a policy through random lives: edits, pauses, deletions, values set by hand,
stale facts, refused requests, kills at any request. After each step `life.Life` checks what
docs/decisions and the API say must never be otherwise.
"""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aws_node import AwsNode
from fate import HOWS
from ippolicy.facts import SourceName
from life import MIN_EVIDENCE_S, NODES, Life
from localapi import LocalAPI

NEEDED = (
    SourceName.NODES,
    SourceName.PODS,
    SourceName.AWS_NODE,
    SourceName.DAEMON_SET,
    SourceName.METRICS,
)
EXAMPLES = 10
STEPS = 30

pods_a_node = st.sampled_from([0, 5, 20, 35, 45])
times = st.sampled_from([15.0, 60.0, 700.0, 3_700.0])


class Machine(RuleBasedStateMachine):
    """Lives on `api`; `writes` are those of all lives."""

    api: ClassVar[LocalAPI]
    writes: ClassVar[list[int]]

    @initialize(mode=st.sampled_from(["Apply", "Apply", "Recommend"]))
    def begin(self, mode: str) -> None:
        node = AwsNode(self.api)
        if node.exists():
            node.delete()
        node.create()
        self.life = Life(node)
        self.life.make_policy(mode=mode)
        for _ in range(3):
            self.life.tick(MIN_EVIDENCE_S)

    @rule(after_s=times)
    def time_goes_by(self, after_s: float) -> None:
        self.life.tick(after_s)
        self.life.decides_the_same_again()

    @rule()
    def the_rollout_ends(self) -> None:
        self.life.finish_rollout()
        self.life.tick()

    @rule(pods=pods_a_node)
    def demand_changes(self, pods: int) -> None:
        self.life.needs(pods)

    @precondition(lambda self: self.life.raw is not None)
    @rule(mode=st.sampled_from(["Recommend", "Off"]), pods=pods_a_node)
    def the_mode_is_another_while_demand_changes(self, mode: str, pods: int) -> None:
        self.life.edit_policy(mode=mode)
        self.life.needs(pods)
        self.life.edit_policy(mode="Apply")
        self.life.tick()

    @precondition(lambda self: self.life.raw is not None)
    @rule(pods=pods_a_node)
    def it_is_paused_while_demand_changes(self, pods: int) -> None:
        self.life.pause(paused=True)
        self.life.needs(pods)
        self.life.pause(paused=False)
        self.life.tick()

    @precondition(lambda self: self.life.raw is not None)
    @rule(least=st.integers(1, 8), most=st.integers(8, 32))
    def bounds_are_set(self, least: int, most: int) -> None:
        self.life.edit_policy(bounds={"warmIPTarget": {"min": least, "max": most}})
        self.life.tick()

    @precondition(lambda self: self.life.raw is not None)
    @rule(keys=st.sets(st.sampled_from(["WARM_ENI_TARGET", "WARM_IP_TARGET"])))
    def keys_may_be_taken_over(self, keys: set[str]) -> None:
        self.life.edit_policy(apply={"takeOver": sorted(keys)})
        self.life.tick()

    @rule(
        key=st.sampled_from(["WARM_ENI_TARGET", "WARM_IP_TARGET", "MINIMUM_IP_TARGET"]),
        value=st.sampled_from([None, "1", "3", "25"]),
    )
    def somebody_sets_a_value(self, key: str, value: str | None) -> None:
        self.life.set_env(key, value)
        self.life.tick()

    @rule(
        sources=st.sets(st.sampled_from(NEEDED), min_size=1),
        pods=pods_a_node,
    )
    def sources_fall_silent_while_demand_changes(self, sources: set[SourceName], pods: int) -> None:
        self.life.stale = sources
        self.life.needs(pods)
        self.life.stale = set()
        self.life.tick()

    @rule(covered=st.sampled_from([8, 5, 0]), pods=pods_a_node)
    def metrics_of_few_are_read_while_demand_changes(self, covered: int, pods: int) -> None:
        self.life.covered = covered
        self.life.needs(pods)
        self.life.covered = NODES
        self.life.tick()

    @rule(at=st.integers(0, 12), how=st.sampled_from(HOWS))
    def something_befalls_a_request(self, at: int, how: str) -> None:
        self.life.strike(at, how)
        for _ in range(3):
            self.life.tick(20.0)

    @rule()
    def the_operator_is_killed(self) -> None:
        self.life.restart()
        self.life.tick()

    @precondition(lambda self: self.life.raw is not None)
    @rule()
    def the_policy_is_deleted(self) -> None:
        self.life.delete_policy()
        self.life.tick()

    @precondition(lambda self: self.life.raw is None)
    @rule(on_delete=st.sampled_from(["Restore", "Retain"]))
    def another_policy_comes(self, on_delete: str) -> None:
        self.life.make_policy(onDelete=on_delete)
        for _ in range(3):
            self.life.tick(MIN_EVIDENCE_S)

    def teardown(self) -> None:
        if hasattr(self, "life"):
            if self.life.raw is not None:
                self.life.delete_policy()
            self.writes.append(self.life.writes)
            self.life.close()


@pytest.mark.timeout(600)
def test_what_must_always_hold_holds_in_any_life(kube_api: LocalAPI) -> None:
    Machine.api, Machine.writes = kube_api, []
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert sum(Machine.writes) >= EXAMPLES, "lives in which nothing is written show nothing"
