"""One run of aws-node on one node: from its container's start to its end."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from enum import StrEnum
from random import Random
from typing import Final

from ippolicy.ipamd import (
    PASS_INTERVAL_S,
    DeleteInterface,
    DescribeLeakedInterfaces,
    EC2CallError,
    Ipamd,
    NodeShape,
    PoolSettings,
    Snapshot,
    Steps,
    check_entry_point,
)
from ippolicy.sandbox.clock import SandboxClock
from ippolicy.sandbox.fleet.awscalls import AwsCalls
from ippolicy.sandbox.fleet.metrics import ProcessMemory, metrics_text

FIRST_PASS_AFTER_S: Final = 2.5
LEAK_SCAN_SPREAD_S: Final = 300.0
LEAK_SCAN_INTERVAL_S: Final = 3600.0
STOP_GRACE_S: Final = 10.0


class Refusal(StrEnum):
    """Why a CNI ADD got no address."""

    DOWN = "Down"
    NO_ADDRESS = "NoAddress"


class AwsNodeProcess:
    """ipamd of one node, from start to stop. A restart is a new object with the old checkpoint.

    Raises EntryPointRefused at once where the container's entry point would exit 1.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        shape: NodeShape,
        aws: AwsCalls,
        clock: SandboxClock,
        *,
        random: Random,
        custom_subnet: str | None = None,
    ) -> None:
        check_entry_point(env)
        self.env = dict(env)
        self.settings = PoolSettings.from_env(env)
        self._aws = aws
        self._clock = clock
        self._random = random
        self._ipamd = Ipamd(
            shape, self.settings, random=random, clock=clock.now, custom_subnet=custom_subnet
        )
        # In real time, which is what readers of the metrics have.
        self._memory = ProcessMemory(time.time(), latency_ms=aws.latency_ms)
        self._loop: asyncio.Task[None] | None = None
        self._leak_scan: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._stopping = asyncio.Event()
        self._quiet = False
        self.serving = False

    async def start(self, checkpoint: Mapping[str, str]) -> None:
        """Node init, after which pods are served and the pool is kept.

        Raises NodeInitFailed where EC2 refuses what ipamd cannot start without.
        """
        began_s = self._clock.now()
        await self._aws.run(self._ipamd.start(checkpoint))
        self._memory.startup_s = self._clock.now() - began_s
        self.serving = True
        self._loop = asyncio.get_running_loop().create_task(self._keep_pool())
        self._leak_scan = asyncio.get_running_loop().create_task(self._scan_for_leaks())

    async def stop(self) -> None:
        """SIGTERM: no more growth, a pass under way is waited for, then the end."""
        self._ipamd.terminating = True
        self._stopping.set()
        self._moved.set()
        deadline_s = self._clock.real_seconds(STOP_GRACE_S)
        if self._loop is not None:
            await asyncio.wait([self._loop], timeout=deadline_s)
        await self.kill()

    async def kill(self) -> None:
        """End at once, whatever is under way."""
        self.serving = False
        tasks = [task for task in (self._loop, self._leak_scan) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def add_pod(self, pod: str) -> str | Refusal:
        """CNI ADD: the pod's address, or why there is none."""
        if not self.serving:
            return Refusal.DOWN
        address = self._ipamd.add_pod(pod)
        self._pods_moved()
        return Refusal.NO_ADDRESS if address is None else address

    def del_pod(self, pod: str) -> bool:
        """CNI DEL; False while aws-node does not answer."""
        if self.serving:
            self._ipamd.del_pod(pod)
            self._pods_moved()
        return self.serving

    def set_unschedulable(self, unschedulable: bool) -> None:
        """Tell ipamd of the node's taint node.kubernetes.io/unschedulable."""
        if self._ipamd.unschedulable != unschedulable:
            self._ipamd.unschedulable = unschedulable
            self._pods_moved()

    def checkpoint(self) -> dict[str, str]:
        """Pod -> address, as the next process will find it on disk."""
        return self._ipamd.checkpoint()

    def snapshot(self) -> Snapshot:
        """The pool and the counters now."""
        return self._ipamd.snapshot()

    def metrics(self) -> str:
        """The page at :61678/metrics now."""
        return metrics_text(self._ipamd.snapshot(), self._memory, now_s=time.time())

    def settled(self, *, for_good: bool) -> bool:
        """Whether the last pass found nothing to do and no pod moved since.

        With `for_good`, also that no timer of ipamd's will find something later.
        """
        if not (self.serving and self._quiet):
            return False
        return not for_good or self._ipamd.idle_until() == math.inf

    def check(self) -> None:
        """Raise what ended the pool's keeping, if anything did."""
        if self._loop is not None and self._loop.done() and not self._loop.cancelled():
            self._loop.result()

    def _pods_moved(self) -> None:
        self._quiet = False
        self._moved.set()

    async def _keep_pool(self) -> None:
        await self._pause(FIRST_PASS_AFTER_S)
        while not self._stopping.is_set():
            self._moved.clear()
            called = await self._aws.run(self._ipamd.pool_pass())
            ended_s = self._clock.now()
            self._quiet = not (called or self._moved.is_set())
            if self._quiet:
                await self._idle()
            # Passes come every 5 s; those that could find nothing are left out.
            passes = max(1, math.ceil((self._clock.now() - ended_s) / PASS_INTERVAL_S))
            await self._pause(ended_s + passes * PASS_INTERVAL_S - self._clock.now())

    async def _idle(self) -> None:
        """Wait until a pod moves or a timer of ipamd's runs out."""
        until_s = self._ipamd.idle_until()
        timeout_s = None
        if until_s != math.inf:
            timeout_s = self._clock.real_seconds(max(0.0, until_s - self._clock.now()))
        await _wait(self._moved, timeout_s)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless SIGTERM comes."""
        await _wait(self._stopping, self._clock.real_seconds(max(0.0, seconds)))

    async def _scan_for_leaks(self) -> None:
        while True:
            await self._clock.sleep(self._random.uniform(0.0, LEAK_SCAN_SPREAD_S))
            await self._aws.run(self._delete_leaked())
            await self._clock.sleep(LEAK_SCAN_INTERVAL_S)

    def _delete_leaked(self) -> Steps[None]:
        ec2 = self._ipamd.pool.ec2
        try:
            leaked: tuple[str, ...] = yield from ec2.call(DescribeLeakedInterfaces())
            for eni_id in leaked:
                yield from ec2.call(DeleteInterface(eni_id))
        except EC2CallError:
            return  # the next scan tries again


async def _wait(event: asyncio.Event, timeout_s: float | None) -> None:
    """Wait for `event`, at most `timeout_s` real seconds."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
