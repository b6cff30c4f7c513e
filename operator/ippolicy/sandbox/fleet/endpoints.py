"""Port 61678 of every node, each on its own loopback address, by one server."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from enum import StrEnum
from ipaddress import IPv4Address
from random import SystemRandom

from aiohttp import web

from ippolicy.errors import SandboxError

METRICS_PORT = 61678
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
Page = Callable[[], str]


class MetricsFault(StrEnum):
    """What may be wrong with a node's metrics port while its aws-node runs."""

    HANG = "hang"
    GARBAGE = "garbage"
    HALF_PAGE = "half page"
    ERROR_500 = "500"
    REFUSE = "refuse"


class MetricsEndpoints:
    """Serves one page for each address that is open; a closed one refuses connections."""

    def __init__(self, port: int = METRICS_PORT) -> None:
        self.port = port
        self._pages: dict[str, Page] = {}
        self._faults: dict[str, MetricsFault] = {}
        self._sites: dict[str, web.SockSite] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Make the server, listening nowhere yet."""
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()

    async def stop(self) -> None:
        """Close every port and connection."""
        self._pages.clear()
        if self._runner is not None:
            await self._runner.cleanup()
        self._sites.clear()

    async def open(self, address: str, page: Page) -> None:
        """Serve `page()` on `address`. Raises SandboxError where the port is taken."""
        self._pages[address] = page
        await self._listen(address)

    async def close(self, address: str) -> None:
        """Refuse connections on `address`; those that are kept alive end at their next request."""
        self._pages.pop(address, None)
        site = self._sites.pop(address, None)
        if site is not None:
            await site.stop()

    async def set_fault(self, address: str, fault: MetricsFault | None) -> None:
        """Let something be wrong with `address` from now on, across restarts of its aws-node."""
        if fault is None:
            self._faults.pop(address, None)
        else:
            self._faults[address] = fault
        page = self._pages.get(address)
        if page is not None:
            await self.close(address)
            await self.open(address, page)

    async def _listen(self, address: str) -> None:
        if self._runner is None:
            raise SandboxError("the metrics endpoints are not started: call start() first")
        if address in self._sites or self._faults.get(address) is MetricsFault.REFUSE:
            return
        site = web.SockSite(self._runner, _bound(address, self.port))
        starting = asyncio.ensure_future(site.start())
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:  # nobody would close what listens from then on
            await starting
            await site.stop()
            raise
        self._sites[address] = site

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise web.HTTPServiceUnavailable
        address: str = transport.get_extra_info("sockname")[0]
        page = self._pages.get(address)
        if page is None:  # the process has ended, and its connections with it
            transport.abort()
            raise web.HTTPServiceUnavailable
        fault = self._faults.get(address)
        if fault is MetricsFault.HANG:
            await asyncio.Event().wait()
        if fault is MetricsFault.ERROR_500:
            raise web.HTTPInternalServerError(text="An error has occurred while serving metrics")
        body = page().encode()
        if fault is MetricsFault.GARBAGE:
            body = b"\x00<html>not metrics at all\xff\xfe\n" * 40
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        response.content_length = len(body)
        await response.prepare(request)
        if fault is MetricsFault.HALF_PAGE:
            await response.write(body[: len(body) // 2])
            transport.close()
            return response
        await response.write(body)
        return response


def free_addresses(port: int) -> Iterator[str]:
    """Loopback addresses on which nothing listens at `port`, from a random place on.

    Two sandboxes on one machine thus seldom look at the same ones. Raises SandboxError when a
    whole 127.x.0.0/16 is taken.
    """
    block = IPv4Address(f"127.{SystemRandom().randrange(1, 255)}.0.0")
    start = SystemRandom().randrange(0, 1 << 16)
    for step in range(1 << 16):
        address = str(block + (start + step) % (1 << 16))
        if address.endswith((".0", ".255")):
            continue
        try:
            _bound(address, port).close()
        except SandboxError:
            continue
        yield address
    raise SandboxError(f"port {port} is taken on all of {block}/16: stop what listens there")


def _bound(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        hint = "another sandbox" if error.errno == errno.EADDRINUSE else "loopback"
        raise SandboxError(
            f"cannot listen on {address}:{port} ({error.strerror}): check {hint} on this machine"
        ) from error
    return listener
