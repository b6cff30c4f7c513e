"""/metrics, /healthz and /readyz as whoever asks sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from ippolicy.account.exporter import CONTENT_TYPE, Exporter
from ippolicy.account.health import Health
from ippolicy.engine.bundles import Bundles
from ippolicy.engine.server import Server
from ippolicy.errors import InvalidSetting


@dataclass
class Served:
    exporter: Exporter = field(default_factory=Exporter)
    alive: Health = field(default_factory=Health)
    ready: Health = field(default_factory=Health)
    bundles: Bundles = field(default_factory=Bundles)
    url: str = ""

    async def get(self, path: str) -> tuple[int, str, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text(), answer.headers["Content-Type"]


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    it = Served()
    server = Server(
        it.exporter,
        alive=lambda: it.alive,
        ready=lambda: it.ready,
        bundles=it.bundles,
        host="127.0.0.1",
        port=0,
    )
    await server.start()
    it.url = f"http://127.0.0.1:{server.port}"
    try:
        yield it
    finally:
        await server.stop()


async def test_metrics_are_served_as_prometheus_reads_them() -> None:
    async with served() as it:
        it.exporter.called("ec2", "DescribeSubnets", times=7)
        status, text, content_type = await it.get("/metrics")
        assert (status, content_type) == (200, CONTENT_TYPE)
        assert 'ippolicy_api_calls_total{kind="ec2",operation="DescribeSubnets"} 7.0' in text
        assert text.endswith("\n")


@pytest.mark.parametrize(("path", "verdict"), [("/healthz", "alive"), ("/readyz", "ready")])
async def test_a_probe_is_answered_with_the_verdict_of_now(path: str, verdict: str) -> None:
    async with served() as it:
        assert (await it.get(path))[:2] == (200, "ok\n")
        setattr(it, verdict, Health(("pods not listed yet", "nodes not listed yet")))
        assert (await it.get(path))[:2] == (503, "pods not listed yet\nnodes not listed yet\n")
        other = {"/healthz": "/readyz", "/readyz": "/healthz"}[path]
        assert (await it.get(other))[:2] == (200, "ok\n")


async def test_nothing_else_is_served() -> None:
    async with served() as it:
        assert (await it.get("/"))[0] == 404


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with served() as it:
        port = int(it.url.rpartition(":")[2])
        second = Server(
            it.exporter,
            alive=Health,
            ready=Health,
            bundles=it.bundles,
            host="127.0.0.1",
            port=port,
        )
        with pytest.raises(InvalidSetting, match="IPPOLICY_HTTP_PORT"):
            await second.start()
        await second.stop()


async def test_after_the_stop_nobody_listens() -> None:
    async with served() as it:
        pass
    with pytest.raises(aiohttp.ClientConnectionError):
        await it.get("/healthz")
