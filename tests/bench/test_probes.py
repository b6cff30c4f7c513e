"""A search over a large fleet takes seconds, and no probe waits for it."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import aiohttp
import numpy as np
import pytest
from warmpool.fleets import members, search

from ippolicy.account.exporter import Exporter
from ippolicy.account.health import Health
from ippolicy.engine.bundles import Bundles
from ippolicy.engine.server import Server
from ippolicy.ipamd.fast import compile_kernel
from ippolicy.offloop import call_off_loop

pytestmark = pytest.mark.timeout(600)

NODES = 1_000
PROBED_EVERY_S = 0.02
ANSWERED_WITHIN_S = 0.1


async def test_probes_are_answered_while_a_search_runs() -> None:
    await call_off_loop(compile_kernel)
    fleet = await call_off_loop(partial(members, NODES, 1))
    server = Server(
        Exporter(), alive=Health, ready=Health, bundles=Bundles(), host="127.0.0.1", port=0
    )
    await server.start()
    took_s: list[float] = []
    try:
        async with aiohttp.ClientSession() as session:
            searching = asyncio.create_task(call_off_loop(partial(search, fleet)))
            while not searching.done():
                began_s = time.perf_counter()
                async with session.get(f"http://127.0.0.1:{server.port}/healthz") as answer:
                    assert answer.status == 200
                took_s.append(time.perf_counter() - began_s)
                await asyncio.sleep(PROBED_EVERY_S)
            assert (await searching).units_played > 0
    finally:
        await server.stop()
    assert len(took_s) > 10
    assert np.quantile(took_s, 0.99) < ANSWERED_WITHIN_S
