"""Which way a setting goes to aws-node, and whether the EKS add-on can be read for it."""

from __future__ import annotations

from collections.abc import Callable

from ippolicy.act.eks.client import AddonApi
from ippolicy.act.requests import CallFailed
from ippolicy.api import IPPolicy, Method
from ippolicy.decide.method import Way, choose_way
from ippolicy.facts import DaemonSetFacts, Record

ASKED_EVERY_S = 60.0


class Ways:
    """Chooses as `choose_way` does, but takes the add-on only where it can be read.

    A cluster that never had it, or an operator without the right, changes the DaemonSet; whoever
    owns an entry there is named by a conflict. A lost connection changes no way.
    """

    def __init__(self, api: AddonApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._asked_at_s = float("-inf")
        self._lacking: str | None = None

    def way(self, policy: IPPolicy, facts: DaemonSetFacts, record: Record | None) -> Way:
        """By which method a change would be made now, and why. Raises nothing."""
        way = choose_way(policy, facts, record)
        begun = record is not None and bool(record.originals)
        asked = policy.spec.apply.method is Method.EKS_ADDON
        if way.method is not Method.EKS_ADDON or asked or begun:
            return way
        lacking = self._why_not()
        if lacking is None:
            return way
        return Way(Method.DAEMON_SET, f"{way.reason}, but it cannot be read: {lacking}")

    def _why_not(self) -> str | None:
        """What keeps the add-on from being read for good, None where nothing is known to."""
        if abs(self._clock() - self._asked_at_s) >= ASKED_EVERY_S:
            try:
                self._api.describe()
                self._lacking = None
            except CallFailed as error:
                self._lacking = None if error.retryable else str(error)
            self._asked_at_s = self._clock()
        return self._lacking
