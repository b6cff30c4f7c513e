"""Prints how long the webhook takes to answer, asked by another process over TLS on loopback.

    python scripts/bench_webhook.py [--rate 200] [--seconds 20] [--busy]

With --busy a thread of the server's process computes all the while, as a decision does.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from ippolicy.admission import WebhookServer
from ippolicy.admission.certificates import renewed
from ippolicy.admission.server import PATH
from reviews import PLACES, aws_node_pod, entries, review_of, tables


def main(arguments: Sequence[str]) -> int:
    """Run the server here and the client in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=200, help="reviews a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--busy", action="store_true", help="compute in another thread meanwhile")
    options = parser.parse_args(arguments)
    asyncio.run(_serve(options.rate, options.seconds, busy=options.busy))
    return 0


async def _serve(rate: int, seconds: int, *, busy: bool) -> None:
    ring = renewed(None, now_s=time.time(), hosts=("127.0.0.1",), published=b"")
    server = WebhookServer(tables(), lambda _, node: PLACES.get(node), host="127.0.0.1", port=0)
    await server.start(ring.serving)
    if busy:
        threading.Thread(target=_compute, daemon=True).start()
    started_s = time.process_time()
    client = multiprocessing.get_context("spawn").Process(
        target=_ask, args=(server.port, ring.bundle.decode(), rate, seconds)
    )
    client.start()
    await asyncio.to_thread(client.join)
    if not busy:  # on a machine with much else to do, this tells more than the times of answers
        spent_ms = (time.process_time() - started_s) * 1e3 / (rate * seconds)
        sys.stdout.write(f"{spent_ms:.2f} ms of CPU a review, in the server's process\n")
    await server.stop()


def _compute() -> None:
    for _ in itertools.count():
        pass


def _ask(port: int, bundle: str, rate: int, seconds: int) -> None:
    took_ms = sorted(asyncio.run(_asked(port, bundle, rate, rate * seconds)))
    shown = {name: took_ms[int(len(took_ms) * share)] for name, share in _SHARES.items()}
    figures = "  ".join(f"{name} {value:.2f} ms" for name, value in shown.items())
    sys.stdout.write(f"{len(took_ms)} reviews at {rate} a second: {figures}\n")


_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


async def _asked(port: int, bundle: str, rate: int, count: int) -> list[float]:
    url = f"https://127.0.0.1:{port}{PATH}"
    trust = ssl.create_default_context(cadata=bundle)
    env = {f"SETTING_{number}": "value" for number in range(30)}
    body = json.dumps(review_of(aws_node_pod(env=entries(env)))).encode()
    took_ms: list[float] = []

    async def ask(session: aiohttp.ClientSession) -> None:
        started_s = time.perf_counter()
        async with session.post(url, data=body, ssl=trust) as reply:
            await reply.read()
        reply.raise_for_status()
        took_ms.append((time.perf_counter() - started_s) * 1e3)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        first_s = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(first_s + number / rate - time.perf_counter())
            group.create_task(ask(session))
    return took_ms


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
