"""Blocking calls off the loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ippolicy.offloop import call_off_loop


async def test_results_and_errors_come_back_from_another_thread() -> None:
    assert await call_off_loop(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await call_off_loop(lambda: 1 // 0)


async def test_a_hung_call_can_be_left_behind() -> None:
    release, ended = threading.Event(), threading.Event()

    def hang() -> None:
        release.wait(10)
        ended.set()

    task = asyncio.create_task(call_off_loop(hang))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(t.daemon for t in threading.enumerate() if t.name == "off-loop")
    release.set()
    assert ended.wait(10)


def test_a_call_that_ends_after_the_loop_is_closed_harms_nobody() -> None:
    release = threading.Event()

    async def abandon() -> None:
        task = asyncio.create_task(call_off_loop(lambda: release.wait(10)))
        await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(abandon())
    threads = [t for t in threading.enumerate() if t.name == "off-loop"]
    release.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
