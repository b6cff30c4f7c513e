"""Time that a sandbox and its operator share, and that waits for both.

    with Lockstep() as time, world(elapsed=time, operator_command=time.hurried(SPEED)) as sandbox:
        sandbox.run(time.mind_the_loop())

On a machine that is slow, or that stands still for moments, sandbox time passes as slowly: what
one part does then is as late for the others as it would be on a quiet one.
"""

from __future__ import annotations

import asyncio
import functools
import mmap
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
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
lockstep.follow(%r, %r, since=%r)
"""


class Lockstep:
    """Seconds of real time without those in which a part lay back. In `with`, they pass.

    To be called by whoever asks for them, as `Layout.elapsed`.
    """

    def __init__(self) -> None:
        with tempfile.NamedTemporaryFile(prefix="lockstep-", delete=False) as file:
            file.write(_TIME.pack(0.0, _NEVER) + _SEEN.pack(_NEVER) + _SEEN.pack(_NEVER))
        self._file = Path(file.name)
        self._shared = _mapped(self._file)
        self._ended = threading.Event()
        self._ticking = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._ticking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._ticking.join()
        self._file.unlink()

    def __call__(self) -> float:
        return _elapsed(self._shared)

    def hurried(self, speed: float) -> tuple[str, ...]:
        """An operator whose wall clock runs so fast from its start on, for
        `Layout.operator_command`. Time waits for its passes, so it must not end before time does.
        """
        return self._command(speed, None)

    def in_step(self, clock: SandboxClock) -> tuple[str, ...]:
        """One whose wall clock shows what `clock` does, for as long as that keeps its present
        speed. It may end."""
        return self._command(clock.speed, (clock.now(), self()))

    def _command(self, speed: float, since: tuple[float, float] | None) -> tuple[str, ...]:
        program, option, code, *arguments = COMMAND
        first = _FOLLOW % (str(Path(__file__).parent), str(self._file), speed, since)
        return (program, option, first + code, *arguments)

    async def mind_the_loop(self) -> None:
        """Stand still from now on when the running event loop is late."""
        asyncio.get_running_loop().create_task(self._see_the_loop())

    async def _see_the_loop(self) -> None:
        try:
            while True:
                _SEEN.pack_into(self._shared, _LOOP, self())
                await asyncio.sleep(TICK_S)
        finally:
            _SEEN.pack_into(self._shared, _LOOP, _NEVER)

    def _tick(self) -> None:
        while not self._ended.wait(TICK_S):
            now_s = self()
            (loop_s,) = _SEEN.unpack_from(self._shared, _LOOP)
            (operator_s,) = _SEEN.unpack_from(self._shared, _OPERATOR)
            late = now_s > loop_s + LOOP_LAG_S or now_s > operator_s + OPERATOR_LAG_S
            _TIME.pack_into(self._shared, 0, now_s, _NEVER if late else time.monotonic())


def follow(path: str, speed: float, since: tuple[float, float] | None) -> None:
    """In the operator's process: go by the time in that file.

    `since` says what the wall clock showed at which time. Without it that starts at real time, and
    each pass is told of.
    """
    shared = _mapped(Path(path))
    elapsed = functools.partial(_elapsed, shared)
    if since is None:
        clock = SandboxClock(speed, real_elapsed=elapsed)
    else:
        began_s = since[0] + (elapsed() - since[1]) * speed
        clock = SandboxClock(speed, real_now=lambda: began_s, real_elapsed=elapsed)
    nap = asyncio.sleep

    async def hurried_nap(delay: float, result: object = None) -> object:
        return await nap(delay and max(0.02, delay / speed), result)

    time.time = clock.now
    asyncio.sleep = hurried_nap  # type: ignore[assignment]
    if since is None:
        _tell_of_passes(shared)


def _tell_of_passes(shared: mmap.mmap) -> None:
    from ippolicy.engine.loop import Engine  # keeps the clock that it finds

    def passed(engine: Engine, at_s: float) -> None:
        vars(engine)["last_pass_s"] = at_s
        _SEEN.pack_into(shared, _OPERATOR, _elapsed(shared))

    Engine.last_pass_s = property(lambda engine: vars(engine)["last_pass_s"], passed)  # type: ignore[assignment]


def _mapped(file: Path) -> mmap.mmap:
    with file.open("r+b") as opened:
        return mmap.mmap(opened.fileno(), 0)


def _elapsed(shared: mmap.mmap | bytearray, real: Callable[[], float] = time.monotonic) -> float:
    elapsed_s, at_s = _TIME.unpack_from(shared, 0)
    return float(elapsed_s + max(0.0, min(real() - at_s, MOST_STEP_S)))
