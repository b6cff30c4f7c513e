"""Targets by group are published, then pods deleted that are due; held against what pods say, and
withdrawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

import builders
from decided import story
from engine_fakes import REF, raw_policy
from ippolicy.account.exporter import Exporter
from ippolicy.act.beside import StoredText, TextStore
from ippolicy.act.outcome import OutcomeKind
from ippolicy.act.requests import CallFailed
from ippolicy.act.restarts import PodRestarts
from ippolicy.admission import Tables, Verdict, WebhookProcess
from ippolicy.api import IPPolicy
from ippolicy.decide.births.document import read_table, write_table
from ippolicy.decide.births.roll import Step
from ippolicy.decide.births.table import PolicyTable, Refused, Stage
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.types import Decision, Reason
from ippolicy.decide.types import Verdict as Decided
from ippolicy.engine.births import AGAIN_S, Births, Webhook
from ippolicy.engine.places import LivePlaces
from ippolicy.engine.policies import Standing
from ippolicy.engine.webhook import WebhookKeeper
from ippolicy.errors import ActError
from ippolicy.facts import Birth, DaemonSetRef

SPEC = {
    "mode": "Apply",
    "apply": {"method": "Admission"},
    "change": {"stabilization": "0s", "rollback": {"within": "0s"}},
}
POLICY = IPPolicy.from_raw(raw_policy(**SPEC))
STANDING = Standing(POLICY, REF, None)


class FakeStore:
    """Tables as the cluster would keep them; `failing` is raised by every call, `keeping` by those
    that would delete."""

    def __init__(self) -> None:
        self.kept: dict[DaemonSetRef, StoredText] = {}
        self.failing: ActError | None = None
        self.keeping: ActError | None = None

    def read(self, ref: DaemonSetRef) -> StoredText | None:
        self._answer()
        return self.kept.get(ref)

    def write(self, ref: DaemonSetRef, text: str, *, over: StoredText | None) -> StoredText:
        self._answer()
        assert over == self.kept.get(ref)
        version = str(int(over.resource_version) + 1 if over else 1)
        self.kept[ref] = StoredText(text, "uid", version)
        return self.kept[ref]

    def delete(self, ref: DaemonSetRef) -> None:
        self._answer()
        if self.keeping is not None:
            raise self.keeping
        del self.kept[ref]

    def _answer(self) -> None:
        if self.failing is not None:
            raise self.failing


class FakeKeeper:
    """Notes what it was to keep; `failing` is raised instead."""

    def __init__(self) -> None:
        self.looks: list[tuple[set[str], bool]] = []
        self.failing: ActError | None = None

    async def look(self, namespaces: Iterable[str], *, leading: bool) -> None:
        self.looks.append((set(namespaces), leading))
        if self.failing is not None:
            raise self.failing


@dataclass
class FakeRestarts:
    """Notes which pods were to go; `failing` is raised instead."""

    deleted: list[tuple[str, str]] = field(default_factory=list)
    failing: ActError | None = None

    def delete(self, namespace: str, name: str, uid: str) -> bool:
        if self.failing is not None:
            raise self.failing
        self.deleted.append((name, uid))
        return True


@dataclass
class Rig:
    """One operator's part, and the cluster that it shares with others."""

    births: Births
    store: FakeStore
    keeper: FakeKeeper
    restarts: FakeRestarts
    server: Any
    exporter: Exporter
    now_s: list[float]


def made(store: FakeStore | None = None) -> Rig:
    store, keeper, now_s = store or FakeStore(), FakeKeeper(), [0.0]
    counts = dict.fromkeys(Verdict, 0)
    tables = Tables()
    server = SimpleNamespace(
        tables=tables, answer_by=tables.replace, running=True, counts=counts, down_s=0.0
    )
    exporter, restarts = Exporter(), FakeRestarts()
    webhook = Webhook(
        cast("TextStore", store),
        cast("WebhookProcess", server),
        cast("WebhookKeeper", keeper),
        LivePlaces(list, lambda *_: None),
        lambda: True,
        cast("PodRestarts", restarts),
    )
    births = Births(webhook, exporter, clock=lambda: now_s[0])
    return Rig(births, store, keeper, restarts, server, exporter, now_s)


