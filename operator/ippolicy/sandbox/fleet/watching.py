"""Lists and watches one resource for as long as it is asked to, and tells a listener."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from ippolicy.sandbox.fleet.kubeclient import KubeClient, KubeRefused, Object

REOPEN_AFTER_S: Final = 0.2
WATCH_TIMEOUT_S: Final = 240
_EXPIRED: Final = 410


async def follow(
    client: KubeClient,
    path: str,
    *,
    on_list: Callable[[Iterable[Object]], None],
    on_event: Callable[[str, Object], None],
) -> None:
    """Give `on_list` all objects, then `on_event` each change (ADDED, MODIFIED, DELETED).

    A watch that ends is taken up where it ended; where that is too long ago, `on_list` is called
    anew and replaces all before. Runs until cancelled.
    """
    version = ""
    while True:
        if not version:
            items, version = await client.list(path)
            on_list(items)
        try:
            async for kind, changed in client.watch(
                path, resourceVersion=version, timeoutSeconds=str(WATCH_TIMEOUT_S)
            ):
                version = changed["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    on_event(kind, changed)
        except KubeRefused as refusal:
            if refusal.status == _EXPIRED:
                version = ""
        await asyncio.sleep(REOPEN_AFTER_S)
