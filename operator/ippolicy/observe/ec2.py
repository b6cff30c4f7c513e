"""What EC2 says about the nodes, kept with its age: their subnets, the limits of their types."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ippolicy.errors import EC2Unavailable
from ippolicy.facts import (
    InstanceLimits,
    NodeFacts,
    SourceName,
    SourceState,
    SubnetFacts,
    SubnetSelection,
)
from ippolicy.observe.ec2_client import Questions
from ippolicy.observe.settings import ObserveSettings
from ippolicy.offloop import call_off_loop

A = TypeVar("A")
T = TypeVar("T")
EC2_SOURCES = (
    SourceName.EC2_INSTANCES,
    SourceName.EC2_SUBNETS,
    SourceName.EC2_INSTANCE_TYPES,
)


@dataclass(slots=True)
class _Source:
    """One question's bookkeeping: when it may be asked next, and how it went."""

    state: SourceState = field(default_factory=lambda: SourceState(None))
    retry_at_s: float = float("-inf")
    asked_at_s: float = float("-inf")
    tried: bool = False


@dataclass(slots=True)
class _Selected:
    """The subnets of one selection, and how asking for them went."""

    source: _Source = field(default_factory=_Source)
    subnets: tuple[SubnetFacts, ...] = ()


class Ec2Facts:
    """Caches of EC2's answers about the nodes that `nodes()` lists, filled by one loop.

    Instances that are new are asked at once and again every `ec2_instances_interval_s`; subnets,
    those of each of the `selections` too, every `ec2_subnets_interval_s`; instance types once for
    good, those that EC2 does not know included. A failed question is asked again after
    `ec2_retry_s`; the old answer stays, with its age. A source that has nothing to ask succeeds.
    """

    def __init__(
        self,
        nodes: Callable[[], Iterable[NodeFacts]],
        client: Questions,
        settings: ObserveSettings,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.client = client
        self.selections: frozenset[SubnetSelection] = frozenset()
        self._nodes = nodes
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._sources = {name: _Source() for name in EC2_SOURCES}
        self._instances: dict[str, frozenset[str]] = {}
        self._subnets: dict[str, SubnetFacts | None] = {}
        self._selected: dict[SubnetSelection, _Selected] = {}
        self._limits: dict[str, InstanceLimits] = {}
        self._unknown: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Ask what is due until cancelled."""
        while True:
            await self.refresh()
            await self._sleep(self._settings.ec2_poll_s)

    async def refresh(self) -> None:
        """Ask whatever is due now, one question after another."""
        nodes = tuple(self._nodes())
        await self._refresh_instances({node.instance_id for node in nodes if node.instance_id})
        await self._refresh_subnets()
        await self._refresh_selected()
        await self._refresh_types({node.instance_type for node in nodes if node.instance_type})

    def subnets_of(self, nodes: Iterable[NodeFacts]) -> tuple[SubnetFacts, ...]:
        """Subnets of the ENIs of `nodes`, by id; as last answered."""
        ids = {s for node in nodes for s in self._instances.get(node.instance_id, ())}
        return tuple(facts for key in sorted(ids) if (facts := self._subnets.get(key)) is not None)

    def selected(self, selection: SubnetSelection) -> tuple[SubnetFacts, ...]:
        """The subnets of a selection, by id; as last answered, none before the first answer."""
        return self._selected[selection].subnets if selection in self._selected else ()

    def limits_of(
        self, nodes: Iterable[NodeFacts]
    ) -> tuple[dict[str, InstanceLimits], frozenset[str]]:
        """Limits by type of the types of `nodes`, and those types that EC2 does not know."""
        types = {node.instance_type for node in nodes}
        known = {name: self._limits[name] for name in sorted(types) if name in self._limits}
        return known, self._unknown & types

    def states(self, selection: SubnetSelection | None = None) -> dict[SourceName, SourceState]:
        """How each of the three questions does; that for subnets as asked for a selection, if
        one is given."""
        states = {name: source.state for name, source in self._sources.items()}
        if selection:
            states[SourceName.EC2_SUBNETS] = self._selected.get(selection, _Selected()).source.state
        return states

    def untried(self) -> list[SourceName]:
        """Questions that were not even tried yet."""
        untried = {name for name, source in self._sources.items() if not source.tried}
        if self.selections - set(self._selected):
            untried.add(SourceName.EC2_SUBNETS)
        return [name for name in EC2_SOURCES if name in untried]

    async def _refresh_instances(self, wanted: set[str]) -> None:
        self._instances = {key: v for key, v in self._instances.items() if key in wanted}
        source = self._sources[SourceName.EC2_INSTANCES]
        again = self._due(source, self._settings.ec2_instances_interval_s)
        asked = wanted if again else wanted - set(self._instances)
        answer = await self._ask(source, asked, self.client.subnets_of_instances)
        if answer is not None:
            # One that EC2 does not show yet is remembered as having none until the next round.
            self._instances |= dict.fromkeys(asked, frozenset()) | answer
            if again:
                source.asked_at_s = self._clock()

    async def _refresh_subnets(self) -> None:
        source = self._sources[SourceName.EC2_SUBNETS]
        wanted = {subnet for subnets in self._instances.values() for subnet in subnets}
        instances = self._sources[SourceName.EC2_INSTANCES]
        if not wanted and instances.state.error is not None:
            source.tried = True
            source.state = SourceState(
                source.state.succeeded_at_s, instances.state.error, instances.state.permission
            )
            return
        again = self._due(source, self._settings.ec2_subnets_interval_s)
        asked = wanted if again else wanted - set(self._subnets)
        if not asked and not again:
            return
        answer = await self._ask(source, asked, self.client.subnets)
        if answer is not None:
            kept = {key: facts for key, facts in self._subnets.items() if key in wanted - asked}
            # One that EC2 does not show is not asked for again before the next round.
            self._subnets = kept | dict.fromkeys(asked) | answer
            if again:
                source.asked_at_s = self._clock()

    async def _refresh_selected(self) -> None:
        wanted = sorted(self.selections, key=lambda s: (s.ids, s.tags))
        self._selected = {key: v for key, v in self._selected.items() if key in wanted}
        for selection in wanted:
            held = self._selected.get(selection) or _Selected()
            if not self._due(held.source, self._settings.ec2_subnets_interval_s):
                continue
            answer = await self._ask(held.source, (selection,), self._ask_selected)
            if answer is not None:
                held.subnets, held.source.asked_at_s = answer, self._clock()
            self._selected[selection] = held

    def _ask_selected(self, asked: Collection[SubnetSelection]) -> tuple[SubnetFacts, ...]:
        (selection,) = asked
        found = self.client.selected_subnets(selection)
        return tuple(found[key] for key in sorted(found))

    async def _refresh_types(self, wanted: set[str]) -> None:
        source = self._sources[SourceName.EC2_INSTANCE_TYPES]
        asked = wanted - set(self._limits) - self._unknown
        answer = await self._ask(source, asked, self.client.instance_types)
        if answer is not None:
            self._limits |= answer[0]
            self._unknown |= answer[1]

    def _due(self, source: _Source, interval_s: float) -> bool:
        return self._clock() - source.asked_at_s >= interval_s

    async def _ask(
        self,
        source: _Source,
        asked: Collection[A],
        question: Callable[[Collection[A]], T],
    ) -> T | None:
        """The answer about `asked`; None when nothing is asked, or not yet again, or in vain."""
        source.tried = True
        if not asked:
            source.state = SourceState(self._clock())
            return None
        if self._clock() < source.retry_at_s:
            return None
        try:
            answer = await call_off_loop(lambda: question(asked))
        except EC2Unavailable as error:
            source.retry_at_s = self._clock() + self._settings.ec2_retry_s
            source.state = SourceState(source.state.succeeded_at_s, str(error), error.permission)
            return None
        source.state = SourceState(self._clock())
        return answer
