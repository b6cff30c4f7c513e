"""Keeps the webhook as it should be: certificates, what is served, and what the API server knows.

Level-triggered: each look compares what is there with what is wanted, so whoever leads next goes on
where the one before was.

                        policies that want it           none
    the one in office   Secret, server, configuration   both gone, server stopped
    the others          server                          server stopped
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ippolicy.act.webhook import StoredSecret, WebhookObjects
from ippolicy.admission import WebhookProcess
from ippolicy.admission.certificates import Identity, read_identity, read_keyring, renewed
from ippolicy.admission.configuration import Service, configuration, published_bundle
from ippolicy.offloop import call_off_loop


@dataclass(frozen=True, slots=True)
class Held:
    """What one look found or made: what to serve, and the bundle, None for cert-manager's."""

    identity: Identity
    bundle: bytes | None


class WebhookKeeper:
    """Looks after one webhook; `cert_manager` says that its certificates are another's business.

    With cert-manager, the Secret and the Certificate bear the Service's name, as the chart has it.
    """

    def __init__(
        self,
        server: WebhookProcess,
        objects: WebhookObjects,
        service: Service,
        *,
        cert_manager: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._server, self._objects, self._service = server, objects, service
        self._cert_manager = cert_manager
        self._clock = clock
        self._shown: Identity | None = None
        self._looking = asyncio.Lock()

    async def look(self, namespaces: Collection[str], *, leading: bool) -> None:
        """Bring all to what is wanted for the DaemonSets of these namespaces, none for no webhook.

        To be called no more often than once in `certificates.LOOK_S`. A policy that goes may ask
        while a pass does: one look waits for the other.

        Raises:
            ActError: the API server did not do what it was asked, or another was faster.
            CertificatesUnreadable: the Secret cannot be used; what is served stays.
            InvalidSetting: the port is taken.
        """
        async with self._looking:
            if namespaces:
                await self._keep(namespaces, leading=leading)
                return
            if leading:
                await call_off_loop(self._taken_away)
            await self._server.stop()

    async def _keep(self, namespaces: Collection[str], *, leading: bool) -> None:
        held = await call_off_loop(self._renewed if leading else self._found)
        if held is None:
            return  # nobody made certificates yet
        await self._serve(held.identity)
        if leading:
            await call_off_loop(lambda: self._publish(namespaces, held))

    async def _serve(self, identity: Identity) -> None:
        if not self._server.running:
            await self._server.start(identity)
        elif identity != self._shown:
            self._server.present(identity)
        self._shown = identity

    def _taken_away(self) -> None:
        self._objects.delete_configuration()
        if not self._cert_manager:
            self._objects.delete_secret()

    def _found(self) -> Held | None:
        stored = self._objects.read_secret()
        return Held(read_identity(stored.data), None) if stored is not None else None

    def _renewed(self) -> Held | None:
        if self._cert_manager:
            return self._found()
        stored: StoredSecret | None = self._objects.read_secret()
        ring = read_keyring(stored.data) if stored is not None else None
        wanted = renewed(
            ring,
            now_s=self._clock(),
            hosts=(self._service.host,),
            published=published_bundle(self._objects.read_configuration()),
        )
        if wanted is not ring:
            self._objects.write_secret(wanted.to_data(), over=stored)
        return Held(wanted.serving, wanted.bundle)

    def _publish(self, namespaces: Collection[str], held: Held) -> None:
        certificate = f"{self._service.namespace}/{self._service.name}"
        self._objects.apply_configuration(
            configuration(
                self._objects.configuration,
                self._service,
                namespaces,
                ca_bundle=held.bundle,
                cert_manager=certificate if self._cert_manager else "",
            )
        )
