"""One child process of the control plane: started, watched, stopped, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

STOP_S = 5.0
TAIL_LINES = 15

_DIE_WITH_PARENT = (
    # Runs in the child between fork and exec: PR_SET_PDEATHSIG (1) survives exec. A parent that
    # died before the call is noticed by the changed parent id.
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class ControlPlaneError(Exception):
    """The control plane did not do what was asked; the last lines of its logs are included."""


class Process:
    """A program with its output in a log file, in a process group of its own.

    It is killed by the kernel when the thread that started it ends, so start it from one that
    lives as long as it should.
    """

    def __init__(self, *, program: Path, arguments: list[str], log: Path) -> None:
        self.name = program.name
        self.log = log
        self._command = [str(program), *arguments]
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; raises `ControlPlaneError` when it does not run."""
        if self._child is None:
            raise ControlPlaneError(f"{self.name} is not started")
        if self._child.poll() is not None:
            code = self._child.returncode
            raise ControlPlaneError(f"{self.name} has ended with {code}\n{self.tail()}")
        return self._child.pid

    @property
    def started(self) -> bool:
        """Whether it was started and not stopped since; it may have ended by itself."""
        return self._child is not None

    def start(self) -> None:
        """Start it, adding to its log; a process that runs already is an error."""
        if self._child is not None:
            raise ControlPlaneError(f"{self.name} is already started: stop it first")
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-ISc", _DIE_WITH_PARENT, str(os.getpid()), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, *, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """Send the signal to the process group and wait; one that lingers is killed.

        Stopping what was not started, or has ended by itself, is no error.
        """
        child, self._child = self._child, None
        if child is None:
            return
        _signal_group(child, with_signal)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            _signal_group(child, signal.SIGKILL)
            child.wait()

    def tail(self) -> str:
        """The last lines of its log, each with the name of the program."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  {self.name}: {line}" for line in lines[-TAIL_LINES:])


def wait_until(
    what: str, ready: Callable[[], bool], *, processes: list[Process], timeout_s: float
) -> None:
    """Poll until `ready()`; raises `ControlPlaneError` with log tails at the deadline.

    A process that ends meanwhile raises at once.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        _ = [process.pid for process in processes]  # raises when one has ended
        if time.monotonic() > deadline:
            tails = "\n".join(process.tail() for process in processes)
            raise ControlPlaneError(f"{what}: not within {timeout_s:.0f} s\n{tails}")
        time.sleep(0.05)


def _signal_group(child: subprocess.Popen[bytes], with_signal: signal.Signals) -> None:
    if child.poll() is None:
        os.killpg(child.pid, with_signal)
