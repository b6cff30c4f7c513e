"""The engine put together for a real cluster: connection, rooms, probes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ippolicy import kube
from ippolicy.account.exporter import Exporter
from ippolicy.account.health import Health, alive
from ippolicy.act.actor import Actor
from ippolicy.act.checkpoints import CheckpointStore
from ippolicy.act.eks.client import EksClient
from ippolicy.act.lease import LeaseStore
from ippolicy.act.restarts import PodRestarts
from ippolicy.act.tables import table_store
from ippolicy.act.webhook import WebhookObjects
from ippolicy.admission import WebhookProcess
from ippolicy.admission.configuration import Service
from ippolicy.engine.births import Births, Webhook
from ippolicy.engine.election import Alone, Election
from ippolicy.engine.loop import Engine
from ippolicy.engine.places import LivePlaces
from ippolicy.engine.publisher import Publisher
from ippolicy.engine.server import Server
from ippolicy.engine.webhook import WebhookKeeper
from ippolicy.errors import InvalidSetting
from ippolicy.ipamd.fast import compile_kernel
from ippolicy.observe.observer import Observer
from ippolicy.observe.policies import policy_reflector
from ippolicy.observe.settings import ObserveSettings
from ippolicy.offloop import call_off_loop
from ippolicy.settings import Settings

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_log = logging.getLogger("ippolicy")
_MISSED_PASSES = 10
COMPILING = "the replay of demand is being compiled, which takes half a minute once"
WEBHOOK_DOWN = "the webhook's process cannot be started again: the log says why"
_WEBHOOK_MAY_BE_DOWN_S = 60.0
NO_POLICIES = "policies: not listed yet"


class Operator:
    """Everything that one operator process runs beside kopf."""

    def __init__(self, settings: Settings, *, on_loss: Callable[[], None] = lambda: None) -> None:
        """`on_loss` is called when it is in office no more, and must write nothing more."""
        configuration = kube.load_configuration()
        timeout_s = settings.api_timeout.seconds
        # The Lease is written by who is not in office yet, and all the rest by who is.
        lease_client = kube.api_client(configuration, read_timeout_s=timeout_s)
        self.election = _election(lease_client, settings, on_loss)
        office = self.election or Alone()
        client = kube.api_client(
            configuration, read_timeout_s=timeout_s, may_write=lambda: office.leading
        )
        exporter = Exporter(leading=lambda: office.leading)
        self._api = kube.AsyncApi(configuration)
        self._settings = settings
        self._compiling: asyncio.Task[Any] | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self.engine = Engine(
            settings,
            observer=functools.partial(self._observer, observe_settings(settings)),
            actor=Actor(client, addons=_addons(client, settings)),
            checkpoints=CheckpointStore(client),
            publisher=Publisher(
                client,
                exporter,
                refresh_s=settings.status_interval.seconds,
                timeout_s=timeout_s,
            ),
            can_decide=self._can_decide,
            office=office,
            births=functools.partial(self._births, client, exporter),
        )
        self._policies = policy_reflector(
            self._api,
            observe_settings(settings),
            take=self.engine.take,
            forget=self.engine.forget,
        )
        self.server = Server(
            exporter,
            alive=self._alive,
            ready=self._ready,
            bundles=self.engine.bundles,
            host=settings.http_host,
            port=settings.http_port,
        )

    async def start(self) -> None:
        """Serve probes, then start the engine. Raises InvalidSetting when the port is taken."""
        await self.server.start()
        if self._settings.choice == "replay":
            self._compiling = asyncio.create_task(call_off_loop(compile_kernel), name="compile")
        await self.engine.start()
        tasks = [asyncio.create_task(self._policies.run(), name="policies")]
        if self.election is not None:
            tasks.append(asyncio.create_task(self.election.run(), name="election"))
        self._tasks = tuple(tasks)
        _log.info("serving /metrics, /healthz and /readyz on port %d", self.server.port)

    async def stop(self) -> None:
        """Stop everything; the cluster keeps the settings that are in place."""
        if self._compiling is not None:
            self._compiling.cancel()
        await self.engine.stop()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self.election is not None:
            await self.election.release()
        await self._api.close()
        await self.server.stop()

    def _observer(self, settings: ObserveSettings, on_pod_event: Any) -> Observer:
        return Observer(self._api, settings, on_pod_event=on_pod_event)

    def _births(self, client: ApiClient, exporter: Exporter, observer: Observer) -> Births:
        settings = self._settings
        name, namespace = settings.webhook_service, settings.lease_namespace
        if not name:
            return Births(None, exporter)
        if not namespace:
            raise InvalidSetting(
                "IPPOLICY_WEBHOOK_SERVICE is set, and IPPOLICY_LEASE_NAMESPACE is not: set it to "
                "the namespace of that Service"
            )
        server = WebhookProcess(host=settings.http_host, port=settings.webhook_port)
        places = LivePlaces(observer.cluster.nodes, server.place)
        observer.cluster.on_node = places.node_changed
        objects = WebhookObjects(client, namespace=namespace, secret=name, configuration=name)
        keeper = WebhookKeeper(
            server,
            objects,
            Service(namespace, name, settings.webhook_port),
            cert_manager=settings.webhook_certificates == "cert-manager",
        )
        listed = self._all_listed
        webhook = Webhook(table_store(client), server, keeper, places, listed, PodRestarts(client))
        # Others read the table at each of their passes.
        spread_s = 2 * settings.interval.seconds + settings.api_timeout.seconds
        return Births(webhook, exporter, spread_s=spread_s)

    def _all_listed(self) -> bool:
        return self._policies.synced.is_set()

    def _alive(self) -> Health:
        longest_s = max(60.0, _MISSED_PASSES * self._settings.interval.seconds)
        passes = alive(last_pass_s=self.engine.last_pass_s, now_s=time.time(), max_age_s=longest_s)
        down = self.engine.births.down_s > _WEBHOOK_MAY_BE_DOWN_S
        return Health((*passes.reasons, WEBHOOK_DOWN)) if down else passes

    def _ready(self) -> Health:
        # Who is not in office is ready likewise: it could go on at once.
        reasons = self.engine.observer.readiness(time.time()).reasons
        if not self._policies.synced.is_set():
            error = self._policies.state.error
            reasons = (*reasons, f"{NO_POLICIES}: {error}" if error else NO_POLICIES)
        if unready := self.engine.births.unready:
            reasons = (*reasons, unready)
        return Health(reasons if self._can_decide() else (*reasons, COMPILING))

    def _can_decide(self) -> bool:
        """Whether the replay is compiled. What it failed of ends the pass that asks."""
        if self._compiling is None:
            return True
        return self._compiling.done() and self._compiling.result() is not None


def _addons(client: ApiClient, settings: Settings) -> EksClient:
    from kubernetes.client import CoreV1Api

    return EksClient(CoreV1Api(client), settings.cluster_name)


def _election(
    client: ApiClient, settings: Settings, on_loss: Callable[[], None]
) -> Election | None:
    if not settings.lease_namespace:
        return None
    # A process that starts anew is another candidate: what the one before it knew is gone.
    identity = f"{settings.lease_holder or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    store = LeaseStore(client, settings.lease_namespace, settings.lease_name)
    duration_s = settings.lease_duration.seconds
    return Election(store, identity, duration_s=duration_s, on_loss=on_loss)


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
