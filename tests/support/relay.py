"""A way to a server that can be cut: to those who take it, the server is away."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import yaml

Address = tuple[str, int]


class Relay:
    """Passes bytes on to whichever of some servers is there, from a loopback address of its own.

    Use it in `async with`. `cut` ends every connection and lets none through, and `hold` keeps all
    and passes nothing on, until `mend`.
    """

    def __init__(self, *servers: Address, at: Address = ("127.0.0.1", 0)) -> None:
        self._servers, self._at = servers, at
        self._passing: set[asyncio.Task[None]] = set()
        self._open = True
        self._flows = asyncio.Event()
        self._flows.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass_on, *self._at)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        await self.cut()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.sockets[0].getsockname()[1])

    async def cut(self) -> None:
        """The servers are away from now on."""
        self._open = False
        passing = list(self._passing)
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)

    async def hold(self) -> None:
        """The server answers nothing from now on."""
        self._flows.clear()

    async def mend(self) -> None:
        """The servers are back."""
        self._open = True
        self._flows.set()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            if self._open:
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await self._both_ways(reader, writer)
        finally:
            self._passing.discard(task)
            writer.close()

    async def _both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await self._reached()
        ways = [
            asyncio.ensure_future(self._pour(reader, to_server)),
            asyncio.ensure_future(self._pour(from_server, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_server.close()

    async def _pour(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while some := await reader.read(65_536):
            await self._flows.wait()
            writer.write(some)
            await writer.drain()

    async def _reached(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        *others, last = random.sample(self._servers, len(self._servers))
        for server in others:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(*server)
        return await asyncio.open_connection(*last)


class ApiRelay(Relay):
    """A way to the API server that a kubeconfig names."""

    def __init__(self, kubeconfig: Path) -> None:
        self._config = yaml.safe_load(kubeconfig.read_text())
        server = urlsplit(self._config["clusters"][0]["cluster"]["server"])
        self._scheme = server.scheme
        super().__init__((str(server.hostname), server.port or 443))

    def kubeconfig(self, path: Path) -> None:
        """Write the kubeconfig of a client that takes this way."""
        self._config["clusters"][0]["cluster"]["server"] = f"{self._scheme}://127.0.0.1:{self.port}"
        path.write_text(yaml.safe_dump(self._config))
