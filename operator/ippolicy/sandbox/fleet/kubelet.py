"""Plays kubelet for one node: the pods bound to it, from their start to their end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ippolicy.sandbox.clock import SandboxClock
from ippolicy.sandbox.fleet.awsnode import AwsNodeHost, Timings
from ippolicy.sandbox.fleet.kubeclient import STRATEGIC, KubeClient, KubeRefused, Object
from ippolicy.sandbox.fleet.objects import is_aws_node, is_over, pod_path, running_status
from ippolicy.sandbox.fleet.process import Refusal
from ippolicy.sandbox.fleet.starts import PodStart, StartLog
from ippolicy.sandbox.fleet.tasks import Tasks, until


@dataclass
class _PodOnNode:
    """A pod that this node has; `gone` says that the API server knows it no more."""

    pod: Object
    deleted: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = False
    gone: bool = False


class Kubelet:
    """Starts and stops the pods of one node, over the Kubernetes API."""

    def __init__(
        self,
        *,
        node: str,
        address: str,
        aws_node: AwsNodeHost,
        client: KubeClient,
        clock: SandboxClock,
        timings: Timings,
        starts: StartLog,
    ) -> None:
        self._node = node
        self._address = address
        self._aws_node = aws_node
        self._client = client
        self._clock = clock
        self._timings = timings
        self._starts = starts
        self._pods: dict[str, _PodOnNode] = {}
        self._tasks = Tasks()

    def observe(self, pod: Object) -> None:
        """A pod of this node as the API server has it now."""
        uid = pod["metadata"]["uid"]
        known = self._pods.get(uid)
        if known is None:
            if is_over(pod):
                return
            known = self._pods[uid] = _PodOnNode(pod)
            self._tasks.start(self._live(uid, known))
        if pod["metadata"].get("deletionTimestamp"):
            known.deleted.set()

    def forget(self, uid: str) -> None:
        """The API server has this pod no more, whether this kubelet let go of it or not."""
        known = self._pods.get(uid)
        if known is not None:
            known.gone = True
            known.deleted.set()

    def known(self) -> frozenset[str]:
        """Uids of the pods that this node has."""
        return frozenset(self._pods)

    @property
    def workload(self) -> tuple[int, int]:
        """Pods on the pod network: how many there are, and how many of them are ready."""
        pods = [one for one in self._pods.values() if not _on_host(one.pod)]
        return len(pods), sum(one.ready and not one.deleted.is_set() for one in pods)

    def settled(self) -> bool:
        """Whether every pod of this node is ready and stays."""
        return all(one.ready and not one.deleted.is_set() for one in self._pods.values())

    def check(self) -> None:
        """Raise what ended a pod's life too early, if anything did."""
        self._tasks.check()

    async def close(self) -> None:
        """Let go of everything at once, as a machine does that is switched off."""
        await self._tasks.close()
        self._pods.clear()

    async def _live(self, uid: str, one: _PodOnNode) -> None:
        try:
            if is_aws_node(one.pod):
                await self._live_as_aws_node(one)
            else:
                await until(one.deleted, self._start(uid, one))
                await one.deleted.wait()
                await self._stop(uid, one)
            if not one.gone:
                path, uid_then = pod_path(one.pod), one.pod["metadata"]["uid"]
                await self._client.delete(path, grace_s=0, uid=uid_then)
        finally:
            self._pods.pop(uid, None)

    async def _live_as_aws_node(self, one: _PodOnNode) -> None:
        one.ready = True  # whether it runs is asked of the host
        await self._aws_node.live(one.pod, one.deleted)

    async def _start(self, uid: str, one: _PodOnNode) -> None:
        address = self._address if _on_host(one.pod) else await self._address_for(uid)
        await self._clock.sleep(self._timings.container_start_s)
        status = running_status(one.pod, host=self._address, address=address)
        try:
            await self._client.patch(f"{pod_path(one.pod)}/status", status, kind=STRATEGIC)
        except KubeRefused as refusal:
            if refusal.status != 404:  # deleted meanwhile: its end is on the way
                raise
            return
        one.ready = True

    async def _address_for(self, uid: str) -> str:
        began_s = self._clock.now()
        blocked_by: Refusal | None = None
        while True:
            answer = self._aws_node.add_pod(uid)
            if not isinstance(answer, Refusal):
                break
            blocked_by = blocked_by or answer
            await self._clock.sleep(self._timings.add_retry_s)
        now_s = self._clock.now()
        self._starts.record(PodStart(self._node, now_s, now_s - began_s, blocked_by))
        return answer

    async def _stop(self, uid: str, one: _PodOnNode) -> None:
        if not one.gone:
            await self._clock.sleep(self._timings.termination_s)
        while uid in self._aws_node.assignments() and not self._aws_node.del_pod(uid):
            await self._clock.sleep(self._timings.add_retry_s)


def _on_host(pod: Object) -> bool:
    return bool(pod["spec"].get("hostNetwork"))
