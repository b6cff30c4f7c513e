"""Watches: changes streamed as lines of JSON, with bookmarks, selectors and expiry."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Mapping

from aiohttp import web

from ippolicy.sandbox.kube.faults import Faults
from ippolicy.sandbox.kube.objects import encode
from ippolicy.sandbox.kube.presenting import Presenter
from ippolicy.sandbox.kube.reads import number, selection
from ippolicy.sandbox.kube.refusals import Refused, invalid
from ippolicy.sandbox.kube.resources import Kind
from ippolicy.sandbox.kube.selectors import Selection
from ippolicy.sandbox.kube.store import Change, Record, Store


class Watch:
    """One client's watch: changes come in from any thread and go out on the server's loop."""

    def __init__(self, store: Store, kind: Kind, namespace: str, query: Mapping[str, str]) -> None:
        self.kind = kind
        self._store = store
        self._namespace = namespace
        self._selection: Selection = selection(kind, query)
        self._initial = query.get("sendInitialEvents") == "true"
        if "sendInitialEvents" in query and query.get("resourceVersionMatch") != "NotOlderThan":
            text = (
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
            error = ("resourceVersionMatch", "FieldValueForbidden", text)
            raise invalid("ListOptions", "meta.k8s.io", "", [error])
        self._bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        self._since = number(query, "resourceVersion")
        self._timeout_s = number(query, "timeoutSeconds") or random.uniform(1800, 3600)
        self._changes: deque[Change] = deque()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._dropped = False

    def drop(self) -> None:
        """Cut the connection in the middle of the stream; may be called from any thread."""
        self._dropped = True
        self._loop.call_soon_threadsafe(self._woken.set)

    def _listen(self, change: Change) -> None:
        self._changes.append(change)
        self._loop.call_soon_threadsafe(self._woken.set)

    async def stream(
        self,
        response: web.StreamResponse,
        presenter: Presenter,
        faults: Faults,
        *,
        bookmark_interval_s: float,
    ) -> None:
        """Write events until the time is up; raises `ConnectionResetError` once dropped."""
        try:
            records, ticket = self._begin()
        except Refused as refusal:
            await response.write(encode({"type": "ERROR", "object": refusal.status()}) + b"\n")
            return
        try:
            lines = [presenter.event("ADDED", record) for record in records]
            if self._initial and self._bookmarks:
                lines.append(presenter.bookmark(self._store.version, initial_end=True))
            await response.write(b"".join(lines))
            await self._follow(response, presenter, faults, bookmark_interval_s)
        finally:
            self._store.unwatch(self.kind.key, ticket)

    def _begin(self) -> tuple[list[Record], int]:
        with self._store.lock:
            if self._since and not self._initial:
                ticket = self._store.watch(self.kind.key, self._listen, since=self._since)
                return [], ticket
            records = self._store.list(self.kind.key, self._namespace)
            ticket = self._store.watch(self.kind.key, self._listen)
        return [record for record in records if self._selection.matches(record.value)], ticket

    async def _follow(
        self,
        response: web.StreamResponse,
        presenter: Presenter,
        faults: Faults,
        bookmark_interval_s: float,
    ) -> None:
        end = self._loop.time() + self._timeout_s
        bookmark_at = self._loop.time() + bookmark_interval_s
        while self._loop.time() < end:
            await self._wait_until(min(end, bookmark_at) if self._bookmarks else end)
            if self._dropped:
                raise ConnectionResetError("the watch was dropped on order")
            self._woken.clear()
            due = self._loop.time() >= min(bookmark_at, end)
            if due:
                bookmark_at = self._loop.time() + bookmark_interval_s
            with self._store.lock:
                # Under the lock, so that a bookmark never overtakes a change before it.
                lines = self._lines(presenter)
                if self._bookmarks and due and not faults.hold_bookmarks:
                    lines.append(presenter.bookmark(self._store.version))
            if lines:
                await response.write(b"".join(lines))

    async def _wait_until(self, moment: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                await self._woken.wait()

    def _lines(self, presenter: Presenter) -> list[bytes]:
        lines = []
        while self._changes:
            event = self._translate(self._changes.popleft())
            if event is not None:
                lines.append(presenter.event(*event))
        return lines

    def _translate(self, change: Change) -> tuple[str, Record] | None:
        """The event as this watch's selection sees it: objects enter and leave it."""
        record, before = change.record, change.before
        if self._namespace and record.address[0] != self._namespace:
            return None
        if not self._selection:
            return change.type, record
        was_in = before is not None and self._selection.matches(before.value)
        is_in = change.type != "DELETED" and self._selection.matches(record.value)
        if is_in:
            return ("MODIFIED" if was_in else "ADDED"), record
        if not was_in or before is None:
            return None
        metadata = {**before.value["metadata"], "resourceVersion": str(record.version)}
        return "DELETED", Record({**before.value, "metadata": metadata}, record.version)
