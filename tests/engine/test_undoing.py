"""What happens to the settings of a policy that goes, or that names another DaemonSet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aws_node import CNI_ENV, AwsNode, decision
from engine_fakes import OTHER, REF, Rig, invalid_policy, raw_policy
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.act.requests import CallFailed
from ippolicy.api import IPPolicy
from ippolicy.engine.election import Alone
from ippolicy.engine.policies import Policies
from ippolicy.engine.undoing import Undoing
from ippolicy.errors import RecordUnreadable
from ippolicy.facts import DaemonSetRef, Record
from ippolicy.sandbox.kube import EmbeddedKube, Fault
from views import a_change, a_decision, a_record, a_snapshot
from virtual_loop import START_S, in_virtual_time

OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
OURS = {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "20"}
RESTORED, NOTHING, FAILED = OutcomeKind.RESTORED, OutcomeKind.NOTHING, OutcomeKind.FAILED


def record_of(policy: str) -> Record:
    return replace(a_record(a_change()), policy_uid=f"uid-{policy}")


def failed(message: str) -> Outcome:
    return Outcome(FAILED, message)


def ended(rig: Rig) -> list[tuple[str, OutcomeKind]]:
    return [(name, outcome.kind) for name, outcome in rig.publisher.ended]


# On a real DaemonSet


class Managed:
    """An engine with a real actor, that decides once to set `OURS` wherever a policy acts."""

    def __init__(self, aws_node: AwsNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node = aws_node
        self.rig = Rig(aws_node.actor())
        self.rig.observer.facts = lambda _: a_snapshot(daemon_set=aws_node.facts())
        monkeypatch.setattr("ippolicy.engine.deciding.decide", lambda _: decision(**OURS))

    def policy(self, name: str = "default", **more: Any) -> dict[str, Any]:
        return raw_policy(name, self.node.ref, **more)

    async def applied(self, name: str = "default", **spec: Any) -> None:
        self.rig.take(self.policy(name, **spec))
        await self.rig.engine.tick()
        self.node.quiet()
        assert self.targets() == OURS
        self.node.clock.now_s += 60

    async def retire(self, name: str = "default", **spec: Any) -> str | None:
        raw = self.policy(name, deleting=True, **spec)
        return await self.rig.engine.retire(raw, since_s=START_S)

    def targets(self) -> Mapping[str, str | None]:
        return {key: value for key, value in self.node.env().items() if key not in CNI_ENV}


Making = Callable[[], Managed]
"""It is made inside the test, whose loop's clock it reads."""


@pytest.fixture
def managed(aws_node: AwsNode, monkeypatch: pytest.MonkeyPatch) -> Making:
    return lambda: Managed(aws_node, monkeypatch)


async def test_the_originals_are_put_back_before_a_policy_goes(managed: Making) -> None:
    it = managed()
    await it.applied()
    assert await it.retire() is None
    assert it.node.env() == CNI_ENV
    assert it.node.record_text() is None
    assert it.node.ours() == set()
    ((name, outcome),) = it.rig.publisher.ended
    assert (name, outcome.kind) == ("default", RESTORED)
    assert "WARM_IP_TARGET removed" in outcome.message


async def test_retain_leaves_the_values_and_lets_go_of_them(managed: Making) -> None:
    it = managed()
    await it.applied(onDelete="Retain")
    assert await it.retire(onDelete="Retain") is None
    assert it.targets() == OURS
    assert (it.node.record_text(), it.node.ours()) == (None, set())


async def test_a_policy_that_changed_nothing_goes_without_a_word(managed: Making) -> None:
    it = managed()
    generation = it.node.generation
    assert await it.retire() is None
    assert it.rig.publisher.ended == []
    assert it.node.generation == generation


async def test_a_successor_that_applies_goes_on_and_keeps_the_originals(managed: Making) -> None:
    it = managed()
    await it.applied("old", created=OLD)
    record = it.node.record_text()
    it.rig.take(it.policy("young", created=NEW))
    assert await it.retire("old", created=OLD) is None
    assert (it.targets(), it.node.record_text()) == (OURS, record)
    it.rig.engine.forget("old")
    assert await it.retire("young", created=NEW) is None
    assert it.node.env() == CNI_ENV


async def test_a_successor_that_only_recommends_keeps_nothing_in_force(managed: Making) -> None:
    it = managed()
    await it.applied("old", created=OLD)
    it.rig.take(it.policy("young", created=NEW, mode="Recommend"))
    assert await it.retire("old", created=OLD) is None
    assert it.node.env() == CNI_ENV


async def test_a_policy_puts_back_only_what_is_its_own(managed: Making) -> None:
    it = managed()
    await it.applied("old", created=OLD)
    it.rig.take(it.policy("old", created=OLD, mode="Recommend"))
    assert await it.retire("young", created=NEW) is None
    assert it.targets() == OURS
    assert it.rig.publisher.ended == []
    assert await it.retire("old", created=OLD, mode="Recommend") is None
    assert it.node.env() == CNI_ENV


