"""Keeps the demand history of each DaemonSet on the cluster, so that a restart goes on from there.

A checkpoint is read once before the first decision on a DaemonSet, written every `interval_s` and
when the operator stops, and removed once no policy is about the DaemonSet. Nothing is written
before it was read: a history of minutes must not take the place of one of days.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ippolicy.account.exporter import Exporter
from ippolicy.act.checkpoints import (
    NO_CHECKPOINT,
    CheckpointState,
    CheckpointStore,
    CheckpointTrouble,
)
from ippolicy.act.requests import CallFailed
from ippolicy.api import IPPolicy, Mode
from ippolicy.decide.checkpoint import MOST_EVENTS
from ippolicy.decide.history import DemandHistory
from ippolicy.engine.deciding import Decider
from ippolicy.errors import ActError, CorruptCheckpoint, NewerCheckpoint
from ippolicy.facts import DaemonSetRef, NodeTrace
from ippolicy.offloop import call_off_loop

RETRY_S: Final = 60.0
LAST_WORD_S: Final = 2.0  # a stop waits no longer than this, and is over within 5 s
ADOPTED_AT_ONCE: Final = 500  # traces, between two of which probes and watches have their turn

_log = logging.getLogger("ippolicy")

Owners = Mapping[DaemonSetRef, Sequence[IPPolicy]]
"""The policies about each DaemonSet, the one that acts first."""


class Checkpoints:
    """Checkpoints of `histories`, which the engine adds to."""

    def __init__(
        self,
        store: CheckpointStore,
        exporter: Exporter,
        histories: Mapping[DaemonSetRef, DemandHistory],
        *,
        decider: Decider,
        clock: Callable[[], float],
        interval_s: float,
    ) -> None:
        self._store = store
        self._decider = decider
        self._exporter = exporter
        self._histories = histories
        self._clock = clock
        self._interval_s = interval_s
        self._states: dict[DaemonSetRef, CheckpointState] = {}
        self._read: set[DaemonSetRef] = set()
        self._unwanted: set[DaemonSetRef] = set()
        self._gone: set[DaemonSetRef] = set()
        self._sending = asyncio.Lock()

    def state(self, ref: DaemonSetRef) -> CheckpointState:
        """How the checkpoint of a DaemonSet stands."""
        return self._states.get(ref, NO_CHECKPOINT)

    async def restore(self, policy: IPPolicy, ref: DaemonSetRef) -> None:
        """Let the history of `ref` adopt what is kept of it, once; tried again until that is known.

        What is damaged is dropped, what is of a newer operator left alone.
        """
        if ref in self._read:
            return
        try:
            kept = await call_off_loop(lambda: self._store.read(ref))
        except CorruptCheckpoint as error:
            self._trouble(policy, ref, CheckpointTrouble.DROPPED, error)
        except NewerCheckpoint as error:
            self._trouble(policy, ref, CheckpointTrouble.NEWER, error)
        except ActError as error:
            self._trouble(policy, ref, CheckpointTrouble.FAILED, error)
            return
        else:
            self._states[ref] = NO_CHECKPOINT
            if kept is not None:
                await self._adopt(ref, kept.traces)
                self._states[ref] = CheckpointState(kept.saved_at_s)
                self._exporter.checkpointed(policy.name, "Restored")
                age_s = self._clock() - kept.saved_at_s
                _log.info(
                    "policy %s: %d traces of demand, kept %.0f s ago, were taken up",
                    policy.name,
                    len(kept.traces),
                    age_s,
                )
        await self._adopt_beside(policy, ref)
        self._read.add(ref)

    async def run(self, owners: Callable[[], Owners]) -> None:
        """Keep all histories every interval, for ever; what failed is tried again sooner."""
        wait_s = self._interval_s  # no time of day, which may jump
        while True:
            await asyncio.sleep(wait_s)
            try:
                await self.keep(owners())
            except Exception as error:  # noqa: BLE001  (told and counted, as of a pass)
                _log.exception("a checkpoint failed, which is a fault of the operator: %s", error)
                self._exporter.failed("engine", "checkpoint", type(error).__name__)
            failed = any(s.trouble is CheckpointTrouble.FAILED for s in self._states.values())
            wait_s = min(self._interval_s, RETRY_S) if failed else self._interval_s

    async def keep(self, owners: Owners) -> None:
        """Write a checkpoint of every history that a policy asks for."""
        async with self._sending:
            for ref, policies in owners.items():
                await self._keep(ref, policies)

    async def keep_before_the_end(self, owners: Owners) -> None:
        """Write all once more, in little time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await self.keep(owners)

    async def drop_others(
        self, wanted: Collection[DaemonSetRef], former: Iterable[DaemonSetRef]
    ) -> None:
        """Remove what was kept of DaemonSets, those of `former` too, that are not `wanted`."""
        self._gone -= set(wanted)
        unwanted = self._unwanted | self._read | (set(former) - self._gone)
        self._unwanted = unwanted - set(wanted)
        if self._unwanted:
            async with self._sending:
                for ref in sorted(self._unwanted):
                    await self._drop(ref)

    async def _adopt(self, ref: DaemonSetRef, traces: Sequence[NodeTrace]) -> None:
        now_s = self._clock()
        for start in range(0, len(traces), ADOPTED_AT_ONCE):
            some = traces[start : start + ADOPTED_AT_ONCE]
            # Of a clock that was ahead, what is still to come.
            self._histories[ref].adopt(t.between(t.since_s, now_s) for t in some)
            await asyncio.sleep(0)

    async def _adopt_beside(self, policy: IPPolicy, ref: DaemonSetRef) -> None:
        """What is kept beside demand, where it can be read: without it, all is watched anew."""
        try:
            subnets = await call_off_loop(lambda: self._store.read_subnets(ref))
            if subnets is not None:
                self._decider.adopt_subnets(ref, subnets)
            signals = await call_off_loop(lambda: self._store.read_signals(ref))
            if signals is not None:
                self._decider.adopt_signals(ref, signals)
        except (ActError, CorruptCheckpoint, NewerCheckpoint) as error:
            _log.warning("policy %s: subnets and EC2 are watched anew: %s", policy.name, error)

    async def _keep(self, ref: DaemonSetRef, policies: Sequence[IPPolicy]) -> None:
        history, policy = self._histories.get(ref), policies[0]
        if not history or ref not in self._read or policy.spec.mode is Mode.OFF:
            return
        if self.state(ref).trouble is CheckpointTrouble.NEWER:
            self._read.discard(ref)  # it may have been deleted, as the message says: look again
            return
        now_s = self._clock()
        traces = history.sample(now_s, events=MOST_EVENTS)
        try:
            size_bytes = await call_off_loop(
                lambda: self._store.write(
                    ref,
                    traces,
                    now_s,
                    owners=policies,
                    subnets=self._decider.packed_subnets(ref),
                    signals=self._decider.packed_signals(ref),
                )
            )
        except ActError as error:
            self._trouble(policy, ref, CheckpointTrouble.FAILED, error)
            return
        self._states[ref] = CheckpointState(now_s, size_bytes)
        self._exporter.checkpointed(policy.name, "Written")

    async def _drop(self, ref: DaemonSetRef) -> None:
        try:
            await call_off_loop(lambda: self._store.delete(ref))
        except ActError as error:
            if not isinstance(error, CallFailed) or error.retryable:
                return  # it is tried again at the next pass
            _log.warning("%s: remove it by hand", error)
        self._gone.add(ref)
        self._unwanted.discard(ref)
        self._read.discard(ref)
        self._states.pop(ref, None)

    def _trouble(
        self, policy: IPPolicy, ref: DaemonSetRef, trouble: CheckpointTrouble, error: Exception
    ) -> None:
        before, message = self.state(ref), str(error)
        self._states[ref] = replace(before, trouble=trouble, message=message)
        self._exporter.checkpointed(policy.name, trouble.value.removeprefix("Checkpoint"))
        if message != before.message:
            _log.warning("policy %s: %s", policy.name, message)
