"""The webhook over real TLS: right answers, small and large, whatever else is asked."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import ssl
import time
from typing import Any

import aiohttp
import pytest

from ippolicy.admission import Verdict, WebhookServer
from ippolicy.admission.certificates import Identity, Keyring, renewed
from ippolicy.admission.server import MAX_BODY_BYTES, PATH, PATH_AGAIN
from ippolicy.errors import CertificatesUnreadable, InvalidSetting
from ippolicy.sandbox.kube.patch import json_patch
from keepalive import question
from reviews import AWS_NODE, PLACES, aws_node_pod, entries, review_of

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


async def test_a_second_asking_counts_where_the_first_came_to_nothing(
    server: WebhookServer, ring: Keyring
) -> None:
    body = json.dumps(REVIEW).encode()
    _, first = await post(server, ring, body)
    patch = json.loads(base64.b64decode(first["response"]["patch"]))
    second = json.dumps(review_of(json_patch(REVIEW["request"]["object"], patch))).encode()
    status, answered = await post(server, ring, second, PATH_AGAIN)
    assert (status, answered["response"]) == (200, {"uid": "3f2b", "allowed": True})
    assert await post(server, ring, b"[]", PATH_AGAIN) == (400, "Malformed\n")
    counted = {verdict: count for verdict, count in server.counts.items() if count}
    assert counted == {Verdict.MUTATED: 1}, "the first asking told of the pod"
    assert (await post(server, ring, body, PATH_AGAIN))[1] == first
    assert server.counts[Verdict.MUTATED_AGAIN] == 1
    assert server.counts[Verdict.MUTATED] == 1


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


async def test_a_pod_may_come_a_moment_before_its_node(
    server: WebhookServer, ring: Keyring
) -> None:
    body = json.dumps(review_of(aws_node_pod("node-3"))).encode()
    asking = asyncio.create_task(post(server, ring, body))
    await asyncio.sleep(0.1)
    assert not asking.done()
    server.place(AWS_NODE, {"node-3": PLACES["node-1"]})
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


async def test_two_pods_wait_for_the_same_node(server: WebhookServer, ring: Keyring) -> None:
    body = json.dumps(review_of(aws_node_pod("node-3"))).encode()
    asking = [asyncio.create_task(post(server, ring, body)) for _ in range(2)]
    await asyncio.sleep(0.1)
    server.place(AWS_NODE, {"node-3": PLACES["node-1"]})
    for _, answered in await asyncio.gather(*asking):
        assert "patch" in answered["response"]


async def test_a_node_that_is_gone_is_forgotten(server: WebhookServer, ring: Keyring) -> None:
    server.place(AWS_NODE, {"node-1": None, "node-7": None})
    await post(server, ring, json.dumps(REVIEW).encode())
    assert server.counts[Verdict.UNKNOWN_NODE] == 1


async def test_half_a_request_and_no_handshake_keep_nobody_waiting(
    server: WebhookServer, ring: Keyring
) -> None:
    sent = question(PATH, json.dumps(REVIEW).encode())
    _, silent = await asyncio.open_connection("127.0.0.1", server.port)
    halves = []
    for end in (10, len(sent) // 2, len(sent) - 1):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting(ring))
        writer.write(sent[:end])
        halves.append((reader, writer))
    for _ in range(20):
        assert (await post(server, ring, json.dumps(REVIEW).encode()))[0] == 200
    assert server.counts[Verdict.MUTATED] == 20
    assert server.counts[Verdict.MALFORMED] == 0, "those still wait for their other half"
    for reader, _ in halves[1:]:
        assert (await reader.readline()).startswith(b"HTTP/1.1 400"), "but not for ever"
    for writer in (silent, *(writer for _, writer in halves)):
        writer.transport.abort()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b"\x00" * 1_000_000, id="no JSON"),
        pytest.param(b'{"request": {"uid": "' + b"u" * 2_000_000 + b'"}}', id="of one long word"),
        pytest.param(b" " * (MAX_BODY_BYTES + 1), id="too large"),
    ],
)
async def test_what_cannot_be_read_costs_no_more_than_what_can(
    server: WebhookServer, ring: Keyring, body: bytes
) -> None:
    """In processor time, client included; a real review of that size is the measure."""
    pod = aws_node_pod(annotations={"big": "x" * (MAX_BODY_BYTES - 10_000)})
    large = json.dumps(review_of(pod)).encode()

    async def cost_s(asked: bytes) -> float:
        spent_s = []
        for _ in range(3):
            began_s = time.process_time()
            await post(server, ring, asked)
            spent_s.append(time.process_time() - began_s)
        return min(spent_s)

    assert await cost_s(body) < 3 * await cost_s(large)


async def test_a_port_that_is_taken_is_named(server: WebhookServer, ring: Keyring) -> None:
    other = WebhookServer(host="127.0.0.1", port=server.port)
    other.present(ring.serving)
    with pytest.raises(InvalidSetting, match=f"{server.port}.*IPPOLICY_WEBHOOK_PORT"):
        await other.start()


async def test_a_certificate_that_cannot_be_shown_is_told(
    server: WebhookServer, ring: Keyring
) -> None:
    with pytest.raises(CertificatesUnreadable, match="cannot be shown"):
        server.present(Identity(b"", ring.serving.key))
    assert (await post(server, ring, json.dumps(REVIEW).encode()))[0] == 200


async def test_it_can_be_stopped_and_started_again(server: WebhookServer, ring: Keyring) -> None:
    data = json.dumps(REVIEW).encode()
    await post(server, ring, data)
    await server.stop()
    await server.stop()
    await server.start()
    assert (await post(server, ring, data))[0] == 200
    assert server.counts[Verdict.MUTATED] == 2
