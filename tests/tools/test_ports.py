"""Servers of tests that run side by side are never told the same port."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ports

SUPPORT = Path(ports.__file__).parent
# Its few ports are given out nowhere else, so that nobody has to wait for one.
NEIGHBOUR = f"""
import sys
sys.path.insert(0, {str(SUPPORT)!r})
import ports
ports.PORTS = range(19500, 19504)
print(ports.free_port(), flush=True)
sys.stdin.read()
"""


def test_a_port_is_given_once_though_nobody_listens_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PORTS", range(19000, 19020))
    given = [ports.free_port() for _ in range(10)]
    assert len(set(given)) == 10


def test_a_port_that_another_process_was_given_is_not_given_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "PORTS", range(19500, 19504))
    with subprocess.Popen(
        [sys.executable, "-c", NEIGHBOUR], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as neighbour:
        assert neighbour.stdout is not None
        theirs = int(neighbour.stdout.readline())
        ours = {ports.free_port() for _ in range(3)}
        assert theirs not in ours
        neighbour.kill()
