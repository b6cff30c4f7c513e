"""Whatever befalls a fleet while its groups try targets, certain things never happen."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from birth_fleet import Fleet
from ippolicy.decide.births.table import TEMPLATE, PolicyTable, Stage
from ippolicy.decide.types import Reason, Verdict

GROUPS = st.sampled_from(["web", "batch"])
MOST, SHARE = 3, 0.2


class Rollouts(RuleBasedStateMachine):
    """Two groups, an operator that dies now and then, and people and clouds that interfere."""

    @initialize()
    def begin(self) -> None:
        change = {
            "stabilization": "0s",
            "rollback": {"within": "2m"},
            "restarts": {"atOnce": "20%", "most": MOST},
        }
        self.fleet = Fleet(spec={"change": change})
        self.fleet.add("web", 9)
        self.fleet.add("batch", 4, instance_type="r5.large")
        self.fleet.now_s += 7_200.0
        self.lean: set[str] = set()
        self.down = False
        self.fleet.late = lambda group, digest: 2 if group in self.lean and digest else 0

    @rule(times=st.integers(1, 12))
    def time_passes(self, times: int) -> None:
        self._steps(times)

    @rule(deleted=st.integers(0, 2))
    def the_operator_dies(self, deleted: int) -> None:
        self._step(dies_before_deleting=deleted)

    @rule(group=GROUPS, warm=st.integers(1, 8), needed=st.booleans())
    def demand_asks_for_other_targets(self, group: str, warm: int, needed: bool) -> None:
        self.fleet.want(group, warm, present_meets=not needed)

    @rule(group=GROUPS)
    def targets_of_a_group_become_harmful_or_harmless(self, group: str) -> None:
        self.lean ^= {group}

    @rule(group=GROUPS, count=st.integers(1, 4))
    def nodes_come(self, group: str, count: int) -> None:
        self.fleet.add(group, count)

    @rule(place=st.integers(0, 50))
    def a_node_goes(self, place: int) -> None:
        names = sorted(self.fleet.nodes)
        if len(names) > 4:
            self.fleet.remove(names[place % len(names)])

    @rule(place=st.integers(0, 50), cordoned=st.booleans())
    def a_node_is_cordoned_or_not(self, place: int, cordoned: bool) -> None:
        names = sorted(self.fleet.nodes)
        name = names[place % len(names)]
        self.fleet.nodes[name] = replace(self.fleet.nodes[name], unschedulable=cordoned)

    @rule()
    def the_webhook_goes_or_comes_back(self) -> None:
        self.fleet.webhook = not self.fleet.webhook
        self.down |= not self.fleet.webhook

    @rule(grace_s=st.sampled_from([0.0, 10.0, 40.0]))
    def pods_take_their_time_to_end(self, grace_s: float) -> None:
        self.fleet.grace_s = grace_s

    @rule(steps=st.integers(1, 3))
    def the_watch_of_pods_stalls(self, steps: int) -> None:
        self.fleet.stalls = True
        self._steps(steps)
        self.fleet.stalls = False

    @rule(steps=st.integers(1, 4))
    def nodes_without_an_aws_node_are_left_out(self, steps: int) -> None:
        self.fleet.left_out = True
        self._steps(steps)
        self.fleet.left_out = False

    @rule(held=st.booleans())
    def the_policy_is_paused_or_not(self, held: bool) -> None:
        self.fleet.verdict = Verdict.HOLD if held else Verdict.CHANGE
        self.fleet.reason = Reason.PAUSED if held else Reason.AT_BIRTH
        self.fleet.annotations = {"ippolicy.dev/paused": "true"} if held else {}

    @invariant()
    def before_they_are_promoted_only_nodes_that_are_to_try_have_them(self) -> None:
        for group, trial in self._table.trials.items():
            if trial.stage is Stage.PROMOTED:
                continue
            size = len(self.fleet.of(group))
            assert len(trial.nodes) <= max(1, size - 1) or size == 0

    @invariant()
    def what_was_refused_is_no_groups_own(self) -> None:
        for group, refused in self._table.refused.items():
            own = self._table.groups.get(group)
            newest = max(one.targets.revision for one in refused)
            assert own is None or own.revision != newest

    @property
    def _table(self) -> PolicyTable:
        return self.fleet.table

    def _steps(self, times: int) -> None:
        for _ in range(times):
            self._step()

    def _step(self, dies_before_deleting: int | None = None) -> None:
        before = {name: replace(pod) for name, pod in self.fleet.pods.items()}
        stored, restarts = self.fleet.stored, dict(self.fleet.restarts)
        self.fleet.step(dies_before_deleting=dies_before_deleting)
        gone = self.fleet.went
        if self.fleet.verdict is Verdict.HOLD:
            assert (gone, self.fleet.stored) == ([], stored), "a pause stops everything"
        assert not [name for name in gone if self.fleet.nodes[name].unschedulable]
        for group in ("web", "batch"):
            if any(self.fleet.nodes[name].group == group for name in gone):
                size = len(self.fleet.of(group))
                assert len(self.fleet.down(group)) <= max(1, min(int(SHARE * size), MOST))
        if self.down:
            return  # what came back without its targets is tried again, after a while
        for (name, digest), times in self.fleet.restarts.items():
            if digest != TEMPLATE and times != restarts.get((name, digest), 0):
                assert before[name].digest != digest, "it had them already"


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
