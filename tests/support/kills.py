"""A policy's life with kill -9 of the operator in it, and what is left on aws-node after it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from ippolicy.facts.daemonset import FIELD_MANAGER
from ippolicy.sandbox.cluster import Sandbox

PRECISELY_S = 0.1  # a moment so near is waited for: polls are coarser than what is to be hit


class Kills:
    """Kills of the operator, which is started anew at once, by whoever waits for what it does.

    Attributes:
        done: what was being waited for -> kills that fell there.
        took_s: what was waited for -> how long that took the last time that no kill fell there.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.done: Counter[str] = Counter()
        self.took_s: dict[str, float] = {}
        self._sandbox = sandbox
        self._after_s: dict[str, list[float]] = {}

    def plan(self, after_s: Mapping[str, Iterable[float]]) -> None:
        """Kill so long after each such wait has begun, and no more as was planned before."""
        self._after_s = {what: sorted(moments) for what, moments in after_s.items()}

    def __str__(self) -> str:
        done = ", ".join(f"{count} in {what}" for what, count in self.done.items())
        planned = {what: [round(one, 2) for one in s] for what, s in self._after_s.items()}
        return f"{self.done.total()} kills ({done}), to come {planned}"

    def wait(self, predicate: Callable[[], bool], what: str) -> None:
        """Wait for `predicate`, killing meanwhile."""
        began_s, before = time.monotonic(), self.done.total()
        at_s = [began_s + one for one in self._after_s.pop(what, ())]

        def holds() -> bool:
            if at_s and at_s[0] - time.monotonic() < PRECISELY_S:
                time.sleep(max(0.0, at_s.pop(0) - time.monotonic()))
                self._kill(what)
            return predicate()

        self._sandbox.wait(holds, what)
        if self.done.total() == before:
            self.took_s[what] = time.monotonic() - began_s

    def _kill(self, what: str) -> None:
        self._sandbox.operator.kill9()
        self._sandbox.operator.start()
        self.done[what] += 1


def held_by_us(sandbox: Sandbox) -> bool:
    """Whether any field of aws-node is our field manager's."""
    managers = sandbox.daemonset()["metadata"]["managedFields"]
    return any(one["manager"] == FIELD_MANAGER for one in managers)
