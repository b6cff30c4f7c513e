"""The last decision on each policy with all that it rested on, for whoever makes it again."""

from __future__ import annotations

import asyncio
import gzip

from ippolicy.decide.bundle import dump
from ippolicy.decide.decision import Inputs
from ippolicy.decide.types import Decision
from ippolicy.offloop import call_off_loop

_QUICK = 1  # most of a large bundle is compressed already


class Bundles:
    """Kept as they were decided on, and written only when they are asked for, one at a time."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Inputs, Decision]] = {}
        self._writing = asyncio.Lock()

    def keep(self, inputs: Inputs, decision: Decision) -> None:
        """Take the place of what was last decided on this policy."""
        self._last[inputs.policy.name] = inputs, decision

    def forget(self, policy: str) -> None:
        """Let go of a policy that is gone."""
        self._last.pop(policy, None)

    @property
    def policies(self) -> list[str]:
        """The policies that were decided on, by name."""
        return sorted(self._last)

    async def gzipped(self, policy: str) -> bytes | None:
        """The bundle of a policy; None where nothing was decided on it.

        Raises:
            InvalidBundle: it is beyond what a bundle may hold.
        """
        async with self._writing:
            last = self._last.get(policy)
            if last is None:
                return None
            return await call_off_loop(lambda: gzip.compress(dump(*last), _QUICK))
