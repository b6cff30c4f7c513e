"""The kopf wiring, thin: deletion held by a finalizer, start and stop.

Every operator watches; kopf, which writes to the policies, runs only in the one that is in office.
Kopf ends its work before it stops, and knows of no office, so a process that lost it ends at once.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import Awaitable
from typing import Any

import kopf

from ippolicy.api import FINALIZER, GROUP, PLURAL, VERSION
from ippolicy.engine import Operator
from ippolicy.errors import OutOfOffice
from ippolicy.settings import Settings

_RETRY_DELAY_S = 5.0


async def serve(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        OutOfOffice: it stands for office no more, so this process must end.
        InvalidSetting: it cannot start like this.
    """
    stop = asyncio.Event()
    _set_by_signals(stop)
    operator = Operator(settings, on_loss=lambda: os._exit(1))
    await operator.start()
    try:
        election = operator.election
        if election is not None:
            await _first_of(election.won.wait(), election.lost.wait(), stop.wait())
        if not stop.is_set() and (election is None or election.leading):
            operator.engine.look()
            lost = election.lost if election is not None else asyncio.Event()
            holding = _hold_policies(operator, settings, stop)
            await _first_of(holding, lost.wait(), stop.wait())
        if election is not None and election.lost.is_set():
            raise OutOfOffice(f"{election.identity} is out of office: start it again")
    finally:
        await operator.stop()


async def _hold_policies(operator: Operator, settings: Settings, stop: asyncio.Event) -> None:
    """Let kopf keep policies from going before their originals are back, until it is cancelled.

    It takes signals for itself, and would then wait 5 s for tasks of ours that began meanwhile.
    """
    others = asyncio.all_tasks()
    memo = kopf.Memo(operator=operator, settings=settings)
    # Said to nobody, as there are no peers; left to kopf, a user without a name ends the start.
    identity: Any = "ippolicy-operator"
    tasks = await kopf.spawn_tasks(standalone=True, clusterwide=True, identity=identity, memo=memo)
    _set_by_signals(stop)
    await kopf.run_tasks(tasks, ignored=others)


def _set_by_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _first_of(*waits: Awaitable[Any]) -> None:
    """Wait until one of them ends, and end the others. Raises what the first of them failed of."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done:
        task.result()


@kopf.on.startup()
async def configure(memo: kopf.Memo, settings: kopf.OperatorSettings, **_: Any) -> None:
    """Tell kopf how to keep its marks on policies, and how long to wait."""
    ours: Settings = memo.settings
    settings.persistence.finalizer = FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.networking.request_timeout = ours.api_timeout.seconds
    settings.watching.server_timeout = math.ceil(ours.watch_timeout.seconds)
    settings.watching.client_timeout = ours.watch_timeout.seconds + ours.api_timeout.seconds


@kopf.on.delete(GROUP, VERSION, PLURAL)
async def retire(body: kopf.Body, memo: kopf.Memo, started: Any, **_: Any) -> None:
    """Put the originals back before a policy goes; kopf keeps it there until this returns."""
    problem = await memo.operator.engine.retire(dict(body), since_s=started.timestamp())
    if problem is not None:
        raise kopf.TemporaryError(problem, delay=_RETRY_DELAY_S)
