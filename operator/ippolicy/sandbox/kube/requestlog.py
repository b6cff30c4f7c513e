"""What clients asked of the API, for tests that say 'patched once'."""

from __future__ import annotations

import fnmatch
import threading
from collections import deque
from dataclasses import dataclass, field

from ippolicy.sandbox.kube.objects import Json


@dataclass(frozen=True)
class Request:
    """One request: `body` is the decoded body of a write, `code` what it was answered with."""

    verb: str
    resource: str
    namespace: str
    name: str
    subresource: str
    manager: str
    content_type: str
    user_agent: str
    user: str
    query: dict[str, str] = field(default_factory=dict)
    body: Json = None
    code: int = 0


class RequestLog:
    """The requests of late, oldest first; all methods may be called from any thread."""

    def __init__(self, *, limit: int = 50_000) -> None:
        self._lock = threading.Lock()
        self._requests: deque[Request] = deque(maxlen=limit)

    def add(self, request: Request) -> None:
        """Keep a request that was answered."""
        with self._lock:
            self._requests.append(request)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._requests.clear()

    def find(
        self,
        *,
        verb: str = "*",
        resource: str = "*",
        name: str = "*",
        subresource: str = "*",
        manager: str = "*",
    ) -> list[Request]:
        """The requests that match shell patterns, oldest first."""
        wanted = (verb, resource, name, subresource, manager)
        with self._lock:
            requests = tuple(self._requests)
        return [
            r
            for r in requests
            if all(
                fnmatch.fnmatchcase(actual, pattern)
                for actual, pattern in zip(
                    (r.verb, r.resource, r.name, r.subresource, r.manager), wanted, strict=True
                )
            )
        ]

    def writes(self, *, resource: str = "*", manager: str = "*") -> list[Request]:
        """The requests that change something, oldest first."""
        reads = ("get", "list", "watch")
        found = self.find(resource=resource, manager=manager)
        return [request for request in found if request.verb not in reads]
