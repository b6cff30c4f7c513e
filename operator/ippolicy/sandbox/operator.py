"""The real operator as a process of its own: started, stopped, killed, read."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ippolicy.errors import SandboxError

STOP_S: Final = 15.0  # as a pod of the chart has
_RUN = (
    # On Linux the kernel ends it when the sandbox dies without stopping it (PR_SET_PDEATHSIG, 1).
    "import ctypes, sys\n"
    "sys.platform == 'linux' and ctypes.CDLL(None).prctl(1, 9)\n"
    "from ippolicy.cli import main\n"
    "main()\n"
)
COMMAND: Final = (sys.executable, "-c", _RUN, "run")


class OperatorProcess:
    """`ippolicy run` with an environment that points at the sandbox.

    `settings` are IPPOLICY_* variables; `command` may be another program. Start it from a thread
    that lives as long as it should.

    Attributes:
        kubeconfig: how it reaches the cluster.
        http_host, http_port: where /metrics, /healthz and /readyz are.
    """

    def __init__(
        self,
        *,
        kubeconfig: Path,
        endpoint_url: str,
        region: str,
        log: Path,
        settings: Mapping[str, str],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.log = log
        self.kubeconfig = kubeconfig
        self.http_host = settings.get("IPPOLICY_HTTP_HOST", "127.0.0.1")
        self.http_port = _free_port()
        self._command = tuple(command)
        self._child: subprocess.Popen[bytes] | None = None
        kept = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
        self._environ = {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PYTHONUNBUFFERED": "1",
            "KUBECONFIG": str(kubeconfig),
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_REGION": region,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_EC2_METADATA_DISABLED": "true",
            "IPPOLICY_HTTP_HOST": self.http_host,
            "IPPOLICY_HTTP_PORT": str(self.http_port),
            **settings,
        }

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._child is not None and self._child.poll() is None

    @property
    def ended(self) -> bool:
        """Whether it was started and has ended of itself."""
        return self._child is not None and not self.running

    def send(self, number: signal.Signals) -> None:
        """Send it a signal. Raises SandboxError if it does not run."""
        if self._child is None or self._child.poll() is not None:
            raise SandboxError("the operator does not run: start it first")
        self._child.send_signal(number)

    @property
    def url(self) -> str:
        """Where its /metrics, /healthz and /readyz are."""
        return f"http://{self.http_host}:{self.http_port}"

    def start(self) -> None:
        """Start it; its log goes on where it was. Raises SandboxError if it runs already."""
        if self.running:
            raise SandboxError("the operator runs already: stop it before starting it again")
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603  (our own interpreter and program)
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> int | None:
        """SIGTERM, then SIGKILL after `STOP_S`; gives the exit code, None if it did not run."""
        child, self._child = self._child, None
        if child is None:
            return None
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            return child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def kill9(self) -> None:
        """SIGKILL: no last word, no clean-up."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()

    def last_lines(self, count: int = 15) -> list[str]:
        """The end of its log."""
        if not self.log.exists():
            return []
        return self.log.read_text(errors="replace").splitlines()[-count:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
