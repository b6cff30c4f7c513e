"""A way to the API server that can be cut: to those who take it, the server is away."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import yaml


class Relay:
    """Passes bytes from a loopback port on to the server that a kubeconfig names.

    Use it in `async with`. `cut` ends every connection and lets none through, and `hold` keeps all
    and passes nothing on, until `mend`.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._config = yaml.safe_load(kubeconfig.read_text())
        server = urlsplit(self._config["clusters"][0]["cluster"]["server"])
        self._scheme, self._to = server.scheme, (server.hostname, server.port)
        self._passing: set[asyncio.Task[None]] = set()
        self._open = True
        self._flows = asyncio.Event()
        self._flows.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        await self.cut()

    def kubeconfig(self, path: Path) -> None:
        """Write the kubeconfig of a client that takes this way."""
        port = self._server.sockets[0].getsockname()[1]
        self._config["clusters"][0]["cluster"]["server"] = f"{self._scheme}://127.0.0.1:{port}"
        path.write_text(yaml.safe_dump(self._config))

    async def cut(self) -> None:
        """The server is away from now on."""
        self._open = False
        passing = list(self._passing)
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)

    async def hold(self) -> None:
        """The server answers nothing from now on."""
        self._flows.clear()

    async def mend(self) -> None:
        """The server is back."""
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
        from_server, to_server = await asyncio.open_connection(*self._to)
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
