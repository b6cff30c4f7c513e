"""Background tasks with an owner: none outlives it, and no failure goes unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """A set of running tasks that ends with its owner.

    Attributes:
        failure: the first exception that ended one of them, None while all is well.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self.failure: BaseException | None = None

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` until it ends, or until `close`."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def check(self) -> None:
        """Raise what ended a task, if anything did."""
        if self.failure is not None:
            raise self.failure

    async def drain(self) -> None:
        """Wait until all that runs now has ended by itself."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def close(self) -> None:
        """Cancel all that still runs and wait for it."""
        running = [task for task in self._running if task is not asyncio.current_task()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failure = self.failure or task.exception()


async def until(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` to its end, or drop it once `event` is set; passes on what it raises."""
    doing = asyncio.get_running_loop().create_task(work)
    ending = asyncio.get_running_loop().create_task(event.wait())
    try:
        await asyncio.wait([doing, ending], return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
    finally:
        doing.cancel()
        ending.cancel()
        await asyncio.gather(doing, ending, return_exceptions=True)
