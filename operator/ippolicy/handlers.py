"""The kopf wiring, thin: policies in, deletion held by a finalizer, start and stop.

`ippolicy run` and `kopf run -m ippolicy.handlers --standalone --all-namespaces` are the same.
"""

from __future__ import annotations

import math
import os
from typing import Any

import kopf

from ippolicy.api import GROUP, PLURAL, VERSION
from ippolicy.engine import Operator
from ippolicy.errors import IPPolicyError
from ippolicy.settings import Settings, load

_RETRY_DELAY_S = 5.0


@kopf.on.startup()
async def start(memo: kopf.Memo, settings: kopf.OperatorSettings, **_: Any) -> None:
    """Start the engine, with the settings of the command line or else of the environment."""
    ours: Settings = memo.get("settings") or load(os.environ)
    _configure(settings, ours)
    try:
        memo.operator = Operator(ours)
        await memo.operator.start()
    except IPPolicyError as error:
        raise kopf.PermanentError(str(error)) from error  # trying again would change nothing


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """Stop the engine; the cluster keeps the settings that are in place."""
    if "operator" in memo:
        await memo.operator.stop()


@kopf.on.event(GROUP, VERSION, PLURAL)
async def follow(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Hand each change of a policy to the engine."""
    if event["type"] == "DELETED":
        memo.operator.engine.forget(event["object"]["metadata"]["name"])
    else:
        memo.operator.engine.take(dict(event["object"]))


@kopf.on.delete(GROUP, VERSION, PLURAL)
async def retire(body: kopf.Body, memo: kopf.Memo, started: Any, **_: Any) -> None:
    """Put the originals back before a policy goes; kopf keeps it there until this returns."""
    problem = await memo.operator.engine.retire(dict(body), since_s=started.timestamp())
    if problem is not None:
        raise kopf.TemporaryError(problem, delay=_RETRY_DELAY_S)


def _configure(settings: kopf.OperatorSettings, ours: Settings) -> None:
    settings.persistence.finalizer = f"{GROUP}/restore"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.networking.request_timeout = ours.api_timeout.seconds
    settings.watching.server_timeout = math.ceil(ours.watch_timeout.seconds)
    settings.watching.client_timeout = ours.watch_timeout.seconds + ours.api_timeout.seconds
