"""The Kubernetes API as the sandbox's own actors use it: kubelets, workload, set-up, spectators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias

import aiohttp
import msgspec

from ippolicy.errors import ClusterUnavailable, SandboxError
from ippolicy.kube import load_configuration, split_lines, tls_context

Object: TypeAlias = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
PAGE = 500
MAX_LINE_BYTES = 16 * 1024 * 1024
REQUEST_TIMEOUT_S = 10.0
REQUESTS_AT_ONCE = 64
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_NO_ANSWER = (
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    msgspec.DecodeError,
    ClusterUnavailable,
)


class KubeRefused(SandboxError):
    """The API server refused a request; `status` is the HTTP status."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class KubeClient:
    """A client of one cluster, known by its kubeconfig; use it on one event loop.

    Methods raise KubeRefused for a request that the server will not grant. What got no answer, 429,
    5xx or garbage is asked again until it is answered, as kubelets do: whoever wants to wait no
    longer sets a timeout.
    """

    def __init__(self, kubeconfig: Path, *, user_agent: str = "ippolicy-sandbox") -> None:
        self._configuration = load_configuration(str(kubeconfig))
        self._base = self._configuration.host.rstrip("/")
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._turn = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async def __aenter__(self) -> Self:
        secure = self._base.startswith("https")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=tls_context(self._configuration) if secure else True, limit=0
            ),
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
            headers={"User-Agent": self._user_agent, **self._authorization()},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, **params: str) -> Object:
        """One object, or one page of a list."""
        return await self._request("GET", path, params=params)

    async def find(self, path: str, **params: str) -> Object | None:
        """One object, or None where it is not there."""
        try:
            return await self.get(path, **params)
        except KubeRefused as refusal:
            if refusal.status == 404:
                return None
            raise

    async def list(self, path: str, **params: str) -> tuple[list[Object], str]:
        """All objects of a list and its resourceVersion, read page by page."""
        items: list[Object] = []
        page = await self.get(path, limit=str(PAGE), **params)
        items += page.get("items") or []
        while more := page["metadata"].get("continue"):
            page = await self.get(path, limit=str(PAGE), **{**params, "continue": more})
            items += page.get("items") or []
        return items, page["metadata"]["resourceVersion"]

    async def create(self, path: str, body: Object) -> Object:
        """The created object; one that an unanswered try has made already counts as created."""
        return await self._request("POST", path, body=body)

    async def patch(self, path: str, body: Object, *, kind: str = MERGE) -> Object:
        """The patched object; `kind` is the patch's content type."""
        return await self._request("PATCH", path, body=body, content_type=kind)

    async def apply(self, path: str, body: Object, *, manager: str) -> Object:
        """Server-side apply, which creates what is missing and takes fields over by force."""
        params = {"fieldManager": manager, "force": "true"}
        return await self._request("PATCH", path, body=body, content_type=APPLY, params=params)

    async def delete(self, path: str, *, grace_s: int | None = None, uid: str = "") -> bool:
        """Delete one object; with `uid` only that very one. False where it is gone already."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._request("DELETE", path, body=options)
        except KubeRefused as refusal:
            if refusal.status in (404, 409):
                return False
            raise
        return True

    async def watch(self, path: str, **params: str) -> AsyncIterator[tuple[str, Object]]:
        """(type, object) of each event until the server ends the watch; a lost one just ends.

        An ERROR event (such as an expired resourceVersion) raises KubeRefused with its code.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", **params}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=90.0)
        try:
            async with self._opened().get(
                self._base + path, params=query, timeout=timeout
            ) as response:
                if response.status != 200:
                    raise _refusal("WATCH", path, response.status, await response.read())
                async for line in split_lines(response.content.iter_any(), MAX_LINE_BYTES, path):
                    event = msgspec.json.decode(line)
                    if event["type"] == "ERROR":
                        code = int(event["object"].get("code", 500))
                        raise _refusal("WATCH", path, code, line)
                    yield event["type"], event["object"]
        except _NO_ANSWER:
            return

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        data = msgspec.json.encode(body) if body is not None else None
        headers = {"Content-Type": content_type} if data is not None else None
        pause_s, again = _FIRST_PAUSE_S, False
        while True:
            try:
                # Waiting for one's turn must not eat up the request's own timeout.
                async with (
                    self._turn,
                    self._opened().request(
                        method, self._base + path, params=params, data=data, headers=headers
                    ) as response,
                ):
                    answer = await response.read()
                if response.status < 300:
                    decoded: Object = msgspec.json.decode(answer)
                    return decoded
                if again and method == "POST" and response.status == 409 and body is not None:
                    return await self.get(f"{path}/{body['metadata']['name']}")
                if response.status != 429 and response.status < 500:
                    raise _refusal(method, path, response.status, answer)
            except _NO_ANSWER:
                pass  # asked again below, like a 5xx
            again = True
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise SandboxError("the client is not open: use it in `async with`")
        return self._session

    def _authorization(self) -> dict[str, str]:
        token = self._configuration.auth_settings().get("BearerToken")
        value = token["value"] if token else None
        return {"Authorization": value} if value else {}


def _refusal(method: str, path: str, status: int, answer: bytes) -> KubeRefused:
    try:
        said = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        said = {}
    said = said.get("object", said) if isinstance(said, dict) else {}
    message = said.get("message") or f"HTTP {status}"
    return KubeRefused(f"{method} {path} was refused: {message}", status=status)
