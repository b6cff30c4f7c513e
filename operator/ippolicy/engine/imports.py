"""Fills the histories of demand from the Prometheus that policies name, in the background."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ippolicy.account.exporter import Exporter
from ippolicy.api import IPPolicy, Prometheus
from ippolicy.decide.history import DemandHistory
from ippolicy.errors import PrometheusUnavailable
from ippolicy.facts import (
    DaemonSetRef,
    NodeFacts,
    NodeTrace,
    Snapshot,
    SourceName,
    SourceState,
)
from ippolicy.observe.prometheus import PrometheusReader
from ippolicy.observe.prometheus_auth import authorizer
from ippolicy.observe.prometheus_client import Counted, PrometheusClient

AWAY_S = 600.0
"""A policy that was not looked at for so long has missed demand, which is asked for again."""
FIRST_WAIT_S = 30.0
WAIT_MAX_S = 600.0
ADOPTED_AT_ONCE = 100  # traces, between two of which probes and watches have their turn
TOLD_EVERY_S = 60.0
NOT_READ_YET = SourceState(None)

_log = logging.getLogger("ippolicy")


@dataclass(slots=True, eq=False)
class _Import:
    """What is being read for one DaemonSet, for a policy that asks so."""

    policy: str
    asked: Prometheus
    window_s: float
    nodes: Sequence[NodeFacts]
    history: DemandHistory
    seen_at_s: float
    state: SourceState = NOT_READ_YET
    task: asyncio.Task[None] | None = None
    adopted: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)


def connect(asked: Prometheus, counted: Counted) -> PrometheusClient:
    """A client for the Prometheus of a policy."""
    return PrometheusClient(asked.url, authorizer(asked), counted)


class Imports:
    """One task a DaemonSet reads its policy's Prometheus once, from the newest to the oldest.

    Each slice is adopted as it comes. What fails is tried again with longer and longer waits, from
    where it stopped; the loop goes on without it meanwhile.
    """

    def __init__(
        self,
        exporter: Exporter,
        *,
        connect: Callable[[Prometheus, Counted], PrometheusClient] = connect,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._exporter = exporter
        self._connect = connect
        self._clock = clock
        self._sleep = sleep
        self._running: dict[DaemonSetRef, _Import] = {}

    def serve(
        self, policy: IPPolicy, ref: DaemonSetRef, snapshot: Snapshot, history: DemandHistory
    ) -> Snapshot:
        """See to it that what the policy asks for is or was read into `history`.

        Gives the snapshot with the state of this source, or as it is where none is asked for.
        """
        asked = policy.spec.demand.prometheus
        if asked is None:
            self._end(ref)
            return snapshot
        # Whose node a series is of, and so its group, can only be told once nodes are known.
        if snapshot.sources[SourceName.NODES].succeeded_at_s is None:
            return snapshot
        window_s = (asked.window or policy.spec.demand.window).seconds
        run, now_s = self._running.get(ref), snapshot.taken_at_s
        if (
            run is None
            or (run.asked, run.window_s, run.history) != (asked, window_s, history)
            or now_s - run.seen_at_s > AWAY_S
        ):
            self._end(ref)
            run = _Import(policy.name, asked, window_s, snapshot.nodes, history, now_s)
            run.task = asyncio.create_task(self._fill(run), name=f"import {ref}")
            run.task.add_done_callback(partial(self._ended, run))
            self._running[ref] = run
        run.nodes, run.seen_at_s = snapshot.nodes, now_s
        return replace(snapshot, sources={**snapshot.sources, SourceName.PROMETHEUS: run.state})

    def keep(self, refs: Collection[DaemonSetRef]) -> None:
        """Give up what is read for other DaemonSets than these."""
        for ref in [ref for ref in self._running if ref not in refs]:
            self._end(ref)

    async def stop(self) -> None:
        """Give up everything."""
        tasks = [run.task for run in self._running.values() if run.task is not None]
        self.keep(())
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, ref: DaemonSetRef) -> None:
        run = self._running.pop(ref, None)
        if run is not None and run.task is not None:
            run.task.cancel()

    async def _fill(self, run: _Import) -> None:
        client = self._connect(run.asked, self._counted)
        reader, wait_s = None, FIRST_WAIT_S
        try:
            while True:
                if reader is None or not reader.left_s:
                    reader = self._reader(client, run)
                left_s = reader.left_s
                try:
                    await self._read(reader, run)
                except PrometheusUnavailable as error:
                    run.state = SourceState(run.state.succeeded_at_s, str(error))
                    wait_s = FIRST_WAIT_S if reader.left_s < left_s else wait_s
                    _log.warning("policy %s: %s; next try in %.0f s", run.policy, error, wait_s)
                else:
                    return
                await self._sleep(wait_s)
                wait_s = min(2 * wait_s, WAIT_MAX_S)
        finally:
            await client.close()

    def _reader(self, client: PrometheusClient, run: _Import) -> PrometheusReader:
        return PrometheusReader(
            client,
            run.asked,
            run.nodes,
            window_s=run.window_s,
            clock=self._clock,
            sleep=self._sleep,
        )

    async def _read(self, reader: PrometheusReader, run: _Import) -> None:
        """Adopt all that is left to be read. Raises PrometheusUnavailable."""
        told_at_s = float("-inf")
        while (found := await reader.next()) is not None:
            await self._adopt(found.traces, run)
            self._exporter.left_out(run.policy, len(found.left_out - run.left_out))
            run.left_out |= found.left_out
            run.state = SourceState(self._clock())
            if self._clock() - told_at_s >= TOLD_EVERY_S:
                told_at_s = self._clock()
                _log.info(
                    "policy %s: reading Prometheus, a value every %.0f s; %.1f h are left to read",
                    run.policy,
                    reader.step_s,
                    reader.left_s / 3_600,
                )
        if not run.adopted:
            raise PrometheusUnavailable(
                f"no series of {run.asked.url} names a node that is there, and none has a label of"
                f" its node group ({len(run.left_out)} nodes left out): check"
                " spec.demand.prometheus.nodeLabel and matchers",
                reason="no-nodes",
            )
        _log.info(
            "policy %s: demand of %d nodes was read from Prometheus; %d nodes that are gone were "
            "left out, as no label tells their group",
            run.policy,
            len(run.adopted),
            len(run.left_out),
        )

    async def _adopt(self, traces: Sequence[NodeTrace], run: _Import) -> None:
        for start in range(0, len(traces), ADOPTED_AT_ONCE):
            some = traces[start : start + ADOPTED_AT_ONCE]
            run.history.adopt(some)
            run.adopted |= {trace.node for trace in some}
            self._exporter.imported(run.policy, sum(trace.span_s for trace in some))
            await asyncio.sleep(0)

    def _counted(self, operation: str, reason: str | None) -> None:
        self._exporter.called("prometheus", operation)
        if reason is not None:
            self._exporter.failed("prometheus", operation, reason)

    def _ended(self, run: _Import, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        _log.error("reading Prometheus failed, which is a fault of the operator", exc_info=error)
        self._exporter.failed("engine", "import", type(error).__name__)
        run.state = SourceState(
            run.state.succeeded_at_s,
            f"reading broke down ({type(error).__name__}): see the operator's log, and restart it",
        )
