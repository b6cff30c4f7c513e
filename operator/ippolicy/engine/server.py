"""/metrics, /healthz, /readyz and /bundles over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from ippolicy.account.exporter import CONTENT_TYPE, Exporter
from ippolicy.account.health import Health
from ippolicy.engine.bundles import Bundles
from ippolicy.errors import InvalidBundle, InvalidSetting


class Server:
    """Serves from memory; a scrape or probe asks nobody anything."""

    def __init__(
        self,
        exporter: Exporter,
        *,
        alive: Callable[[], Health],
        ready: Callable[[], Health],
        bundles: Bundles,
        host: str,
        port: int,
    ) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", _answering(alive))
        app.router.add_get("/readyz", _answering(ready))
        app.router.add_get("/bundles", self._policies)
        app.router.add_get("/bundles/{policy}", self._bundle)
        self._exporter, self._bundles = exporter, bundles
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._host, self._port = host, port

    async def start(self) -> None:
        """Listen. Raises InvalidSetting when that cannot be."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise InvalidSetting(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}): set "
                "IPPOLICY_HTTP_HOST and IPPOLICY_HTTP_PORT to what is free"
            ) from error

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port that is listened on, which the system chose if it was given as 0."""
        return int(self._runner.addresses[0][1])

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._exporter.render(), headers={"Content-Type": CONTENT_TYPE})

    async def _policies(self, _: web.Request) -> web.Response:
        return web.json_response({"policies": self._bundles.policies})

    async def _bundle(self, request: web.Request) -> web.Response:
        policy = request.match_info["policy"]
        try:
            body = await self._bundles.gzipped(policy)
        except InvalidBundle as error:
            return web.Response(text=f"{error}\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)
        if body is None:
            known = ", ".join(self._bundles.policies) or "none yet"
            text = f"nothing was decided on policy {policy}; policies with a decision: {known}\n"
            return web.Response(text=text, status=HTTPStatus.NOT_FOUND)
        headers = {"Content-Encoding": "gzip"}
        return web.Response(body=body, content_type="application/json", headers=headers)


def _answering(verdict: Callable[[], Health]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        health = verdict()
        return web.Response(text=health.text(), status=health.http_status)

    return answer
