"""The families are what their definitions say, and the same seed gives the same pods."""

from __future__ import annotations

import numpy as np
import pytest
from warmpool.families import DAY_S, FAMILIES, HOUR_S, Pods, pods_of

DAYS = 10


def of(family: str, seed: int = 1) -> Pods:
    return pods_of(family, seed, DAYS)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_pods_in_order_and_another_one_others(family: str) -> None:
    pods = of(family)
    assert np.array_equal(pods, of(family))
    assert not np.array_equal(pods, of(family, 2))
    assert (np.diff(pods[:, 0]) >= 0).all()
    assert pods[:, 0].min() >= 0
    assert pods[:, 0].max() < DAYS * DAY_S + 60  # a rollout takes a minute


@pytest.mark.parametrize(
    ("family", "least_s", "most_s"),
    [
        ("steady", 2 * HOUR_S, 8 * HOUR_S),
        ("diurnal", 300, 3_900),
        ("hourly-batch", 120, 2_100),
        ("bursty-rollout", 600, 3 * HOUR_S),
    ],
)
def test_pods_live_as_long_as_the_family_says(family: str, least_s: int, most_s: int) -> None:
    lives_s = np.concatenate([of(family, seed)[:, 1] for seed in range(5)])
    assert least_s <= lives_s.min() <= least_s * 1.1
    assert most_s * 0.95 <= lives_s.max() < most_s


def test_steady_has_one_pod_in_every_ten_minutes() -> None:
    assert np.bincount(of("steady")[:, 0] // 600).tolist() == [1] * (DAYS * 144)


def test_diurnal_follows_the_hour_of_the_day() -> None:
    arrivals = np.concatenate([of("diurnal", seed)[:, 0] for seed in range(20)])
    seen = np.bincount(arrivals % DAY_S // HOUR_S, minlength=24) / (20 * DAYS)
    seconds = np.arange(DAY_S)
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * (seconds / HOUR_S - 15) / 24)
    due = (0.0005 + 0.016 * wave**3).reshape(24, HOUR_S).sum(axis=1)
    assert np.abs(seen - due).max() < 5 * np.sqrt(due.max() / (20 * DAYS))
    assert seen.argmax() in (14, 15)
    assert due.sum() == pytest.approx(0.0055 * DAY_S)


def test_hourly_batches_come_within_20_s_of_the_hour_and_the_others_in_its_middle() -> None:
    pods = of("hourly-batch")
    within_s = pods[:, 0] % HOUR_S
    batch = within_s < 20
    sizes = np.bincount(pods[batch, 0] // HOUR_S)
    assert sizes.tolist() == [24 if 8 <= hour % 24 < 20 else 6 for hour in range(DAYS * 24)]
    assert pods[batch, 1].max() < 520
    assert np.bincount(pods[~batch, 0] // HOUR_S).tolist() == [3] * (DAYS * 24)
    assert within_s[~batch].min() >= 600
    assert within_s[~batch].max() < 3_000
    assert pods[~batch, 1].min() >= 300


def test_rollouts_come_three_times_a_day_within_a_minute_each() -> None:
    sizes = []
    for seed in range(10):
        pods = of("bursty-rollout", seed)
        rollouts = len(pods) - DAYS * 96  # beside one in every quarter of an hour
        sizes.append(rollouts / (3 * DAYS))
        in_a_minute = np.searchsorted(pods[:, 0], pods[:, 0] + 60) - np.arange(len(pods))
        assert 20 <= in_a_minute.max() <= 2 * 41
    assert min(sizes) > 20
    assert max(sizes) < 39
    assert np.mean(sizes) == pytest.approx(29.5, abs=1.0)
