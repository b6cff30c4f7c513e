"""Targets by group are published once, held against what pods say, and withdrawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
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
from ippolicy.admission import Tables, Verdict, WebhookProcess
from ippolicy.api import IPPolicy
from ippolicy.decide.decision import decide
from ippolicy.decide.types import Decision, Reason
from ippolicy.decide.types import Verdict as Decided
from ippolicy.engine.births import AGAIN_S, Births, Webhook
from ippolicy.engine.places import LivePlaces
from ippolicy.engine.policies import Standing
from ippolicy.engine.webhook import WebhookKeeper
from ippolicy.errors import ActError
from ippolicy.facts import Birth, DaemonSetRef, Snapshot

POLICY = IPPolicy.from_raw(raw_policy(apply={"method": "Admission"}))
STANDING = Standing(POLICY, REF, None)


class FakeStore:
    """Tables as the cluster would keep them; `failing` is raised by every call."""

    def __init__(self) -> None:
        self.kept: dict[DaemonSetRef, StoredText] = {}
        self.failing: ActError | None = None

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
class Rig:
    """One operator's part, and the cluster that it shares with others."""

    births: Births
    store: FakeStore
    keeper: FakeKeeper
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
    exporter = Exporter()
    webhook = Webhook(
        cast("TextStore", store),
        cast("WebhookProcess", server),
        cast("WebhookKeeper", keeper),
        LivePlaces(list, lambda *_: None),
        lambda: True,
    )
    births = Births(webhook, exporter, clock=lambda: now_s[0])
    return Rig(births, store, keeper, server, exporter, now_s)


@pytest.fixture
def rig() -> Rig:
    return made()


@pytest.fixture(scope="module")
def decision() -> Decision:
    """What is decided on ten nodes of one group."""
    return decide(story({"mode": "Apply", "apply": {"method": "Admission"}}))


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return story().snapshot


def born(rig: Rig, snapshot: Snapshot, nodes: int) -> Snapshot:
    """The snapshot once so many nodes have the targets in force."""
    table = rig.server.tables.of(REF.namespace, REF.name)
    births = {
        node.name: Birth("default", node.group, "1", table.groups[node.group].digest)
        for node in snapshot.nodes[:nodes]
    }
    return replace(snapshot, births=births)


async def test_what_is_published_is_answered_by_and_written_once(
    rig: Rig, decision: Decision, snapshot: Snapshot
) -> None:
    outcome = await rig.births.publish(POLICY, decision, snapshot)
    assert outcome.kind is OutcomeKind.WRITTEN
    assert rig.server.tables.of(REF.namespace, REF.name).policy == "default"
    held = rig.births.settle(POLICY, decision, snapshot, None)
    assert (held.verdict, held.reason) == (Decided.HOLD, Reason.AT_BIRTH)
    assert "0 of 10 nodes" in held.message


async def test_it_is_in_place_once_every_node_has_it(
    rig: Rig, decision: Decision, snapshot: Snapshot
) -> None:
    await rig.births.publish(POLICY, decision, snapshot)
    some = rig.births.settle(POLICY, decision, born(rig, snapshot, 4), None)
    assert (some.reason, "4 of 10 nodes" in some.message) == (Reason.AT_BIRTH, True)
    full = rig.births.settle(POLICY, decision, born(rig, snapshot, 10), None)
    assert full.reason is Reason.TARGETS_IN_PLACE


async def test_another_operator_answers_by_the_same_table(
    rig: Rig, decision: Decision, snapshot: Snapshot
) -> None:
    await rig.births.publish(POLICY, decision, snapshot)
    other = made(rig.store)
    await other.births.see([STANDING])
    assert other.server.tables.of(*_of(REF)) == rig.server.tables.of(*_of(REF))
    assert other.births.settle(POLICY, decision, snapshot, None).verdict is Decided.HOLD


def _of(ref: DaemonSetRef) -> tuple[str, str]:
    return ref.namespace, ref.name


