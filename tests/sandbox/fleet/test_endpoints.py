"""The metrics ports of the simulated nodes."""

from __future__ import annotations

import asyncio

from ippolicy.sandbox.fleet.endpoints import METRICS_PORT, MetricsEndpoints, free_addresses


async def test_a_port_whose_opening_was_given_up_is_free_again() -> None:
    endpoints = MetricsEndpoints()
    await endpoints.start()
    address = next(free_addresses(METRICS_PORT))
    for loops in range(4):  # wherever in it that is
        opening = asyncio.create_task(endpoints.open(address, lambda: ""))
        for _ in range(loops):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await endpoints.close(address)
    await endpoints.open(address, lambda: "served")
    await endpoints.stop()
