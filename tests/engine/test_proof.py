"""From pass to pass: changes are measured once, harm is undone, savings add up, restarts go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW_S, REF, change, daemon_set, policy, pool, record, rollout, snapshot, trace
from ippolicy.act.rollout import RolloutPhase, RolloutState
from ippolicy.decide.hindsight import Look
from ippolicy.engine.proof import Proofs
from ippolicy.errors import FactsChanged
from ippolicy.facts import (
    Change,
    ChangePhase,
    DaemonSetRef,
    Measured,
    PoolCounters,
    Record,
    Signals,
    Snapshot,
)

LEAN = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "20"}
IN_FORCE = daemon_set(LEAN)
DONE = change(after=LEAN, intended_at_s=NOW_S - 60, completed_at_s=NOW_S)
AS_PREDICTED = 21  # addresses of a node with 20 pods at rest
STEADY = [trace(n, level=20, span_s=200_000.0) for n in range(10)]


class World:
    """Ten nodes at rest that are looked at each minute; `held` is what each of them holds."""

    def __init__(self, known: Record | None, policy_spec: Mapping[str, Any] | None = None) -> None:
        self.known = known
        self.policy = policy(policy_spec)
        self.held = AS_PREDICTED
        self.counters: dict[str, Any] = {}
        self.now_s = NOW_S - 3_600
        self.writes = 0
        self.refuses = False
        self.proofs = Proofs(self.note)

    def note(self, ref: DaemonSetRef, update: Callable[[Record], Record]) -> Record | None:
        assert ref == REF
        if self.refuses:
            raise FactsChanged("somebody else wrote at the same time")
        assert self.known is not None
        self.writes += 1
        self.known = update(self.known)
        return self.known

    def snapshot(self, **changes: Any) -> Snapshot:
        counters = PoolCounters(**self.counters)
        pools = {
            f"node-{n}": pool(n, held=self.held, read_at_s=self.now_s, counters=counters)
            for n in range(10)
        }
        facts = snapshot(taken_at_s=self.now_s, daemon_set=IN_FORCE, pools=pools)
        return replace(facts, **changes)

    def look(self, minutes: int = 1, **changes: Any) -> Record | None:
        """The record after so many passes, a minute apart."""
        for _ in range(minutes):
            self.now_s += 60.0
            seen = self.snapshot(**changes)
            self.proofs.note(REF, seen)
            traces = [replace(one, until_s=self.now_s) for one in STEADY]
            look = Look(seen, traces, Signals())
            self.known = self.proofs.measured(self.policy, REF, look, self.known)
        return self.known

    def tripped(self, state: RolloutState | None = None, **changes: Any) -> str | None:
        found = self.proofs.trip(self.policy, REF, self.snapshot(**changes), self.known, state)
        return found.guard if found else None

    @property
    def measured(self) -> tuple[Measured, ...]:
        """What was measured of the last change."""
        return self.last.measured

    @property
    def last(self) -> Change:
        assert self.known is not None
        assert self.known.last_change is not None
        return self.known.last_change


def test_a_change_is_measured_after_a_quarter_an_hour_and_a_day() -> None:
    world = World(record(DONE))
    world.look(60 + 14)
    assert not world.measured
    world.look(1)
    (found,) = world.measured
    assert (found.after_s, found.pods) == (900, 200)
    assert found.held == pytest.approx(210)
    assert found.expected_held == pytest.approx(210, rel=0.01)
    assert found.as_expected
    world.look(60)
    assert [one.after_s for one in world.measured] == [900, 3_600]
    world.look(24 * 60)
    assert [one.after_s for one in world.measured] == [900, 3_600, 86_400]


def test_what_was_missed_while_the_operator_was_away_is_made_good_later() -> None:
    world = World(record(DONE))
    world.now_s = NOW_S + 5_000
    world.look(20)
    assert not world.measured, "too little was watched"
    world.look(20)
    assert [one.after_s for one in world.measured] == [3_600]


def test_a_refused_write_is_made_good_at_the_next_pass() -> None:
    world = World(record(DONE))
    world.refuses = True
    world.look(60 + 20)
    assert not world.measured
    world.refuses = False
    world.look(1)
    assert [one.after_s for one in world.measured] == [900]
    assert world.writes == 1


@pytest.mark.parametrize("env", [{"WARM_IP_TARGET": "9", "MINIMUM_IP_TARGET": "20"}, {}])
def test_nothing_is_measured_of_what_somebody_has_changed_since(env: dict[str, str]) -> None:
    world = World(record(DONE))
    world.look(60 + 180, daemon_set=daemon_set(env))
    assert (world.measured, world.writes) == ((), 0)


def test_mode_off_writes_nothing() -> None:
    world = World(record(DONE), {"mode": "Off"})
    world.look(60 + 180)
    assert world.writes == 0


def test_what_is_saved_adds_up_hour_by_hour() -> None:
    world = World(record(DONE))
    world.look(60 + 125)
    assert world.known is not None
    ledger = world.known.ledger
    assert ledger.since_s == pytest.approx(NOW_S + 120, abs=60)
    assert ledger.saved_address_s == pytest.approx(2 * 3_600 * (420 - 210), rel=0.05)
    assert world.writes <= 4, "measurements, and one an hour"


def test_time_that_nobody_watched_saves_nothing() -> None:
    world = World(record(DONE))
    world.look(60 + 65)
    assert world.known is not None
    before = world.known.ledger.saved_address_s
    world.now_s += 10 * 3_600
    world.look(61)
    assert world.known.ledger.saved_address_s - before < 1.2 * 3_600 * (420 - 210)


def test_an_outcome_outside_of_the_interval_counts_until_the_model_explains_it_again() -> None:
    world = World(record(DONE, mispredicted=2))
    world.held = 30
    world.look(60 + 16)
    assert world.known is not None
    assert (world.measured[0].as_expected, world.known.mispredicted) == (False, 3)
    world.look(120)
    assert world.known.mispredicted == 3
    world.held = AS_PREDICTED
    world.look(130)
    assert world.known.mispredicted == 0


# -- guards -------------------------------------------------------------------------------------


def harmed(known: Record | None = None, *, watched_min: int = 60) -> World:
    """A world in which half of the starts wait from the moment of the change on."""
    world = World(known or record(replace(DONE, phase=ChangePhase.ROLLING, completed_at_s=None)))
    world.now_s = NOW_S - 60 * watched_min
    world.look(watched_min)
    world.counters = {"add_requests": 20, "no_available_addresses": 10}
    world.look(1)
    return world


def test_late_starts_after_a_change_trip() -> None:
    assert harmed().tripped() == "DelayedStarts"


def test_an_operator_that_starts_in_the_middle_of_it_trips_too() -> None:
    assert harmed(watched_min=2).tripped() == "DelayedStarts"


def test_a_change_that_is_through_is_left_alone() -> None:
    world = harmed(record(replace(DONE, intended_at_s=NOW_S - 5_000, completed_at_s=NOW_S - 4_000)))
    assert world.tripped() is None
    assert World(None).tripped() is None


def test_what_somebody_has_changed_since_is_not_undone() -> None:
    other = daemon_set({"WARM_IP_TARGET": "9", "MINIMUM_IP_TARGET": "20"})
    assert harmed().tripped(daemon_set=other) is None


def test_late_starts_of_before_the_change_are_not_its_doing() -> None:
    world = World(record(replace(DONE, phase=ChangePhase.ROLLING, completed_at_s=None)))
    world.look(30)
    world.counters = {"add_requests": 20, "no_available_addresses": 10}
    world.look(40)
    assert world.tripped() is None


def test_pods_must_be_missing_for_a_while() -> None:
    down = replace(IN_FORCE, rollout=rollout(available=5))
    world = harmed()
    world.counters = {}
    world.now_s = NOW_S + 120
    fresh = World(world.known)
    fresh.now_s = NOW_S
    fresh.look(2, daemon_set=down)
    assert fresh.tripped(daemon_set=down) is None
    fresh.look(3, daemon_set=down)
    assert fresh.tripped(daemon_set=down) == "PodsNotReady"
    fresh.look(1)
    fresh.look(1, daemon_set=down)
    assert fresh.tripped(daemon_set=down) is None, "they were back meanwhile"


def test_a_stuck_rollout_trips() -> None:
    stuck = RolloutState(RolloutPhase.STUCK, 3, 10, "no progress for 600 s")
    world = World(record(replace(DONE, phase=ChangePhase.ROLLING, completed_at_s=None)))
    world.look(2)
    assert world.tripped(stuck) == "RolloutStuck"
    assert world.tripped(replace(stuck, phase=RolloutPhase.ROLLING)) is None


def test_what_no_policy_asks_for_is_forgotten() -> None:
    world = harmed()
    world.proofs.keep({REF})
    assert world.tripped() == "DelayedStarts"
    world.proofs.keep(set())
    world.look(1)
    assert world.tripped() is None
