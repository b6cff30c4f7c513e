"""Blocking calls off the event loop, in threads that never hold up the exit.

`asyncio.to_thread` and thread pools are joined when the loop or the interpreter ends, so one call
that hangs (an exec plugin, a connection to EC2) would delay a stop by its whole timeout. These
threads are daemons: what is still running at the end is simply left behind.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def call_off_loop(function: Callable[[], T]) -> T:
    """The result of `function()`, run in a daemon thread of its own; its exceptions pass through.

    Cancelling stops the wait, not the thread. Callers bound how many run at once.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # no error: it is a T

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = function()
        except BaseException as raised:  # noqa: BLE001  (carried to the caller, not swallowed)
            error = raised
        # The loop may be closed already; nobody waits for the result then.
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="off-loop", daemon=True).start()
    return await future
