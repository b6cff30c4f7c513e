"""What was read of free addresses is kept in bounded memory, and outlives a restart."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.decide.checkpoint import framed
from ippolicy.decide.subnets.history import RUNGS, FreeHistory, Histories, Reading
from ippolicy.decide.subnets.kept import pack, unpack
from ippolicy.errors import CorruptCheckpoint, NewerCheckpoint

START_S = 1_800_000_000.0
DAY_S = 86_400.0


def history(free: list[int], *, every_s: float = 60.0) -> FreeHistory:
    kept = FreeHistory()
    for number, count in enumerate(free):
        kept.add(START_S + number * every_s, count)
    return kept


def test_a_bucket_has_the_mean_and_the_least_of_its_readings() -> None:
    minutes = history([10, 20, 3, 40, 50, 60], every_s=30.0).rungs()[0]
    assert minutes.mean.tolist() == [15.0, 21.5]  # the third is still open
    assert minutes.low.tolist() == [10.0, 3.0]
    assert minutes.end_s == START_S + 120


def test_buckets_without_a_reading_lie_between_their_neighbours() -> None:
    minutes = history([100, 40, 40], every_s=240.0).rungs()[0]
    assert minutes.mean.tolist() == [100, 85, 70, 55, 40, 40, 40, 40]


def test_a_reading_that_is_not_newer_says_nothing() -> None:
    kept = history([100, 90])
    kept.add(START_S, 5)
    assert kept.last_free == 90


def test_memory_is_bounded_and_goes_back_five_weeks() -> None:
    kept = history([100 + hour % 50 for hour in range(50 * 24)], every_s=3_600.0)
    rungs = kept.rungs()
    assert [len(rung.mean) for rung in rungs] == [keep for _, keep in RUNGS]
    assert rungs[-1].span_s == 35 * DAY_S
    assert len(json.dumps(kept.to_data())) < 16_384
    assert sum(sys.getsizeof(b.mean) + sys.getsizeof(b.low) for b in kept._buckets) < 12_000


def test_after_a_gap_longer_than_a_rung_it_begins_anew() -> None:
    kept = history([100, 90])
    kept.add(START_S + 5 * 3_600.0, 80)
    kept.add(START_S + 5 * 3_600.0 + 60, 70)
    minutes, tens = kept.rungs()[:2]
    assert minutes.mean.tolist() == [80]
    assert tens.mean.tolist()[0] == 95


@settings(max_examples=50, deadline=None)
@given(
    free=st.lists(st.integers(0, 4_091), min_size=1, max_size=300),
    every_s=st.sampled_from([20.0, 60.0, 700.0, 5_000.0]),
)
def test_a_history_outlives_a_restart(free: list[int], every_s: float) -> None:
    kept = history(free, every_s=every_s)
    again = FreeHistory.from_data(json.loads(json.dumps(kept.to_data())))
    for before, after in zip(kept.rungs(), again.rungs(), strict=True):
        assert before.end_s == after.end_s
        assert np.allclose(before.mean, after.mean, atol=0.51)
        assert np.allclose(before.low, after.low, atol=0.51)
    later_s = START_S + len(free) * every_s + 10_000.0
    for one in (kept, again):
        one.add(later_s, 1)
        one.add(later_s + 3_600.0, 1)
    assert [r.end_s for r in kept.rungs()] == [r.end_s for r in again.rungs()]


def rungs(mean: Any, low: Any, end_s: Any = 60.0) -> dict[str, Any]:
    row = {"endSeconds": end_s, "mean": mean, "low": low}
    return {"version": 1, "rungs": [row, None, None]}


@pytest.mark.parametrize(
    "damage",
    [
        None,
        [],
        "text",
        {"version": "1", "rungs": []},
        {"version": 1},
        {"version": 1, "rungs": [None]},
        {"version": 1, "rungs": [1, 2, 3]},
        rungs([1], []),
        rungs([], []),
        rungs(["a"], [1]),
        rungs([5, -9], [1, 1]),
        rungs([1e30], [1]),
        rungs([1], [1], "x"),
        rungs([1], [1], 1e300),
        rungs([1], [1], -60.0),
        rungs([1] * 181, [1] * 181),
    ],
)
def test_a_damaged_history_is_refused(damage: Any) -> None:
    with pytest.raises(CorruptCheckpoint):
        FreeHistory.from_data(damage)


def test_a_history_of_a_newer_operator_is_told_from_a_damaged_one() -> None:
    with pytest.raises(NewerCheckpoint):
        FreeHistory.from_data({"version": 2, "rungs": "whatever"})


def test_one_glitch_is_not_what_there_was() -> None:
    kept = history([*[100] * 30, 20, *[100] * 30])
    assert kept.calm_at(START_S + 32 * 60) == 100
    kept = history([*[100] * 30, *[20] * 5, *[100] * 30])
    assert kept.calm_at(START_S + 35 * 60) == 20
    assert kept.calm_at(START_S + 45 * 60) == 100


def test_the_first_reading_counts_at_once() -> None:
    kept = history([30])
    assert kept.calm_at(START_S) == 30
    assert kept.calm_at(START_S - 600) is None


def test_what_is_no_longer_read_of_is_forgotten() -> None:
    kept = Histories()
    kept.note([Reading("a", START_S, 5), Reading("b", START_S, 6)])
    kept.note([Reading("b", START_S + 60, 7)])
    assert kept.get("a") is None
    found = kept.get("b")
    assert found is not None
    assert found.last_free == 7
    kept.note([])
    assert kept.get("b") is found


def test_histories_outlive_a_restart_together() -> None:
    kept = Histories()
    for minute in range(30):
        kept.note([Reading("subnet-1", START_S + 60 * minute, 100 - minute)])
    again = Histories.from_data(json.loads(json.dumps(kept.to_data())))
    found = again.get("subnet-1")
    assert found is not None
    assert found.rungs()[0].mean[-1] == 72
    with pytest.raises(CorruptCheckpoint):
        Histories.from_data([1])


def many(names: int, hours: int) -> Histories:
    kept, random = Histories(), np.random.default_rng(1)
    for hour in range(hours):
        at_s = START_S + 3_600.0 * hour
        counts = random.integers(0, 1_000, names).tolist()
        kept.note(Reading(f"subnet-{n}", at_s, count) for n, count in enumerate(counts))
    return kept


def test_what_is_packed_is_unpacked() -> None:
    kept = many(3, 60)
    again = unpack(pack(kept))
    for name in ("subnet-0", "subnet-2"):
        before, after = kept.get(name), again.get(name)
        assert before is not None
        assert after is not None
        assert before.to_data() == after.to_data()


def test_what_is_fine_goes_before_what_is_old() -> None:
    kept, sizes, max_bytes = many(10, 400), [], 1_000_000
    for _ in range(4):
        packed = pack(kept, max_bytes=max_bytes)
        found = unpack(packed).get("subnet-5")
        assert found is not None
        sizes.append([len(rung.mean) for rung in found.rungs()])
        max_bytes = len(packed) - 1
    assert sizes == [[180, 288, 399], [288, 399], [399], [336]]
    assert pack(kept, max_bytes=1_000) == b""


def test_damaged_bytes_are_refused() -> None:
    data = pack(many(2, 30))
    for spoilt in (b"", data[:-1], data[:9] + b"x" + data[10:], framed(b"[1, 2"), framed(b"7")):
        with pytest.raises(CorruptCheckpoint):
            unpack(spoilt)
