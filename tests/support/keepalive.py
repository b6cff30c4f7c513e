"""What asks a webhook as the API server does, and the barest server that can be asked so.

Both are for measuring: they cost as little as TLS and an event loop let them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import cast

from ippolicy.admission.certificates import Identity
from ippolicy.admission.server import show

IDLE_CONNECTIONS = 25
"""Connections that client-go keeps for a host."""
_LENGTH = b"content-length:"


class Client:
    """Keeps connections over TLS to one server: each question takes the one that was used last, or
    a new one where all are in use."""

    def __init__(self, host: str, port: int, trust: ssl.SSLContext) -> None:
        self._host, self._port, self._trust = host, port, trust
        self._idle: list[_Connection] = []

    async def post(self, path: str, body: bytes) -> bytes:
        """The body of the answer, whatever its status."""
        connection = self._idle.pop() if self._idle else await self._connected()
        answer = await connection.ask(question(path, body))
        if len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(_Connection, self._host, self._port, ssl=self._trust)
        return made


def question(path: str, body: bytes) -> bytes:
    """A POST with all that the API server puts into it."""
    return (
        b"POST %s?timeout=2s HTTP/1.1\r\nHost: webhook.kube-system.svc:443\r\n"
        b"User-Agent: kube-apiserver-admission\r\nContent-Length: %d\r\n"
        b"Accept: application/json, */*\r\nContent-Type: application/json\r\n"
        b"Accept-Encoding: gzip\r\n\r\n%s" % (path.encode(), len(body), body)
    )


class _Messages(asyncio.Protocol):
    """Cuts what comes into bodies."""

    def __init__(self) -> None:
        self._came = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, end, rest = self._came.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.lower().split(b"\r\n")
        length = next(int(line[len(_LENGTH) :]) for line in lines if line.startswith(_LENGTH))
        if len(rest) >= length:
            self._came.clear()
            self.take(bytes(rest))

    def take(self, body: bytes) -> None:
        raise NotImplementedError


class _Connection(_Messages):
    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[bytes] | None = None

    async def ask(self, sent: bytes) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(sent)
        return await self._answer

    def take(self, body: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed before the answer"))

    def close(self) -> None:
        self.transport.abort()


class Echo(_Messages):
    """Answers a question with itself."""

    def take(self, body: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@contextmanager
def echoing(host: str, identity: Identity) -> Iterator[tuple[int, int]]:
    """A process that only echoes: its id, and its port."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_echo, args=(host, identity, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield process.pid or 0, ours.recv()
    finally:
        process.terminate()
        process.join()


def _echo(host: str, identity: Identity, told: Connection) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    show(context, identity)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, host, 0, ssl=context)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
