"""The scenarios' worlds, and the story's, on real control planes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from borrowed import BorrowedTests, borrow
from ippolicy.sandbox.cluster import Sandbox
from realworlds import RealWorld, real_sandbox
from worlds import World, small

HERE = Path(__file__).parent
SCENARIOS = HERE.parent / "scenarios"
# What these show comes of EC2, of clocks and of networks, whatever the API server is; births are in
# tests/e2e/admission. `E2E_ALL=1 make e2e` runs them as well.
ELSEWHERE = frozenset(
    {
        "test_admission.py",
        "test_brake_drain.py",
        "test_faults.py",
        "test_subnet_sources.py",
        "test_windows.py",
    }
)
# Nodes age by hours in them, and an API server dates what it makes by its own clock.
IN_SANDBOX_TIME = frozenset({"test_trials.py"})


@pytest.fixture
def real_world(tmp_path: Path) -> RealWorld:
    """Gives a sandbox with a layout, on a control plane of its own."""
    return lambda layout: real_sandbox(layout, tmp_path / "controlplane")


@pytest.fixture
def world(real_world: RealWorld) -> World:
    """The small worlds of the scenarios, on a real control plane."""

    @contextmanager
    def make(**changes: Any) -> Iterator[Sandbox]:
        with real_world(small(**changes)) as (sandbox, _):
            yield sandbox

    return make


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> BorrowedTests | None:
    """Give test_scenarios.py the tests of tests/scenarios."""
    if module_path != HERE / "test_scenarios.py":
        return None
    left_out = frozenset() if os.environ.get("E2E_ALL") else ELSEWHERE
    return borrow(parent, module_path, SCENARIOS, left_out | IN_SANDBOX_TIME)