async def test_a_table_that_cannot_be_read_now_stays_in_force(
    rig: Rig, decision: Decision, snapshot: Snapshot
) -> None:
    await rig.births.publish(POLICY, decision, snapshot)
    rig.store.failing = CallFailed("no answer")
    await rig.births.see([STANDING])
    assert rig.server.tables.of(*_of(REF)) is not None


async def test_what_is_no_table_is_written_anew(
    rig: Rig, decision: Decision, snapshot: Snapshot
) -> None:
    rig.store.kept[REF] = StoredText("{}", "uid", "7")
    await rig.births.see([STANDING])
    assert rig.server.tables.of(*_of(REF)) is None
    assert rig.births.settle(POLICY, decision, snapshot, None).verdict is Decided.CHANGE
    assert (await rig.births.publish(POLICY, decision, snapshot)).kind is OutcomeKind.WRITTEN


async def test_originals_of_another_writer_are_put_back_first(
    rig: Rig, decision: Decision, snapshot: Snapshot
) -> None:
    await rig.births.publish(POLICY, decision, snapshot)
    record = replace(builders.record(builders.change()), originals={"WARM_IP_TARGET": None})
    assert rig.births.settle(POLICY, decision, snapshot, record).verdict is Decided.CHANGE


async def test_withdrawn_targets_are_answered_by_no_more(
    rig: Rig, decision: Decision, snapshot: Snapshot
) -> None:
    await rig.births.publish(POLICY, decision, snapshot)
    outcome = await rig.births.withdraw(REF)
    assert outcome is not None
    assert outcome.settled
    assert (rig.store.kept, rig.server.tables.of(*_of(REF))) == ({}, None)
    assert await rig.births.withdraw(REF) is None


async def test_who_may_not_read_a_table_has_none_to_withdraw(rig: Rig) -> None:
    rig.store.failing = CallFailed("forbidden", status=403)
    assert await rig.births.withdraw(REF) is None
    rig.store.failing = CallFailed("no answer")
    outcome = await rig.births.withdraw(REF)
    assert outcome is not None
    assert not outcome.settled


async def test_the_webhook_is_kept_now_and_then_and_again_soon_after_a_fault(
    rig: Rig, decision: Decision, snapshot: Snapshot
) -> None:
    await rig.births.publish(POLICY, decision, snapshot)
    for _ in range(3):
        await rig.births.look(leading=True)
    assert rig.keeper.looks == [({"kube-system"}, True)]
    rig.keeper.failing = CallFailed("HTTP 403: forbidden")
    await rig.births.look(leading=False)
    held = rig.births.settle(POLICY, decision, snapshot, None)
    assert held.reason is Reason.WEBHOOK_UNAVAILABLE
    assert "HTTP 403" in held.message
    rig.keeper.failing = None
    rig.now_s[0] += AGAIN_S
    await rig.births.look(leading=False)
    assert rig.births.settle(POLICY, decision, snapshot, None).reason is Reason.AT_BIRTH


async def test_answers_are_counted_by_verdict(rig: Rig) -> None:
    rig.server.counts[Verdict.MUTATED] = 3
    await rig.births.look(leading=False)
    await rig.births.look(leading=False)
    assert 'ippolicy_webhook_answers_total{verdict="Mutated"} 3.0' in rig.exporter.render().decode()


def test_without_a_webhook_the_fix_is_told(decision: Decision, snapshot: Snapshot) -> None:
    held = Births(None, Exporter()).settle(POLICY, decision, snapshot, None)
    assert (held.verdict, held.reason) == (Decided.HOLD, Reason.WEBHOOK_UNAVAILABLE)
    assert "webhook.enabled=true" in held.message


def test_a_webhook_whose_process_does_not_start_is_known_of(rig: Rig) -> None:
    assert Births(None, Exporter()).down_s == 0
    rig.server.down_s = 61.0
    assert rig.births.down_s == 61


def test_other_methods_are_let_be(rig: Rig, decision: Decision, snapshot: Snapshot) -> None:
    policy = IPPolicy.from_raw(raw_policy())
    assert rig.births.settle(policy, decision, snapshot, None) is decision
