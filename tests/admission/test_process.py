"""The webhook in a process of its own: no answer waits for the operator, whatever that does."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import operator_beside
from ippolicy.admission import Verdict, WebhookProcess, process
from ippolicy.admission.certificates import Identity, Keyring, renewed
from ippolicy.admission.server import PATH
from ippolicy.decide.births.table import GroupTargets, PolicyTable
from ippolicy.errors import CertificatesUnreadable, InvalidSetting
from ippolicy.ipamd import WarmTargets
from keepalive import Client, echoing
from reviews import AWS_NODE, LEAN, PLACES, aws_node_pod, entries, review_of

HOST = "127.0.0.1"
BATCH = {AWS_NODE: PolicyTable("default", groups={"batch": LEAN})}


def question(node: str = "node-1") -> bytes:
    env = entries({f"SETTING_{number}": "value" for number in range(30)})
    return json.dumps(review_of(aws_node_pod(node, env=env))).encode()


def client(port: int, *rings: Keyring) -> Client:
    bundle = "".join(ring.bundle.decode() for ring in rings)
    return Client(HOST, port, ssl.create_default_context(cadata=bundle))


async def response(asked: Client, node: str = "node-1") -> dict[str, Any]:
    return dict(json.loads(await asked.post(PATH, question(node)))["response"])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110  (what is waited for is in another process)
            await asyncio.sleep(0.02)


@pytest.fixture
async def webhook(ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebhookProcess]:
    monkeypatch.setattr(process, "AGAIN_S", 0.2)
    webhook = WebhookProcess(host=HOST, port=0)
    webhook.answer_by(BATCH)
    webhook.place(AWS_NODE, PLACES)
    await webhook.start(ring.serving)
    yield webhook
    await webhook.stop()


@asynccontextmanager
async def beside(ring: Keyring, folder: Path) -> AsyncIterator[tuple[int, int, int]]:
    """An operator with a webhook: process ids of both, and the webhook's port."""
    kept = folder / "identity.pem"
    kept.write_bytes(ring.serving.key + ring.serving.certificate)
    support = str(Path(operator_beside.__file__).parent)
    operator = await asyncio.create_subprocess_exec(
        *(sys.executable, operator_beside.__file__, str(kept)),
        env={**os.environ, "PYTHONPATH": support},
        stdout=asyncio.subprocess.PIPE,
    )
    assert operator.stdout is not None
    port, webhook = map(int, (await operator.stdout.readline()).split())
    try:
        yield operator.pid, webhook, port
    finally:
        if operator.returncode is None:
            operator.kill()
        await operator.communicate()


async def test_no_answer_waits_for_the_operator(ring: Keyring, tmp_path: Path) -> None:
    """Whatever it does: it is stopped here, with every lock that it may hold."""
    async with beside(ring, tmp_path) as (operator, _, port):
        os.kill(operator, signal.SIGSTOP)
        asked = client(port, ring)
        for _ in range(20):
            assert "patch" in await response(asked)
        asked.close()


async def test_the_webhook_ends_with_the_operator_however_that_ends(
    ring: Keyring, tmp_path: Path
) -> None:
    async with beside(ring, tmp_path) as (operator, webhook, port):
        os.kill(operator, signal.SIGKILL)
        await until(lambda: not runs(webhook))
        with pytest.raises(OSError, match="Connect call failed"):
            await client(port, ring).post(PATH, question())


def runs(pid: int) -> bool:
    """Whether there is such a process, and one that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_an_answer_costs_a_few_times_what_an_echo_costs(
    webhook: WebhookProcess, ring: Keyring
) -> None:
    """In processor time, so that it holds on a slow and busy machine as well. With 0.08 ms for an
    echo over TLS and eight times that for an answer, 200 a second take an eighth of a core."""
    assert webhook.pid is not None
    with echoing(HOST, ring.serving) as (echo, port):
        answer_s = await cost_s(webhook.pid, client(webhook.port, ring))
        echo_s = await cost_s(echo, client(port, ring))
    assert answer_s < 16 * echo_s


async def cost_s(pid: int, asked: Client) -> float:
    """Processor time of a process for one of many answers."""
    body = question()
    for _ in range(50):
        await asked.post(PATH, body)
    before_s = spent_s(pid)
    for _ in range(600):
        await asked.post(PATH, body)
    asked.close()
    return (spent_s(pid) - before_s) / 600


def spent_s(pid: int) -> float:
    """Processor time that all threads of a process have had."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text("ascii").split()[0]) for thread in threads) / 1e9


