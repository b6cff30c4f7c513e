"""The DaemonSet controller, with the scheduler's part for its pods: one pod a matching node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence

from ippolicy.sandbox.kube.admission import Write
from ippolicy.sandbox.kube.builtins import TEMPLATE_GENERATION
from ippolicy.sandbox.kube.deletion import Deletion
from ippolicy.sandbox.kube.objects import Object, dig, without
from ippolicy.sandbox.kube.owners import OwnerIndex, controller_of
from ippolicy.sandbox.kube.podtemplates import (
    HASH_LABEL,
    owner_reference,
    pod_for,
    template_hash,
    wanted_on,
)
from ippolicy.sandbox.kube.refusals import Refused
from ippolicy.sandbox.kube.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from ippolicy.sandbox.kube.rolling import next_step, status_of
from ippolicy.sandbox.kube.store import Address, Change
from ippolicy.sandbox.kube.webhooks import Webhooks
from ippolicy.sandbox.kube.writes import MERGE, Writer

_log = logging.getLogger(__name__)
_MANAGER = "kube-controller-manager"
_SCHEDULER = "kube-scheduler"
_SETTLE_S = 0.01
_BATCH = 50


class DaemonSetController:
    """Follows DaemonSets, their pods and the nodes; writes only through the `Writer`."""

    def __init__(self, writer: Writer, webhooks: Webhooks, owners: OwnerIndex) -> None:
        self._writer = writer
        self._webhooks = webhooks
        self._store = writer.store
        self._owners = owners
        self._dirty: set[Address] = set()
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._store.observe(self._follow)
        for record in self._store.list(DAEMON_SETS.key):
            self._mark(record.address)

    def _follow(self, key: str, change: Change) -> None:
        value = change.record.value
        if key == DAEMON_SETS.key and change.type != "DELETED":
            self._mark(change.record.address)
        elif key == PODS.key:
            owner = controller_of(value)
            if owner is not None and owner["kind"] == DAEMON_SETS.kind:
                self._mark((change.record.address[0], owner["name"]))
        elif key == NODES.key and _matters(change):
            for record in self._store.list(DAEMON_SETS.key):
                self._mark(record.address)

    def _mark(self, address: Address) -> None:
        self._dirty.add(address)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Bring DaemonSets to their desired state until cancelled."""
        while True:
            await self._woken.wait()
            await asyncio.sleep(_SETTLE_S)
            self._woken.clear()
            with self._store.lock:
                due, self._dirty = sorted(self._dirty), set()
            for address in due:
                await self._sync(address)

    async def _sync(self, address: Address) -> None:
        record = self._store.get(DAEMON_SETS.key, *address)
        if record is None or "deletionTimestamp" in record.value["metadata"]:
            return
        daemon_set = record.value
        try:
            revision = self._revision(daemon_set)
            await self._manage(daemon_set, revision)
            self._report(daemon_set, revision)
        except Refused as refusal:
            # The DaemonSet or its namespace went in the meantime; the next change says how.
            _log.info("DaemonSet %s/%s: %s", *address, refusal)
        min_ready_s = daemon_set["spec"].get("minReadySeconds", 0)
        if min_ready_s and dig(daemon_set, "status", "numberUnavailable"):
            self._loop.call_later(min(1.0, min_ready_s), self._mark, address)

    def _wanted(self, daemon_set: Object) -> list[str]:
        spec = daemon_set["spec"]["template"]["spec"]
        nodes = self._store.list(NODES.key)
        return [node.address[1] for node in nodes if wanted_on(spec, node.value)]

    def _pods(self, daemon_set: Object) -> list[Object]:
        places = self._owners.dependents(daemon_set["metadata"]["uid"], PODS.key)
        records = [self._store.get(PODS.key, *address) for _, address in places]
        return [record.value for record in records if record is not None]

    async def _manage(self, daemon_set: Object, revision: str) -> None:
        namespace = daemon_set["metadata"]["namespace"]
        wanted, pods = self._wanted(daemon_set), self._pods(daemon_set)
        step = next_step(daemon_set, wanted, pods, revision, self._writer.now())
        for name in step.delete:
            self._writer.delete(PODS, namespace, name, Deletion())
        for batch in _batches(step.create_on):
            placing = (self._place(daemon_set, node, revision) for node in batch)
            for outcome in await asyncio.gather(*placing, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
            await asyncio.sleep(0)

    async def _place(self, daemon_set: Object, node: str, revision: str) -> None:
        namespace = daemon_set["metadata"]["namespace"]
        generation = daemon_set["metadata"]["annotations"][TEMPLATE_GENERATION]
        pod = pod_for(daemon_set, node, revision, generation)
        write = Write(_MANAGER)
        pod = await self._webhooks.admit(PODS, namespace, pod, write)
        made = self._writer.create(PODS, namespace, pod, write).record
        self._writer.bind(namespace, made.address[1], node, Write(_SCHEDULER))

    def _report(self, daemon_set: Object, revision: str) -> None:
        wanted, pods = self._wanted(daemon_set), self._pods(daemon_set)
        status = status_of(daemon_set, wanted, pods, revision, self._writer.now())
        metadata = daemon_set["metadata"]
        self._writer.patch(
            DAEMON_SETS,
            metadata["namespace"],
            metadata["name"],
            {"status": {**_cleared(daemon_set), **status}},
            Write(_MANAGER, subresource="status"),
            content_type=MERGE,
        )

    def _revision(self, daemon_set: Object) -> str:
        """The hash of the present template; its ControllerRevision is made or made the newest."""
        metadata = daemon_set["metadata"]
        namespace, template = metadata["namespace"], daemon_set["spec"]["template"]
        name_hash = template_hash(template)
        name = f"{metadata['name']}-{name_hash}"
        places = self._owners.dependents(metadata["uid"], CONTROLLER_REVISIONS.key)
        found = [self._store.get(CONTROLLER_REVISIONS.key, *address) for _, address in places]
        history = [record.value for record in found if record is not None]
        newest = max((item["revision"] for item in history), default=0)
        present = next((item for item in history if item["metadata"]["name"] == name), None)
        if present is None:
            body = _history_entry(daemon_set, name, name_hash, newest + 1)
            self._writer.create(CONTROLLER_REVISIONS, namespace, body, Write(_MANAGER))
            self._trim(daemon_set, history)
        elif present["revision"] < newest:
            body = {**present, "revision": newest + 1}
            self._writer.update(CONTROLLER_REVISIONS, namespace, name, body, Write(_MANAGER))
        return name_hash

    def _trim(self, daemon_set: Object, history: list[Object]) -> None:
        """Delete the oldest revisions beyond the limit that no pod runs."""
        live = {dig(pod, "metadata", "labels", HASH_LABEL) for pod in self._pods(daemon_set)}
        idle = [item for item in history if item["metadata"]["labels"][HASH_LABEL] not in live]
        idle.sort(key=lambda item: int(item["revision"]))
        excess = len(idle) - daemon_set["spec"].get("revisionHistoryLimit", 10)
        for item in idle[: max(0, excess)]:
            place = (item["metadata"]["namespace"], item["metadata"]["name"])
            self._writer.delete(CONTROLLER_REVISIONS, *place, Deletion())


def _batches(nodes: Sequence[str]) -> Iterator[Sequence[str]]:
    """One node, then twice as many each time, as the real controller goes about it."""
    start, size = 0, 1
    while start < len(nodes):
        yield nodes[start : start + size]
        start, size = start + size, min(2 * size, _BATCH)


def _cleared(daemon_set: Object) -> Object:
    """Nulls for the present status fields, so that counts which became zero go."""
    status = daemon_set.get("status") or {}
    return {name: None for name in status if name != "conditions"}


def _history_entry(daemon_set: Object, name: str, name_hash: str, revision: int) -> Object:
    labels = dig(daemon_set, "spec", "template", "metadata", "labels") or {}
    return {
        "metadata": {
            "name": name,
            "labels": {**labels, HASH_LABEL: name_hash},
            "annotations": daemon_set["metadata"]["annotations"],
            "ownerReferences": [owner_reference(daemon_set)],
        },
        "data": {"spec": {"template": {**daemon_set["spec"]["template"], "$patch": "replace"}}},
        "revision": revision,
    }


def _matters(change: Change) -> bool:
    """Whether a change of a node can change where pods belong."""
    if change.before is None or change.type == "DELETED":
        return True
    old, new = change.before.value, change.record.value
    return dig(old, "metadata", "labels") != dig(new, "metadata", "labels") or without(
        old, "metadata", "status"
    ) != without(new, "metadata", "status")