@pytest.fixture
def rig() -> Rig:
    return made()


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """Ten nodes of one group, each with its aws-node."""
    agents = {f"node-{n}": builders.agent(n) for n in range(10)}
    return story(SPEC, snapshot=builders.snapshot(agents=agents))


@pytest.fixture(scope="module")
def decision(inputs: Inputs) -> Decision:
    """What is decided on them."""
    return decide(inputs)


def later(inputs: Inputs, seconds: float, **changes: Any) -> Inputs:
    """What there is to see a while later."""
    taken_at_s = inputs.snapshot.taken_at_s + seconds
    pools = {
        name: replace(pool, read_at_s=taken_at_s) for name, pool in inputs.snapshot.pools.items()
    }
    snapshot = replace(inputs.snapshot, taken_at_s=taken_at_s, pools=pools, **changes)
    return replace(inputs, snapshot=snapshot)


def table_of(rig: Rig) -> PolicyTable:
    """The table that pods are born by."""
    return cast("PolicyTable", rig.server.tables.of(REF.namespace, REF.name))


async def step(rig: Rig, inputs: Inputs, decision: Decision) -> Decision:
    """Settle, and publish what there is; the decision as it was settled."""
    settled = rig.births.settle(inputs, decision, None)
    if settled.verdict is Decided.CHANGE:
        outcome = await rig.births.publish(inputs.policy, inputs.snapshot)
        assert outcome.kind is OutcomeKind.WRITTEN
    return settled


async def reborn(rig: Rig, inputs: Inputs, *nodes: str) -> Inputs:
    """The nodes once their aws-node was made anew by the table."""
    table, agents = table_of(rig), dict(inputs.snapshot.agents)
    for node in nodes:
        trial = table.trials.get("blue")
        targets = trial.targets if trial is not None else table.groups["blue"]
        birth = Birth("default", "blue", "1", targets.digest)
        agents[node] = builders.agent(99, uid=f"reborn-{node}", birth=birth, targets={})
    return later(inputs, 60.0, agents=agents)


