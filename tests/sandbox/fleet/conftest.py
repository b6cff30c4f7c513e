from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest_asyncio

from fleet_world import Build, build_world


@pytest_asyncio.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    async with AsyncExitStack() as parts:
        yield partial(build_world, parts, tmp_path)
