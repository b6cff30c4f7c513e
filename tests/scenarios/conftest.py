"""The scenarios on the embedded API; `make e2e` runs the same ones on a real control plane."""

from __future__ import annotations

from typing import Any

import pytest

from ippolicy.sandbox.cluster import Sandbox
from worlds import World, small


@pytest.fixture
def world() -> World:
    """Sandboxes on the embedded API."""

    def make(**changes: Any) -> Sandbox:
        return Sandbox(small(**changes))

    return make