async def test_two_policies_that_go_at_once_put_back_the_originals_once(managed: Making) -> None:
    it = managed()
    await it.applied("old", created=OLD)
    it.rig.take(it.policy("old", deleting=True, created=OLD))
    assert await it.retire("young", created=NEW) is None
    assert it.targets() == OURS
    assert await it.retire("old", created=OLD) is None
    assert it.node.env() == CNI_ENV


async def test_the_originals_of_a_policy_that_moved_on_fall_to_whoever_is_left(
    managed: Making,
) -> None:
    it = managed()
    await it.applied("first", created=OLD)
    it.rig.take(it.policy("second", created=NEW))
    it.rig.take(raw_policy("first", OTHER, created=OLD, status={"daemonSet": str(OTHER)}))
    assert await it.retire("second", created=NEW) is None
    assert it.node.env() == CNI_ENV


async def test_an_api_that_fails_holds_a_policy_until_it_answers(
    managed: Making, kube: tuple[EmbeddedKube, Path]
) -> None:
    it = managed()
    await it.applied()
    kube[0].faults.add(Fault(("patch", "daemonsets"), status=503, times=1))
    problem = await it.retire()
    assert problem is not None
    assert "HTTP 503" in problem
    assert it.node.record_text() is not None
    assert await it.retire() is None
    assert it.node.env() == CNI_ENV
    assert ended(it.rig) == [("default", FAILED), ("default", RESTORED)]


async def test_a_daemon_set_that_is_gone_holds_nobody(managed: Making) -> None:
    it = managed()
    await it.applied()
    it.node.delete()
    assert await it.retire() is None
    assert ended(it.rig) == [("default", NOTHING)]


# Amid fakes


@in_virtual_time
async def test_what_cannot_be_put_back_is_given_up_after_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(restore_give_up_after="10m")
    rig.actor.records[REF] = record_of("default")
    rig.actor.undoing = failed("the API server is away")
    gone = raw_policy(deleting=True)
    assert await rig.engine.retire(gone, since_s=START_S - 600) == "the API server is away"
    with caplog.at_level(logging.ERROR, "ippolicy"):
        assert await rig.engine.retire(gone, since_s=START_S - 601) is None
    assert "policy default goes without its originals: the API server is away" in caplog.text
    assert ended(rig) == [("default", FAILED)] * 2


@in_virtual_time
async def test_a_record_that_cannot_be_read_holds_a_policy_too() -> None:
    rig = Rig()
    rig.actor.failing[REF] = RecordUnreadable("cannot be read: put it right")
    gone = raw_policy(deleting=True)
    assert await rig.engine.retire(gone, since_s=START_S) == "cannot be read: put it right"
    assert rig.actor.undone == []


@pytest.mark.parametrize(
    ("status", "changes", "problem"),
    [
        (403, (), None),
        (403, ({"phase": "Complete"},), "read ConfigMap: no"),
        (500, (), "read ConfigMap: no"),
        (None, (), "read ConfigMap: no"),
    ],
)
@in_virtual_time
async def test_a_record_that_may_not_be_read_holds_only_a_policy_that_changed_something(
    status: int | None, changes: tuple[dict[str, str], ...], problem: str | None
) -> None:
    rig = Rig()
    rig.actor.failing[REF] = CallFailed("read ConfigMap: no", status=status)
    gone = raw_policy(deleting=True, status={"changes": list(changes)})
    assert await rig.engine.retire(gone, since_s=START_S) == problem
    assert rig.actor.undone == []


@in_virtual_time
async def test_an_invalid_policy_may_go_and_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.actor.records[REF] = record_of("broken")
    with caplog.at_level(logging.ERROR, "ippolicy"):
        assert await rig.engine.retire(invalid_policy(deleting=True), since_s=START_S) is None
    assert "it goes without anything being put back" in caplog.text
    assert rig.actor.undone == []


@in_virtual_time
async def test_a_policy_that_goes_while_it_moves_puts_back_both() -> None:
    rig = Rig()
    rig.actor.records = {REF: record_of("default"), OTHER: record_of("default")}
    gone = raw_policy(ref=OTHER, status={"daemonSet": str(REF)}, deleting=True)
    rig.actor.undoing = failed("no answer")
    assert await rig.engine.retire(gone, since_s=START_S) == "no answer; no answer"
    rig.actor.undoing = Outcome(RESTORED, "as it was")
    rig.actor.undone.clear()
    assert await rig.engine.retire(gone, since_s=START_S) is None
    assert rig.actor.undone == [("restore", OTHER), ("restore", REF)]


