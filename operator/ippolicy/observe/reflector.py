"""A live copy of one kind of API objects: paged list, then watch, then whatever it takes.

    what happens                           what is done
    -------------------------------------  -------------------------------------------------------
    start                                  list in pages, report all, set `synced`, watch from there
    watch ends in good order               watch again from the last resourceVersion or bookmark
    connection lost, 429, 5xx, no answer   wait (backoff, full jitter, Retry-After), resume likewise
    410 to a list's next page              start the list again
    410 to a watch, or as an ERROR event   list again and replace the store; the difference is
                                           reported, so a deletion during the gap is not lost
    garbage, other ERROR events            the same: what was missed is unknown

Freshness: `state.succeeded_at_s` is the last moment the server is known to have told everything:
a list was complete, a watch was accepted, a line came, or a watch ended in good order. A watch
without a line for `watch_idle_s` counts as dead, so the age of a healthy source stays below that.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from ippolicy.errors import ClusterUnavailable
from ippolicy.facts import SourceState
from ippolicy.kube import UNREADABLE
from ippolicy.observe.settings import ObserveSettings
from ippolicy.observe.transport import Transport

RETRY_AFTER_MAX_S = 300.0
RELIST_AFTER_FAILURES = 5
SHORT_WATCH_S = 1.0


class Watched(Protocol):
    """The least a decoded object must have. `key` names it, `uid` tells it from a namesake."""

    @property
    def key(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


T = TypeVar("T", bound=Watched)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What to watch: the list's path and selectors, and how to read one object's JSON.

    `decode` keeps only the fields needed and raises one of UNREADABLE on nonsense.
    """

    path: str
    decode: Callable[[bytes], T]
    selectors: Mapping[str, str] = field(default_factory=dict)

    @property
    def plural(self) -> str:
        """Plural of the kind, as RBAC rules name it."""
        return self.path.rsplit("/", 1)[-1]


# Told of each change: (None, new) appeared, (old, None) is gone, else it differs; and when.
OnChange: TypeAlias = Callable[[T | None, T | None, float], None]


@dataclass(slots=True)
class ReflectorCounters:
    """What has been done since the start; `errors` by reason. Reflectors of a source share one."""

    pages: int = 0
    relists: int = 0
    watches: int = 0
    reconnects: int = 0
    events: int = 0
    errors: Counter[str] = field(default_factory=Counter)


class _ListMeta(msgspec.Struct):
    # Required: an answer without it is no list, and must not empty the store.
    resourceVersion: Annotated[str, msgspec.Meta(min_length=1)]  # noqa: N815  (the API's own name)
    continue_: str | None = msgspec.field(name="continue", default=None)


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None  # Go writes an empty list as null


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct):
    metadata: _ListMeta


class _Status(msgspec.Struct):
    code: int = 0
    reason: str = ""


class _Gone(Exception):
    """The version to go on from is no longer kept by the server."""


