"""Reading metrics from servers that behave and that do not, directly and by proxy."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from aiohttp import web

from ippolicy.errors import ClusterUnavailable, ScrapeFailed
from ippolicy.observe.fetch import DirectFetch, ProxyFetch
from ippolicy.observe.scrape import Scraper
from ippolicy.observe.settings import ObserveSettings
from observe_fakes import aws_node_pod, cancelled, metrics_page, until_real

SETTINGS = ObserveSettings(scrape_timeout_s=0.3, scrape_max_bytes=50_000)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """A server on `host` that hands each connection to `handler` after the request's head."""
    open_now: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await handler(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(handle(reader, writer))
        open_now.add(task)
        task.add_done_callback(lambda _: writer.transport.abort())

    server = await asyncio.start_server(accept, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await cancelled(*open_now)
        await asyncio.sleep(0)


def answering(head: str, body: str = "") -> Handler:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((head.replace("\n", "\r\n") + "\r\n\r\n" + body).encode())
        await writer.drain()

    return answer


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    while True:
        writer.write(b"#")
        await writer.drain()
        await asyncio.sleep(0.05)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(b"# more and more\n" * 1000)
        await writer.drain()


HALF = metrics_page()[:60]
OK = "HTTP/1.1 200 OK\nConnection: close"
MOVED = "HTTP/1.1 302 Found\nLocation: http://127.0.0.1:1/\nContent-Length: 0"
BAD_SERVERS: list[tuple[Handler, str]] = [
    (hang, "timeout"),
    (trickle, "timeout"),
    (reset, "dropped"),
    (flood, "too-large"),
    (answering("HTTP/1.1 500 Oops\nContent-Length: 0"), "http-status"),
    (answering(MOVED), "http-status"),
    (answering(OK, "<html></html>\n"), "garbage"),
    (answering(OK, HALF), "garbage"),
    (answering("HTTP/1.1 200 OK\nContent-Length: 9999", HALF), "dropped"),
    (answering("SSH-2.0-OpenSSH_9"), "dropped"),
]


@pytest.mark.parametrize(("handler", "reason"), BAD_SERVERS)
async def test_a_bad_server_is_a_miss_with_its_reason(handler: Handler, reason: str) -> None:
    async with serving(handler) as port:
        fetch = DirectFetch(SETTINGS, lambda _: f"http://127.0.0.1:{port}/metrics")
        scraper = Scraper(lambda: [aws_node_pod("a")], fetch, SETTINGS)
        await scraper.scrape_now()
        assert scraper.errors == {reason: 1}
        await fetch.close()


async def test_a_closed_port_is_refused_and_a_missing_address_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings = replace(SETTINGS, scrape_port=taken.getsockname()[1])
        fetch = DirectFetch(settings)
        for address, reason in (("127.0.0.1", "refused"), ("", "no-address")):
            with pytest.raises(ScrapeFailed) as caught:
                await fetch(aws_node_pod("a", address=address))
            assert caught.value.reason == reason
        await fetch.close()


async def test_good_nodes_are_read_while_others_hang_and_connections_are_kept() -> None:
    peers: set[object] = set()
    asked: list[web.Request] = []

    async def metrics(request: web.Request) -> web.Response:
        asked.append(request)
        peers.add(request.transport and request.transport.get_extra_info("peername"))
        return web.Response(text=metrics_page(held=14))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.7", 0)
    await site.start()
    port = runner.addresses[0][1]
    settings = replace(SETTINGS, scrape_interval_s=0.2, scrape_port=port)
    pods = [aws_node_pod("good", address="127.0.0.7"), aws_node_pod("bad", address="127.0.0.8")]
    scraper = Scraper(lambda: pods, DirectFetch(settings), settings)
    async with serving(hang, "127.0.0.8", port):
        task = asyncio.create_task(scraper.run())
        await until_real(lambda: len(asked) >= 5 and scraper.errors["timeout"] >= 1)
        await cancelled(task)
    assert scraper.pools(pods, time.time())["good"].held == 14
    assert len(peers) == 1
    assert asked[0].headers["Accept-Encoding"] == "identity"
    await runner.cleanup()


class FakeProxy:
    def __init__(self, answer: bytes | ClusterUnavailable) -> None:
        self.answer = answer
        self.asked: list[tuple[str, float, int]] = []

    async def get_bytes(
        self, path: str, params: object = None, timeout_s: float = 0, max_bytes: int = 0
    ) -> bytes:
        self.asked.append((path, timeout_s, max_bytes))
        if isinstance(self.answer, ClusterUnavailable):
            raise self.answer
        return self.answer


async def test_the_pod_proxy_is_asked_by_pod_name() -> None:
    api = FakeProxy(metrics_page(9).encode())
    fetch = ProxyFetch(api, SETTINGS)  # type: ignore[arg-type]  # it never watches
    assert await fetch(aws_node_pod("a")) == metrics_page(9).encode()
    path = "/api/v1/namespaces/kube-system/pods/aws-node-a:61678/proxy/metrics"
    assert api.asked == [(path, 0.3, 50_000)]
    await fetch.close()


@pytest.mark.parametrize(("status", "reason"), [(503, "http-status"), (403, "forbidden")])
async def test_a_failing_proxy_is_a_miss_with_its_reason(status: int, reason: str) -> None:
    api = FakeProxy(ClusterUnavailable("no", reason="http-status", status=status))
    with pytest.raises(ScrapeFailed) as caught:
        await ProxyFetch(api, SETTINGS)(aws_node_pod("a"))  # type: ignore[arg-type]  # it never watches
    assert caught.value.reason == reason
