"""A whole life of one aws-node: an operator that may die, people, demand, and what goes wrong.

The operator is the real engine with the real actor on the embedded API; its observer is told what
the world is like. After each of its passes `Life` looks at what it did, and holds it to what must
always hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aws_node import AwsNode
from builders import pool, snapshot
from engine_fakes import FakeCheckpoints, Rig, raw_policy
from fate import Fate, Killed, mortal
from ippolicy.act.live import Live
from ippolicy.api import IPPolicy, Mode
from ippolicy.decide.bundle import differing
from ippolicy.decide.decision import decide
from ippolicy.facts import (
    Change,
    ChangeKind,
    Coverage,
    EnvEntry,
    RolloutFacts,
    Snapshot,
    SourceName,
    SourceState,
)
from ippolicy.ipamd import NodeShape, PoolSettings
from ippolicy.ipamd.steady import steady_state

NODES = 10
SHAPE = NodeShape("r5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58)
MIN_EVIDENCE_S = 600.0
SPEC: Mapping[str, Any] = {
    "demand": {"window": "2h", "minEvidence": "10m"},
    "change": {"cooldown": "10m", "stabilization": "0s", "maxPerDay": 20},
}
WARM = ("WARM_ENI_TARGET", "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_PREFIX_TARGET")


class Life:
    """The world around one DaemonSet; `tick` is a pass of the operator, and is judged."""

    def __init__(self, node: AwsNode) -> None:
        self.node, self.clock = node, node.clock
        self.pods = 20
        self.stale: set[SourceName] = set()
        self.covered = NODES
        self.unavailable = 0
        self.rolled = node.generation  # the generation that every pod runs
        self.originals: dict[str, EnvEntry | None] = {}
        self.raw: dict[str, Any] | None = None
        self.writes = 0
        self._numbers = itertools.count(1)
        self._kept = FakeCheckpoints()
        self._fate = Fate(-1, "")
        self._runner = asyncio.Runner()
        self.rig = self._operator()

    def close(self) -> None:
        """End it."""
        self._runner.close()

    # -- what people do -----------------------------------------------------------------------

    def make_policy(self, **spec: Any) -> None:
        """A policy comes."""
        number = next(self._numbers)
        self.raw = raw_policy("default", self.node.ref, **{**SPEC, **spec})
        self.raw["metadata"]["uid"] = f"uid-{number}"
        self.rig.take(self.raw)

    def edit_policy(self, **spec: Any) -> None:
        """The policy gets another spec."""
        assert self.raw is not None
        self.raw = {**self.raw, "spec": {**self.raw["spec"], **spec}}
        self._seen_anew()

    def pause(self, *, paused: bool) -> None:
        """The annotation comes or goes."""
        assert self.raw is not None
        annotations = {"ippolicy.dev/paused": "true"} if paused else {}
        metadata = {**self.raw["metadata"], "annotations": annotations}
        self.raw = {**self.raw, "metadata": metadata}
        self._seen_anew()

    def delete_policy(self) -> None:
        """The policy goes, as soon as the operator lets it; the world is at rest meanwhile."""
        assert self.raw is not None
        retain = self.policy.spec.on_delete.value == "Retain"
        raw = {
            **self.raw,
            "metadata": {**self.raw["metadata"], "deletionTimestamp": "2026-02-01T00:00:00Z"},
        }
        before, since_s = self.node.env(), self.clock()
        for _ in range(20):
            with contextlib.suppress(Killed):
                if self._runner.run(self.rig.engine.retire(raw, since_s=since_s)) is None:
                    break
                self.clock.now_s += 20.0
                continue
            self.restart()
        else:
            raise AssertionError("the policy never went")
        self.rig.engine.forget("default")
        self.raw = None
        self._has_gone(before, retain=retain)

    def set_env(self, key: str, value: str | None) -> None:
        """Somebody sets an entry by hand."""
        self.node.kubectl_set({key: value})

    # -- what happens -------------------------------------------------------------------------

    def restart(self) -> None:
        """The operator dies, and another starts."""
        self.rig = self._operator()
        if self.raw is not None:
            self.rig.take(self.raw)

    def strike(self, at: int, how: str) -> None:
        """Something befalls the request number `at` from now."""
        self._fate.at, self._fate.how, self._fate.struck = self._fate.requests + at, how, False

    def finish_rollout(self) -> None:
        """Every pod runs the template of now."""
        self.rolled = self.node.generation

    @property
    def rolling(self) -> bool:
        """Whether pods are still to be restarted."""
        return self.rolled < self.node.generation

    @property
    def policy(self) -> IPPolicy:
        """The policy as it is."""
        assert self.raw is not None
        return IPPolicy.from_raw(self.raw)

    def needs(self, pods: int) -> None:
        """Each node comes to have so many pods, and so it stays for longer than demand counts."""
        self.pods = pods
        self.finish_rollout()
        for _ in range(4):
            self.tick(3_700.0)

    def tick(self, after_s: float = 60.0) -> None:
        """Time goes by, and the operator looks at the world once more."""
        self.clock.now_s += after_s
        before, rolling = self.node.live(), self.rolling
        try:
            self._runner.run(self.rig.engine.tick())
        except Killed:
            self.restart()
        self.node.quiet()
        self._judge(before, rolling=rolling)

    # -- what must always hold ----------------------------------------------------------------

    def _judge(self, before: Live, *, rolling: bool) -> None:
        after = self.node.live()
        changed = {
            key
            for key in {*before.facts.env, *after.facts.env}
            if before.entry(key) != after.entry(key)
        }
        assert changed <= set(WARM), f"{changed} are not ours to change"
        if not changed:
            assert after.facts.generation == before.facts.generation, "a rollout for nothing"
            self._remembers()
            return
        self.writes += 1
        assert after.facts.generation == before.facts.generation + 1, "more than one rollout"
        policy, change = self.policy, self._last_change()
        assert policy.spec.mode is Mode.APPLY, f"written in mode {policy.spec.mode}"
        assert not policy.paused, "written while paused"
        for key in changed:
            self._judge_hands(key, before, policy, change.kind)
        if change.kind is not ChangeKind.ROLLBACK:
            assert not self.stale, f"written on stale {self.stale}"
            assert self.covered >= 0.5 * NODES, "written on too few readings"
            assert not rolling, "a second rollout while the first goes on"
            for key in changed:
                self._judge_value(key, after, policy)
        self._remembers()

    def _last_change(self) -> Change:
        record = self.node.actor().follow(self.node.ref, None)
        assert record is not None, "written without a record"
        assert record.last_change is not None, "written without a change on record"
        return record.last_change

    def _judge_hands(self, key: str, before: Live, policy: IPPolicy, kind: ChangeKind) -> None:
        if before.value_is_ours(key):
            return
        holders = before.value_holders(key)
        if kind is ChangeKind.REAPPLY and key in self.originals:
            assert set(holders) <= {"kubectl-set"}, f"{key} was declared by {holders}"
            return
        assert not holders or key in policy.spec.apply.take_over, f"{key} is {holders}'s"
        self.originals[key] = before.entry(key)

    def _judge_value(self, key: str, after: Live, policy: IPPolicy) -> None:
        entry = after.entry(key)
        if entry is None or entry.value is None:
            return
        bounds: dict[str, Any] = {
            "WARM_IP_TARGET": policy.spec.bounds.warm_ip_target,
            "MINIMUM_IP_TARGET": policy.spec.bounds.minimum_ip_target,
            "WARM_PREFIX_TARGET": policy.spec.bounds.warm_prefix_target,
        }
        if key in bounds:
            assert bounds[key].min <= int(entry.value) <= bounds[key].max, f"{key}={entry.value}"

    def _remembers(self) -> None:
        """What is ours is on record, with what stood there before."""
        ours = {key for key in self.node.ours() if self.node.live().value_is_ours(key)}
        if not ours:
            return
        record = self.node.actor().follow(self.node.ref, None)
        assert record is not None, "values of ours without a record"
        for key in ours & self.originals.keys():
            assert record.originals[key] == self.originals[key], f"the original of {key} is lost"

    def decides_the_same_again(self) -> None:
        """The last decision rests on nothing but its inputs."""
        kept = self.rig.engine.bundles._last.get("default")
        if kept is not None:
            inputs, decision, _ = kept
            assert differing(decision, decide(inputs)) == []

    def _has_gone(self, before: Mapping[str, str | None], *, retain: bool) -> None:
        self.node.quiet()
        assert self.node.record_text() is None, "the record outlived the policy"
        assert self.node.our_fields() == {}, "fields are still held"
        after = self.node.env()
        if retain:
            assert after == before, "Retain leaves every value"
        self.originals = {}
        self.finish_rollout()

    # -- the operator -------------------------------------------------------------------------

    def _operator(self) -> Rig:
        rig = Rig(mortal(self.node, self._fate), self._kept, clock=self.clock, choice="rule")
        rig.observer.facts = lambda _: self._snapshot()
        return rig

    def _seen_anew(self) -> None:
        assert self.raw is not None
        generation = self.raw["metadata"]["generation"] + 1
        self.raw = {**self.raw, "metadata": {**self.raw["metadata"], "generation": generation}}
        self.rig.take(self.raw)

    def _snapshot(self) -> Snapshot:
        now_s, facts = self.clock(), self.node.facts()
        settings = PoolSettings.from_env(facts.literal_env())
        state = steady_state(SHAPE, settings, self.pods)
        updated = NODES // 2 if self.rolling else NODES
        rollout = RolloutFacts(
            observed_generation=facts.generation,
            desired=NODES,
            scheduled=NODES,
            updated=updated,
            ready=NODES - self.unavailable,
            available=NODES - self.unavailable,
            strategy="RollingUpdate",
            max_unavailable="10%",
        )
        old_s = now_s - 3_600.0
        return snapshot(
            NODES,
            taken_at_s=now_s,
            daemon_set=replace(facts, rollout=rollout, read_at_s=now_s),
            pods_per_node={f"node-{n}": self.pods for n in range(NODES)},
            pools={
                f"node-{n}": pool(
                    n, held=state.addresses, assigned=state.served, enis=state.enis, read_at_s=now_s
                )
                for n in range(self.covered)
            },
            coverage=Coverage(listed=NODES, read=self.covered, stale=0),
            sources={
                name: SourceState(old_s if name in self.stale else now_s) for name in SourceName
            },
        )
