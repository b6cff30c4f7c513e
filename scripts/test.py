"""Runs all tests that need no cluster: the core with branch coverage, then everything else.

Arguments are given to pytest instead: `make test ARGS="tests/decide -k story"` runs just that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CORE = ("decide", "ipamd", "act")
LEAST_COVERAGE = 95
CORES = os.cpu_count() or 1


def main(arguments: list[str]) -> int:
    """Exit status 0 when all passed and the core is covered."""
    if arguments:
        return pytest(*arguments, workers=CORES)
    core = [f"tests/{room}" for room in CORE]
    elsewhere = {*core, "tests/controlplane", "tests/e2e", "tests/image"}
    others = sorted({str(p) for p in Path("tests").iterdir() if has_tests(p)} - elsewhere)
    for path in (Path(".coverage"), *Path().glob(".coverage.*")):
        path.unlink(missing_ok=True)
    rooms = ",".join(f"operator/ippolicy/{room}/*" for room in CORE)
    return (
        pytest(*core, "-m", "not full", "--cov", "--cov-report=", workers=CORES)
        or run("-m", "coverage", "report", f"--include={rooms}", f"--fail-under={LEAST_COVERAGE}")
        or pytest("tests/ipamd", "-m", "full", workers=CORES)
        or pytest(*others, workers=CORES + 1)  # half of their time they wait
    )


def has_tests(folder: Path) -> bool:
    """Whether a folder holds test modules."""
    return folder.is_dir() and any(folder.rglob("test_*.py"))


def pytest(*arguments: str, workers: int) -> int:
    """Run so many tests at a time."""
    return run("-m", "pytest", "-q", "-n", str(workers), "--durations=10", *arguments)


def run(*arguments: str) -> int:
    """Run this interpreter with `arguments`; its exit status."""
    print("+ python", *arguments, flush=True)  # noqa: T201  (what is run, for whoever watches)
    return subprocess.run([sys.executable, *arguments], check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
