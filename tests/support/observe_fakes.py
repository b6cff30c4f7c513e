"""A Kubernetes API in memory that does exactly what a test orders, for the observe room."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ippolicy.errors import ClusterUnavailable
from ippolicy.observe.records import AwsNodePod


@dataclass
class FakeTime:
    """A clock that only sleeping moves; sleeping takes no real time."""

    now_s: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, span_s: float) -> None:
        self.slept.append(span_s)
        self.now_s += span_s
        await asyncio.sleep(0)


def raw(name: str, *, uid: str, version: int, namespace: str = "", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": uid, "resourceVersion": str(version)}
    if namespace:
        metadata["namespace"] = namespace
    metadata |= fields.pop("metadata", {})
    return {"metadata": metadata, **fields}


class FakeCollection:
    """One list path: objects, the changes since `compacted`, and faults to order."""

    def __init__(self) -> None:
        self.version = 10
        self.compacted = 0
        self.objects: dict[str, dict[str, Any]] = {}
        self.changes: list[tuple[int, dict[str, Any]]] = []
        self.list_faults: list[Exception | bytes] = []
        self.page_faults: list[Exception | bytes] = []
        self.watch_faults: list[Exception | bytes] = []
        self.gone_as_event = False
        self.lists: list[dict[str, str]] = []
        self.watches: list[dict[str, str]] = []
        self._orders: list[asyncio.Queue[object]] = []
        self._listed: dict[int, list[dict[str, Any]]] = {}
        self._uids = 0

    def put(self, name: str, *, namespace: str = "", **fields: Any) -> dict[str, Any]:
        """Create or change an object."""
        held = self.objects.get(name)
        if held is None:
            self._uids += 1
        uid = held["metadata"]["uid"] if held else f"uid-{self._uids}"
        self.version += 1
        item = raw(name, uid=uid, version=self.version, namespace=namespace, **fields)
        self.objects[name] = item
        self._change("MODIFIED" if held else "ADDED", item)
        return item

    def delete(self, name: str) -> None:
        item = self.objects.pop(name)
        self.version += 1
        metadata = {**item["metadata"], "resourceVersion": str(self.version)}
        self._change("DELETED", {**item, "metadata": metadata})

    def compact(self) -> None:
        """Forget all changes so far: older watches and pages meet 410."""
        self.compacted = self.version
        self.changes.clear()

    def bookmark(self) -> None:
        self._tell(
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": f"{self.version}"}}}
        )

    def order(self, what: object) -> None:
        """To all open watches: a line to send as it is, an exception to raise, None to end."""
        for queue in self._orders:
            queue.put_nowait(what)

    def page(self, params: Mapping[str, str]) -> bytes:
        self.lists.append(dict(params))
        token = params.get("continue")
        faults = self.page_faults if token else self.list_faults
        if faults:
            fault = faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        version, start = json.loads(token) if token else (self.version, 0)
        if version < self.compacted:
            raise gone()
        if not token:
            self._listed[version] = [self.objects[name] for name in sorted(self.objects)]
        listed = self._listed[version]
        end = start + int(params.get("limit", "500"))
        more = json.dumps([version, end]) if end < len(listed) else ""
        items = listed[start:end]
        return json.dumps(
            {"metadata": {"resourceVersion": f"{version}", "continue": more}, "items": items}
        ).encode()

    @asynccontextmanager
    async def watch(self, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        self.watches.append(dict(params))
        if self.watch_faults:
            fault = self.watch_faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            yield _lines_then_end(fault)
            return
        since = int(params["resourceVersion"])
        if since < self.compacted and not self.gone_as_event:
            raise gone()
        queue: asyncio.Queue[object] = asyncio.Queue()
        if since < self.compacted:
            status = {"kind": "Status", "code": 410, "reason": "Expired"}
            queue.put_nowait(line({"type": "ERROR", "object": status}))
        for version, event in self.changes:
            if version > since:
                queue.put_nowait(line(event))
        self._orders.append(queue)
        try:
            yield _lines(queue)
        finally:
            self._orders.remove(queue)

    def _change(self, kind: str, item: dict[str, Any]) -> None:
        event = {"type": kind, "object": item}
        self.changes.append((self.version, event))
        self._tell(event)

    def _tell(self, event: dict[str, Any]) -> None:
        self.order(line(event))


class FakeApi:
    """A Transport over collections by list path; paths that nobody filled are empty lists.

    `bodies` are the answers for paths of single objects.
    """

    def __init__(self) -> None:
        self.collections: dict[str, FakeCollection] = {}
        self.bodies: dict[str, bytes] = {}

    def at(self, path: str) -> FakeCollection:
        return self.collections.setdefault(path, FakeCollection())

    async def get_bytes(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 1.0,
        max_bytes: int = 1,
    ) -> bytes:
        await asyncio.sleep(0)
        return self.bodies.get(path) or self.at(path).page(params or {})

    @asynccontextmanager
    async def watch_lines(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        open_timeout_s: float,
        idle_timeout_s: float,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        await asyncio.sleep(0)
        async with self.at(path).watch(params) as lines:
            yield lines


def line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event).encode()


def gone() -> ClusterUnavailable:
    return ClusterUnavailable("GET was answered with HTTP 410", status=410, reason="http-status")


def refused(status: int, retry_after_s: float | None = None) -> ClusterUnavailable:
    return ClusterUnavailable(
        f"GET was answered with HTTP {status}: try again",
        status=status,
        retry_after_s=retry_after_s,
        reason="http-status",
    )


def dropped() -> ClusterUnavailable:
    return ClusterUnavailable("GET was cut off: try again", reason="dropped")


def metrics_page(
    held: int = 10, *, adds: int = 0, started_at_s: float = 1.0, held_max: int | None = None
) -> str:
    most = f"awscni_ip_max {held_max}\n" if held_max is not None else ""
    return most + (
        f"awscni_add_ip_req_count {adds}\nawscni_assigned_ip_addresses 1\n"
        f"awscni_eni_allocated 1\nawscni_eni_max 3\nawscni_total_ip_addresses {held}\n"
        f"process_start_time_seconds {started_at_s}\n"
    )


def aws_node_pod(node: str, *, uid: str = "", address: str = "") -> AwsNodePod:
    return AwsNodePod(
        key=f"kube-system/aws-node-{node}",
        uid=uid or f"uid-{node}",
        resource_version="1",
        namespace="kube-system",
        name=f"aws-node-{node}",
        node=node,
        address=address,
        ready=True,
        terminating=False,
        owner="aws-node",
        revision="r",
        created_at_s=0.0,
        started_at_s=None,
    )


async def turns(count: int) -> None:
    """Let the other tasks run `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], *, most: int = 5_000) -> None:
    """Let the other tasks run until `condition()`; fails after `most` turns."""
    for _ in range(most):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


async def until_real(
    condition: Callable[[], bool], *, within_s: float = 10.0, step_s: float = 0.01
) -> None:
    """The same in real time, for what really talks over a socket."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + within_s
    while not condition():
        assert loop.time() < end_s, "it never came true"
        await asyncio.sleep(step_s)


async def cancelled(*tasks: Awaitable[object]) -> None:
    for task in tasks:
        if isinstance(task, asyncio.Task):
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _lines(queue: asyncio.Queue[object]) -> AsyncIterator[bytes]:
    while (order := await queue.get()) is not None:
        if isinstance(order, Exception):
            raise order
        assert isinstance(order, bytes)
        yield order


async def _lines_then_end(body: bytes) -> AsyncIterator[bytes]:
    for text in body.splitlines():
        yield text
