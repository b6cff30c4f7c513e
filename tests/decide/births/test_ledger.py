"""The trials of groups are changes of the record: none is lost, none is there twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from birth_fleet import Fleet
from ippolicy.act.document import read_document, write_document
from ippolicy.decide import proof
from ippolicy.decide.births import ledger
from ippolicy.decide.births.ledger import MAX_GROUP_CHANGES, change_id, follow
from ippolicy.decide.births.table import Grounds, GroupTargets, PolicyTable, Stage, Trial
from ippolicy.facts import ChangePhase, Measured, Record, Writer
from ippolicy.ipamd import WarmTargets

CHANGE = {"stabilization": "0s", "rollback": {"within": "15m"}}
EMPTY = Record("uid", "policy-uid", originals={}, changes=())


class Ledger:
    """A virtual fleet, and its record kept in line with its table, as an operator does."""

    def __init__(self, *, nodes: int = 20) -> None:
        self.fleet = Fleet(spec={"change": CHANGE})
        self.fleet.add("web", nodes)
        self.fleet.now_s += 3_600.0
        self.fleet.want("web", 2)
        self.record = EMPTY

    def step(self) -> None:
        """The record first, as the table has it; then the table goes on."""
        self.record = follow(self.record, self.fleet.table, self.fleet.now_s)
        self.fleet.step()

    def until(self, stage: Stage | None, *, most: int = 2_000) -> None:
        """Until the group is in that stage; proven, or at rest, for None."""
        for _ in range(most):
            trial = self.fleet.table.trials.get("web")
            begun = bool(self.fleet.news)
            if begun and (trial.stage if trial else None) is stage:
                break
            self.step()
        else:
            raise AssertionError(f"{most} steps in vain")
        self.record = follow(self.record, self.fleet.table, self.fleet.now_s)


def late_with(ledger_: Ledger) -> None:
    """Whatever is tried now starts late."""
    digest = ledger_.fleet.table.trials["web"].targets.digest
    ledger_.fleet.late = lambda _, ran: 2 if ran == digest else 0


def test_a_trial_is_a_change_that_rolls_and_says_what_it_was_begun_for() -> None:
    kept = Ledger()
    kept.until(Stage.CANARY)
    (change,) = kept.record.group_changes
    assert (change.group, change.phase, change.writer) == (
        "web",
        ChangePhase.ROLLING,
        Writer.ADMISSION,
    )
    assert change.before["WARM_ENI_TARGET"] == "1"
    assert change.after["WARM_IP_TARGET"] == "2"
    assert change.reason == "AtBirth"
    assert change.basis
    assert change.present is not None
    assert change.present.held == 42 * 20
    assert change.predicted is not None
    assert change.predicted.held == 22 * 20


def test_it_is_complete_once_promoted_and_stays_so_when_proven() -> None:
    kept = Ledger()
    kept.until(Stage.PROMOTED)
    (promoted,) = kept.record.group_changes
    assert promoted.phase is ChangePhase.COMPLETE
    assert promoted.completed_at_s == kept.fleet.table.trials["web"].since_s
    kept.until(None)
    assert kept.record.group_changes == (promoted,)
    assert ledger.standing(kept.record) == (promoted,)


@pytest.mark.parametrize("stage", list(Stage))
def test_a_refusal_marks_it_undone_with_the_guard_whatever_its_stage(stage: Stage) -> None:
    kept = Ledger()
    kept.until(stage)
    late_with(kept)
    kept.until(None)
    (change,) = kept.record.group_changes
    assert change.undone.startswith("DelayedStarts: ")
    assert change.phase is ChangePhase.SUPERSEDED
    assert not ledger.standing(kept.record)


def test_after_a_refusal_the_change_before_stands_again() -> None:
    kept = Ledger()
    kept.until(None)
    (first,) = kept.record.group_changes
    kept.fleet.want("web", 8, held=22)
    kept.fleet.advice["web"] = replace(
        kept.fleet.advice["web"],
        recommendation=replace(
            kept.fleet.advice["web"].recommendation,
            present_meets=False,
        ),
    )
    kept.until(Stage.CANARY)
    assert ledger.standing(kept.record) == ()
    late_with(kept)
    kept.until(None)
    assert [bool(one.undone) for one in kept.record.group_changes] == [False, True]
    assert ledger.standing(kept.record) == (first,)
    assert kept.record.group_changes[1].before == first.after


def test_what_was_refused_and_is_tried_again_is_another_change() -> None:
    kept = Ledger()
    kept.until(Stage.CANARY)
    late_with(kept)
    kept.until(None)
    kept.fleet.late = lambda *_: 0
    kept.until(Stage.CANARY)
    first, second = kept.record.group_changes
    assert first.id != second.id
    assert first.after == second.after
    assert bool(first.undone)
    assert not second.undone


def test_whoever_looks_again_writes_nothing_new() -> None:
    kept = Ledger()
    for stage in (*Stage, None):
        kept.until(stage)
        again = follow(kept.record, kept.fleet.table, kept.fleet.now_s + 600.0)
        assert again == kept.record
        assert read_document(write_document(again)) == again


def test_an_operator_that_ends_before_the_record_is_written_loses_no_change() -> None:
    kept = Ledger()
    kept.until(Stage.CANARY)
    unwritten = EMPTY  # the table was published, and nobody wrote the record
    kept.fleet.forget()
    assert follow(unwritten, kept.fleet.table, kept.fleet.now_s + 60.0) == kept.record


def test_withdrawn_targets_end_what_stands_and_leave_the_past_alone() -> None:
    kept = Ledger()
    kept.until(None)
    kept.fleet.want("web", 4, held=84)
    kept.until(Stage.CANARY)
    withdrawn = follow(kept.record, None, kept.fleet.now_s)
    assert [one.phase for one in withdrawn.group_changes] == [
        ChangePhase.COMPLETE,
        ChangePhase.SUPERSEDED,
    ]
    assert follow(withdrawn, None, kept.fleet.now_s + 15.0) == withdrawn


def many(count: int) -> PolicyTable:
    targets = GroupTargets(WarmTargets(warm_ip=2), 1)
    trials = {
        f"g{n:03}": Trial(targets, Stage.CANARY, 0.0, (f"n{n}",), Grounds(float(n)))
        for n in range(count)
    }
    return PolicyTable("default", trials=trials)


def test_the_newest_of_many_are_kept_and_no_look_writes_them_again() -> None:
    table = many(MAX_GROUP_CHANGES + 50)
    record = follow(EMPTY, table, 1_000.0)
    assert [one.group for one in record.group_changes] == [
        f"g{n:03}" for n in range(50, MAX_GROUP_CHANGES + 50)
    ]
    assert follow(record, table, 2_000.0) == record


def test_groups_are_measured_at_once_each_for_itself() -> None:
    table = many(2)
    promoted = {
        group: replace(trial, stage=Stage.PROMOTED, since_s=100.0 + 600.0 * n)
        for n, (group, trial) in enumerate(table.trials.items())
    }
    record = follow(EMPTY, replace(table, trials=promoted), 1_000.0)
    ((change, after_s),) = ledger.due(record, 1_000.0)
    assert (change.group, after_s) == ("g000", 900)
    found = Measured(900, 1_000.0, 10, 40.0, expected_held=20.0, as_expected=False)
    record = proof.with_measured(record, change.id, found)
    assert record.mispredicted == 1
    assert [len(one.measured) for one in record.group_changes] == [1, 0]
    assert proof.with_measured(record, change.id, found) == record
    assert [one.group for one, _ in ledger.due(record, 1_600.0)] == ["g001"]


def test_the_id_of_a_change_is_the_same_for_whoever_looks() -> None:
    trial = Trial(
        GroupTargets(WarmTargets(warm_ip=2), 3), Stage.CANARY, 9.0, ("n",), Grounds(255.5)
    )
    assert change_id("web", trial) == "web-3-ff"
    assert change_id("web", replace(trial, stage=Stage.PROMOTED, since_s=99.0)) == "web-3-ff"