@in_virtual_time
async def test_another_daemon_set_ref_undoes_the_one_before_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ippolicy.engine.deciding.decide", lambda _: a_decision())
    rig = Rig()
    rig.actor.records[REF] = record_of("default")
    rig.actor.undoing = failed("no answer")
    moved = raw_policy(ref=OTHER, status={"daemonSet": str(REF)})
    rig.take(moved)
    for _ in range(2):
        await rig.engine.tick()
        view = rig.view()
        assert (view.left_behind, view.outcome) == (str(REF), rig.actor.undoing)
        assert (view.decision, view.record) == (None, None)
    assert ended(rig) == []
    rig.actor.undoing = Outcome(RESTORED, "as it was")
    for _ in range(2):
        await rig.engine.tick()
        view = rig.view()
        assert (view.left_behind, view.outcome) == (None, None)
        assert view.decision is not None
    assert ended(rig) == [("default", RESTORED)]
    assert rig.actor.undone == [("restore", REF)] * 3
    assert {ref for ref, _ in rig.observer.asked} == {OTHER}


@pytest.mark.parametrize(
    "asked",
    [
        {"mode": "Recommend"},
        {"mode": "Off"},
        {"metadata": {"annotations": {"ippolicy.dev/paused": "true"}}},
    ],
)
@in_virtual_time
async def test_a_policy_that_wants_no_writes_undoes_nothing_until_it_does(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    monkeypatch.setattr("ippolicy.engine.deciding.decide", lambda _: a_decision())
    rig = Rig()
    rig.actor.records[REF] = record_of("default")
    status = {"daemonSet": str(REF), "changes": [{"phase": "Complete"}]}
    rig.take(raw_policy(ref=OTHER, status=status, **asked))
    await rig.engine.tick()
    assert rig.actor.undone == []
    assert rig.view().left_behind == str(REF)
    assert rig.view().decision is not None
    rig.take(raw_policy(ref=OTHER, status=status))
    await rig.engine.tick()
    assert rig.actor.undone == [("restore", REF)]


@in_virtual_time
async def test_a_ref_left_behind_is_retained_where_the_policy_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ippolicy.engine.deciding.decide", lambda _: a_decision())
    rig = Rig()
    rig.actor.records[REF] = record_of("default")
    rig.take(raw_policy(ref=OTHER, status={"daemonSet": str(REF)}, onDelete="Retain"))
    await rig.engine.tick()
    assert rig.actor.undone == [("retain", REF)]


@pytest.mark.parametrize(
    ("former", "policies"),
    [
        (REF, ()),
        (OTHER, (raw_policy("next", OTHER),)),
        (DaemonSetRef("kube-system", "never-changed"), ()),
    ],
)
@in_virtual_time
async def test_nothing_is_undone_where_nothing_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, former: DaemonSetRef, policies: tuple[dict[str, Any], ...]
) -> None:
    monkeypatch.setattr("ippolicy.engine.deciding.decide", lambda _: a_decision())
    rig = Rig()
    rig.actor.records = {REF: record_of("default"), OTHER: record_of("default")}
    rig.take(raw_policy(status={"daemonSet": str(former)}), *policies)
    await rig.engine.tick()
    assert rig.actor.undone == []
    assert rig.view().left_behind is None
    assert rig.view().decision is not None


# Targets by node group


class Withdrawn:
    """Targets by group of policy default, and whether they were withdrawn."""

    on = True
    gone = False

    def has(self, ref: DaemonSetRef) -> bool:
        return not self.gone

    def owner(self, ref: DaemonSetRef) -> str:
        return "default"

    async def withdraw(self, ref: DaemonSetRef) -> Outcome:
        self.gone = True
        return Outcome(RESTORED, "withdrawn")


@pytest.mark.parametrize(
    ("spec", "gone"),
    [
        ({"mode": "Apply", "apply": {"method": "DaemonSet"}}, True),
        ({"mode": "Apply", "apply": {"method": "None"}}, True),
        ({"mode": "Apply", "apply": {"method": "Admission"}}, False),
        ({"mode": "Recommend", "apply": {"method": "None"}}, False),
        ({"mode": "Off", "apply": {"method": "DaemonSet"}}, False),
    ],
    ids=str,
)
async def test_targets_by_group_go_with_their_method_unless_nothing_may_be_written(
    spec: Mapping[str, Any], gone: bool
) -> None:
    births, policies = Withdrawn(), Policies()
    undoing = Undoing(
        policies,
        actor=None,  # type: ignore[arg-type]
        births=births,  # type: ignore[arg-type]
        publisher=None,  # type: ignore[arg-type]
        office=Alone(),
        clock=lambda: START_S,
        look=lambda *_: a_snapshot(),
    )
    policies.put(raw_policy("default", REF, **spec))
    policy = IPPolicy.from_raw(policies.raw("default"))
    await undoing.withdraw(policy, REF)
    assert births.gone is gone
