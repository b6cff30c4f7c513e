"""The embedded Kubernetes API as one thing to start, use and stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from aiohttp import web

from ippolicy.errors import SandboxError
from ippolicy.sandbox.kube.admission import Validator, Write
from ippolicy.sandbox.kube.daemonsets import DaemonSetController
from ippolicy.sandbox.kube.faults import Faults
from ippolicy.sandbox.kube.garbage import GarbageCollector
from ippolicy.sandbox.kube.http import Frontend
from ippolicy.sandbox.kube.objects import Clock, utc_now
from ippolicy.sandbox.kube.owners import OwnerIndex
from ippolicy.sandbox.kube.requestlog import RequestLog
from ippolicy.sandbox.kube.resources import NAMESPACES, Registry
from ippolicy.sandbox.kube.store import Store
from ippolicy.sandbox.kube.webhooks import Webhooks
from ippolicy.sandbox.kube.writes import Writer

_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_NOBODY: Mapping[str, str] = MappingProxyType({})
_NO_VALIDATORS: Mapping[str, Validator] = MappingProxyType({})


class EmbeddedKube:
    """A Kubernetes API on loopback, with the DaemonSet controller and garbage collection.

    `port` 0 takes a free one. `tokens` maps bearer tokens to user names; without `anonymous`
    one of them is needed. `validators` gives messages on what a kind's schema cannot say.
    `history` is how many changes of a kind watches may reach back. `store`, `writer`, `faults`
    and `requests` may be used from any thread.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        tokens: Mapping[str, str] = _NOBODY,
        anonymous: bool = True,
        validators: Mapping[str, Validator] = _NO_VALIDATORS,
        controllers: bool = True,
        history: int = 20_000,
        bookmark_interval_s: float = 5.0,
        clock: Clock = utc_now,
        seed: int = 0,
    ) -> None:
        self._port = port
        self._controllers = controllers
        self.store = Store(history=history)
        self.registry = Registry()
        self.faults = Faults()
        self.requests = RequestLog()
        self.writer = Writer(
            self.store,
            self.registry,
            clock=clock,
            rng=random.Random(seed),
            validators=validators,
        )
        self._webhooks = Webhooks(self.store)
        self._frontend = Frontend(
            self.writer,
            self._webhooks,
            faults=self.faults,
            log=self.requests,
            clock=clock,
            tokens=tokens,
            anonymous=anonymous,
            bookmark_interval_s=bookmark_interval_s,
        )
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        for name in _NAMESPACES:
            body = {"metadata": {"name": name}}
            self.writer.create(NAMESPACES, "", body, Write("kube-apiserver"))

    @property
    def port(self) -> int:
        """The port in use."""
        return self._port

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen, and start the controllers; raises `SandboxError` where the port is taken."""
        self._runner = web.AppRunner(
            self._frontend.application(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=0.2,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise SandboxError(
                f"the embedded Kubernetes API cannot listen on 127.0.0.1:{self._port}:"
                f" {error.strerror}; choose another port"
            ) from error
        self._port = self._runner.addresses[0][1]
        if self._controllers:
            owners = OwnerIndex(self.store)
            self._tasks = [
                asyncio.create_task(GarbageCollector(self.writer, owners).run()),
                asyncio.create_task(DaemonSetController(self.writer, self._webhooks, owners).run()),
            ]

    async def stop(self) -> None:
        """End the controllers and all connections; raises what a controller died of."""
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._webhooks.close()
        if self._runner is not None:
            self._frontend.drop_watches()
            await self._runner.cleanup()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @contextlib.contextmanager
    def start_in_thread(self) -> Iterator[Self]:
        """Run on an event loop in a thread of its own, until the block ends."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="embedded-kube", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result(10)
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.stop(), loop).result(10)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    def drop_watches(self, plural: str = "") -> int:
        """Cut the running watches, of one resource or all; gives their number."""
        return self._frontend.drop_watches(plural)

    def kubeconfig(self, path: Path, *, token: str = "") -> Path:
        """Write a kubeconfig for this API, as the bearer of `token` if there is one."""
        named = {"cluster": "sandbox", "user": "sandbox"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": {"server": self.url}}],
            "users": [{"name": "sandbox", "user": {"token": token} if token else {}}],
            "contexts": [{"name": "sandbox", "context": named}],
            "current-context": "sandbox",
        }
        path.write_text(json.dumps(config, indent=2), encoding="utf-8")
        return path
