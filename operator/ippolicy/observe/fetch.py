"""Two ways to the metrics port of an aws-node: straight to its host, or through the API server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import aiohttp

from ippolicy.errors import ClusterUnavailable, ScrapeFailed
from ippolicy.observe.records import AwsNodePod
from ippolicy.observe.settings import ObserveSettings
from ippolicy.observe.transport import Transport

# aws-node closes idle connections after 5 s; keeping them much longer only holds file descriptors.
KEEP_ALIVE_S = 15.0
FORBIDDEN = "forbidden"
"""Reason of a reading that the API server's proxy refused for want of a right."""


class Fetch(Protocol):
    """Gets the page of metrics of one pod; raises ScrapeFailed."""

    async def __call__(self, pod: AwsNodePod) -> bytes: ...

    async def close(self) -> None:
        """Give up all connections."""
        ...


class DirectFetch:
    """Reads the metrics port at the host's address; `endpoint` (pod -> URL) overrides where."""

    def __init__(
        self,
        settings: ObserveSettings,
        endpoint: Callable[[AwsNodePod], str] | None = None,
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint or self._default_endpoint
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, pod: AwsNodePod) -> bytes:
        url = self._endpoint(pod)
        try:
            # A page is small, and unpacked bytes would have to be bounded all the same.
            headers = {"Accept": "text/plain", "Accept-Encoding": "identity"}
            async with self._opened().get(url, headers=headers, allow_redirects=False) as response:
                if response.status != 200:
                    raise _http_status(url, response.status)
                return await self._body(response, url)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _unreachable(url, error) from error

    async def close(self) -> None:
        """Give up all connections."""
        if self._session is not None:
            await self._session.close()

    async def _body(self, response: aiohttp.ClientResponse, url: str) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._settings.scrape_max_bytes:
                response.close()
                raise _too_large(url, self._settings.scrape_max_bytes)
        return bytes(body)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(total=self._settings.scrape_timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _default_endpoint(self, pod: AwsNodePod) -> str:
        if not pod.address:
            raise ScrapeFailed(
                f"{pod.key} has no address yet: wait for its kubelet", reason="no-address"
            )
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        return f"{self._settings.scrape_scheme}://{host}:{self._settings.scrape_port}/metrics"


class ProxyFetch:
    """Reads the metrics port through the API server's pod proxy."""

    def __init__(self, api: Transport, settings: ObserveSettings) -> None:
        self._api = api
        self._settings = settings

    async def __call__(self, pod: AwsNodePod) -> bytes:
        scheme = "https:" if self._settings.scrape_scheme == "https" else ""
        target = f"{scheme}{pod.name}:{self._settings.scrape_port}"
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{target}/proxy/metrics"
        settings = self._settings
        try:
            return await self._api.get_bytes(
                path, None, settings.scrape_timeout_s, settings.scrape_max_bytes
            )
        except ClusterUnavailable as error:
            reason = FORBIDDEN if error.status == 403 else error.reason
            raise ScrapeFailed(str(error), reason=reason) from error

    async def close(self) -> None:
        """The API connection belongs to others."""


def _http_status(url: str, status: int) -> ScrapeFailed:
    return ScrapeFailed(
        f"{url} answered HTTP {status}: check that aws-node serves metrics there "
        "(DISABLE_METRICS must be false)",
        reason="http-status",
    )


def _too_large(url: str, limit: int) -> ScrapeFailed:
    return ScrapeFailed(
        f"{url} answered more than {limit} bytes: check that aws-node answers there",
        reason="too-large",
    )


def _unreachable(url: str, error: Exception) -> ScrapeFailed:
    if isinstance(error, TimeoutError):
        return ScrapeFailed(f"{url} did not answer in time: check the node", reason="timeout")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ScrapeFailed(
            f"{url} refused the connection: allow the operator to reach this port",
            reason="refused",
        )
    return ScrapeFailed(f"{url} broke off its answer: check the node", reason="dropped")
