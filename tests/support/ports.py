"""Loopback ports for servers that must be told theirs before they start."""

from __future__ import annotations

import fcntl
import functools
import os
import random
import socket
import tempfile
from pathlib import Path

PORTS = range(20000, 32000)
"""Below the ephemeral range, so that no outgoing connection takes a port between its choice
and its use."""

_random = random.SystemRandom()  # test runners seed the other one alike in all workers
_given: set[int] = set()


def free_port() -> int:
    """A TCP port that nobody listens on now, and that no test process gives out while this lives.

    Whoever asked first may not listen yet: so a port is also locked, by its number as a byte of a
    file that all test processes share.
    """
    while True:
        port = _random.choice(PORTS)
        if port not in _given and _lock(port) and _can_be_bound(port):
            _given.add(port)
            return port


def _lock(port: int) -> bool:
    try:
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@functools.cache
def _locks() -> int:
    """The file, open until the process ends, which takes its locks away."""
    path = Path(tempfile.gettempdir()) / "ippolicy-test-ports"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _can_be_bound(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
