"""A webhook server with certificates of its own, on loopback."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from ippolicy.admission import WebhookServer
from ippolicy.admission.certificates import Keyring, renewed
from ippolicy.decide.births.table import PolicyTable
from reviews import AWS_NODE, LEAN, PLACES


@pytest.fixture
def ring() -> Keyring:
    """Certificates for loopback."""
    return renewed(None, now_s=time.time(), hosts=("127.0.0.1",), published=b"")


@pytest.fixture
async def server(ring: Keyring) -> AsyncIterator[WebhookServer]:
    """A server that knows of the group `batch` of node-1."""
    server = WebhookServer(host="127.0.0.1", port=0)
    server.answer_by({AWS_NODE: PolicyTable("default", groups={"batch": LEAN})})
    server.place(AWS_NODE, PLACES)
    server.present(ring.serving)
    await server.start()
    yield server
    await server.stop()
