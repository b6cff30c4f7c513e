"""The tables in force, held ready in memory for whoever answers the API server."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ippolicy.decide.births.table import PolicyTable
from ippolicy.facts import DaemonSetRef


class Tables:
    """One table a DaemonSet; any thread may read and replace them."""

    def __init__(self) -> None:
        self._tables: Mapping[DaemonSetRef, PolicyTable] = MappingProxyType({})

    def replace(self, tables: Mapping[DaemonSetRef, PolicyTable]) -> None:
        """Put all tables in force at once, in the place of those before: one left out goes."""
        self._tables = MappingProxyType(dict(tables))

    def of(self, namespace: str, name: str) -> PolicyTable | None:
        """The table for a DaemonSet's pods, None where no policy sets their targets."""
        return self._tables.get(DaemonSetRef(namespace, name))
