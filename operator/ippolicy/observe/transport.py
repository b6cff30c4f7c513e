"""What this room needs of the connection to the Kubernetes API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Transport(Protocol):
    """Reads from the API server; `ippolicy.kube.AsyncApi` is one. Raises ClusterUnavailable."""

    async def get_bytes(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        timeout_s: float = ...,
        max_bytes: int = ...,
    ) -> bytes:
        """The body of GET `path`, refused when it is longer than `max_bytes`."""
        ...

    def watch_lines(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        open_timeout_s: float,
        idle_timeout_s: float,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Lines of a watch once it is accepted; raises also while it is open."""
        ...
