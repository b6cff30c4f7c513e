"""The webhook over HTTPS: one POST, one answer from memory.

It has a thread and an event loop of its own, so that no pod waits while the operator decides or
reads a long list.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, TypeVar

from aiohttp import web

from ippolicy.admission.certificates import Identity
from ippolicy.admission.mutate import Answer, Places, Verdict, answer
from ippolicy.admission.review import read_review
from ippolicy.admission.tables import Tables
from ippolicy.errors import InvalidSetting
from ippolicy.offloop import call_off_loop

PATH = "/mutate"
MAX_BODY_BYTES = 3 * 1024 * 1024
READ_TIMEOUT_S = 2.0  # the API server has given up by then
PATIENCE_S = 0.5
"""How long a pod of a node that nobody has seen yet is kept: the DaemonSet controller and we learn
of a new node by the same event, and it may be the faster."""
_LOOK_S = 0.02
SWITCH_S = 0.0005
"""How long a thread that computes may keep the others of this process from running. An answer
takes its turn several times; with Python's own 5 ms a search would let some 50 a second through."""

_T = TypeVar("_T")


class WebhookServer:
    """Answers the API server about the pods of the DaemonSets in `tables`.

    `places` is called in the server's own thread, and must answer from memory. `tables` may be
    replaced at any time.
    """

    def __init__(self, tables: Tables, places: Places, *, host: str, port: int) -> None:
        self.tables = tables
        self._places = places
        self._host, self._port = host, port
        self._counts: Counter[Verdict] = Counter()
        self._switch_s = SWITCH_S
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None
        # Whoever comes second finds it done: a loop that has stopped answers nobody.
        self._changing = asyncio.Lock()

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._loop is not None

    @property
    def port(self) -> int:
        """The port that is listened on, which the system chose if it was given as 0."""
        return int(self._runner.addresses[0][1]) if self._runner is not None else self._port

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many answers of each kind were given since the process began."""
        return MappingProxyType({verdict: self._counts[verdict] for verdict in Verdict})

    def present(self, identity: Identity) -> None:
        """Show this certificate from the next connection on; those that are open stay open."""
        # OpenSSL reads keys from files only. This one is in memory, and is gone at once.
        descriptor = os.memfd_create("webhook-identity")
        try:
            os.write(descriptor, identity.key + identity.certificate)
            self._context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)

    async def start(self, identity: Identity) -> None:
        """Listen. Raises InvalidSetting when that cannot be."""
        async with self._changing:
            self.present(identity)
            if self._loop is None:
                await self._start()

    async def stop(self) -> None:
        """Stop listening; the API server then lets pods through as their template says."""
        async with self._changing:
            await self._stop()

    async def _start(self) -> None:
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webhook", daemon=True)
        self._thread.start()
        try:
            await _on(self._loop, self._listen())
        except OSError as error:
            await self._stop()
            raise InvalidSetting(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}): set "
                "IPPOLICY_WEBHOOK_PORT to what is free"
            ) from error

    async def _stop(self) -> None:
        loop, thread, runner = self._loop, self._thread, self._runner
        self._loop = self._thread = self._runner = None
        if loop is None or thread is None:
            return
        sys.setswitchinterval(self._switch_s)
        await asyncio.shield(_end(loop, thread, runner))

    async def _listen(self) -> None:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(PATH, self._mutate)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._context)
        await site.start()

    async def _mutate(self, request: web.Request) -> web.Response:
        given = await self._answer(request)
        self._counts[given.verdict] += 1
        if given.review is None:
            too_large = given.verdict is Verdict.TOO_LARGE
            code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
            return web.Response(status=code, text=f"{given.verdict}\n")
        return web.Response(body=given.encoded(), content_type="application/json")

    async def _answer(self, request: web.Request) -> Answer:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return Answer(Verdict.TOO_LARGE, None)
        except TimeoutError:
            return Answer(Verdict.MALFORMED, None)
        review, patient_until_s = read_review(body), time.monotonic() + PATIENCE_S
        given = answer(review, self.tables, self._places)
        while given.verdict is Verdict.UNKNOWN_NODE and time.monotonic() < patient_until_s:
            await asyncio.sleep(_LOOK_S)
            given = answer(review, self.tables, self._places)
        return given


async def _end(
    loop: asyncio.AbstractEventLoop, thread: threading.Thread, runner: web.AppRunner | None
) -> None:
    if runner is not None:
        await _on(loop, _close(runner))
    loop.call_soon_threadsafe(loop.stop)
    await call_off_loop(thread.join)
    loop.close()


async def _close(runner: web.AppRunner) -> None:
    """Let answers go out, then close what the API server keeps open for its next questions."""
    connections = runner.server.connections if runner.server is not None else []
    transports = [connection.transport for connection in connections]
    await runner.cleanup()
    for transport in transports:
        if transport is not None:
            transport.abort()  # else it would wait for the other side to say farewell
    await asyncio.sleep(0)


async def _on(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`, done by the loop of another thread."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))
