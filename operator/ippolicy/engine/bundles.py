"""The last decision on each policy with all that it rested on, for whoever makes it again."""

from __future__ import annotations

import asyncio
import gzip

from ippolicy.decide.births.kept import KeptStep
from ippolicy.decide.births.roll import Asked, Rolled
from ippolicy.decide.bundle import dump
from ippolicy.decide.decision import Inputs
from ippolicy.decide.types import Decision
from ippolicy.offloop import call_off_loop

Step = tuple[Asked, Rolled]
"""A step of targets by node group: what it rests on, and what came of it."""
_QUICK = 1  # most of a large bundle is compressed already


class Bundles:
    """Kept as they were decided on, and written only when they are asked for, one at a time."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Inputs, Decision, Step | None]] = {}
        self._writing = asyncio.Lock()

    def keep(self, inputs: Inputs, decision: Decision, births: Step | None = None) -> None:
        """Take the place of what was last decided on this policy, and of the step that followed."""
        self._last[inputs.policy.name] = inputs, decision, births

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
            return await call_off_loop(lambda: gzip.compress(_written(*last), _QUICK))


def _written(inputs: Inputs, decision: Decision, births: Step | None) -> bytes:
    return dump(inputs, decision, KeptStep.of(*births) if births is not None else None)
