from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import daemon_set, rollout
from claims import US, read
from ippolicy.act import history
from ippolicy.act.history import IN_DOUBT_S, MAX_CHANGES
from ippolicy.decide.types import Decision, Proof, Reason, Verdict
from ippolicy.facts import Change, ChangeKind, ChangePhase, EnvEntry, Forecast, Ledger, Record

KEY = "WARM_IP_TARGET"
AT_S = 1000.0


def change(phase: ChangePhase = ChangePhase.INTENDED, **fields: Any) -> Change:
    made = Change(
        id="4-a",
        policy="default",
        phase=phase,
        before={KEY: None},
        after={KEY: "5"},
        reason="SavesAddresses",
        intended_at_s=AT_S,
        generation=0 if phase is ChangePhase.INTENDED else 4,
    )
    return replace(made, **fields)


def decision(value: str | None, **fields: Any) -> Decision:
    made = Decision(
        verdict=Verdict.CHANGE,
        reason=Reason.SAVES_ADDRESSES,
        message="",
        at_s=AT_S,
        env={KEY: value},
        fleet=None,
        groups=(),
    )
    return replace(made, **fields)


def record(*changes: Change, uid: str = "ds-uid") -> Record:
    return Record(uid, "policy-uid", {KEY: None}, changes)


def phase(record: Record) -> ChangePhase | None:
    return record.last_change.phase if record.last_change else None


OURS = {US: {KEY: "all"}}


@pytest.mark.parametrize("age_s", [0.0, IN_DOUBT_S, 1e6, -1e6])
def test_an_intent_in_force_by_our_hand_is_rolling(age_s: float) -> None:
    settled = history.settle(record(change()), read({KEY: "5"}, OURS), now_s=AT_S + age_s)
    assert phase(settled) is ChangePhase.ROLLING
    assert settled.changes[-1].generation == 3


@pytest.mark.parametrize(
    "live",
    [
        read({}),
        read({KEY: "4"}, OURS),
        read({KEY: "5"}, {"kubectl-set": {KEY: "all"}}),
        read({KEY: "5"}, OURS, uid="another"),
    ],
    ids=["absent", "former", "by-hand", "recreated"],
)
def test_an_intent_not_in_force_waits_until_it_cannot_arrive_any_more(live: Any) -> None:
    young = history.settle(record(change()), live, now_s=AT_S + IN_DOUBT_S - 1)
    assert phase(young) is ChangePhase.INTENDED
    for age_s in (IN_DOUBT_S, -3600.0):
        old = history.settle(record(change()), live, now_s=AT_S + age_s)
        assert old == record(), "the change goes, the originals stay"


def test_what_is_settled_stays_so() -> None:
    for closed in (record(), record(change(ChangePhase.COMPLETE))):
        assert history.settle(closed, read({}), now_s=AT_S) == closed
        assert history.advance(closed, daemon_set(), now_s=AT_S) == closed


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"generation": 3}, ChangePhase.ROLLING),
        ({"rollout": rollout(observed_generation=3)}, ChangePhase.ROLLING),
        ({"rollout": rollout(observed_generation=4, updated=3)}, ChangePhase.ROLLING),
        ({"rollout": rollout(observed_generation=4)}, ChangePhase.COMPLETE),
        ({"generation": 5, "rollout": rollout(observed_generation=5)}, ChangePhase.COMPLETE),
        ({"env": {KEY: EnvEntry("9")}, "generation": 5}, ChangePhase.SUPERSEDED),
        ({"env": {}, "generation": 5}, ChangePhase.SUPERSEDED),
        ({"uid": "another"}, ChangePhase.SUPERSEDED),
    ],
    ids=["old-facts", "unseen", "rolling", "done", "later-change", "set-anew", "gone", "recreated"],
)
def test_a_rollout_comes_to_its_end(facts: dict[str, Any], expected: ChangePhase) -> None:
    now = replace(daemon_set({KEY: "5"}, generation=4), **facts)
    ended = history.advance(record(change(ChangePhase.ROLLING)), now, now_s=AT_S + 60)
    assert phase(ended) is expected
    closed = expected is not ChangePhase.ROLLING
    assert ended.changes[-1].completed_at_s == (AT_S + 60 if closed else None)


def test_a_new_change_closes_the_one_before_it_and_keeps_the_originals() -> None:
    live = read({KEY: "5"}, OURS)
    newer = history.intended(live, decision("7"), policy="p", now_s=AT_S + 9)
    begun = history.begin(
        record(change(ChangePhase.ROLLING)), live, newer, policy_uid="another-policy"
    )
    assert [c.phase for c in begun.changes] == [ChangePhase.ROLLING, ChangePhase.INTENDED]
    assert begun.originals == {KEY: None}
    assert begun.policy_uid == "another-policy"
    assert (newer.before, newer.after) == ({KEY: "5"}, {KEY: "7"})
    sent = history.rolling(begun, generation=5, after={KEY: "7"})
    assert [c.phase for c in sent.changes] == [ChangePhase.SUPERSEDED, ChangePhase.ROLLING]


