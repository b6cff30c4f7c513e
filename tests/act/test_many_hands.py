"""Any order of our changes, other people's, restarts and removals, against a model of the rules."""

from __future__ import annotations

import contextlib
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from kubernetes.client.exceptions import ConflictException

from aws_node import API, AwsNode, decision, policy
from ippolicy.act import OutcomeKind
from ippolicy.act.history import IN_DOUBT_S
from ippolicy.sandbox.kube import EmbeddedKube, Fault, Faults

W, E, P = "WARM_IP_TARGET", "WARM_ENI_TARGET", "WARM_PREFIX_TARGET"
US = "ippolicy-operator"

keys = st.sampled_from([W, E, P])
counts = st.sampled_from(["1", "2", "3"])
envs = st.dictionaries(keys, counts, min_size=1)


class ManyHands(RuleBasedStateMachine):
    """`originals` is the model: what stood in each entry when we last found it not ours."""

    node: AwsNode
    faults: Faults

    def __init__(self) -> None:
        super().__init__()
        node = self.node
        if node.exists():
            if node.record_text() is not None:
                node.delete_record()
            node.delete()
        node.create()
        self.originals: dict[str, str | None] = {}
        self.env = dict(node.env())

    def ours(self, key: str) -> bool:
        return self.node.owners(key) == {US}

    def note_env(self) -> None:
        self.env = dict(self.node.env())

    @rule(env=envs, take_over=st.sets(keys))
    def we_change_it(self, env: dict[str, str], take_over: set[str]) -> None:
        self.node.clock.now_s += IN_DOUBT_S
        before = self.env
        owners = {key: self.node.owners(key) for key in env}
        found = {k: before.get(k) for k in env if owners[k] != {US} and k not in self.originals}
        taken = {k: before.get(k) for k in env if owners[k] - {US} or not owners[k]}
        outcome = self.node.carry_out(env, take_over=take_over)
        foreign = {k for k in env if owners[k] - {US} and before.get(k) != env[k]}
        if all(before.get(key) == value for key, value in env.items()):
            assert outcome.kind is OutcomeKind.IN_PLACE
        elif foreign - take_over:
            assert outcome.kind is OutcomeKind.CONFLICT
            assert set(outcome.owners) == foreign - take_over
        else:
            assert outcome.kind is OutcomeKind.WRITTEN
            self.originals |= found | taken
            self.env = {**before, **env}

    @rule(key=keys, value=counts | st.none())
    def somebody_sets_it_by_hand(self, key: str, value: str | None) -> None:
        self.node.kubectl_set({key: value})
        self.note_env()

    @rule(key=keys, value=counts, force=st.booleans())
    def eks_applies_it(self, key: str, value: str, force: bool) -> None:
        with contextlib.suppress(ConflictException):
            self.node.apply_as("eks", {key: value}, force=force)
        self.note_env()

    @rule(
        env=envs, verb=st.sampled_from(["get", "patch"]), what=st.sampled_from(["*", "daemonsets"])
    )
    def the_api_server_fails_us(self, env: dict[str, str], verb: str, what: str) -> None:
        facts = self.node.facts()
        shared = {key: self.env.get(key) for key in env if not self.ours(key)}
        self.node.clock.now_s += IN_DOUBT_S
        actor = self.node.actor()
        self.faults.add(Fault(match=(verb, what), status=500))  # until it is healed
        try:
            outcome = actor.carry_out(
                policy=policy(*env),
                ref=self.node.ref,
                decision=decision(**env),
                decided_on=facts,
                now_s=self.node.clock(),
            )
        finally:
            self.faults.clear()
        assert outcome.kind in (OutcomeKind.FAILED, OutcomeKind.IN_PLACE)
        if '"Intended"' in (self.node.record_text() or ""):  # it was not ours alone until here
            self.originals |= shared

    @rule()
    def the_rollout_is_followed(self) -> None:
        self.node.actor().follow(self.node.ref, self.node.facts())

    @rule()
    def we_put_it_back(self) -> None:
        self.node.clock.now_s += IN_DOUBT_S
        back = {key: value for key, value in self.originals.items() if self.ours(key)}
        expected = self.env | back
        outcome = self.node.actor().restore(self.node.ref)
        assert outcome.settled
        self.node.quiet()
        self.env = {key: value for key, value in expected.items() if value is not None}
        self.originals = {}
        assert self.node.record_text() is None
        assert self.node.our_fields() == {}

    @invariant()
    def nothing_but_what_was_meant_has_changed(self) -> None:
        assert self.node.env() == self.env


def test_no_order_of_hands_loses_an_original_or_touches_a_foreign_value(
    kube: tuple[EmbeddedKube, Path], kube_api: API
) -> None:
    class HandsOnThisAPI(ManyHands):
        node = AwsNode(kube_api)
        faults = kube[0].faults

    run_state_machine_as_test(
        HandsOnThisAPI,
        settings=settings(
            max_examples=15,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
