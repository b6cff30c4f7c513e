"""One clock for the whole sandbox, which may run faster than real time."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from typing import Final

from ippolicy.errors import SandboxError

PATIENCE_S: Final = 240.0
"""How long anything that comes by itself may take, in real time on a busy machine. It is no
promise: whoever waits goes on as soon as it is there."""
_NAP_S: Final = 0.001
"""What is waited at least once more where the time that the clock goes by stood still."""


class SandboxClock:
    """Unix-like time that passes `speed` times as fast as real time. Safe in any thread.

    It starts at the real time of its making, so that stamps made with it look like today's.
    Raises SandboxError for a speed that is not above 0.
    """

    def __init__(
        self,
        speed: float = 1.0,
        *,
        real_now: Callable[[], float] = time.time,
        real_elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._elapsed = real_elapsed
        self._pace = (_checked(speed), real_elapsed(), real_now())

    @property
    def speed(self) -> float:
        """Seconds of this clock in one real second."""
        return self._pace[0]

    def set_speed(self, speed: float) -> None:
        """Run at another speed from now on; sleepers still wake at the moment they wait for."""
        self._pace = (_checked(speed), self._elapsed(), self.now())

    def now(self) -> float:
        """Seconds since 1970 on this clock; never goes back."""
        speed, since, then = self._pace
        return then + (self._elapsed() - since) * speed

    def date(self) -> dt.datetime:
        """The same moment as a date, in UTC."""
        return dt.datetime.fromtimestamp(self.now(), dt.UTC)

    def real_seconds(self, seconds: float) -> float:
        """Real seconds that `seconds` of this clock take at the present speed."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of this clock go by."""
        until = self.now() + max(0.0, seconds)
        await asyncio.sleep(self.real_seconds(max(0.0, seconds)))
        while True:
            left = until - self.now()
            if left <= 0:
                return
            await asyncio.sleep(max(_NAP_S, self.real_seconds(left)))


def _checked(speed: float) -> float:
    if not speed > 0:
        raise SandboxError(f"clock speed {speed:g} stands still: give a number above 0")
    return speed
