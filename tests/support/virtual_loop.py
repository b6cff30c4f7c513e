"""An event loop whose clock jumps to the next timer, so that waiting takes no time."""

from __future__ import annotations

import asyncio
import functools
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")
START_S = 1_800_000_000.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and moves only when there is nothing to do but wait.

    Calls in `offloop` threads are waited for in real time, during which the clock stands still.
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now_s

    def jump(self, span_s: float) -> None:
        """Move the clock."""
        self._now_s += span_s


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if any(thread.name == "off-loop" for thread in threading.enumerate()):
            return super().select(0.002 if timeout is None else min(timeout, 0.002))
        found = super().select(0)
        if not found and timeout is None:
            raise AssertionError("everything waits for something that will never come")
        if not found and timeout:
            self._loop.jump(timeout)
        return found


def wall_clock() -> Callable[[], float]:
    """The running loop's clock, which shows `START_S` now; to be read from any thread."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    return lambda: START_S + loop.time() - begun_s


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a `VirtualLoop` of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