def test_a_change_that_was_not_sent_leaves_the_one_before_it_under_way() -> None:
    live = read({KEY: "5"}, OURS)
    before = record(change(ChangePhase.ROLLING))
    newer = history.intended(live, decision(None), policy="p", now_s=AT_S)
    begun = history.begin(before, live, newer, policy_uid="policy-uid")
    assert history.settle(begun, live, now_s=AT_S + IN_DOUBT_S) == before


def test_a_change_keeps_what_it_was_decided_on() -> None:
    forecast = Forecast(held=20.0, held_low=19.0, held_high=21.0)
    proof = Proof("basis", "bounds.warmIPTarget.min", ("one", "other"), forecast, forecast)
    made = history.intended(read({}), decision("7", proof=proof), policy="p", now_s=AT_S)
    assert Proof(made.basis, made.binding, made.rejected, made.present, made.predicted) == proof


def test_what_a_record_knows_beside_its_changes_outlives_the_next_change() -> None:
    known = replace(
        record(change(ChangePhase.COMPLETE)), mispredicted=2, ledger=Ledger(saved_address_s=5.0)
    )
    live = read({KEY: "5"}, OURS)
    newer = history.intended(live, decision("7"), policy="p", now_s=AT_S + 9)
    begun = history.begin(known, live, newer, policy_uid="policy-uid")
    assert begun == replace(known, changes=(*known.changes, newer))


def test_a_rollback_marks_what_it_undoes_once_it_was_sent() -> None:
    live = read({KEY: "5"}, OURS)
    undo = decision(None, kind=ChangeKind.ROLLBACK, proof=Proof("basis", "DelayedStarts: 9 of 9"))
    rollback = history.intended(live, undo, policy="p", now_s=AT_S + 9)
    begun = history.begin(record(change(ChangePhase.ROLLING)), live, rollback, policy_uid="p")
    assert (begun.changes[0].undone, begun.back_offs) == ("", ())
    sent = history.rolling(begun, generation=5, after={KEY: None})
    assert sent.changes[0].phase is ChangePhase.SUPERSEDED
    assert sent.changes[0].undone == "DelayedStarts: 9 of 9"
    assert [(one.after, one.times) for one in sent.back_offs] == [({KEY: "5"}, 1)]


def test_a_rollback_that_a_death_cut_short_is_found_done() -> None:
    undo = decision(None, kind=ChangeKind.ROLLBACK, proof=Proof("basis", "DelayedStarts: 9 of 9"))
    before = read({KEY: "5"}, OURS)
    rollback = history.intended(before, undo, policy="p", now_s=AT_S + 9)
    begun = history.begin(record(change(ChangePhase.ROLLING)), before, rollback, policy_uid="p")
    assert history.settle(begun, before, now_s=AT_S + 10) == begun, "it may be on its way"
    found = history.settle(begun, read({}), now_s=AT_S + 60)
    assert found.changes[0].undone == "DelayedStarts: 9 of 9"
    assert found.changes[1].phase is ChangePhase.ROLLING
    assert found.back_offs


def test_a_recreated_daemon_set_has_its_own_originals() -> None:
    live = read({KEY: "3"}, {"helm": {KEY: "all"}})
    newer = history.intended(live, decision("7"), policy="p", now_s=AT_S)
    former = record(change(ChangePhase.COMPLETE), uid="another")
    begun = history.begin(former, live, newer, policy_uid="p")
    assert begun.originals == {KEY: EnvEntry("3")}
    assert begun.daemon_set_uid == "ds-uid"
    assert begun.changes == (*former.changes, newer)


def test_only_the_last_changes_are_kept() -> None:
    live = read({})
    grown: Record | None = None
    for number in range(MAX_CHANGES + 5):
        newer = history.intended(live, decision(str(number)), policy="p", now_s=number)
        grown = history.begin(grown, live, newer, policy_uid="p")
    assert grown is not None
    assert [c.after[KEY] for c in grown.changes] == [str(n) for n in range(5, MAX_CHANGES + 5)]


def test_the_same_change_of_the_same_facts_has_the_same_id() -> None:
    def id_of(value: str, **metadata: Any) -> str:
        live = read({}, **metadata)
        return history.intended(live, decision(value), policy="p", now_s=AT_S).id

    assert id_of("5") == id_of("5")
    assert id_of("5").startswith("4-")
    assert len({id_of("5"), id_of("6"), id_of("5", resourceVersion="101")}) == 3


def test_what_a_clock_that_was_ahead_has_written_is_taken_to_be_of_now() -> None:
    early = change(ChangePhase.COMPLETE, completed_at_s=AT_S + 60)
    ahead = change(ChangePhase.COMPLETE, intended_at_s=AT_S + 3_600, completed_at_s=AT_S + 3_660)
    past, made = history.not_ahead(record(early, ahead), AT_S + 120).changes
    assert past == early
    assert (made.intended_at_s, made.completed_at_s) == (AT_S + 120, AT_S + 120)
    rolling = record(change(ChangePhase.ROLLING, intended_at_s=AT_S + 3_600))
    (going_on,) = history.not_ahead(rolling, AT_S).changes
    assert (going_on.intended_at_s, going_on.completed_at_s) == (AT_S, None)


def test_clocks_that_differ_by_seconds_rewrite_nothing() -> None:
    near = record(change(ChangePhase.COMPLETE, completed_at_s=AT_S + 60))
    assert history.not_ahead(near, AT_S) is near
