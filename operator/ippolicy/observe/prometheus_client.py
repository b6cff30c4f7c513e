"""One question to the HTTP API of Prometheus, one answer: bounded in time and size.

Messages are written here and take no word from the answer: the url is chosen by whoever writes the
policy, and what answers there is not theirs to read.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import aiohttp
import msgspec
import numpy as np

from ippolicy.errors import PrometheusUnavailable
from ippolicy.kube import CONNECT_TIMEOUT_S, UNREADABLE, USER_AGENT, retry_after_s
from ippolicy.observe.prometheus_auth import Authorize
from ippolicy.observe.prometheus_traces import Series
from ippolicy.offloop import call_off_loop

ANSWER_TIMEOUT_S = 60.0
ANSWER_MAX_BYTES = 16 * 1024 * 1024
ERROR_MAX_BYTES = 4 * 1024
_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}

Counted = Callable[[str, str | None], None]
"""Told of each request: its operation, and why it failed or None."""


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Data(msgspec.Struct):
    result: list[msgspec.Raw]


class _Answer(msgspec.Struct):
    data: _Data


class _Error(msgspec.Struct):
    errorType: str = ""  # noqa: N815  (as Prometheus spells it)


_ERROR = msgspec.json.Decoder(_Error)
_ANSWER = msgspec.json.Decoder(_Answer)
_SERIES = msgspec.json.Decoder(_Series)


class PrometheusClient:
    """Asks what is at `url`. All questions raise PrometheusUnavailable.

    Certificates are verified as the system, or SSL_CERT_FILE, has it. Redirects are not followed.
    """

    def __init__(
        self,
        url: str,
        authorize: Authorize,
        counted: Counted,
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
        max_bytes: int = ANSWER_MAX_BYTES,
    ) -> None:
        self._url = url.rstrip("/")
        self._authorize = authorize
        self._counted = counted
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._session: aiohttp.ClientSession | None = None

    async def range(
        self, query: str, *, since_s: float, until_s: float, step_s: float
    ) -> list[Series]:
        """The values of `query` at `since_s` and each `step_s` after it, up to `until_s`."""
        times = {"start": f"{since_s:.3f}", "end": f"{until_s:.3f}", "step": f"{step_s:.3f}"}
        return await self._ask("query_range", {"query": query, **times})

    async def samples(self, query: str, *, at_s: float) -> list[Series]:
        """The samples that a range selector has at `at_s`, at the times they were scraped."""
        return await self._ask("query", {"query": query, "time": f"{at_s:.3f}"})

    async def close(self) -> None:
        """Give up all connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, operation: str, form: Mapping[str, str]) -> list[Series]:
        try:
            answer = await self._post(operation, form)
            series = await call_off_loop(lambda: _read(answer))
        except (*UNREADABLE, ValueError) as error:
            failure = PrometheusUnavailable(
                f"{self._url} does not answer as Prometheus does: check spec.demand.prometheus.url",
                reason="garbage",
            )
            self._counted(operation, failure.reason)
            raise failure from error
        except PrometheusUnavailable as error:
            self._counted(operation, error.reason)
            raise
        self._counted(operation, None)
        return series

    async def _post(self, operation: str, form: Mapping[str, str]) -> bytes:
        url = f"{self._url}/api/v1/{operation}"
        body = urlencode({**form, "timeout": f"{self._timeout_s * 0.9:.3f}"}).encode()
        shown = await call_off_loop(lambda: self._authorize(url, body, _HEADERS))
        # Unpacked bytes would have to be bounded all the same.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **_HEADERS, **shown}
        try:
            async with self._opened().post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise await self._refusal(response)
                return await self._bounded(response)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                response.close()
                raise PrometheusUnavailable(
                    f"{self._url} answered more than {self._max_bytes} bytes: narrow"
                    " spec.demand.prometheus.matchers",
                    reason="too-large",
                    too_much=True,
                )
        return bytes(body)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=self._timeout_s, sock_connect=CONNECT_TIMEOUT_S
                ),
                headers={"User-Agent": USER_AGENT},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def _refusal(self, response: aiohttp.ClientResponse) -> PrometheusUnavailable:
        status = response.status
        reason, fix = _reason_and_fix(status)
        late = status == 504 or (status == 503 and await _timed_out(response))
        response.close()
        return PrometheusUnavailable(
            f"{self._url} answered HTTP {status}: {fix}",
            reason="timeout" if late else reason,
            # Servers differ in which of these they say to a query that is too large for them.
            too_much=late or status in {400, 413, 422},
            passing=status == 429 or status >= 500,
            retry_after_s=retry_after_s(response.headers.get("Retry-After")),
        )

    def _unreachable(self, error: Exception) -> PrometheusUnavailable:
        if isinstance(error, TimeoutError):
            said, reason = "did not answer in time: check the way there and its load", "timeout"
        elif isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
            said, reason = "failed in TLS: trust its CA by SSL_CERT_FILE, or renew it", "tls"
        elif isinstance(error, aiohttp.ClientConnectorError):
            said, reason = "could not be connected to: check spec.demand.prometheus.url", "refused"
        else:
            said, reason = "broke off its answer: check its load", "dropped"
        late = isinstance(error, TimeoutError)
        return PrometheusUnavailable(
            f"{self._url} {said}", reason=reason, too_much=late, passing=reason != "tls"
        )


async def _timed_out(response: aiohttp.ClientResponse) -> bool:
    """Whether a 503 is of a query that took too long, and not of a server that is not up yet."""
    start = await response.content.read(ERROR_MAX_BYTES)
    try:
        return _ERROR.decode(start).errorType == "timeout"
    except UNREADABLE:
        return False


def _reason_and_fix(status: int) -> tuple[str, str]:
    if status in {401, 403}:
        return "unauthorized", (
            "check the token of spec.demand.prometheus.bearerTokenFile, or the IAM permission"
            " aps:QueryMetrics where requests are signed"
        )
    if 300 <= status < 400:
        return "redirected", "redirects are not followed; give the final address as url"
    if status in {404, 405}:
        return "not-found", "there is no Prometheus API under spec.demand.prometheus.url"
    if status == 429:
        return "throttled", "it will be asked again"
    return "http-status", "it will be asked again; see its log"


def _read(answer: bytes) -> list[Series]:
    # One by one: a whole answer decoded at once would hold up all other threads.
    return [_series(_SERIES.decode(raw)) for raw in _ANSWER.decode(answer).data.result]


def _series(raw: _Series) -> Series:
    return Series(
        raw.metric,
        np.array([at_s for at_s, _ in raw.values], dtype=np.float64),
        np.array([float(value) for _, value in raw.values], dtype=np.float64),
    )