async def test_what_is_published_is_answered_by_and_written_once(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    first = await step(rig, inputs, decision)
    assert first.verdict is Decided.CHANGE
    assert table_of(rig).policy == "default"
    assert [one.step for one in rig.births.news(POLICY)] == [Step.BEGUN]
    stored = rig.store.kept[REF]
    assert read_table(stored.text) == table_of(rig)


async def test_the_pod_that_is_due_goes_after_the_table_says_so(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    await step(rig, inputs, decision)
    (canary,) = table_of(rig).trials["blue"].nodes
    assert [uid for _, uid in rig.restarts.deleted] == [inputs.snapshot.agents[canary].uid]
    assert table_of(rig).restarts[canary].uid == inputs.snapshot.agents[canary].uid
    assert 'ippolicy_agent_restarts_total{group="blue",policy="default"} 1.0' in (
        rig.exporter.render().decode()
    )


async def test_a_pod_that_could_not_be_deleted_is_deleted_at_the_next_pass(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    rig.restarts.failing = CallFailed("no answer")
    rig.births.settle(inputs, decision, None)
    outcome = await rig.births.publish(POLICY, inputs.snapshot)
    assert outcome.kind is OutcomeKind.FAILED
    rig.restarts.failing = None
    await step(rig, later(inputs, 15.0), decision)
    assert len(rig.restarts.deleted) == 1
    assert rig.store.kept[REF].resource_version == "1"


async def test_nothing_is_told_twice(rig: Rig, inputs: Inputs, decision: Decision) -> None:
    await step(rig, inputs, decision)
    await step(rig, later(inputs, 15.0), decision)
    assert rig.births.news(POLICY) == ()


async def test_with_nothing_to_do_it_is_told_who_has_what_and_what_is_tried(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    await step(rig, inputs, decision)
    (canary,) = table_of(rig).trials["blue"].nodes
    gone = later(inputs, 15.0, agents={**inputs.snapshot.agents})
    agents = {name: one for name, one in gone.snapshot.agents.items() if name != canary}
    held = await step(rig, later(gone, 15.0, agents=agents), decision)
    assert (held.verdict, held.reason) == (Decided.HOLD, Reason.AT_BIRTH)
    assert "0 of 1 nodes have" in held.message
    assert "blue tries WARM_IP_TARGET=" in held.message


async def test_all_are_told_to_be_in_place_once_every_node_has_what_it_is_to_have(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    for _ in range(60):
        inputs = await reborn(rig, inputs, *table_of(rig).restarts) if rig.store.kept else inputs
        settled = await step(rig, inputs, decision)
    assert settled.reason is Reason.TARGETS_IN_PLACE
    assert len({uid for _, uid in rig.restarts.deleted}) == len(rig.restarts.deleted) == 10


async def test_where_what_was_tried_was_refused_not_all_is_told_to_be_in_place(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    await step(rig, inputs, decision)
    table = table_of(rig)
    trial = table.trials["blue"]
    until_s = inputs.now_s + 3_600.0
    refused = Refused(
        trial.targets, until_s, 1, trial.grounds.proof.basis, "DelayedStarts: 9 of 20"
    )
    former = rig.store.kept[REF]
    text = write_table(PolicyTable("default", refused={"blue": (refused,)}))
    rig.store.kept[REF] = replace(former, text=text, resource_version="2")
    await rig.births.see([STANDING])
    held = await step(rig, inputs, decision)
    assert (held.verdict, held.reason) == (Decided.HOLD, Reason.BACKING_OFF)
    assert "; blue: WARM_IP_TARGET=" in held.message
    assert "did harm (DelayedStarts: 9 of 20)" in held.message


async def test_another_operator_answers_by_the_same_table_and_goes_on_with_it(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    rig.restarts.failing = CallFailed("no answer")
    rig.births.settle(inputs, decision, None)
    await rig.births.publish(POLICY, inputs.snapshot)
    other = made(rig.store)
    await other.births.see([STANDING])
    assert table_of(other) == table_of(rig)
    await step(other, later(inputs, 15.0), decision)
    assert len(other.restarts.deleted) == 1


async def test_a_table_that_cannot_be_read_now_stays_in_force(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    await step(rig, inputs, decision)
    rig.store.failing = CallFailed("no answer")
    await rig.births.see([STANDING])
    assert table_of(rig) is not None


async def test_who_cannot_read_the_table_yet_takes_no_webhook_away_and_is_not_ready(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    await step(rig, inputs, decision)
    other = made(rig.store)
    other.store.failing = CallFailed("no answer")
    await other.births.see([STANDING])
    await other.births.look(leading=True)
    assert other.keeper.looks == []
    assert "not read yet" in other.births.unready
    other.store.failing = None
    await other.births.see([STANDING])
    await other.births.look(leading=True)
    assert other.keeper.looks == [({"kube-system"}, True)]
    assert other.births.unready == ""


async def test_who_has_targets_and_does_not_serve_is_not_ready(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    rig.server.running = False
    assert rig.births.unready == ""
    await step(rig, inputs, decision)
    assert "does not serve yet" in rig.births.unready
    rig.server.running = True
    assert rig.births.unready == ""


async def test_what_is_no_table_is_written_anew(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    rig.store.kept[REF] = StoredText("{}", "uid", "7")
    await rig.births.see([STANDING])
    assert table_of(rig) is None
    assert (await step(rig, inputs, decision)).verdict is Decided.CHANGE


async def test_it_is_known_what_pods_are_born_with_once_it_was_read_and_understood(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    rig.store.failing = CallFailed("no answer")
    await rig.births.see([STANDING])
    assert not rig.births.knows(REF)
    rig.store.failing = None
    await rig.births.see([STANDING])
    assert rig.births.knows(REF)
    assert rig.births.table(REF) is None
    await step(rig, inputs, decision)
    assert rig.births.table(REF) == table_of(rig)
    rig.store.kept[REF] = StoredText("{}", "uid", "7")
    await rig.births.see([STANDING])
    assert not rig.births.knows(REF)


async def test_originals_of_another_writer_are_put_back_first(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    record = replace(builders.record(builders.change()), originals={"WARM_IP_TARGET": None})
    assert rig.births.settle(inputs, decision, record) is decision
    assert not rig.store.kept


async def test_proven_targets_are_born_by_though_nothing_may_be_restarted(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    rig.server.running = False
    await step(rig, inputs, decision)
    assert table_of(rig).trials["blue"].stage is Stage.CANARY
    assert not rig.restarts.deleted


async def test_withdrawn_targets_are_answered_by_no_more(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    await step(rig, inputs, decision)
    outcome = await rig.births.withdraw(REF)
    assert outcome is not None
    assert outcome.settled
    assert (rig.store.kept, table_of(rig)) == ({}, None)
    assert await rig.births.withdraw(REF) is None


async def test_who_may_not_read_a_table_has_none_to_withdraw(rig: Rig) -> None:
    rig.store.failing = CallFailed("forbidden", status=403)
    assert await rig.births.withdraw(REF) is None
    rig.store.failing = CallFailed("no answer")
    outcome = await rig.births.withdraw(REF)
    assert outcome is not None
    assert not outcome.settled


async def test_a_table_that_cannot_be_deleted_keeps_its_policy(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    await step(rig, inputs, decision)
    await rig.births.see([])  # the policy is on its way out
    rig.store.keeping = CallFailed("forbidden", status=403)
    outcome = await rig.births.withdraw(REF)
    assert outcome is not None
    assert not outcome.settled


async def test_the_webhook_is_kept_now_and_then_and_again_soon_after_a_fault(
    rig: Rig, inputs: Inputs, decision: Decision
) -> None:
    await step(rig, inputs, decision)
    (canary,) = table_of(rig).trials["blue"].nodes
    agents = {name: one for name, one in inputs.snapshot.agents.items() if name != canary}
    inputs = later(inputs, 15.0, agents=agents)
    for _ in range(3):
        await rig.births.look(leading=True)
    assert rig.keeper.looks == [({"kube-system"}, True)]
    rig.keeper.failing = CallFailed("HTTP 403: forbidden")
    await rig.births.look(leading=False)
    held = rig.births.settle(inputs, decision, None)
    assert held.reason is Reason.WEBHOOK_UNAVAILABLE
    assert "HTTP 403" in held.message
    rig.keeper.failing = None
    rig.now_s[0] += AGAIN_S
    await rig.births.look(leading=False)
    assert rig.births.settle(inputs, decision, None).reason is Reason.AT_BIRTH


async def test_answers_are_counted_by_verdict(rig: Rig) -> None:
    rig.server.counts[Verdict.MUTATED] = 3
    await rig.births.look(leading=False)
    await rig.births.look(leading=False)
    assert 'ippolicy_webhook_answers_total{verdict="Mutated"} 3.0' in rig.exporter.render().decode()


def test_without_a_webhook_the_fix_is_told(inputs: Inputs, decision: Decision) -> None:
    held = Births(None, Exporter()).settle(inputs, decision, None)
    assert (held.verdict, held.reason) == (Decided.HOLD, Reason.WEBHOOK_UNAVAILABLE)
    assert "webhook.enabled=true" in held.message


def test_a_webhook_whose_process_does_not_start_is_known_of(rig: Rig) -> None:
    assert Births(None, Exporter()).down_s == 0
    rig.server.down_s = 61.0
    assert rig.births.down_s == 61


def test_other_methods_are_let_be(rig: Rig, inputs: Inputs, decision: Decision) -> None:
    other = replace(inputs, policy=IPPolicy.from_raw(raw_policy()))
    assert rig.births.settle(other, decision, None) is decision
