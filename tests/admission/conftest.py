"""A webhook server with certificates of its own, on loopback."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from ippolicy.admission import WebhookServer
from ippolicy.admission.certificates import Keyring, renewed
from reviews import PLACES, tables


@pytest.fixture
def ring() -> Keyring:
    """Certificates for loopback."""
    return renewed(None, now_s=time.time(), hosts=("127.0.0.1",), published=b"")


@pytest.fixture
async def server(ring: Keyring) -> AsyncIterator[WebhookServer]:
    """A server that knows of the group `batch` of node-1."""
    server = WebhookServer(tables(), lambda _, node: PLACES.get(node), host="127.0.0.1", port=0)
    await server.start(ring.serving)
    yield server
    await server.stop()
