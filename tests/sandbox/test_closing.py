"""A sandbox that is closed leaves no connection open."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
import warnings
from pathlib import Path

import pytest

from certificates import issued, write
from ippolicy.sandbox.cluster import Layout, Sandbox


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """What a server shows of itself."""
    write(tmp_path, {"server": issued("server", None)})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    return context


def serve_slowly(listening: socket.socket, tls: ssl.SSLContext, leave: threading.Event) -> None:
    """Answer a goodbye only when it is time to."""
    raw, _ = listening.accept()
    with tls.wrap_socket(raw, server_side=True, suppress_ragged_eofs=True) as connection:
        assert connection.recv(1) == b""  # the goodbye
        leave.wait()


async def leave_a_connection(port: int) -> None:
    """Let go of a connection with TLS, as a watch does that is cancelled."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    writer.close()


def test_it_waits_for_goodbyes_of_servers_that_are_slow_to_answer(tls: ssl.SSLContext) -> None:
    leave = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve_slowly, args=(listening, tls, leave))
        server.start()
        with Sandbox(Layout(nodes=0)) as sandbox:
            sandbox.run(leave_a_connection(listening.getsockname()[1]))
            late = threading.Timer(0.5, leave.set)
            late.start()
        late.join()
        server.join()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(one.message) for one in caught if "unclosed" in str(one.message)] == []
