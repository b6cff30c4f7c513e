"""The webhook over real TLS: right answers, small and large, one after another and at speed."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import sys
import time
from typing import Any

import aiohttp
import pytest

from ippolicy.admission import Tables, Verdict, WebhookServer
from ippolicy.admission.certificates import Keyring, renewed
from ippolicy.admission.server import MAX_BODY_BYTES, PATH
from ippolicy.errors import InvalidSetting
from reviews import PLACES, aws_node_pod, entries, review_of

REVIEW = review_of(aws_node_pod(env=entries({"WARM_ENI_TARGET": "1"})))


def trusting(ring: Keyring) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ring.bundle.decode())


async def post(server: WebhookServer, ring: Keyring, body: bytes, path: str = PATH) -> Any:
    """Status and decoded answer of one request on a connection of its own."""
    url = f"https://127.0.0.1:{server.port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), ssl=trusting(ring)) as reply,
    ):
        text = await reply.text()
        return reply.status, json.loads(text) if text.startswith("{") else text


async def test_a_review_is_answered(server: WebhookServer, ring: Keyring) -> None:
    status, body = await post(server, ring, json.dumps(REVIEW).encode())
    assert status == 200
    assert (body["apiVersion"], body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert body["response"]["uid"] == "3f2b"
    assert body["response"]["allowed"] is True
    assert body["response"]["patchType"] == "JSONPatch"
    assert server.counts[Verdict.MUTATED] == 1


async def test_answers_are_counted_by_what_became_of_the_pod(
    server: WebhookServer, ring: Keyring
) -> None:
    assert set(server.counts) == set(Verdict)
    for node in ("node-1", "node-9", "node-9"):
        await post(server, ring, json.dumps(review_of(aws_node_pod(node))).encode())
    await post(server, ring, b"{")
    counted = {verdict: count for verdict, count in server.counts.items() if count}
    assert counted == {Verdict.MUTATED: 1, Verdict.UNKNOWN_NODE: 2, Verdict.MALFORMED: 1}


async def test_who_stops_it_while_another_does_finds_it_stopped(
    server: WebhookServer, ring: Keyring
) -> None:
    async with asyncio.timeout(10):
        await asyncio.gather(*(server.stop() for _ in range(3)))
        assert not server.running
        await asyncio.gather(*(server.start(ring.serving) for _ in range(3)))
        assert (await post(server, ring, json.dumps(REVIEW).encode()))[0] == 200


async def test_who_is_cancelled_while_it_stops_leaves_it_to_be_stopped_again(
    server: WebhookServer,
) -> None:
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(stopping, return_exceptions=True)
        await server.stop()
    assert not server.running


async def test_what_is_no_review_is_a_bad_request(server: WebhookServer, ring: Keyring) -> None:
    assert await post(server, ring, b"[]") == (400, "Malformed\n")


async def test_a_body_that_is_too_large_is_refused(server: WebhookServer, ring: Keyring) -> None:
    status, text = await post(server, ring, b" " * (MAX_BODY_BYTES + 1))
    assert (status, text) == (413, "TooLarge\n")
    assert server.counts[Verdict.TOO_LARGE] == 1


async def test_a_large_pod_is_no_trouble(server: WebhookServer, ring: Keyring) -> None:
    pod = aws_node_pod(annotations={"big": "x" * (MAX_BODY_BYTES - 10_000)})
    status, body = await post(server, ring, json.dumps(review_of(pod)).encode())
    assert status == 200
    assert "patch" in body["response"]


async def test_nothing_else_is_served(server: WebhookServer, ring: Keyring) -> None:
    status, _ = await post(server, ring, b"{}", "/metrics")
    assert status == 404


async def test_a_new_certificate_is_shown_without_a_restart(
    server: WebhookServer, ring: Keyring
) -> None:
    other = renewed(None, now_s=time.time(), hosts=("127.0.0.1",), published=b"")
    url = f"https://127.0.0.1:{server.port}{PATH}"
    data = json.dumps(REVIEW).encode()
    trust = trusting(ring)
    async with aiohttp.ClientSession() as session:
        async with session.post(url, data=data, ssl=trust) as reply:
            assert reply.status == 200
        server.present(other.serving)
        async with session.post(url, data=data, ssl=trust) as reply:
            assert reply.status == 200, "the connection that was open stays open"
    assert (await post(server, other, data))[0] == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await post(server, ring, data)


async def test_it_answers_while_the_operator_is_busy(server: WebhookServer, ring: Keyring) -> None:
    asking = asyncio.to_thread(asyncio.run, post(server, ring, json.dumps(REVIEW).encode()))
    task = asyncio.ensure_future(asking)
    await asyncio.sleep(0.01)
    deadline = time.monotonic() + 5
    while not server.counts[Verdict.MUTATED]:  # this loop turns no more, as in a long pass
        assert time.monotonic() < deadline
        time.sleep(0.005)  # noqa: ASYNC251  (on purpose)
    assert (await task)[0] == 200


async def test_a_pod_may_come_a_moment_before_its_node(
    server: WebhookServer, ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(review_of(aws_node_pod("node-3"))).encode()
    asking = asyncio.create_task(post(server, ring, body))
    await asyncio.sleep(0.1)
    assert not asking.done()
    monkeypatch.setitem(PLACES, "node-3", PLACES["node-1"])
    _, answered = await asking
    assert "patch" in answered["response"]
    assert server.counts[Verdict.UNKNOWN_NODE] == 0


async def test_others_are_answered_while_one_waits_for_its_node(
    server: WebhookServer, ring: Keyring
) -> None:
    waiting = [
        asyncio.create_task(post(server, ring, json.dumps(review_of(aws_node_pod(node))).encode()))
        for node in ("node-8", "node-9")
    ]
    await post(server, ring, json.dumps(REVIEW).encode())
    assert server.counts[Verdict.MUTATED] == 1
    for _, answered in await asyncio.gather(*waiting):
        assert answered["response"] == {"uid": "3f2b", "allowed": True}
    assert server.counts[Verdict.UNKNOWN_NODE] == 2


async def test_a_port_that_is_taken_is_named(server: WebhookServer, ring: Keyring) -> None:
    other = WebhookServer(Tables(), lambda *_: None, host="127.0.0.1", port=server.port)
    with pytest.raises(InvalidSetting, match=f"{server.port}.*IPPOLICY_WEBHOOK_PORT"):
        await other.start(ring.serving)
    assert not other.running


async def test_it_can_be_stopped_and_started_again(server: WebhookServer, ring: Keyring) -> None:
    data = json.dumps(REVIEW).encode()
    await post(server, ring, data)
    assert sys.getswitchinterval() < 0.001
    await server.stop()
    await server.stop()
    assert not server.running
    assert sys.getswitchinterval() == 0.005, "the rest of the process is as it was"
    await server.start(ring.serving)
    assert (await post(server, ring, data))[0] == 200
    assert server.counts[Verdict.MUTATED] == 2


async def test_two_hundred_pods_a_second_leave_most_of_a_core_idle(
    server: WebhookServer, ring: Keyring
) -> None:
    """Asked at that pace for two seconds, with the client's own share counted in. How long answers
    take depends on what else the machine does: `scripts/bench_webhook.py` shows it."""
    url, data = f"https://127.0.0.1:{server.port}{PATH}", json.dumps(REVIEW).encode()

    async def ask(session: aiohttp.ClientSession) -> None:
        async with session.post(url, data=data, ssl=trust) as reply:
            assert reply.status == 200
            await reply.read()

    trust, first_s, spent_s = trusting(ring), time.perf_counter(), time.process_time()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for number in range(400):
            await asyncio.sleep(first_s + number / 200 - time.perf_counter())
            group.create_task(ask(session))
    assert server.counts[Verdict.MUTATED] == 400
    assert time.process_time() - spent_s < 400 / 200 * 0.9
