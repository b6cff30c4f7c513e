"""What a change rests on, when it is measured, what counts as mispredicted, what was saved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, change, daemon_set, policy, record, snapshot, trace
from decided import story
from ippolicy.decide import back_off, bundle, proof
from ippolicy.decide.basis import basis_of, has_changed
from ippolicy.decide.decision import decide
from ippolicy.decide.environment import read_environment
from ippolicy.decide.guards import Trip
from ippolicy.decide.measure import Counts
from ippolicy.decide.types import Reason, Verdict
from ippolicy.facts import ChangeKind, ChangePhase, Cni, CniFacts, Forecast, Measured, Record

SETTINGS = read_environment(daemon_set().env).settings
DONE = change(completed_at_s=NOW_S)
AS_IT_WAS = Forecast(held=100.0, held_low=95.0, held_high=105.0)


def held(addresses: float, watched_s: float = 3_600.0) -> Counts:
    return Counts(watched_s=watched_s, held_s=addresses * watched_s, pod_s=50 * watched_s)


def measured(fits: bool | None, after_s: int = 900) -> Measured:
    return Measured(after_s, NOW_S, pods=50, held=100.0, as_expected=fits)


# -- when ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after_s", "done", "expected"),
    [
        (899, (), None),
        (900, (), 900),
        (900, (900,), None),
        (3_600, (900,), 3_600),
        (5_000, (), 3_600),
        (200_000, (), 86_400),
        (200_000, (900, 3_600, 86_400), None),
        (-3_600, (), None),
    ],
)
def test_each_measurement_is_made_once_and_late_rather_than_never(
    after_s: float, done: tuple[int, ...], expected: int | None
) -> None:
    made = replace(DONE, measured=tuple(measured(True, one) for one in done))
    assert proof.due(made, NOW_S + after_s) == expected


@pytest.mark.parametrize("phase", [ChangePhase.ROLLING, ChangePhase.SUPERSEDED])
def test_only_what_is_in_force_is_measured(phase: ChangePhase) -> None:
    assert proof.due(replace(DONE, phase=phase), NOW_S + 90_000) is None
    assert proof.due(None, NOW_S) is None


@given(st.lists(st.floats(-100_000, 300_000), max_size=30))
def test_whatever_the_clock_does_nothing_is_measured_twice(moments: list[float]) -> None:
    found = record(DONE)
    for moment in moments:
        last = found.changes[-1]
        if (after_s := proof.due(last, NOW_S + moment)) is not None:
            found = proof.with_measured(found, last.id, measured(True, after_s))
    after = [one.after_s for one in found.changes[-1].measured]
    assert after == sorted(set(after))


def test_the_pools_settle_before_anything_is_measured() -> None:
    assert proof.window(DONE, 900, NOW_S + 900) == (NOW_S + proof.SETTLE_S, NOW_S + 900)
    assert proof.window(DONE, 900, NOW_S + 9_000) == (NOW_S + 8_100, NOW_S + 9_000)


def test_a_measurement_needs_half_of_its_time_watched() -> None:
    assert not proof.enough(held(100, watched_s=300), 900)
    assert proof.enough(held(100, watched_s=500), 900)


# -- as expected --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "fits"), [(94, True), (93, False), (106, True), (107, False)]
)
def test_what_was_held_is_as_expected_within_the_interval(addresses: float, fits: bool) -> None:
    found = proof.measurement(900, NOW_S, held(addresses), AS_IT_WAS)
    assert (found.held, found.pods, found.expected_held) == (addresses, 50, 100)
    assert found.as_expected is fits


def test_what_the_model_has_no_word_on_is_neither() -> None:
    assert proof.measurement(900, NOW_S, held(94), None).as_expected is None


def with_changes(*outcomes: tuple[bool | None, ...]) -> Record:
    """A record after changes that were measured so, one after another."""
    found = record()
    for number, fits in enumerate(outcomes):
        found = replace(found, changes=(*found.changes, replace(DONE, id=str(number))))
        for after_s, one in zip(proof.AFTER_S, fits, strict=False):
            found = proof.with_measured(found, str(number), measured(one, after_s))
    return found


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([(False,), (False,), (False,)], 3),
        ([(False, False, False)], 1),
        ([(False,), (True,), (False,)], 1),
        ([(False,), (False, True), (False,)], 1),
        ([(True, False), (None,), (False,)], 2),
        ([(False,), (False,), (False,), (None, True)], 0),
    ],
)
def test_a_change_counts_as_mispredicted_once_and_one_that_fits_starts_anew(
    outcomes: list[tuple[bool | None, ...]], expected: int
) -> None:
    assert with_changes(*outcomes).mispredicted == expected


def test_a_measurement_of_another_change_is_left_out() -> None:
    assert proof.with_measured(record(DONE), "another", measured(True)) == record(DONE)


def test_what_was_saved_adds_up() -> None:
    once = proof.saved(record(DONE), held(60), AS_IT_WAS, NOW_S)
    assert once.ledger.saved_address_s == pytest.approx(40 * 3_600)
    assert (once.ledger.since_s, once.ledger.until_s) == (NOW_S - 3_600, NOW_S)
    twice = proof.saved(once, held(120), AS_IT_WAS, NOW_S + 3_600)
    assert twice.ledger.saved_address_s == pytest.approx(20 * 3_600)
    assert twice.ledger.since_s == NOW_S - 3_600


# -- what it rests on ---------------------------------------------------------------------------


def basis(*, nodes: int = 10, level: int = 20, spec: dict[str, Any] | None = None) -> str:
    traces = [trace(number, level=level) for number in range(nodes)]
    return basis_of(policy(spec), SETTINGS, nodes, traces)


def test_a_basis_tells_what_was_known() -> None:
    assert basis().split()[1:] == [
        "present=WARM_ENI_TARGET=1",
        "nodes=10",
        "pods=200",
        "starts=0/h",
    ]


def test_another_policy_or_much_other_demand_is_another_basis() -> None:
    assert not has_changed(basis(), basis(level=25))
    assert has_changed(basis(), basis(level=40))
    assert has_changed(basis(), basis(level=10))
    assert has_changed(basis(), basis(spec={"objective": {"goal": "FastStart"}}))
    assert not has_changed(basis(), basis(spec={"change": {"cooldown": "2h"}}))
    assert has_changed("", basis())
    assert not has_changed("", "")


# -- what was rolled back -----------------------------------------------------------------------

LEAN = {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "20"}


def rolled_back(times: int, at_s: float = NOW_S) -> Record:
    """A record in which `LEAN` was rolled back so often, the last time at `at_s`."""
    found = record()
    for _ in range(times):
        made = change(after=LEAN, basis=basis())
        found = replace(found, changes=(*found.changes, made))
        undo = change(kind=ChangeKind.ROLLBACK, binding="EC2Errors: many", intended_at_s=at_s)
        found = back_off.rolled_back(found, undo)
    return found


@pytest.mark.parametrize(("times", "hours"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 24), (9, 24)])
def test_the_wait_doubles_up_to_a_day(times: int, hours: int) -> None:
    found = rolled_back(times)
    assert found.changes[-1].undone == "EC2Errors: many"
    assert [one.until_s for one in found.back_offs] == [NOW_S + hours * 3_600]
    assert back_off.held_back(found, LEAN, basis(), NOW_S + hours * 3_600 - 1)
    assert back_off.held_back(found, LEAN, basis(), NOW_S + hours * 3_600) is None


def test_what_holds_less_waits_too_and_what_holds_more_does_not() -> None:
    found = rolled_back(1)
    assert back_off.held_back(found, {**LEAN, "WARM_IP_TARGET": "1"}, basis(), NOW_S)
    assert back_off.held_back(found, {**LEAN, "WARM_IP_TARGET": "3"}, basis(), NOW_S) is None
    assert back_off.held_back(found, {"WARM_PREFIX_TARGET": "1"}, basis(), NOW_S) is None


def test_it_is_tried_again_once_it_rests_on_something_else() -> None:
    assert back_off.held_back(rolled_back(1), LEAN, basis(level=60), NOW_S) is None
    assert back_off.held_back(None, LEAN, basis(), NOW_S) is None


def test_a_clock_that_was_ahead_does_not_hold_back_for_longer_than_a_day() -> None:
    ahead = rolled_back(1, at_s=NOW_S + 10 * 86_400)
    assert back_off.held_back(ahead, LEAN, basis(), NOW_S) is None


def test_what_was_rolled_back_long_ago_is_forgotten() -> None:
    old = rolled_back(6, at_s=NOW_S - 3 * 86_400)
    undo = change(kind=ChangeKind.ROLLBACK, intended_at_s=NOW_S)
    again = back_off.rolled_back(replace(old, changes=(change(after=LEAN),)), undo)
    assert [(one.times, one.until_s) for one in again.back_offs] == [(1, NOW_S + 3_600)]


# -- in the decision ----------------------------------------------------------------------------


def test_a_change_says_what_it_rests_on() -> None:
    found = decide(story())
    assert found.verdict is Verdict.CHANGE
    assert found.proof is not None
    assert found.proof.basis.startswith("spec=")
    predicted, present = found.proof.predicted, found.proof.present
    assert predicted is not None
    assert present is not None
    assert predicted.held_low <= predicted.held <= predicted.held_high < present.held
    assert len(found.proof.rejected) == proof.MOST_REJECTED


def test_what_was_rolled_back_is_not_decided_on_again() -> None:
    first = decide(story())
    assert first.proof is not None
    made = change(after=dict(first.env), basis=first.proof.basis, intended_at_s=NOW_S - 5_000)
    undo = change(kind=ChangeKind.ROLLBACK, intended_at_s=NOW_S - 3_500)
    known = back_off.rolled_back(record(made), undo)
    spec = {"change": {"cooldown": "0s"}}
    again = decide(story(spec, record=known))
    assert (again.verdict, again.reason) == (Verdict.HOLD, Reason.BACKING_OFF)
    assert "was rolled back once" in again.message
    known = replace(known, back_offs=(replace(known.back_offs[0], basis="spec=other"),))
    assert decide(story(spec, record=known)).verdict is Verdict.CHANGE


def test_three_mispredictions_stop_writes() -> None:
    found = decide(story(record=record(mispredicted=3)))
    assert (found.verdict, found.reason) == (Verdict.HOLD, Reason.MISPREDICTED)
    assert decide(story(record=record(mispredicted=2))).verdict is Verdict.CHANGE


UNDO = Trip("EC2Errors", "EC2 refused 40 calls")


def test_a_tripped_guard_puts_the_former_values_back_whatever_else_stands_in_the_way() -> None:
    last = change(intended_at_s=NOW_S - 60, completed_at_s=NOW_S - 10, basis="known")
    spec = {"change": {"cooldown": "24h", "maxPerDay": 1}}
    found = decide(story(spec, record=record(last, mispredicted=9), trip=UNDO))
    assert (found.verdict, found.kind) == (Verdict.CHANGE, ChangeKind.ROLLBACK)
    assert found.env == last.before
    assert found.reason is Reason.ROLLED_BACK
    assert found.proof is not None
    assert found.proof.binding == "EC2Errors: EC2 refused 40 calls"
    assert found.proof.basis == "known"


@pytest.mark.parametrize("mode", ["Off", "Recommend"])
def test_nothing_is_rolled_back_where_nothing_may_be_written(mode: str) -> None:
    found = decide(story({"mode": mode}, record=record(change()), trip=UNDO))
    assert found.verdict is Verdict.HOLD


def test_nothing_is_rolled_back_where_another_cni_has_taken_over() -> None:
    facts = replace(snapshot(), cni=CniFacts(Cni.CILIUM_ENI, "it runs"))
    found = decide(story(record=record(change()), trip=UNDO, snapshot=facts))
    assert (found.verdict, found.reason) == (Verdict.HOLD, Reason.NO_WARM_POOLS)


def test_a_paused_policy_rolls_nothing_back() -> None:
    inputs = story(record=record(change()), trip=UNDO)
    paused = replace(inputs.policy, annotations={"ippolicy.dev/paused": "true"})
    found = decide(replace(inputs, policy=paused))
    assert (found.verdict, found.reason) == (Verdict.HOLD, Reason.PAUSED)


def test_stale_facts_do_not_keep_harm_from_being_undone() -> None:
    old = snapshot()
    stale = {
        name: replace(state, succeeded_at_s=NOW_S - 9_000) for name, state in old.sources.items()
    }
    inputs = story(record=record(change()), trip=UNDO, snapshot=replace(old, sources=stale))
    assert decide(inputs).kind is ChangeKind.ROLLBACK


def test_a_rollback_can_be_decided_again_from_a_bundle() -> None:
    inputs = story(record=record(change()), trip=UNDO)
    kept = bundle.read(bundle.dump(inputs, decide(inputs)))
    assert kept.served is not None
    assert kept.served.kind is ChangeKind.ROLLBACK
    assert bundle.differing(kept.served, decide(kept.inputs)) == []
