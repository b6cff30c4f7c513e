"""One node's ipamd in virtual time: its passes, its calls and how long they take."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, inf
from random import Random
from typing import Any, Final

from ippolicy.ipamd.calls import DescribeLeakedInterfaces, EC2CallError, Request, Steps
from ippolicy.ipamd.cloud import CountedEC2, Latency
from ippolicy.ipamd.node import PASS_INTERVAL_S, Ipamd
from ippolicy.ipamd.settings import PoolSettings
from ippolicy.ipamd.shape import NodeShape

LEAK_SCAN_INTERVAL_S: Final = 3600
LEAK_SCAN_SPREAD_S: Final = 300
_SAME_MOMENT_S: Final = 1e-6


@dataclass(slots=True)
class Levels:
    """Time integrals since the start, each in seconds times what it counts, and the peaks."""

    held: float = 0.0
    assigned: float = 0.0
    enis: float = 0.0
    max_held: int = 0
    max_assigned: int = 0


class VirtualNode:
    """A node whose clock stands still until `advance` moves it.

    Passes that could change nothing are left out, which alters no result: `Ipamd.idle_until` tells
    them apart. `leak_scans` adds the hourly look for ENIs left behind.
    """

    def __init__(
        self,
        shape: NodeShape,
        cloud: CountedEC2,
        *,
        random: Random,
        latency: Latency,
        custom_subnet: str | None = None,
        leak_scans: bool = False,
    ) -> None:
        self.now = 0.0
        self.levels = Levels()
        self.cloud = cloud
        self._shape = shape
        self._random = random
        self._latency = latency
        self._custom_subnet = custom_subnet
        self._leak_scan_at = self._scan_delay() if leak_scans else inf
        self._steps: Steps[bool] | None = None
        self._request: Request | None = None
        self._pass_base = 0.0
        self._wake = inf
        self._held = self._assigned = self._enis = 0
        self._measured = 0.0

    def boot(
        self,
        settings: PoolSettings,
        assignments: Mapping[str, str] | None = None,
        *,
        unschedulable: bool = False,
    ) -> None:
        """Start ipamd, or start it anew with other settings; the start itself takes no time.

        Raises:
            NodeInitFailed: it cannot start.
        """
        self._measure()
        self.ipamd = Ipamd(
            self._shape,
            settings,
            random=self._random,
            clock=lambda: self.now,
            custom_subnet=self._custom_subnet,
        )
        self.ipamd.unschedulable = unschedulable
        _perform_at_once(self.ipamd.start(assignments), self.cloud)
        self._steps = self._request = None
        self._pass_base = self.now - PASS_INTERVAL_S / 2
        self._wake = self.now + PASS_INTERVAL_S / 2
        self._note()

    # -- pods ---------------------------------------------------------------------------------

    def add_pod(self, pod: str) -> bool:
        """CNI ADD now; whether the pod got an address."""
        self._measure()
        if self.ipamd.add_pod(pod) is None:
            return False
        self.touch()
        return True

    def del_pod(self, pod: str) -> None:
        """CNI DEL now."""
        self._measure()
        self.ipamd.del_pod(pod)
        self.touch()

    def touch(self) -> None:
        """Something changed: the next pass may act."""
        if self._steps is None:
            passes = ceil((self.now - self._pass_base - _SAME_MOMENT_S) / PASS_INTERVAL_S)
            self._wake = min(self._wake, self._pass_base + max(passes, 1) * PASS_INTERVAL_S)
        self._note()

    # -- time ---------------------------------------------------------------------------------

    def advance(self, to: float) -> None:
        """Let time go on to `to`, and everything that is due by then happen."""
        while True:
            due = min(self._wake, self._leak_scan_at)
            if due > to:
                break
            self.now = due
            if due == self._leak_scan_at:
                self.cloud.perform(DescribeLeakedInterfaces())
                self._leak_scan_at = due + LEAK_SCAN_INTERVAL_S + self._scan_delay()
            else:
                self._measure()
                self._go_on()
                self._note()
        self.now = to

    def settle(self) -> Levels:
        """The integrals up to now."""
        self._measure()
        return self.levels

    def _scan_delay(self) -> int:
        return int(self._random.random() * LEAK_SCAN_SPREAD_S)

    def _go_on(self) -> None:
        """Start a pass, or give the pass under way the answer that it waits for."""
        if self._steps is None:
            self._steps, self._request = self.ipamd.pool_pass(), None
        try:
            while True:
                self._request = _answer(self._steps, self._request, self.cloud)
                wait_s = self._latency.of(self._request)
                if wait_s > 0:
                    self._wake = self.now + wait_s
                    return
        except StopIteration as end:
            self._end_pass(acted=end.value)

    def _end_pass(self, *, acted: bool) -> None:
        self._steps = self._request = None
        self._pass_base = self.now
        self._wake = self.now + PASS_INTERVAL_S
        if not acted:
            until = self.ipamd.idle_until()
            if until > self._wake:
                passes = (until - self.now - _SAME_MOMENT_S) / PASS_INTERVAL_S
                self._wake = inf if passes == inf else self.now + ceil(passes) * PASS_INTERVAL_S

    # -- measuring ----------------------------------------------------------------------------

    def _measure(self) -> None:
        elapsed = self.now - self._measured
        if elapsed > 0:
            self.levels.held += self._held * elapsed
            self.levels.assigned += self._assigned * elapsed
            self.levels.enis += self._enis * elapsed
            self._measured = self.now

    def _note(self) -> None:
        pool = self.ipamd.store.count()
        self._held, self._assigned = pool.total, pool.assigned
        self._enis = len(self.ipamd.store.enis)
        levels = self.levels
        levels.max_held = max(levels.max_held, pool.total)
        levels.max_assigned = max(levels.max_assigned, pool.assigned)


def _answer(steps: Steps[Any], request: Request | None, cloud: CountedEC2) -> Request:
    """Perform `request` (None: none yet) and give the generator what came of it."""
    if request is None:
        return next(steps)
    try:
        result = cloud.perform(request)
    except EC2CallError as error:
        return steps.throw(error)
    return steps.send(result)


def _perform_at_once(steps: Steps[None], cloud: CountedEC2) -> None:
    request: Request | None = None
    with suppress(StopIteration):
        while True:
            request = _answer(steps, request, cloud)
