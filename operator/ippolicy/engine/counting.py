"""Carries the observe room's running counts into the exporter's counters."""

from __future__ import annotations

from collections.abc import Mapping

from ippolicy.account.exporter import Exporter
from ippolicy.observe.observer import ObserveStats

_KINDS = {"metrics": "scrape", "ec2": "ec2"}


class CallCounts:
    """Adds to the exporter what was counted since the last time."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._calls: Mapping[tuple[str, str], int] = {}
        self._errors: Mapping[tuple[str, str], int] = {}

    def take(self, stats: ObserveStats) -> None:
        """Take up the counts as they are now."""
        for (source, operation), count in stats.calls.items():
            more = count - self._calls.get((source, operation), 0)
            if more > 0:
                self._exporter.called(_KINDS.get(source, "kubernetes"), operation, times=more)
        for (source, reason), count in stats.errors.items():
            more = count - self._errors.get((source, reason), 0)
            if more > 0:
                self._exporter.failed(
                    _KINDS.get(source, "kubernetes"), str(source), reason, times=more
                )
        self._calls, self._errors = stats.calls, stats.errors
