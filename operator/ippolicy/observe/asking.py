"""When a question may be put to EC2, and how it went: one budget and one patience for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ippolicy.errors import EC2Unavailable
from ippolicy.facts import SourceState
from ippolicy.observe.ec2_client import Questions
from ippolicy.observe.settings import ObserveSettings
from ippolicy.offloop import call_off_loop

T = TypeVar("T")


@dataclass(slots=True)
class Source:
    """One question's bookkeeping: when it may be asked next, and how it went.

    `reason` is the stable word of the last error, None when the last try succeeded.
    """

    state: SourceState = field(default_factory=lambda: SourceState(None))
    retry_at_s: float = float("-inf")
    asked_at_s: float = float("-inf")
    tried: bool = False
    reason: str | None = None


class Asker:
    """Puts questions to EC2, one after another, as long as there are calls left.

    A bucket holds up to `ec2_calls_per_minute` calls and is filled at that rate. A question is
    asked when at least one is left; what it takes beyond that is owed, so that over time all
    questions together keep the rate. Tries of the SDK's own are not counted.
    """

    def __init__(
        self,
        client: Questions,
        settings: ObserveSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self._settings = settings
        self._clock = clock
        self._left = float(settings.ec2_calls_per_minute)
        self._left_at_s = clock()

    def now_s(self) -> float:
        """The present moment."""
        return self._clock()

    def due(self, source: Source, interval_s: float) -> bool:
        """Whether a question was last answered in full at least `interval_s` ago, or on a clock
        that was put back since."""
        return not 0 <= self._clock() - source.asked_at_s < interval_s

    async def ask(self, source: Source, question: Callable[[], T]) -> T | None:
        """The answer; None when it is not to be asked again yet, no call is left, or in vain."""
        source.tried = True
        waits_s = source.retry_at_s - self._clock()
        if 0 < waits_s <= self._settings.ec2_retry_s or self._calls_left() < 1:
            return None
        before = self.client.calls.total()
        try:
            answer = await call_off_loop(question)
        except EC2Unavailable as error:
            source.retry_at_s = self._clock() + self._settings.ec2_retry_s
            source.state = SourceState(source.state.succeeded_at_s, str(error), error.permission)
            source.reason = error.reason
            return None
        finally:
            self._left -= self.client.calls.total() - before
        self.succeeded(source)
        return answer

    def succeeded(self, source: Source) -> None:
        """Note that a question was answered, or had nothing to ask."""
        source.tried = True
        source.state = SourceState(self._clock())
        source.reason = None

    def _calls_left(self) -> float:
        now_s, rate = self._clock(), self._settings.ec2_calls_per_minute
        gained = max(0.0, now_s - self._left_at_s) * rate / 60.0
        self._left, self._left_at_s = min(float(rate), self._left + gained), now_s
        return self._left
