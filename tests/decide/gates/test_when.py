"""What passes windows and cooldown, and under which pressure: the table, row by row."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from builders import NOW_S, change, policy, record
from ippolicy.api import Urgent
from ippolicy.decide.gates import Pressure, may_pass, pressure_of, when_gate
from ippolicy.decide.types import Evidence, Prediction, Reason, Recommendation
from ippolicy.facts import ChangeKind, InForce, LateStarts, Ran, Signals
from ippolicy.ipamd import WarmTargets

TARGETS = WarmTargets(warm_ip=2, minimum_ip=20)
SHUT = [{"cron": "0 0 1 1 *", "duration": "1m"}]
LATE = Signals(late=(LateStarts(NOW_S - 60, "node-0", "blue", 3),))


def advice(*, now: int = 200, then: int = 300, present_meets: bool = False) -> Recommendation:
    return Recommendation(
        targets=TARGETS,
        lower=TARGETS,
        upper=TARGETS,
        uncapped=TARGETS,
        binding="demand",
        present=Prediction(held=now, warm=0, enis=0),
        predicted=Prediction(held=then, warm=0, enis=0),
        evidence=Evidence(7_200, 10, 0, sufficient=True, message=""),
        present_meets=present_meets,
    )


@pytest.mark.parametrize(
    ("pressure", "growing", "never", "grow", "anything"),
    [
        (Pressure.NONE, True, False, False, False),
        (Pressure.NONE, False, False, False, False),
        (Pressure.STARTS, True, False, True, True),
        (Pressure.STARTS, False, False, False, True),
        (Pressure.SUBNETS, False, False, True, True),
    ],
)
def test_the_table_of_what_is_urgent(
    pressure: Pressure, *, growing: bool, never: bool, grow: bool, anything: bool
) -> None:
    wishes = (Urgent.NEVER, Urgent.GROW, Urgent.ANY)
    passed = [may_pass(urgent, pressure, growing=growing) for urgent in wishes]
    assert passed == [never, grow, anything]


@pytest.mark.parametrize(
    ("signals", "present_meets", "pressure"),
    [
        (LATE, False, Pressure.STARTS),
        (LATE, True, Pressure.NONE),  # within the objective
        (Signals(), False, Pressure.NONE),  # foreseen only
        (replace(LATE, late=(replace(LATE.late[0], at_s=NOW_S - 3_600),)), False, Pressure.NONE),
        (replace(LATE, in_force=(InForce(NOW_S - 59, TARGETS),)), False, Pressure.NONE),
        (replace(LATE, in_force=(InForce(NOW_S - 61, TARGETS),)), False, Pressure.STARTS),
        (replace(LATE, ran=(Ran("node-0", TARGETS, NOW_S - 59),)), False, Pressure.NONE),
        (replace(LATE, ran=(Ran("node-0", TARGETS, NOW_S - 61),)), False, Pressure.STARTS),
        (replace(LATE, ran=(Ran("node-0", TARGETS, 0.0, NOW_S - 9),)), False, Pressure.NONE),
        (replace(LATE, ran=(Ran("node-1", TARGETS, NOW_S - 9),)), False, Pressure.STARTS),
    ],
)
def test_late_starts_press_under_the_targets_in_force_and_for_an_hour(
    signals: Signals, pressure: Pressure, *, present_meets: bool
) -> None:
    found = pressure_of(advice(present_meets=present_meets), signals, NOW_S, braked=False)
    assert found is pressure


def test_the_brake_presses_whatever_starts_do() -> None:
    assert pressure_of(advice(), LATE, NOW_S, braked=True) is Pressure.SUBNETS


@pytest.mark.parametrize(
    ("urgent", "pressed", "grows"),
    [*product(["Grow", "Any", "Never"], [True, False], [True, False])],
)
def test_what_does_not_pass_waits_for_its_window_and_then_for_the_cooldown(
    urgent: str, *, pressed: bool, grows: bool
) -> None:
    passes = pressed and (urgent == "Any" or (urgent == "Grow" and grows))
    one = advice(then=300 if grows else 100)
    signals = LATE if pressed else Signals()
    lately = record(change(intended_at_s=NOW_S - 90, completed_at_s=NOW_S - 60))
    for windows, reason in ((SHUT, Reason.OUTSIDE_WINDOW), ([], Reason.COOLDOWN)):
        wished = policy({"change": {"urgent": urgent, "windows": windows}})
        stop = when_gate(wished, lately, one, signals, NOW_S, braked=False)
        assert (stop.reason if stop else None) is (None if passes else reason)


@pytest.mark.parametrize(
    ("urgent", "windows", "reason"),
    [
        ("Grow", SHUT, None),
        ("Any", SHUT, None),
        ("Never", SHUT, Reason.OUTSIDE_WINDOW),
        ("Never", [], Reason.COOLDOWN),
    ],
)
def test_the_brake_waits_only_where_nothing_may_pass(
    urgent: str, windows: list[object], reason: Reason | None
) -> None:
    wished = policy({"change": {"urgent": urgent, "windows": windows}})
    lately = record(change(intended_at_s=NOW_S - 90, completed_at_s=NOW_S - 60))
    stop = when_gate(wished, lately, advice(then=100), Signals(), NOW_S, braked=True)
    assert (stop.reason if stop else None) is reason


def test_no_pressure_passes_the_changes_of_a_day() -> None:
    day = record(*(change(id=str(n), intended_at_s=NOW_S - 9_000 + n) for n in range(2)))
    wished = policy({"change": {"urgent": "Any", "windows": SHUT}})
    stop = when_gate(wished, day, advice(), LATE, NOW_S, braked=False)
    assert stop is not None
    assert stop.reason is Reason.DAILY_LIMIT


def test_values_that_were_set_again_are_not_counted_as_changes_of_the_day() -> None:
    again = [
        change(id=str(n), intended_at_s=NOW_S - 9_000 + n, kind=ChangeKind.REAPPLY)
        for n in range(2)
    ]
    calm = policy({"change": {"cooldown": "0s"}})
    assert when_gate(calm, record(*again), advice(), Signals(), NOW_S, braked=False) is None
