"""How long the webhook takes to answer while the operator computes, beside one that only echoes.

    python scripts/bench_webhook.py [--rate 200] [--seconds 20] [--nodes 5000] [--groups 12]

The webhook runs as the operator runs it, and the operator beside it observes a fleet and, in the
second half, searches without a pause. An echo server, nothing but TLS, runs in a process of its
own. A client in another asks both in turn, each at the full rate, whether or not answers come:
times count from when a question was due. It asks as the API server does, which speaks HTTP/1.1 with
webhooks behind a Service, has one question a connection at a time, and keeps 25 idle connections.
What the echo takes is the machine's own share; the rest is ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from measure_operator import Rooms

from ippolicy.admission import Verdict, WebhookProcess
from ippolicy.admission.certificates import renewed
from ippolicy.admission.server import PATH
from ippolicy.decide.births.table import GroupTargets, PolicyTable
from ippolicy.engine.places import LivePlaces
from ippolicy.ipamd import WarmTargets
from keepalive import Client, echoing
from reviews import AWS_NODE, aws_node_pod, entries, review_of

HOST = "127.0.0.1"
PROMISE_MS = 5.0
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
PROCESSES = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Asked:
    """What the client is to do."""

    ports: Sequence[int]
    bundle: str
    rate: int
    seconds: int
    nodes: int


def main(arguments: Sequence[str]) -> int:
    """Print a row for each server, first at rest, then while the operator searches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=200, help="reviews a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--groups", type=int, default=12)
    asyncio.run(_bench(parser.parse_args(arguments)))
    return 0


async def _bench(options: argparse.Namespace) -> None:
    ring = renewed(None, now_s=time.time(), hosts=(HOST,), published=b"")
    server = WebhookProcess(host=HOST, port=0)
    rooms = Rooms(options.nodes, groups=options.groups, search_always=True)
    cluster = rooms.observer.cluster
    places = LivePlaces(cluster.nodes, server.place)
    cluster.on_node = places.node_changed
    places.group_by({AWS_NODE: ()})
    server.answer_by({AWS_NODE: _table(options.groups)})
    await server.start(ring.serving)
    await rooms.start()
    await _until_searched(rooms)
    with echoing(HOST, ring.serving) as (_, echo_port):
        ports = (server.port, echo_port)
        asked = Asked(ports, ring.bundle.decode(), options.rate, options.seconds, options.nodes)
        _tell("| operator | server | p50 | p90 | p99 | max | over 5 ms | load of the machine |")
        _tell("|---|---|---|---|---|---|---|---|")
        await _round("looks on", asked)
        searching = asyncio.create_task(_search(rooms))
        await _round("searches", asked)
        searching.cancel()
    await server.stop()
    _tell(f"{rooms.searches} searches meanwhile; answers: {_counted(server)}")
    await rooms.stop()


def _table(groups: int) -> PolicyTable:
    return PolicyTable(
        "default",
        groups={
            f"group-{number}": GroupTargets(WarmTargets(warm_ip=2, minimum_ip=number), 1)
            for number in range(groups)
        },
    )


async def _until_searched(rooms: Rooms) -> None:
    """Until lists are read and a search was made: what is done once is no part of the figures."""
    while not rooms.searches:
        await asyncio.sleep(0.1)
        await rooms.decide()


async def _search(rooms: Rooms) -> None:
    while True:
        await rooms.decide()


async def _round(doing: str, asked: Asked) -> None:
    ours, theirs = PROCESSES.Pipe()
    client = PROCESSES.Process(target=_ask, args=(asked, theirs), daemon=True)
    client.start()
    for name, took_ms in zip(("webhook", "echo"), await asyncio.to_thread(ours.recv), strict=True):
        took_ms.sort()
        shown = [took_ms[int(len(took_ms) * share)] for share in SHARES.values()]
        figures = " | ".join(f"{value:.2f} ms" for value in (*shown, took_ms[-1]))
        late = sum(value > PROMISE_MS for value in took_ms) / len(took_ms)
        load = os.getloadavg()[0]
        _tell(f"| {doing} | {name} | {figures} | {late:.1%} | {load:.1f} of {os.cpu_count()} |")
    await asyncio.to_thread(client.join)


def _counted(server: WebhookProcess) -> str:
    counts = ((verdict, server.counts[verdict]) for verdict in Verdict)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts if count)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _ask(asked: Asked, told: Connection) -> None:
    told.send(asyncio.run(_asked(asked)))


async def _asked(asked: Asked) -> list[list[float]]:
    trust = ssl.create_default_context(cadata=asked.bundle)
    clients = [Client(HOST, port, trust) for port in asked.ports]
    took_ms: list[list[float]] = [[] for _ in clients]
    env = entries({f"SETTING_{number}": "value" for number in range(30)})
    bodies = [
        json.dumps(review_of(aws_node_pod(f"node-{number}", env=env))).encode()
        for number in range(0, asked.nodes, max(1, asked.nodes // 500))
    ]

    async def ask(which: int, body: bytes, due_s: float) -> None:
        answer = await clients[which].post(PATH, body)
        took_ms[which].append((time.perf_counter() - due_s) * 1e3)
        assert answer.startswith(b"{")  # noqa: S101

    for client in clients:  # connections of the hours before
        await asyncio.gather(*(client.post(PATH, bodies[0]) for _ in range(5)))
    first_s = time.perf_counter() + 0.1
    async with asyncio.TaskGroup() as group:
        for number in range(asked.rate * asked.seconds):
            for which in range(len(clients)):
                due_s = first_s + (number + which / len(clients)) / asked.rate
                await asyncio.sleep(due_s - time.perf_counter())
                group.create_task(ask(which, bodies[number % len(bodies)], due_s))
    for client in clients:
        client.close()
    return took_ms


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
