"""Reads the demand of the past from Prometheus, in slices, the newest first.

what happens                     what is done
-------------------------------  -------------------------------------------------------------
start                            count nodes over the window, find the scrape interval, choose
                                 the finest step that keeps all answers within `VALUES_MAX`
a slice is answered              its traces are given out; what is before it comes next, in
                                 slices that grow again
400, 413, 422, too many bytes    the slice is halved, down to one step, for good
a timeout, there or here         the slice is halved, a few times
429, 5xx, no connection          asked again, a few times, with longer and longer waits
anything else, or too often      raised; the next call goes on where this one stopped
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import numpy as np

from ippolicy.api import Prometheus
from ippolicy.errors import PrometheusUnavailable
from ippolicy.facts import NodeFacts
from ippolicy.observe.prometheus_client import PrometheusClient
from ippolicy.observe.prometheus_nodes import Roster
from ippolicy.observe.prometheus_traces import Rebuilt, Series, Stretch, rebuild
from ippolicy.offloop import call_off_loop

ASSIGNED: Final = "awscni_assigned_ip_addresses"
ADDS: Final = "awscni_add_ip_req_count"
DELS: Final = "awscni_del_ip_req_count"
IN_VAIN: Final = "awscni_no_available_ip_addresses"
_METRICS = 4

VALUES_MAX = 40_000_000
"""Values asked for in one import: about a gigabyte to be sent, and minutes of Prometheus' time."""
STEPS_MAX = 10_999  # Prometheus refuses more than 11,000 values of a series at once
SLICE_BYTES = 8 * 1024 * 1024
VALUE_BYTES = 24  # of a value in JSON: [1700000000,"12345"],
LAG_S = 60.0  # values younger than this may still be on their way into Prometheus
COUNTS = 300  # moments at which nodes are counted
COUNTED_S = 600.0  # a node counts as there for so long after a value
HALVINGS = 3  # of a slice that takes too long, in one call
TRIES = 4  # of a question whose failure may pass
FIRST_WAIT_S = 1.0
WAIT_MAX_S = 300.0

T = TypeVar("T")


