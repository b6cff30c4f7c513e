"""Time that a sandbox and its operator share, and that waits for both.

    with Lockstep(tmp_path / "time") as time, world(elapsed=time.elapsed,
            operator_command=time.hurried(SPEED)) as sandbox:
        sandbox.run(time.mind_the_loop())

On a machine that is slow, or that stands still for moments, sandbox time passes as slowly: what
one part does then is as late for the others as it would be on a quiet one.
"""

from __future__ import annotations

import asyncio
import functools
import mmap
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ippolicy.sandbox.clock import SandboxClock
from ippolicy.sandbox.operator import COMMAND

TICK_S = 0.005
MOST_STEP_S = 0.05
"""No more than this passes at once, however long the machine stood still."""
LOOP_LAG_S, OPERATOR_LAG_S = 0.1, 1.0
"""So far may the sandbox's event loop and the last pass of the operator lie back."""

_TIME, _SEEN = struct.Struct("=dd"), struct.Struct("=d")
_LOOP, _OPERATOR = 16, 24
"""The file holds: what has elapsed, at which real time, and when it was that each was seen."""
_NEVER = float("inf")

_FOLLOW = """
import sys
sys.path.insert(0, %r)
import lockstep
lockstep.follow(%r, %r)
"""


class Lockstep:
    """Seconds of real time without those in which a part lay back. In `with`, they pass."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(_TIME.pack(0.0, _NEVER) + _SEEN.pack(_NEVER) + _SEEN.pack(_NEVER))
        self._shared = _mapped(file)
        self._ended = threading.Event()
        self._ticking = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._ticking.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._ticking.join()

    def elapsed(self) -> float:
        """What `Layout.elapsed` asks for."""
        return _elapsed(self._shared)

    def hurried(self, speed: float) -> tuple[str, ...]:
        """An operator whose wall clock runs so fast, for `Layout.operator_command`; for one life
        only, from `time.time()` at its start on."""
        program, option, code, *arguments = COMMAND
        first = _FOLLOW % (str(Path(__file__).parent), str(self._file), speed)
        return (program, option, first + code, *arguments)

    async def mind_the_loop(self) -> None:
        """Stand still from now on when the running event loop is late."""
        asyncio.get_running_loop().create_task(self._see_the_loop())

    async def _see_the_loop(self) -> None:
        try:
            while True:
                _SEEN.pack_into(self._shared, _LOOP, self.elapsed())
                await asyncio.sleep(TICK_S)
        finally:
            _SEEN.pack_into(self._shared, _LOOP, _NEVER)

    def _tick(self) -> None:
        while not self._ended.wait(TICK_S):
            now_s = self.elapsed()
            (loop_s,) = _SEEN.unpack_from(self._shared, _LOOP)
            (operator_s,) = _SEEN.unpack_from(self._shared, _OPERATOR)
            late = now_s > loop_s + LOOP_LAG_S or now_s > operator_s + OPERATOR_LAG_S
            _TIME.pack_into(self._shared, 0, now_s, _NEVER if late else time.monotonic())


def follow(path: str, speed: float) -> None:
    """In the operator's process: go by the time in that file, and tell of each pass."""
    shared = _mapped(Path(path))
    clock = SandboxClock(speed, real_elapsed=functools.partial(_elapsed, shared))
    nap = asyncio.sleep

    async def hurried_nap(delay: float, result: object = None) -> object:
        return await nap(delay and max(0.02, delay / speed), result)

    time.time = clock.now
    asyncio.sleep = hurried_nap  # type: ignore[assignment]

    from ippolicy.engine.loop import Engine  # keeps the clock that it finds

    def passed(engine: Engine, at_s: float) -> None:
        vars(engine)["last_pass_s"] = at_s
        _SEEN.pack_into(shared, _OPERATOR, _elapsed(shared))

    Engine.last_pass_s = property(lambda engine: vars(engine)["last_pass_s"], passed)  # type: ignore[assignment]


def _mapped(file: Path) -> mmap.mmap:
    with file.open("r+b") as opened:
        return mmap.mmap(opened.fileno(), 0)


def _elapsed(shared: mmap.mmap, real: Callable[[], float] = time.monotonic) -> float:
    elapsed_s, at_s = _TIME.unpack_from(shared, 0)
    return float(elapsed_s + max(0.0, min(real() - at_s, MOST_STEP_S)))
