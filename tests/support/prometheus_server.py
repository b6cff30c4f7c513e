"""A real Prometheus on loopback, which scrapes or has always known what a test gives it."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from ippolicy.sandbox.clock import PATIENCE_S
from ports import free_port
from scraped import History, openmetrics
from tools import tool

PART_S = 86_400.0  # promtool reads its whole input again for each block of two hours


def write_blocks(
    histories: Sequence[History], folder: Path, *, since_s: float, until_s: float
) -> None:
    """Blocks of a Prometheus that scraped these nodes."""
    part_s = since_s
    while part_s < until_s:
        text = folder / "part.om"
        text.write_text(openmetrics(histories, part_s, min(part_s + PART_S, until_s)))
        promtool = [str(tool("promtool")), "tsdb", "create-blocks-from", "--quiet", "openmetrics"]
        subprocess.run([*promtool, str(text), str(folder)], check=True, capture_output=True)
        text.unlink()
        part_s += PART_S


@contextmanager
def prometheus(folder: Path, *flags: str, config: str = "") -> Iterator[str]:
    """The URL of a Prometheus that serves the blocks in `folder`; `config` is its YAML."""
    file = folder / "prometheus.yml"
    file.write_text(config)
    address = f"127.0.0.1:{free_port()}"
    log = folder / "prometheus.log"
    command = [
        str(tool("prometheus")),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder}",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address={address}",
        *flags,
    ]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            _wait_until_ready(address, server, log)
            yield f"http://{address}"
        finally:
            server.terminate()


def _wait_until_ready(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        assert server.poll() is None, f"Prometheus ended: {log.read_text()[-2000:]}"
        if _ready(address):
            return
        time.sleep(0.05)
    raise AssertionError(f"Prometheus was not ready in time: {log.read_text()[-2000:]}")


def _ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except ConnectionError:
        return False
    finally:
        connection.close()
