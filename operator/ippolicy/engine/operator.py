"""The engine put together for a real cluster: connection, rooms, probes."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from typing import Any

from ippolicy import kube
from ippolicy.account.exporter import Exporter
from ippolicy.account.health import Health, alive
from ippolicy.act.actor import Actor
from ippolicy.engine.loop import Engine
from ippolicy.engine.publisher import Publisher
from ippolicy.engine.server import Server
from ippolicy.ipamd.fast import compile_kernel
from ippolicy.observe.observer import Observer
from ippolicy.observe.settings import ObserveSettings
from ippolicy.offloop import call_off_loop
from ippolicy.settings import Settings

_log = logging.getLogger("ippolicy")
_MISSED_PASSES = 10


class Operator:
    """Everything that one operator process runs beside kopf."""

    def __init__(self, settings: Settings) -> None:
        configuration = kube.load_configuration()
        client = kube.api_client(configuration, read_timeout_s=settings.api_timeout.seconds)
        exporter = Exporter()
        self._api = kube.AsyncApi(configuration)
        self._settings = settings
        self._started = False
        self.engine = Engine(
            settings,
            observer=functools.partial(self._observer, observe_settings(settings)),
            actor=Actor(client),
            publisher=Publisher(
                client,
                exporter,
                refresh_s=settings.status_interval.seconds,
                timeout_s=settings.api_timeout.seconds,
            ),
        )
        self.server = Server(
            exporter,
            alive=self._alive,
            ready=self._ready,
            host=settings.http_host,
            port=settings.http_port,
        )

    async def start(self) -> None:
        """Serve probes, then start the engine. Raises InvalidSetting when the port is taken."""
        await self.server.start()
        if self._settings.choice == "replay":
            await call_off_loop(compile_kernel)
        await self.engine.start()
        self._started = True
        _log.info("serving /metrics, /healthz and /readyz on port %d", self.server.port)

    async def stop(self) -> None:
        """Stop everything; the cluster keeps the settings that are in place."""
        await self.engine.stop()
        await self._api.close()
        await self.server.stop()

    def _observer(self, settings: ObserveSettings, on_pod_event: Any) -> Observer:
        return Observer(self._api, settings, on_pod_event=on_pod_event)

    def _alive(self) -> Health:
        if not self._started:
            return Health()  # compiling may take longer than a pass ever should
        longest_s = max(60.0, _MISSED_PASSES * self._settings.interval.seconds)
        return alive(last_pass_s=self.engine.last_pass_s, now_s=time.time(), max_age_s=longest_s)

    def _ready(self) -> Health:
        return Health(self.engine.observer.readiness(time.time()).reasons)


def observe_settings(settings: Settings) -> ObserveSettings:
    """The observe room's share of the settings, in its own units."""
    values: Mapping[str, Any] = settings.model_dump()
    shared = {
        name: values[name.removesuffix("_s")]
        for name in ObserveSettings.__dataclass_fields__
        if name.removesuffix("_s") in values
    }
    return ObserveSettings(
        **{name: getattr(value, "seconds", value) for name, value in shared.items()}
    )
