"""Decisions, and an operator in a cluster that serves them, as the command line finds it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from builders import policy, snapshot, trace
from ippolicy.account.exporter import Exporter
from ippolicy.account.health import Health
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.gates import Limits
from ippolicy.engine.bundles import Bundles
from ippolicy.engine.server import Server
from observe_servers import kubeconfig, serving

REPLACED = [(float(at_s), step) for at_s in range(300, 7_000, 600) for step in (-1, 1)]
"""A pod that goes and one that comes, every ten minutes."""
PROXY = "/api/v1/namespaces/kube-system/services/ippolicy-operator:http/proxy"


def story(spec: dict[str, Any] | None = None, name: str = "default", **changes: Any) -> Inputs:
    """The first story, with a pod replaced on each node now and then."""
    found = Inputs(
        policy=replace(policy(spec), name=name),
        snapshot=snapshot(),
        traces=[trace(n, events=REPLACED) for n in range(10)],
        record=None,
        limits=Limits(),
        by_replay=True,
    )
    return replace(found, **changes)


@asynccontextmanager
async def cluster(folder: Path, *asked: Inputs) -> AsyncIterator[Path]:
    """A kubeconfig of an API server whose service proxy leads to an operator that decided on all
    of `asked`."""
    bundles = Bundles()
    for inputs in asked:
        bundles.keep(inputs, decide(inputs))
    operator = Server(
        Exporter(), alive=Health, ready=Health, bundles=bundles, host="127.0.0.1", port=0
    )
    await operator.start()

    async def proxy(request: web.Request) -> web.StreamResponse:
        if not request.path.startswith(PROXY):
            return web.Response(status=404)
        target = f"http://127.0.0.1:{operator.port}{request.path.removeprefix(PROXY)}"
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.get(target) as answer,
        ):
            passed = {"Content-Encoding", "Content-Type"} & set(answer.headers)
            headers = {name: answer.headers[name] for name in passed}
            return web.Response(status=answer.status, body=await answer.read(), headers=headers)

    try:
        async with serving(proxy) as url:
            yield kubeconfig(folder / "kubeconfig", url)
    finally:
        await operator.stop()
