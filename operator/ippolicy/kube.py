"""The connection to the Kubernetes API, for rooms that read and rooms that write.

One `Configuration` (kubeconfig or in-cluster account) serves both: `api_client` for calls from
threads, `AsyncApi` for lists, watches and the pod proxy on the event loop. The `kubernetes` package
takes about a second to import, so it is imported where it is first used.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import yaml

from ippolicy import __version__
from ippolicy.errors import ClusterUnavailable
from ippolicy.offloop import call_off_loop

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration

USER_AGENT = f"ippolicy-operator/{__version__}"
CONNECT_TIMEOUT_S = 5.0
MAX_BODY_BYTES = 256 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024  # etcd holds objects of 1.5 MiB at most; JSON may swell them
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on JSON that is none, has text that is none, or is nested too deeply."""
_NO_CREDENTIALS = (
    "no Kubernetes cluster to connect to: set KUBECONFIG, or write ~/.kube/config, "
    "or run in a pod with a service account"
)


def load_configuration(kubeconfig: str | None = None, context: str | None = None) -> Configuration:
    """Where the cluster is and how to log in.

    Looks at `kubeconfig`, else KUBECONFIG, else ~/.kube/config, else the pod's service account;
    `context` picks one of a kubeconfig. Raises ClusterUnavailable when there is none, or when it
    cannot be read.
    """
    from kubernetes import config
    from kubernetes.client import Configuration

    configuration = Configuration()
    files = kubeconfig or os.environ.get("KUBECONFIG") or _home_kubeconfig()
    source: Any = config  # its functions carry no annotations
    try:
        if files:
            source.load_kube_config(
                config_file=files,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
        elif os.environ.get("KUBERNETES_SERVICE_HOST"):
            source.load_incluster_config(client_configuration=configuration)
        else:
            raise ClusterUnavailable(_NO_CREDENTIALS, reason="credentials")
    except (config.ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        where = f"kubeconfig {files}" if files else "the pod's service account"
        raise ClusterUnavailable(
            f"{where} cannot be used: {_one_line(error)}: set KUBECONFIG to a valid file"
            + (f" that has the context {context}" if context else ""),
            reason="credentials",
        ) from error
    return configuration


def api_client(
    configuration: Configuration,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    read_timeout_s: float = 15.0,
    may_write: Callable[[], bool] = lambda: True,
) -> ApiClient:
    """A client for calls from threads: no retries of its own, and a timeout on every call.

    Retrying is left to the callers, who know whether a write may be sent twice. `may_write` is
    asked right before each request that changes something; where it says no, nothing is sent, and
    ApiException with the status 0 is raised.
    """
    import copy

    from kubernetes.client import ApiClient, ApiException

    class TimedApiClient(ApiClient):
        def call_api(self, *args: Any, **kwargs: Any) -> Any:
            if len(args) < 6 and kwargs.get("_request_timeout") is None:
                kwargs["_request_timeout"] = (connect_timeout_s, read_timeout_s)
            return super().call_api(*args, **kwargs)

    own = copy.copy(configuration)
    # An int would still follow redirects and wait for Retry-After; False hands everything back.
    own.retries = False
    client = TimedApiClient(own)
    client.user_agent = USER_AGENT
    rest: Any = client.rest_client  # its methods carry no annotations
    request = rest.request

    def request_if_allowed(method: str, *args: Any, **kwargs: Any) -> Any:
        if method != "GET" and not may_write():
            raise ApiException(status=0, reason="this operator is out of office")
        return request(method, *args, **kwargs)

    rest.request = request_if_allowed
    if own.host.startswith("https"):
        client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = tls_context(own)
    return client


def tls_context(configuration: Configuration) -> ssl.SSLContext:
    """TLS as the kubeconfig wants it: its CA, client certificate and verification.

    Python 3.13 began to refuse CAs without key identifiers, which the CAs of EKS clusters made
    before 2020 lack; chain, expiry and host name are checked all the same, as kubectl does.
    """
    cadata = configuration.ca_cert_data
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=cadata)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class AsyncApi:
    """Reads from the Kubernetes API on the event loop.

    Tokens come from the configuration's own refresh (exec plugins, rotating service account
    tokens), asked off the loop at most every `auth_refresh_s` and again after a 401. Redirects are
    not followed. All methods raise ClusterUnavailable, with `status` where there was an answer.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        auth_refresh_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configuration = configuration
        self._base = configuration.host.rstrip("/")
        self._auth_refresh_s = auth_refresh_s
        self._clock = clock
        self._lock = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None
        self._authorization: str | None = None
        self._authorized_at_s = float("-inf")

    async def close(self) -> None:
        """Close all connections; the object cannot be used afterwards."""
        if self._session is not None:
            await self._session.close()

    async def get_json(
        self, path: str, params: Mapping[str, str] | None = None, timeout_s: float = 15.0
    ) -> Any:
        """The decoded JSON body of GET `path`."""
        body = await self.get_bytes(path, params, timeout_s)
        try:
            return msgspec.json.decode(body)
        except UNREADABLE as error:
            raise ClusterUnavailable(
                f"GET {path} answered something that is not JSON: check that {self._base} is a "
                "Kubernetes API",
                reason="garbage",
            ) from error

    async def get_bytes(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 15.0,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> bytes:
        """The body of GET `path`, refused when it is longer than `max_bytes`."""
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        async with self._get(path, params, timeout) as response:
            return await read_bounded(response, max_bytes, path)

    @asynccontextmanager
    async def watch_lines(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        open_timeout_s: float = 15.0,
        idle_timeout_s: float = 90.0,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Lines of a watch as they come; entered once the server has accepted the watch.

        Raises while open when nothing came for `idle_timeout_s`, when a line is longer than
        `max_line_bytes`, and when the connection breaks; ends when the server ends it.
        """
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=idle_timeout_s
        )
        async with self._get(path, params, timeout, open_timeout_s) as response:
            yield split_lines(response.content.iter_any(), max_line_bytes, path)

    @asynccontextmanager
    async def _get(
        self,
        path: str,
        params: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (aiohttp's own kind of timeout)
        open_timeout_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        with self._explained(path):
            session = await self._opened()
            headers = {"Accept": "application/json, */*"}
            if authorization := await self._current_authorization():
                headers["Authorization"] = authorization
            request = session.get(
                self._base + path,
                params=params,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                proxy=self._proxy,
                server_hostname=self._configuration.tls_server_name,
            )
            # Not wait_for: before Python 3.12 it may lose a cancel that meets the answer.
            async with asyncio.timeout(open_timeout_s):
                response = await request
            try:
                if response.status != 200:
                    raise self._refusal(path, response)
                yield response
            finally:
                response.close()  # gives the connection back when the body was read to its end

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._lock:
            if self._session is None:
                context = await call_off_loop(lambda: tls_context(self._configuration))
                self._proxy = _proxy(self._configuration)
                # No limit: each watch holds a connection, and readers bound their own requests.
                connector = aiohttp.TCPConnector(ssl=context, limit=0)
                self._session = aiohttp.ClientSession(
                    connector=connector,
                    headers={"User-Agent": USER_AGENT},
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
            return self._session

    async def _current_authorization(self) -> str | None:
        async with self._lock:
            if self._clock() - self._authorized_at_s >= self._auth_refresh_s:
                self._authorization = await call_off_loop(self._ask_authorization)
                self._authorized_at_s = self._clock()
            return self._authorization

    def _ask_authorization(self) -> str | None:
        from kubernetes.config import ConfigException

        try:
            settings = self._configuration.auth_settings()
        except (ConfigException, OSError, ValueError, KeyError) as error:
            raise ClusterUnavailable(
                f"no token for {self._base}: {_one_line(error)}: check the credentials of the "
                "kubeconfig or the service account",
                reason="credentials",
            ) from error
        token = settings.get("BearerToken")
        return token["value"] if token else None

    def _refusal(self, path: str, response: aiohttp.ClientResponse) -> ClusterUnavailable:
        status = response.status
        if status == 401:
            self._authorized_at_s = float("-inf")
        return ClusterUnavailable(
            f"GET {path} was answered with HTTP {status}{_fix(status)}",
            status=status,
            retry_after_s=retry_after_s(response.headers.get("Retry-After")),
            reason="http-status",
        )

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            reason, what = _explain(error)
            raise ClusterUnavailable(
                f"GET {path} {what}: check that {self._base} can be reached", reason=reason
            ) from error


def _explain(error: Exception) -> tuple[str, str]:
    """Reason and wording of a failure below HTTP."""
    if isinstance(error, TimeoutError):
        return "timeout", "got no answer in time"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls", f"failed in TLS ({_one_line(error)})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "refused", "could not connect"
    return "dropped", "was cut off"


async def read_bounded(response: aiohttp.ClientResponse, max_bytes: int, path: str) -> bytes:
    """The whole body of `response`; raises ClusterUnavailable beyond `max_bytes`."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise ClusterUnavailable(
                f"GET {path} answered more than {max_bytes} bytes: check what answers there",
                reason="too-large",
            )
    return bytes(body)


async def split_lines(
    chunks: AsyncIterator[bytes], max_line_bytes: int, path: str
) -> AsyncIterator[bytes]:
    """Lines of a stream without their ends; a line that is too long or cut off raises."""
    line = bytearray()
    async for chunk in chunks:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            line += chunk[start:end]
            _check_length(line, max_line_bytes, path)
            if line:
                yield bytes(line)
            line.clear()
            start = end + 1
        line += chunk[start:]
        _check_length(line, max_line_bytes, path)
    if line:
        raise ClusterUnavailable(
            f"watch of {path} ended in the middle of a line: it will be opened again",
            reason="dropped",
        )


def _check_length(line: bytearray, max_line_bytes: int, path: str) -> None:
    if len(line) > max_line_bytes:
        raise ClusterUnavailable(
            f"watch of {path} sent a line of more than {max_line_bytes} bytes: check what answers",
            reason="too-large",
        )


def _home_kubeconfig() -> str | None:
    path = Path("~/.kube/config").expanduser()
    return str(path) if path.is_file() else None


def _proxy(configuration: Configuration) -> str | None:
    from kubernetes.client.rest import should_bypass_proxies

    proxy = configuration.proxy
    if proxy and not should_bypass_proxies(configuration.host, configuration.no_proxy or ""):
        return str(proxy)
    return None


def _fix(status: int) -> str:
    if status == 401:
        return ": the token was refused; check the kubeconfig or the service account"
    if status == 403:
        return ": grant the operator's account this right (see deploy/)"
    if 300 <= status < 400:
        return ": redirects are not followed; set the server's final address"
    if status == 404:
        return ": it is not there"
    return ": it will be tried again"


def retry_after_s(header: str | None) -> float | None:
    """Retry-After in seconds; Kubernetes never sends the date form, which is left aside."""
    return float(header) if header and header.strip().isdecimal() else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
