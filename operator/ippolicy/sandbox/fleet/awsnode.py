"""The aws-node pods of one node, one after another: start, crash loop, restart, stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from ippolicy.errors import ModelError
from ippolicy.ipamd import NodeShape
from ippolicy.sandbox.clock import SandboxClock
from ippolicy.sandbox.fleet.awscalls import AwsCalls
from ippolicy.sandbox.fleet.endpoints import MetricsEndpoints
from ippolicy.sandbox.fleet.kubeclient import STRATEGIC, KubeClient, KubeRefused, Object
from ippolicy.sandbox.fleet.objects import (
    aws_node_env,
    crashed_status,
    pod_path,
    running_status,
)
from ippolicy.sandbox.fleet.process import AwsNodeProcess, Refusal
from ippolicy.sandbox.fleet.tasks import until

LONGEST_BACKOFF_S: Final = 300.0


class AwsNodeState(StrEnum):
    """What a node's aws-node is doing."""

    MISSING = "missing"
    STARTING = "starting"
    RUNNING = "running"
    CRASH_LOOP = "crash loop"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Timings:
    """How long a node's own work takes, in seconds of sandbox time."""

    add_retry_s: float = 1.0
    container_start_s: float = 0.5
    termination_s: float = 1.0
    aws_node_start_s: tuple[float, float] = (2.0, 4.0)
    aws_node_stop_s: float = 1.0
    crash_backoff_s: float = 10.0


class AwsNodeHost:
    """Runs the aws-node pods of a node and serves CNI calls while one of them is up.

    `new_calls` gives the EC2 that a new process calls. `custom_subnet` is the subnet of the node's
    ENIConfig, None where there is none.

    Attributes:
        state: what aws-node does now.
        starts: processes that came up, the first included.
        crashes: times that a process ended with an error.
    """

    def __init__(
        self,
        *,
        address: str,
        shape: NodeShape,
        client: KubeClient,
        clock: SandboxClock,
        endpoints: MetricsEndpoints,
        timings: Timings,
        random: Random,
        new_calls: Callable[[], AwsCalls],
        custom_subnet: str | None = None,
    ) -> None:
        self._address = address
        self._shape = shape
        self._client = client
        self._clock = clock
        self._endpoints = endpoints
        self._timings = timings
        self._random = random
        self._new_calls = new_calls
        self._custom_subnet = custom_subnet
        self._slot = asyncio.Lock()
        self._unschedulable = False
        self._checkpoint: Mapping[str, str] = {}
        self.process: AwsNodeProcess | None = None
        self.state = AwsNodeState.MISSING
        self.starts = 0
        self.crashes = 0

    def add_pod(self, pod: str) -> str | Refusal:
        """CNI ADD: an address, or why there is none."""
        return self.process.add_pod(pod) if self.process is not None else Refusal.DOWN

    def del_pod(self, pod: str) -> bool:
        """CNI DEL; False while aws-node does not answer."""
        return self.process is not None and self.process.del_pod(pod)

    def assignments(self) -> Mapping[str, str]:
        """Pod uid -> address, whether aws-node is up or not."""
        return self.process.checkpoint() if self.process is not None else self._checkpoint

    def set_unschedulable(self, unschedulable: bool) -> None:
        """Pass the node's taint on to aws-node, now and after restarts."""
        self._unschedulable = unschedulable
        if self.process is not None:
            self.process.set_unschedulable(unschedulable)

    async def live(self, pod: Object, deleted: asyncio.Event) -> None:
        """All of one aws-node pod's life, until it is deleted; a second pod waits for the first."""
        async with self._slot:
            await until(deleted, self._run(pod))
            await deleted.wait()
            await self._stop()

    async def kill(self) -> None:
        """The node goes away, and all on it."""
        await self._endpoints.close(self._address)
        if self.process is not None:
            await self.process.kill()
            self.process = None
        self.state = AwsNodeState.MISSING

    async def _run(self, pod: Object) -> None:
        """Bring the pod's container up, however often that takes."""
        self.state = AwsNodeState.STARTING
        await self._clock.sleep(self._random.uniform(*self._timings.aws_node_start_s))
        backoff_s, restarts = self._timings.crash_backoff_s, 0
        while True:
            try:
                process = await self._start(pod)
            except ModelError as crash:
                restarts += 1
                self.crashes += 1
                self.state = AwsNodeState.CRASH_LOOP
                status = crashed_status(pod, host=self._address, restarts=restarts, why=str(crash))
                await self._report(pod, status)
                await self._clock.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
            else:
                break
        self.process = process
        self.starts += 1
        await self._endpoints.open(self._address, process.metrics)
        self.state = AwsNodeState.RUNNING
        await self._report(
            pod,
            running_status(pod, host=self._address, address=self._address, restarts=restarts),
        )

    async def _start(self, pod: Object) -> AwsNodeProcess:
        process = AwsNodeProcess(
            aws_node_env(pod),
            self._shape,
            self._new_calls(),
            self._clock,
            random=self._random,
            custom_subnet=self._custom_subnet,
        )
        process.set_unschedulable(self._unschedulable)
        try:
            await process.start(self._checkpoint)
        except asyncio.CancelledError:
            await process.kill()
            raise
        return process

    async def _stop(self) -> None:
        self.state = AwsNodeState.STOPPING
        process = self.process
        if process is not None:
            await process.stop()
            self._checkpoint = process.checkpoint()
        self.process = None
        await self._endpoints.close(self._address)
        await self._clock.sleep(self._timings.aws_node_stop_s)
        self.state = AwsNodeState.MISSING

    async def _report(self, pod: Object, status: Object) -> None:
        try:
            await self._client.patch(f"{pod_path(pod)}/status", status, kind=STRATEGIC)
        except KubeRefused as refusal:
            if refusal.status != 404:  # the pod is gone, and its end is on the way
                raise