@dataclass(slots=True)
class _Plan:
    """What is still to be asked: `since_s` to `until_s`, in slices of `steps` steps now and of at
    most `steps_max`."""

    since_s: float
    until_s: float
    step_s: float
    steps_max: int
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        self.steps = self.steps_max

    @property
    def slice_since_s(self) -> float:
        return max(self.since_s, self.until_s - self.steps * self.step_s)

    def can_shrink(self) -> bool:
        return self.until_s - self.slice_since_s > self.step_s

    def shrink(self, *, for_good: bool) -> None:
        self.steps = round((self.until_s - self.slice_since_s) / self.step_s) // 2
        if for_good:
            self.steps_max = self.steps

    def advance(self) -> None:
        self.until_s = self.slice_since_s
        self.steps = min(self.steps_max, self.steps + self.steps // 4 + 1)


class PrometheusReader:
    """Gives out the traces of `window_s` before its making, slice by slice.

    `nodes` are those that there are; series of others are of nodes that are gone.
    """

    def __init__(
        self,
        client: PrometheusClient,
        asked: Prometheus,
        nodes: Iterable[NodeFacts],
        *,
        window_s: float,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._roster = Roster(nodes, asked.node_label)
        self._selector = f"{{{','.join(asked.matchers)}}}"
        self._least_step_s = asked.step.seconds if asked.step is not None else 0.0
        self._sleep = sleep
        self._until_s = clock() - LAG_S
        self._since_s = min(self._until_s, clock() - window_s)
        self._plan: _Plan | None = None

    @property
    def step_s(self) -> float | None:
        """Seconds between two values; None before it is chosen."""
        return self._plan.step_s if self._plan is not None else None

    @property
    def left_s(self) -> float:
        """Seconds of the window that are still to be read."""
        if self._plan is None:
            return max(0.0, self._until_s - self._since_s)
        return self._plan.until_s - self._plan.since_s

    async def next(self) -> Rebuilt | None:
        """The traces of the newest slice not given out yet; None when there is no more.

        Raises PrometheusUnavailable; what was given out before stays so.
        """
        if self._plan is None:
            self._plan = await self._planned()
        plan, halvings = self._plan, 0
        while plan.until_s > plan.since_s:
            try:
                stretch = await self._stretch(plan.slice_since_s, plan.until_s, plan.step_s)
            except PrometheusUnavailable as error:
                often = error.passing and halvings == HALVINGS
                if not error.too_much or not plan.can_shrink() or often:
                    raise
                plan.shrink(for_good=not error.passing)
                halvings += 1
                continue
            found = await call_off_loop(partial(rebuild, stretch, self._roster))
            plan.advance()
            return found
        return None

    async def _stretch(self, since_s: float, until_s: float, step_s: float) -> Stretch:
        async def values(metric: str, around: str = "{}") -> Sequence[Series]:
            # By last_over_time nothing is shown for a time without samples: a plain selector would
            # go on with the last value for some minutes.
            query = around.format(f"last_over_time({metric}{self._selector}[{step_s:.0f}s])")
            return await self._range(query, since_s=since_s, until_s=until_s, step_s=step_s)

        return Stretch(
            step_s=step_s,
            assigned=await values(ASSIGNED),
            adds=await values(ADDS),
            dels=await values(DELS, "sum without (reason) ({})"),
            in_vain=await values(IN_VAIN),
        )

    async def _planned(self) -> _Plan:
        every_s = max(COUNTED_S / 10, (self._until_s - self._since_s) / COUNTS)
        counts = await self._counts(every_s)
        interval_s = await self._interval(float(counts.times_s[-1]))
        fair_s = _METRICS * float(counts.values.sum()) * every_s / VALUES_MAX
        step_s = interval_s * math.ceil(
            max(1.0, fair_s / interval_s, self._least_step_s / interval_s)
        )
        until_s = math.floor(self._until_s / step_s) * step_s
        seen_since_s = max(self._since_s, float(counts.times_s[0]) - max(every_s, COUNTED_S))
        steps = SLICE_BYTES / VALUE_BYTES / float(counts.values.max())
        return _Plan(
            since_s=until_s - math.ceil((until_s - seen_since_s) / step_s) * step_s,
            until_s=until_s,
            step_s=step_s,
            steps_max=min(STEPS_MAX, max(1, int(steps))),
        )

    async def _counts(self, every_s: float) -> Series:
        """How many nodes had values, over the window; the last moment is its end."""
        query = f"count(last_over_time({ASSIGNED}{self._selector}[{COUNTED_S:.0f}s]))"
        since_s = self._until_s - math.floor((self._until_s - self._since_s) / every_s) * every_s
        found = await self._range(query, since_s=since_s, until_s=self._until_s, step_s=every_s)
        if not found or not len(found[0].values):
            raise PrometheusUnavailable(
                f"there is no series {ASSIGNED}{self._selector}: check"
                " spec.demand.prometheus.matchers, and that Prometheus scrapes port 61678 of"
                " aws-node",
                reason="no-series",
            )
        return found[0]

    async def _interval(self, at_s: float) -> float:
        """Whole seconds between two scrapes of one aws-node, as its samples before `at_s` show."""
        for span_s in (COUNTED_S, COUNTED_S / 4, COUNTED_S / 16):
            query = f"{ASSIGNED}{self._selector}[{span_s:.0f}s]"
            try:
                found = await self._patiently(partial(self._client.samples, query, at_s=at_s))
            except PrometheusUnavailable as error:
                if not error.too_much:
                    raise
                continue
            apart_s = [np.diff(series.times_s) for series in found]
            between_s = np.concatenate(apart_s) if apart_s else np.empty(0)
            return max(1.0, round(float(np.median(between_s)))) if len(between_s) else span_s
        return COUNTED_S / 10

    async def _range(
        self, query: str, *, since_s: float, until_s: float, step_s: float
    ) -> list[Series]:
        ask = self._client.range
        return await self._patiently(
            partial(ask, query, since_s=since_s, until_s=until_s, step_s=step_s)
        )

    async def _patiently(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question that is asked again while it fails of what may pass."""
        wait_s = FIRST_WAIT_S
        for _ in range(TRIES - 1):
            try:
                return await question()
            except PrometheusUnavailable as error:
                if error.too_much or not error.passing:
                    raise
                await self._sleep(min(WAIT_MAX_S, max(wait_s, error.retry_after_s or 0.0)))
                wait_s *= 4
        return await question()