async def test_a_process_that_dies_is_started_again_and_knows_everything(
    webhook: WebhookProcess, ring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    first, port = webhook.pid, webhook.port
    assert "patch" in await response(client(port, ring))
    await until(lambda: webhook.counts[Verdict.MUTATED] == 1)
    newer = GroupTargets(WarmTargets(warm_ip=9, minimum_ip=9), 8)
    webhook.answer_by({AWS_NODE: PolicyTable("default", groups={"web": newer})})
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: webhook.pid not in {None, first} and not webhook.down_s)
    asked = client(webhook.port, ring)
    assert webhook.port == port
    assert "patch" in await response(asked, "node-2")
    assert "patch" not in await response(asked, "node-1")
    await until(lambda: webhook.counts[Verdict.MUTATED] == 2)
    assert "ended with -9: it is started again" in caplog.text
    asked.close()


async def taken_from(webhook: WebhookProcess, taken: socket.socket) -> bool:
    """Whether the port of the webhook was had, before its process was started again."""
    await until(lambda: webhook.pid is not None and not webhook.down_s)
    assert webhook.pid is not None
    gone = webhook.pid
    os.kill(gone, signal.SIGKILL)
    await until(lambda: not runs(gone))
    try:
        taken.bind((HOST, webhook.port))
    except OSError:
        return False
    return True


async def test_it_is_known_for_how_long_no_process_could_be_started(
    webhook: WebhookProcess, ring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    assert webhook.down_s == 0
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while not await taken_from(webhook, taken):
            continue
        taken.listen()
        await until(lambda: "cannot be started again: cannot listen on" in caplog.text)
        assert webhook.down_s > 0
        assert webhook.running, "it is tried again and again"
    await until(lambda: not webhook.down_s)
    assert "patch" in await response(client(webhook.port, ring))


async def test_what_changes_is_answered_by_at_once(webhook: WebhookProcess, ring: Keyring) -> None:
    asked = client(webhook.port, ring)
    waiting = asyncio.create_task(response(asked, "node-3"))
    await asyncio.sleep(0.05)
    webhook.place(AWS_NODE, {"node-3": PLACES["node-1"]})
    assert "patch" in await waiting
    webhook.answer_by({})
    await until(lambda: webhook.counts[Verdict.MUTATED] == 1)
    assert await response(asked) == {"uid": "3f2b", "allowed": True}
    await webhook.stop()
    assert webhook.counts[Verdict.NO_POLICY] == 1


async def test_the_places_of_a_large_cluster_are_told_while_it_answers(
    webhook: WebhookProcess, ring: Keyring
) -> None:
    asked = client(webhook.port, ring)
    webhook.place(AWS_NODE, {f"new-{number}": PLACES["node-1"] for number in range(5_000)})
    for node in ("new-0", "new-4999"):
        assert "patch" in await response(asked, node)
    asked.close()


async def test_connections_old_and_new_are_answered_while_certificates_change(
    webhook: WebhookProcess, ring: Keyring
) -> None:
    others = [renewed(None, now_s=time.time(), hosts=(HOST,), published=b"") for _ in range(5)]
    before = client(webhook.port, ring)
    assert "patch" in await response(before)
    for other in others:
        webhook.present(other.serving)
        after = client(webhook.port, ring, *others)
        answers = (response(each) for each in (before, *[after] * 5))
        for answer in await asyncio.gather(*answers):
            assert "patch" in answer
        after.close()
    assert "patch" in await response(client(webhook.port, others[-1]))
    before.close()


async def test_a_certificate_that_cannot_be_shown_leaves_the_one_before(
    webhook: WebhookProcess, ring: Keyring
) -> None:
    with pytest.raises(CertificatesUnreadable, match="cannot be shown"):
        webhook.present(Identity(b"", ring.serving.key))
    assert "patch" in await response(client(webhook.port, ring))


async def test_a_port_that_is_taken_is_named(webhook: WebhookProcess, ring: Keyring) -> None:
    other = WebhookProcess(host=HOST, port=webhook.port)
    with pytest.raises(InvalidSetting, match=f"{webhook.port}.*IPPOLICY_WEBHOOK_PORT"):
        await other.start(ring.serving)
    assert not other.running
    assert other.pid is None


async def test_a_process_that_cannot_be_is_told(
    ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(InvalidSetting, match=r"cannot be started: .*No such file"):
        await WebhookProcess(host=HOST, port=0).start(ring.serving)


async def test_it_can_be_stopped_and_started_again(webhook: WebhookProcess, ring: Keyring) -> None:
    asked = client(webhook.port, ring)
    await response(asked)
    await webhook.stop()
    await webhook.stop()
    assert (webhook.running, webhook.pid) == (False, None)
    await webhook.start(ring.serving)
    await response(client(webhook.port, ring))
    await webhook.stop()
    assert webhook.counts[Verdict.MUTATED] == 2


async def test_a_webhook_that_is_stopped_is_not_started_again(
    webhook: WebhookProcess, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await webhook.stop()
        await asyncio.sleep(3 * process.AGAIN_S)
    assert not caplog.text
    assert webhook.pid is None
