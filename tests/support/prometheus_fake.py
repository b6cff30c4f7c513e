"""A Prometheus on loopback that does exactly what a test orders."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
from aiohttp import web

SCRAPED_EVERY_S = 30.0


@dataclass
class MoodyPrometheus:
    """Scraped `nodes` every 30 s up to `now_s`, always with one pod each.

    To the first questions about values it answers with the statuses in `moods`, where 0 is to
    hang. `steps` has the number of steps of each question, `slept` what the asker waited.
    """

    now_s: float
    moods: list[int] = field(default_factory=list)
    retry_after_s: int | None = None
    nodes: tuple[str, ...] = ("node-0",)
    steps: list[int] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """The handler of all requests."""
        form = await request.post()
        since_s, until_s, step_s = self.now_s - 600, self.now_s - 60, SCRAPED_EVERY_S
        if "start" in form:
            since_s, until_s, step_s = (float(str(form[k])) for k in ("start", "end", "step"))
        times_s = np.arange(since_s, until_s + 0.001, step_s).tolist()
        self.steps.append(len(times_s) - 1)
        query = str(form["query"])
        mood = self.moods.pop(0) if self.moods and query.startswith("last") else 200
        if not mood:
            await asyncio.sleep(30)
        if mood != 200:
            later = self.retry_after_s
            headers = {} if later is None else {"Retry-After": str(later)}
            return web.Response(status=mood, headers=headers)
        values = [[at_s, "1"] for at_s in times_s]
        nodes = self.nodes if not query.startswith("count") else self.nodes[:1]
        result = [{"metric": {"node": node}, "values": values} for node in nodes]
        return web.json_response({"status": "success", "data": {"result": result}})

    async def sleep(self, span_s: float) -> None:
        """Waits no time."""
        self.slept.append(span_s)
        await asyncio.sleep(0)
