from __future__ import annotations

import asyncio

import pytest

from ippolicy.errors import SandboxError
from ippolicy.sandbox.clock import SandboxClock


class RealTime:
    def __init__(self) -> None:
        self.elapsed = 100.0

    def __call__(self) -> float:
        return self.elapsed


def test_the_clock_starts_at_the_real_time_and_runs_at_its_speed() -> None:
    real = RealTime()
    clock = SandboxClock(4, real_now=lambda: 1000.0, real_elapsed=real)
    assert clock.now() == 1000
    real.elapsed += 2.5
    assert clock.now() == 1010
    assert clock.real_seconds(10) == 2.5


def test_another_speed_counts_from_the_change_on() -> None:
    real = RealTime()
    clock = SandboxClock(10, real_now=lambda: 0.0, real_elapsed=real)
    real.elapsed += 1
    clock.set_speed(1)
    assert clock.now() == 10
    real.elapsed += 1
    assert (clock.now(), clock.speed) == (11, 1)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_clock_that_would_stand_still_is_refused(speed: float) -> None:
    with pytest.raises(SandboxError, match="stands still"):
        SandboxClock(speed)


async def test_a_sleeper_wakes_at_its_moment_though_the_clock_was_slowed_down() -> None:
    clock = SandboxClock(1000)
    began = clock.now()
    sleeper = asyncio.ensure_future(clock.sleep(20))
    await asyncio.sleep(0)
    clock.set_speed(200)
    await sleeper
    assert clock.now() - began >= 20
