"""The machine that the bench ran on, and when."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """What figures of time depend on."""

    date: str
    processor: str
    cores: int
    python: str
    numpy: str
    numba: str


def this_machine(now: datetime, cores: int) -> Machine:
    """The machine of this process, of which it may use so many cores."""
    return Machine(
        date=now.strftime("%Y-%m-%d"),
        processor=_processor(),
        cores=cores,
        python=platform.python_version(),
        numpy=version("numpy"),
        numba=version("numba"),
    )


def _processor() -> str:
    if not _CPU_INFO.is_file():
        return platform.processor() or platform.machine()
    lines = _CPU_INFO.read_text("utf-8").splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in facts.items()}
    family = f", family {named['cpu family']}" if "cpu family" in named else ""
    return f"{named.get('model name', platform.machine())} ({platform.machine()}{family})"