class Reflector(Generic[T]):
    """Keeps `store` (key -> object) like the API server's, and reports each difference.

    `synced` is set after the first list was reported, so a callback that finds it unset is told
    of what was there before. Run it as one task: `run()` returns only when cancelled.
    """

    def __init__(
        self,
        api: Transport,
        kind: Kind[T],
        settings: ObserveSettings,
        on_change: OnChange[T],
        *,
        counters: ReflectorCounters | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random,
    ) -> None:
        self.store: dict[str, T] = {}
        self.synced = asyncio.Event()
        self.counters = counters or ReflectorCounters()
        self._api = api
        self._kind = kind
        self._settings = settings
        self._on_change = on_change
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._version: str | None = None
        self._failures = 0
        self._state = SourceState(succeeded_at_s=None)

    @property
    def state(self) -> SourceState:
        """When the server last told everything, and what is wrong now."""
        return self._state

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            error: ClusterUnavailable | None = None
            try:
                await self._once()
            except _Gone:
                self._version = None
                self._failures += 1
            except ClusterUnavailable as raised:
                error = raised
                self._failed(error)
            if self._failures:
                await self._sleep(self._delay_s(error))

    async def _once(self) -> None:
        if self._version is None:
            await self._list()
        else:
            self.counters.reconnects += 1
        await self._watch()

    async def _list(self) -> None:
        objects: dict[str, T] = {}
        params = dict(self._kind.selectors, limit=str(self._settings.list_page_size))
        while True:
            page = await self._page(params)
            for raw in page.items or ():
                item = self._decoded(raw)
                objects[item.key] = item
            if not page.metadata.continue_:
                break
            params["continue"] = page.metadata.continue_
            await asyncio.sleep(0)  # the pages of a great list must not starve the other tasks
        self._replace(objects)
        self._version = page.metadata.resourceVersion
        self.counters.relists += self.synced.is_set()
        self._succeeded()
        self.synced.set()

    async def _page(self, params: Mapping[str, str]) -> _Page:
        self.counters.pages += 1
        try:
            body = await self._api.get_bytes(self._kind.path, params, self._settings.api_timeout_s)
            page = _PAGE.decode(body)
        except ClusterUnavailable as error:
            if error.status == 410 and "continue" in params:
                raise _Gone from error
            raise
        except UNREADABLE as error:
            raise self._garbage("list", error) from error
        return page

    def _replace(self, objects: dict[str, T]) -> None:
        at_s = self._clock()
        for key in [key for key in self.store if key not in objects]:
            self._apply(key, None, at_s)
        for key, item in objects.items():
            self._apply(key, item, at_s)

    def _apply(self, key: str, new: T | None, at_s: float) -> None:
        old = self.store.get(key)
        if new is None:
            if old is not None:
                del self.store[key]
                self._on_change(old, None, at_s)
            return
        self.store[key] = new
        if old is not None and old.uid != new.uid:
            self._on_change(old, None, at_s)
            old = None
        if old is None or old.resource_version != new.resource_version:
            self._on_change(old, new, at_s)

    async def _watch(self) -> None:
        span_s = self._settings.watch_timeout_s * (1 + self._random.random() / 2)
        params = {
            **self._kind.selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(max(1, round(span_s))),
        }
        self.counters.watches += 1
        opened_at_s = self._clock()
        try:
            async with self._api.watch_lines(
                self._kind.path,
                params,
                open_timeout_s=self._settings.api_timeout_s,
                idle_timeout_s=self._settings.watch_idle_s,
            ) as lines:
                self._succeeded()
                async for line in lines:
                    self._take(line)
                    self._failures = 0
                    self._succeeded()
        except ClusterUnavailable as error:
            if error.status == 410:
                raise _Gone from error
            raise
        self._succeeded()
        # A server that ends each watch at once must not be asked in a tight loop.
        short = self._clock() - opened_at_s < min(SHORT_WATCH_S, self._settings.watch_timeout_s / 2)
        self._failures = self._failures + 1 if short else 0

    def _take(self, line: bytes) -> None:
        try:
            event = _EVENT.decode(line)
            if event.type == "ERROR":
                self._raise_status(_STATUS.decode(event.object))
            if event.type == "BOOKMARK":
                self._version = _BOOKMARK.decode(event.object).metadata.resourceVersion
                return
        except UNREADABLE as error:
            raise self._garbage("watch", error) from error
        item = self._decoded(event.object)
        self.counters.events += 1
        if event.type == "DELETED":
            held = self.store.get(item.key)
            if held is not None and held.uid == item.uid:
                self._apply(item.key, None, self._clock())
        else:
            self._apply(item.key, item, self._clock())
        self._version = item.resource_version or self._version

    def _decoded(self, raw: msgspec.Raw) -> T:
        try:
            return self._kind.decode(raw)
        except UNREADABLE as error:
            raise self._garbage("object", error) from error

    def _raise_status(self, status: _Status) -> None:
        self._version = None
        if status.code == 410:
            raise _Gone
        raise ClusterUnavailable(
            f"watch of {self._kind.path} failed: {status.reason or 'no reason given'} "
            f"(code {status.code}): it will be listed again",
            reason="error-event",
        )

    def _garbage(self, what: str, error: Exception) -> ClusterUnavailable:
        self._version = None
        return ClusterUnavailable(
            f"{what} of {self._kind.path} cannot be read ({error}): check that a Kubernetes API "
            "answers there",
            reason="garbage",
        )

    def _succeeded(self) -> None:
        self._state = SourceState(succeeded_at_s=self._clock())

    def _failed(self, error: ClusterUnavailable) -> None:
        self._failures += 1
        self.counters.errors[error.reason] += 1
        permission = f"list, watch {self._kind.plural}" if error.status == 403 else None
        self._state = SourceState(self._state.succeeded_at_s, str(error), permission)
        # A server restored from a backup may not know our version, and never says 410.
        if self._failures >= RELIST_AFTER_FAILURES and (error.status or 0) >= 500:
            self._version = None

    def _delay_s(self, error: ClusterUnavailable | None) -> float:
        """Full jitter: anywhere between nothing and a bound that doubles with each failure."""
        longest_s = self._settings.watch_backoff_max_s
        doublings = min(self._failures - 1, 16)
        bound_s = min(longest_s, self._settings.watch_backoff_s * 2.0**doublings)
        delay_s = self._random.random() * bound_s
        if error is not None and error.retry_after_s:
            # Jitter on top, or all clients sent away together come back together.
            delay_s += min(error.retry_after_s, RETRY_AFTER_MAX_S)
        return delay_s


_PAGE = msgspec.json.Decoder(_Page)
_EVENT = msgspec.json.Decoder(_Event)
_BOOKMARK = msgspec.json.Decoder(_Bookmark)
_STATUS = msgspec.json.Decoder(_Status)
