"""Keeps pods on the nodes and lets them come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from ippolicy.sandbox.clock import SandboxClock
from ippolicy.sandbox.fleet.kubeclient import KubeClient, Object
from ippolicy.sandbox.fleet.tasks import Tasks

NAMESPACE: Final = "default"
PATH: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
LABEL: Final = "ippolicy.dev/workload"


class Workload:
    """Pods that do nothing, so many on each node. Use it in `async with`, on one event loop.

    Pods are created bound to their node, or, `scheduled`, with a node selector for a scheduler to
    bind them. `seed` fixes which pods are replaced. A replacement comes `replaced_after_s` of
    sandbox time after the deletion, which is what controllers and schedulers take.
    """

    def __init__(
        self,
        kubeconfig: Path,
        clock: SandboxClock,
        *,
        scheduled: bool = False,
        replaced_after_s: float = 2.0,
        seed: int = 0,
    ) -> None:
        self._client = KubeClient(kubeconfig, user_agent="ippolicy-sandbox-workload")
        self._clock = clock
        self._scheduled = scheduled
        self._replaced_after_s = replaced_after_s
        self._random = Random(seed)
        self._pods: dict[str, list[str]] = {}
        self._made = 0
        self._churn = Tasks()
        self._replacing = Tasks()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._churn.close()
        await self._replacing.close()
        await self._client.__aexit__(kind, error, trace)

    @property
    def pods(self) -> int:
        """Pods that are wanted now, on all nodes."""
        return sum(map(len, self._pods.values()))

    async def scale(self, pods_per_node: Mapping[str, int]) -> None:
        """Have that many pods on each named node; other nodes stay as they are."""
        surplus: list[str] = []
        missing: list[str] = []
        for node, wanted in pods_per_node.items():
            names = self._pods.setdefault(node, [])
            while len(names) > wanted:
                surplus.append(names.pop(self._random.randrange(len(names))))
            missing += [node] * (wanted - len(names))
        await asyncio.gather(*map(self._delete, surplus), *map(self._create, missing))

    async def replace(self, node: str, count: int = 1) -> None:
        """Delete `count` pods of a node, of any age, and create as many a little later."""
        names = self._pods[node]
        gone = [
            names.pop(self._random.randrange(len(names))) for _ in range(min(count, len(names)))
        ]
        await asyncio.gather(*map(self._delete, gone))
        await self._clock.sleep(self._replaced_after_s)
        await asyncio.gather(*(self._create(node) for _ in gone if node in self._pods))

    async def burst(self, nodes: Iterable[str], count: int, *, lasting_s: float) -> None:
        """Add `count` pods to each node for `lasting_s` of sandbox time; returns at its end."""
        before = {node: len(self._pods.get(node, ())) for node in nodes}
        await self.scale({node: pods + count for node, pods in before.items()})
        await self._clock.sleep(lasting_s)
        await self.scale(before)

    def start_churn(self, *, every_s: float) -> None:
        """Replace one pod about every `every_s` of sandbox time from now on, node after node."""
        self._churn.start(self._keep_replacing(every_s))

    async def stop_churn(self) -> None:
        """Let the pods be, once those on their way are there."""
        await self._churn.close()
        await self._replacing.drain()

    def check(self) -> None:
        """Raise what ended the churn, if anything did."""
        self._churn.check()
        self._replacing.check()

    def forget(self, node: str) -> None:
        """A node is gone, and its pods with it."""
        self._pods.pop(node, None)

    async def _keep_replacing(self, every_s: float) -> None:
        last = ""
        while True:
            await self._clock.sleep(self._random.uniform(0.9, 1.1) * every_s)
            nodes = sorted(node for node, names in self._pods.items() if names)
            if nodes:
                last = next((node for node in nodes if node > last), nodes[0])
                self._replacing.start(self.replace(last))

    async def _create(self, node: str) -> None:
        self._made += 1
        name = f"app-{self._made:05d}"
        self._pods[node].append(name)
        await self._client.create(PATH, self._pod(name, node))

    async def _delete(self, name: str) -> None:
        await self._client.delete(f"{PATH}/{name}")

    def _pod(self, name: str, node: str) -> Object:
        place: Object = (
            {"nodeSelector": {"kubernetes.io/hostname": node}}
            if self._scheduled
            else {"nodeName": node}
        )
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {LABEL: "true"}},
            "spec": {
                **place,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "containers": [{"name": "pause", "image": "pause:3.10"}],
            },
        }
