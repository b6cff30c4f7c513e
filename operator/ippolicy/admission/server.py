"""The webhook over HTTPS: one POST, one answer from memory.

It asks nobody and waits for nothing, with one exception: the pod of a node that is not known yet.
`process.WebhookProcess` runs it in a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import Counter, defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

from aiohttp import web

from ippolicy.admission.certificates import Identity
from ippolicy.admission.mutate import Answer, Verdict, answer
from ippolicy.admission.review import Review, read_pod, read_review
from ippolicy.admission.tables import Tables
from ippolicy.decide.births.table import NodePlace, PolicyTable
from ippolicy.errors import CertificatesUnreadable, InvalidSetting
from ippolicy.facts import DaemonSetRef

PATH = "/mutate"
PATH_AGAIN = "/mutate/again"
"""Where it is asked about the same pod once more, should nobody have answered the first time."""
MAX_BODY_BYTES = 3 * 1024 * 1024
READ_TIMEOUT_S = 2.0  # the API server has given up by then
IDLE_S = 120.0
"""How long a connection may idle. The API server closes its own after 90 s; were we the first, it
would lose questions that are on their way, or the time of another handshake."""
PATIENCE_S = 0.5
"""How long a pod of a node that nobody has seen yet is kept: the DaemonSet controller and we learn
of a new node by the same event, and it may be the faster."""


class WebhookServer:
    """Answers the API server about the pods of the DaemonSets that it has tables of."""

    def __init__(self, *, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._tables = Tables()
        self._places: defaultdict[DaemonSetRef, dict[str, NodePlace]] = defaultdict(dict)
        self._awaited: defaultdict[tuple[DaemonSetRef, str], list[asyncio.Event]]
        self._awaited = defaultdict(list)
        self._counts: Counter[Verdict] = Counter()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, which the system chose if it was given as 0."""
        return int(self._runner.addresses[0][1]) if self._runner is not None else self._port

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many answers of each kind were given."""
        return MappingProxyType({verdict: self._counts[verdict] for verdict in Verdict})

    def answer_by(self, tables: Mapping[DaemonSetRef, PolicyTable]) -> None:
        """Answer by these tables, and no others, from now on."""
        self._tables.replace(tables)

    def place(self, ref: DaemonSetRef, places: Mapping[str, NodePlace | None]) -> None:
        """Learn what the targets of some nodes go by; None forgets a node."""
        known = self._places[ref]
        for node, place in places.items():
            if place is None:
                known.pop(node, None)
            else:
                known[node] = place
                for seen in self._awaited.get((ref, node), ()):
                    seen.set()

    def present(self, identity: Identity) -> None:
        """Show this certificate from the next connection on; those that are open stay open."""
        show(self._context, identity)

    async def start(self) -> None:
        """Listen. Raises InvalidSetting when that cannot be."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(PATH, self._mutate)
        app.router.add_post(PATH_AGAIN, self._mutate_again)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=IDLE_S)
        await runner.setup()
        site = web.TCPSite(runner, self._host, self._port, ssl_context=self._context)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise InvalidSetting(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}): set "
                "IPPOLICY_WEBHOOK_PORT to what is free"
            ) from error
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening; the API server then lets pods through as their template says."""
        if self._runner is not None:
            await _close(self._runner)
            self._runner = None

    async def _mutate(self, request: web.Request) -> web.Response:
        given = await self._answer(request)
        self._counts[given.verdict] += 1
        return _response(given)

    async def _mutate_again(self, request: web.Request) -> web.Response:
        """Counted is a pod that would have been missed; of all others the first answer tells."""
        given = await self._answer(request)
        self._counts[Verdict.MUTATED_AGAIN] += given.verdict is Verdict.MUTATED
        return _response(given)

    async def _answer(self, request: web.Request) -> Answer:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return Answer(Verdict.TOO_LARGE, None)
        except TimeoutError:
            return Answer(Verdict.MALFORMED, None)
        review = read_review(body)
        given = answer(review, self._tables, self._place_of)
        if review is not None and given.verdict is Verdict.UNKNOWN_NODE:
            await self._until_seen(review)
            given = answer(review, self._tables, self._place_of)
        return given

    async def _until_seen(self, review: Review) -> None:
        """Wait until the pod's node is known, or for as long as it is worth."""
        pod, seen = read_pod(review.request.object), asyncio.Event()
        if pod is None:
            return
        awaited = DaemonSetRef(review.request.namespace, pod.daemon_set), pod.node
        self._awaited[awaited].append(seen)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await seen.wait()
        except TimeoutError:
            pass  # then its pod is let through as it is
        finally:
            self._awaited[awaited].remove(seen)
            if not self._awaited[awaited]:
                del self._awaited[awaited]

    def _place_of(self, ref: DaemonSetRef, node: str) -> NodePlace | None:
        places = self._places.get(ref)
        return places.get(node) if places is not None else None


def _response(given: Answer) -> web.Response:
    if given.review is None:
        too_large = given.verdict is Verdict.TOO_LARGE
        code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
        return web.Response(status=code, text=f"{given.verdict}\n")
    return web.Response(body=given.encoded(), content_type="application/json")


def show(context: ssl.SSLContext, identity: Identity) -> None:
    """Have new connections of a context shown a certificate.

    Raises:
        CertificatesUnreadable: OpenSSL does not take it, be it for a key that is too short.
    """
    # OpenSSL reads keys from files only. This one is in memory, and is gone at once.
    descriptor = os.memfd_create("webhook-identity")
    try:
        os.write(descriptor, identity.key + identity.certificate)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except ssl.SSLError as error:
        raise CertificatesUnreadable(
            f"the certificate of the webhook cannot be shown: {error.reason}: see what made it"
        ) from error
    finally:
        os.close(descriptor)


async def _close(runner: web.AppRunner) -> None:
    """Let answers go out, then close what the API server keeps open for its next questions."""
    connections = runner.server.connections if runner.server is not None else []
    transports = [connection.transport for connection in connections]
    await runner.cleanup()
    for transport in transports:
        if transport is not None:
            transport.abort()  # else it would wait for the other side to say farewell
    await asyncio.sleep(0)
