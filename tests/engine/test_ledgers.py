"""The record follows the table on the cluster, whoever wrote that and died."""

from __future__ import annotations

from typing import cast

import pytest

import builders
from engine_fakes import REF, FakeActor, raw_policy
from ippolicy.act.actor import Actor
from ippolicy.act.requests import CallFailed
from ippolicy.api import IPPolicy
from ippolicy.decide.births.table import Grounds, GroupTargets, PolicyTable, Stage, Trial
from ippolicy.engine.births import Births
from ippolicy.engine.ledgers import follow_births
from ippolicy.facts import ChangePhase, DaemonSetRef, Record
from ippolicy.ipamd import WarmTargets

POLICY = IPPolicy.from_raw(raw_policy(apply={"method": "Admission"}))
TRIAL = Trial(
    GroupTargets(WarmTargets(warm_ip=2), 1), Stage.CANARY, 100.0, ("node-0",), Grounds(100.0)
)
TABLE = PolicyTable("default", trials={"web": TRIAL})


class Known:
    """The tables that an operator has read."""

    def __init__(self, table: PolicyTable | None, *, known: bool = True) -> None:
        self.read, self.known = table, known

    def knows(self, ref: DaemonSetRef) -> bool:
        return self.known

    def table(self, ref: DaemonSetRef) -> PolicyTable | None:
        return self.read


async def followed(actor: FakeActor, known: Known, record: Record | None) -> Record | None:
    snapshot = builders.snapshot()
    births = cast("Births", known)
    return await follow_births(cast("Actor", actor), births, POLICY, snapshot, record)


async def test_the_first_trial_makes_a_record_without_originals() -> None:
    actor = FakeActor()
    record = await followed(actor, Known(TABLE), None)
    assert record is not None
    assert (record.policy_uid, dict(record.originals), record.changes) == ("uid-default", {}, ())
    (change,) = record.group_changes
    assert (change.group, change.phase, change.policy) == ("web", ChangePhase.ROLLING, "default")
    assert actor.records[REF] == record


async def test_nothing_is_written_where_nothing_was_ever_tried() -> None:
    actor = FakeActor()
    assert await followed(actor, Known(None), None) is None
    assert not actor.records


async def test_of_a_table_that_is_not_known_nothing_is_said() -> None:
    actor = FakeActor()
    record = await followed(actor, Known(TABLE), None)
    assert await followed(actor, Known(None, known=False), record) is record
    withdrawn = await followed(actor, Known(None), record)
    assert withdrawn is not None
    assert [one.phase for one in withdrawn.group_changes] == [ChangePhase.SUPERSEDED]


async def test_a_record_that_cannot_be_written_stops_the_table_from_going_on() -> None:
    actor = FakeActor()
    actor.failing[REF] = CallFailed("no answer")
    with pytest.raises(CallFailed):
        await followed(actor, Known(TABLE), None)
