"""Late starts are taken from counters where targets could have helped; calls are summed lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW_S, agent, daemon_set, node, pool, rollout, snapshot
from ippolicy.decide import signals
from ippolicy.decide.environment import as_env
from ippolicy.decide.signals import KEPT_S, SLOT_S, STARTING_S, Noted, SignalHistory
from ippolicy.decide.signals_kept import pack, unpack
from ippolicy.facts import ApiFacts, Birth, InForce, LateStarts, PoolCounters, Ran, Snapshot
from ippolicy.ipamd import WarmTargets

BEGUN_S = NOW_S + 2 * STARTING_S


def seen(at_s: float, counters: PoolCounters, pods: int = 20, **changes: Any) -> Snapshot:
    """One node read at `at_s`: 20 pods have an address of 42 that are held of 56."""
    facts = pool(0, counters=counters, read_at_s=at_s, held_max=56)
    return snapshot(
        1,
        taken_at_s=at_s,
        daemon_set=changes.pop("daemon_set", daemon_set()),
        pods_per_node={"node-0": pods},
        pools={"node-0": replace(facts, **changes)},
    )


def late_of(
    counters: PoolCounters, *, before: Mapping[str, Any] | None = None, **changes: Any
) -> list[int]:
    """Late pods of one node that counted nothing at BEGUN_S, and `counters` half a minute later."""
    history = SignalHistory()
    history.note(seen(NOW_S, PoolCounters()))
    history.note(seen(BEGUN_S, PoolCounters(), **(before or {})))
    history.note(seen(BEGUN_S + 30, counters, **changes))
    return [late.pods for late in history.signals(BEGUN_S + 30).late]


def test_failed_adds_are_late_starts_at_the_time_they_were_read() -> None:
    history = SignalHistory()
    for at_s, failed in ((NOW_S, 0), (BEGUN_S, 0), (BEGUN_S + 30, 3)):
        history.note(seen(at_s, PoolCounters(add_requests=9, no_available_addresses=failed), 23))
    found = history.signals(BEGUN_S + 30)
    assert found.late == (LateStarts(BEGUN_S + 30, "node-0", "blue", 3),)
    assert found.in_force == (InForce(NOW_S, WarmTargets(warm_eni=1, warm_prefix=1)),)


@pytest.mark.parametrize(
    ("adds", "failed", "pods", "late"),
    [
        (1, 0, 20, []),
        (30, 20, 20, [10]),  # ten got one in the end, each after two tries
        (20, 20, 21, [1]),  # one waits on and on
        (20, 20, 20, [1]),  # one waited, and is gone
    ],
)
def test_tries_of_one_pod_count_once(adds: int, failed: int, pods: int, late: list[int]) -> None:
    counters = PoolCounters(add_requests=adds, no_available_addresses=failed)
    assert late_of(counters, pods=pods) == late


FAILED = PoolCounters(add_requests=5, no_available_addresses=5)
ROLLING = {"daemon_set": daemon_set(rollout=rollout(updated=9))}
BEHIND = {"daemon_set": daemon_set(generation=2)}


@pytest.mark.parametrize(
    ("before", "after", "counted"),
    [
        ({}, {}, True),
        ({}, {"restarts": 1}, False),
        ({"restarts": 1}, {"restarts": 1}, False),  # it restarted half a minute before
        ({}, ROLLING, False),
        (ROLLING, {}, False),
        (BEHIND, BEHIND, False),
        ({}, {"held": 56}, False),
        ({"held": 56}, {}, False),
        ({}, {"held": 58, "held_max": 0}, False),  # all that 58 pods can use
        ({}, {"held": 56, "held_max": 0}, False),  # all that an r5.xlarge has
        ({}, {"held": 48, "held_max": 0, "prefixes": 3}, True),
    ],
)
def test_what_targets_could_not_have_helped_is_no_late_start(
    *, before: dict[str, Any], after: dict[str, Any], counted: bool
) -> None:
    assert bool(late_of(FAILED, before=before, pods=25, **after)) is counted


@pytest.mark.parametrize("api", ["AssignPrivateIpAddresses", "CreateNetworkInterface"])
def test_addresses_that_ec2_refused_are_no_fault_of_targets(api: str) -> None:
    assert not late_of(replace(FAILED, ec2_errors={api: 1}), pods=25)
    assert late_of(replace(FAILED, ec2_errors={"DescribeInstances": 1}), pods=25)


def test_the_first_minute_after_the_first_reading_counts_as_a_start() -> None:
    history = SignalHistory()
    for number in range(5):
        counters = PoolCounters(no_available_addresses=number, add_requests=number)
        history.note(seen(NOW_S + 30 * number, counters, 21))
    at_s = [late.at_s - NOW_S for late in history.signals(NOW_S + 120).late]
    assert at_s == [120]


def test_a_reading_counts_once_and_a_quarter_of_an_hour_is_one_fact() -> None:
    history = SignalHistory()
    history.note(seen(NOW_S, PoolCounters()))
    slot_s = BEGUN_S - BEGUN_S % 900 + 900
    for number, at_s in enumerate((slot_s, slot_s + 30, slot_s + 30, slot_s + 60, slot_s + 900)):
        failed = PoolCounters(no_available_addresses=number, add_requests=number)
        history.note(replace(seen(at_s, failed, 21), taken_at_s=slot_s + 20 * number))
    late = history.signals(slot_s + 900).late
    assert [(one.at_s - slot_s, one.pods) for one in late] == [(60, 2), (900, 1)]


def test_a_day_is_kept_and_what_an_earlier_process_knew_is_taken_up() -> None:
    was = Noted(
        in_force=(
            InForce(NOW_S - 3 * KEPT_S, WarmTargets(warm_ip=1)),
            InForce(NOW_S - 2 * KEPT_S, WarmTargets(warm_ip=2)),
            InForce(NOW_S - 60, WarmTargets(warm_eni=1, warm_prefix=1)),
        ),
        late=(
            LateStarts(NOW_S - KEPT_S, "node-0", "blue", 3),
            LateStarts(NOW_S - 60, "node-0", "blue", 2),
        ),
    )
    history = SignalHistory(was)
    history.note(seen(NOW_S, PoolCounters()))
    found = history.signals(NOW_S)
    assert found.in_force == was.in_force[1:]
    assert found.late == was.late[1:]


def test_no_more_late_starts_are_kept_than_a_fleet_in_trouble_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signals, "_MOST_LATE", 2)
    late = [LateStarts(NOW_S + 1_000 * number, "node-0", "blue", 1) for number in range(5)]
    assert SignalHistory(Noted(late=tuple(late))).signals(NOW_S).late == tuple(late[-2:])


def test_targets_are_in_force_once_they_are_rolled_out() -> None:
    history = SignalHistory()
    lean = daemon_set({"WARM_IP_TARGET": "1"}, generation=2, rollout=rollout(updated=3))
    done = replace(lean, rollout=rollout(observed_generation=2))
    for at_s, facts in ((0, daemon_set()), (60, lean), (120, done), (180, done), (240, None)):
        history.note(seen(NOW_S + at_s, PoolCounters(), daemon_set=facts))
    since = [(one.since_s - NOW_S, one.targets.warm_ip) for one in history.signals(NOW_S).in_force]
    assert since == [(0, 0), (120, 1)]


def test_a_node_that_is_gone_is_forgotten_and_starts_anew() -> None:
    history = SignalHistory()
    history.note(seen(NOW_S, PoolCounters()))
    history.note(snapshot(1, nodes=(node(1),), taken_at_s=NOW_S + 200))
    history.note(seen(NOW_S + 300, FAILED, 25))
    assert history.signals(NOW_S + 300).late == ()


def called(assigns: int, overloaded: int, took_ms: int) -> PoolCounters:
    """Counters after so many calls that assign addresses."""
    api = "AssignPrivateIpAddresses"
    return PoolCounters(
        ec2_calls={api: assigns},
        ec2_overloads={api: overloaded},
        answers={api: assigns - overloaded},
        answers_ms={api: took_ms},
    )


def test_calls_of_the_last_whole_hour_are_summed() -> None:
    history = SignalHistory()
    hour_s = NOW_S - NOW_S % 3_600
    history.note(seen(hour_s, PoolCounters()))
    history.note(seen(hour_s + 10, called(100, 50, 50_000)))
    history.note(seen(hour_s + 3_610, called(120, 55, 65_000)))
    history.note(seen(hour_s + 7_190, called(150, 60, 90_000)))
    assert history.signals(hour_s + 7_200).ec2 == {
        "AssignPrivateIpAddresses": ApiFacts(calls=50, overloaded=10, mean_s=1.0)
    }
    # The quarter under way changes nothing until it is over.
    history.note(seen(hour_s + 7_210, called(250, 60, 990_000)))
    assert history.signals(hour_s + 8_000).ec2 == history.signals(hour_s + 7_200).ec2


def test_a_quiet_hour_goes_by_the_whole_day_and_a_quiet_day_says_nothing() -> None:
    history = SignalHistory()
    hour_s = NOW_S - NOW_S % 3_600
    history.note(seen(hour_s, PoolCounters()))
    history.note(seen(hour_s + 10, called(40, 0, 80_000)))
    history.note(seen(hour_s + 18_000, called(45, 5, 80_000)))
    facts = history.signals(hour_s + 19_800).ec2["AssignPrivateIpAddresses"]
    assert facts == ApiFacts(calls=45, overloaded=5, mean_s=2.0)
    assert history.signals(hour_s + 90_000).ec2 == {}


def test_load_that_is_over_for_an_hour_is_over_on_a_quiet_day_too() -> None:
    history = SignalHistory()
    hour_s = NOW_S - NOW_S % 3_600
    history.note(seen(hour_s, PoolCounters()))
    history.note(seen(hour_s + 10, called(40, 20, 20_000)))
    api = "AssignPrivateIpAddresses"
    assert history.signals(hour_s + 4_499).ec2[api].overloaded == 20
    assert history.signals(hour_s + 4_500).ec2[api] == ApiFacts(40, 0, 1.0)


def test_after_a_clock_was_put_back_calls_are_counted_on() -> None:
    history = SignalHistory()
    hour_s = NOW_S - NOW_S % 3_600
    for at_s, calls in ((5_000, 0), (10, 100), (60, 120)):
        history.note(seen(hour_s + at_s, called(calls, 0, 1_000)))
    assert history.signals(hour_s + 900).ec2["AssignPrivateIpAddresses"].calls == 20


# -- targets of a node's own ------------------------------------------------------------------

OWN = WarmTargets(warm_eni=1, warm_ip=2, minimum_ip=20, warm_prefix=1)
MORE = replace(OWN, warm_ip=5)


def born(at_s: float, targets: WarmTargets | None, *, made_s: float, failed: int = 0) -> Snapshot:
    """One node whose aws-node was made at `made_s` with targets of its own, or (None) without."""
    env = {} if targets is None else as_env(targets)
    birth = None if targets is None else Birth("default", "blue", "1", "digest")
    facts = seen(at_s, PoolCounters(add_requests=failed + 9, no_available_addresses=failed), 29)
    pod = agent(0, created_at_s=made_s, birth=birth, targets=env)
    return replace(facts, agents={"node-0": pod})


def test_what_a_node_ran_with_is_remembered_for_a_day() -> None:
    history = SignalHistory()
    history.note(born(NOW_S, OWN, made_s=NOW_S - 900))
    first = Ran("node-0", OWN, NOW_S - 900)
    assert history.signals(NOW_S).ran == (first,)
    history.note(born(NOW_S + 60, OWN, made_s=NOW_S + 40))  # made anew, alike
    assert history.signals(NOW_S + 60).ran == (first,)
    history.note(born(NOW_S + 120, MORE, made_s=NOW_S + 100))
    over, second = replace(first, until_s=NOW_S + 100), Ran("node-0", MORE, NOW_S + 100)
    assert history.signals(NOW_S + 120).ran == (over, second)
    history.note(born(NOW_S + 180, None, made_s=NOW_S + 170))
    assert history.signals(NOW_S).ran == (over, replace(second, until_s=NOW_S + 170))
    history.note(born(NOW_S + 140 + KEPT_S, None, made_s=NOW_S + 170))
    assert history.signals(NOW_S).ran == (replace(second, until_s=NOW_S + 170),)


def test_what_a_node_that_is_gone_ran_with_ends_with_it() -> None:
    history = SignalHistory()
    history.note(born(NOW_S, OWN, made_s=NOW_S - 900))
    history.note(snapshot(0, taken_at_s=NOW_S + 30))
    assert history.signals(NOW_S).ran == (Ran("node-0", OWN, NOW_S - 900, NOW_S + 30),)


def test_what_is_over_outlives_the_process_and_what_is_not_is_read_from_the_pods() -> None:
    history = SignalHistory()
    history.note(born(NOW_S, OWN, made_s=NOW_S - 900))
    history.note(born(NOW_S + 70, OWN, made_s=NOW_S - 900))
    history.note(born(NOW_S + 90, OWN, made_s=NOW_S - 900, failed=3))
    history.note(born(NOW_S + 120, MORE, made_s=NOW_S + 100, failed=3))
    known = history.signals(NOW_S + 120).ran
    assert len(known) == 2
    after = SignalHistory(unpack(pack(history.noted())))
    after.note(born(NOW_S + 150, MORE, made_s=NOW_S + 100))
    assert after.signals(NOW_S + 150).ran == known


def test_late_starts_before_and_after_a_pod_is_made_anew_are_kept_apart() -> None:
    slot_s = NOW_S - NOW_S % SLOT_S + SLOT_S
    history = SignalHistory()
    history.note(born(slot_s - 200, OWN, made_s=slot_s - 900))
    history.note(born(slot_s, OWN, made_s=slot_s - 900))
    history.note(born(slot_s + 30, OWN, made_s=slot_s - 900, failed=3))
    history.note(born(slot_s + 60, MORE, made_s=slot_s + 40, failed=3))
    history.note(born(slot_s + 90, MORE, made_s=slot_s + 40, failed=5))
    assert [late.pods for late in history.signals(slot_s + 90).late] == [3, 2]
