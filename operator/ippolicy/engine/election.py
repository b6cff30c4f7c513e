"""Which of several operators acts: the one that holds the Lease, and no other.

    Lease                                what this operator does
    -----------------------------------  ------------------------------------------------------
    not there, or held by nobody         takes it
    its own                              renews it, each sixth of its duration
    another's, renewed meanwhile         waits
    another's, same for its duration     takes it
    its own, not renewed for two thirds  stops acting, for good: `lost` is set

The holder stops a third of the duration before another may begin. Time is the monotonic clock's,
which runs on while a process is stopped, so one that was stopped and goes on finds itself out of
office before it writes anything: each request that changes something asks `leading` right before
it is sent (`kube.api_client`), and a change of aws-node asks the Lease itself (`confirm`). What
asks neither ends with the process, which `on_loss` is for.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from ippolicy.act.lease import LeaseState
from ippolicy.errors import ActError, FactsChanged
from ippolicy.offloop import call_off_loop

LAST_WORD_S: Final = 1.0  # a stop waits no longer than this, and is over within 5 s

_log = logging.getLogger("ippolicy")


class Office(Protocol):
    """Whether this operator may act."""

    @property
    def leading(self) -> bool: ...
    async def confirm(self) -> bool: ...


class Alone:
    """The office of an operator that runs without an election."""

    leading = True

    async def confirm(self) -> bool:
        """Always."""
        return True


class Store(Protocol):
    """Where the Lease is."""

    def read(self) -> LeaseState | None: ...
    def write(self, state: LeaseState) -> None: ...


@dataclass(frozen=True, slots=True)
class _Sight:
    """A version of the Lease, and when it was first seen, on the monotonic clock."""

    version: str
    since_s: float


class Election:
    """Stands for office under the name `identity` until it was in office once.

    `on_loss` is called in the turn of the event loop in which the office is lost.

    Attributes:
        won: set while or after it was in office.
        lost: set once it is in office no more, or stands no more; the process should end then.
    """

    def __init__(
        self,
        store: Store,
        identity: str,
        *,
        duration_s: float,
        on_loss: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.identity = identity
        self.won = asyncio.Event()
        self.lost = asyncio.Event()
        self._store = store
        self._duration_s = duration_s
        self._on_loss = on_loss
        self._clock = clock
        self._wall_clock = wall_clock
        self._until_s = float("-inf")
        self._end: asyncio.TimerHandle | None = None
        self._sight: _Sight | None = None

    @property
    def retry_s(self) -> float:
        """Time between two looks at the Lease."""
        return self._duration_s / 6

    @property
    def leading(self) -> bool:
        """Whether this operator is in office at this very moment."""
        return self._clock() < self._until_s

    async def run(self) -> None:
        """Stand, then renew; returns once the office is lost."""
        try:
            while not self.lost.is_set():
                try:
                    await self._look()
                except ActError as error:
                    _log.warning("%s", error)
                await asyncio.sleep(self.retry_s)
        finally:
            self.lost.set()

    async def confirm(self) -> bool:
        """Whether the Lease itself says so, asked right before something is written."""
        if not self.leading:
            return False
        try:
            found = await call_off_loop(self._store.read)
        except ActError as error:
            _log.warning("%s", error)
            return False
        if found is None or found.holder != self.identity:
            self._lose("another holds the Lease")  # whatever this clock says
        return self.leading

    async def release(self) -> None:
        """Give the office up, so that another can have it at once."""
        if not self.leading:
            return
        self._leave()
        try:
            async with asyncio.timeout(LAST_WORD_S):
                await self._give_up_at_last()
        except (ActError, TimeoutError) as error:
            why = str(error) or "the API server did not answer in time"
            _log.warning("%s: another takes over once the Lease has run out", why)

    def _leave(self) -> None:
        self._until_s = float("-inf")
        if self._end is not None:
            self._end.cancel()

    def _lose(self, why: str) -> None:
        _log.error("%s is out of office: %s", self.identity, why)
        self._leave()
        self.lost.set()
        self._on_loss()

    def _enter(self, until_s: float) -> None:
        self._leave()
        self._until_s = until_s
        # However long an answer takes, and whoever stopped the process meanwhile.
        self._end = asyncio.get_running_loop().call_later(
            until_s - self._clock(), self._lose, "the Lease was not renewed in time"
        )

    async def _give_up_at_last(self) -> None:
        try:
            await self._give_up()
        except FactsChanged:  # a renewal was still on its way
            await self._give_up()

    async def _give_up(self) -> None:
        found = await call_off_loop(self._store.read)
        if found is not None and found.holder == self.identity:
            given_up = replace(found, holder="", duration_s=1, renewed_at_s=self._wall_clock())
            await call_off_loop(lambda: self._store.write(given_up))

    async def _look(self) -> None:
        started_s = self._clock()
        found = await call_off_loop(self._store.read)
        ours = found is not None and found.holder == self.identity
        if found is not None and not ours and not self._free(found):
            return
        try:
            await call_off_loop(lambda: self._store.write(self._claim(found)))
        except FactsChanged:
            return  # another was faster; the next look shows who
        # What counts is when it was asked for: an answer may be long on its way.
        self._enter(started_s + self._duration_s * 2 / 3)
        if not self.won.is_set():
            _log.info("%s is in office", self.identity)
            self.won.set()

    def _free(self, found: LeaseState) -> bool:
        if not found.holder:
            return True
        now_s = self._clock()
        if self._sight is None or self._sight.version != found.version:
            self._sight = _Sight(found.version, now_s)
        return now_s - self._sight.since_s >= found.duration_s

    def _claim(self, found: LeaseState | None) -> LeaseState:
        now_s = self._wall_clock()
        wanted = LeaseState(self.identity, math.ceil(self._duration_s), now_s, now_s)
        if found is None:
            return wanted
        if found.holder == self.identity:
            return replace(found, renewed_at_s=now_s)
        return replace(wanted, transitions=found.transitions + 1, version=found.version)
