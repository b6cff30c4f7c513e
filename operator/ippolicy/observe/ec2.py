"""What EC2 says about the nodes, kept with its age: their subnets, the limits of their types."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from ippolicy.facts import (
    InstanceLimits,
    NodeFacts,
    SourceName,
    SourceState,
    SubnetFacts,
    SubnetSelection,
    SubnetUse,
)
from ippolicy.observe.asking import Asker, Source
from ippolicy.observe.ec2_client import Questions
from ippolicy.observe.inventory import Inventories
from ippolicy.observe.settings import ObserveSettings
from ippolicy.observe.subnets import OWN_ALONE, SubnetChoice, subnets_that_matter

A = TypeVar("A")
T = TypeVar("T")
EC2_SOURCES = (
    SourceName.EC2_INSTANCES,
    SourceName.EC2_SUBNETS,
    SourceName.EC2_INSTANCE_TYPES,
)
"""Questions of which each should have been tried before anything is said of EC2."""


@dataclass(slots=True)
class _Selected:
    """The subnets of one selection, and how asking for them went."""

    source: Source = field(default_factory=Source)
    subnets: tuple[SubnetFacts, ...] = ()


class Ec2Facts:
    """Caches of EC2's answers about the nodes that `nodes()` lists; `refresh` fills them.

    Instances that are new are asked at once and again every `ec2_instances_interval_s`; subnets,
    those of each of the `selections`, of the `eni_configs` and with a CNI's role tag too, every
    `ec2_subnets_interval_s`; instance types once for good, those that EC2 does not know included.
    A failed question is asked again after `ec2_retry_s`; the old answer stays, with its age. A
    source that has nothing to ask succeeds. What is in the subnets is asked last, so that it waits
    when calls are short.

    Attributes:
        selections: what policies select, to be set from outside.
        eni_configs: ids of subnets of ENIConfigs, likewise.
        discovery: whether any aws-node discovers subnets, likewise.
    """

    def __init__(
        self,
        nodes: Callable[[], Iterable[NodeFacts]],
        client: Questions,
        settings: ObserveSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self.selections: frozenset[SubnetSelection] = frozenset()
        self.eni_configs: frozenset[str] = frozenset()
        self.discovery = False
        self._nodes = nodes
        self._settings = settings
        self._clock = clock
        self._asker = Asker(client, settings, clock=clock)
        self.inventories = Inventories(self._asker, settings)
        self._sources = {name: Source() for name in EC2_SOURCES}
        self._instances: dict[str, frozenset[str]] = {}
        self._subnets: dict[str, SubnetFacts | None] = {}
        self._with_role = _Selected()
        self._selected: dict[SubnetSelection, _Selected] = {}
        self._limits: dict[str, InstanceLimits] = {}
        self._unknown: frozenset[str] = frozenset()

    async def refresh(self) -> None:
        """Ask whatever is due now, one question after another."""
        nodes = tuple(self._nodes())
        await self._refresh_instances({node.instance_id for node in nodes if node.instance_id})
        await self._refresh_subnets()
        await self._refresh_with_role()
        await self._refresh_selected()
        await self._refresh_types({node.instance_type for node in nodes if node.instance_type})
        await self.inventories.refresh(self._all_subnets())

    def subnets_of(
        self, nodes: Iterable[NodeFacts], choice: SubnetChoice = OWN_ALONE
    ) -> tuple[SubnetFacts, ...]:
        """Subnets of the ENIs of `nodes`, and those that aws-node may make ENIs in besides, by id;
        as last answered."""
        ids = {s for node in nodes for s in self._instances.get(node.instance_id, ())}
        return subnets_that_matter(
            self._known(ids), self._known(self.eni_configs), self._with_role.subnets, choice
        )

    def selected(self, selection: SubnetSelection) -> tuple[SubnetFacts, ...]:
        """The subnets of a selection, by id; as last answered, none before the first answer."""
        found = self._selected[selection].subnets if selection in self._selected else ()
        return tuple(replace(subnet, uses=(SubnetUse.SELECTOR,)) for subnet in found)

    def limits_of(
        self, nodes: Iterable[NodeFacts]
    ) -> tuple[dict[str, InstanceLimits], frozenset[str]]:
        """Limits by type of the types of `nodes`, and those types that EC2 does not know."""
        types = {node.instance_type for node in nodes}
        known = {name: self._limits[name] for name in sorted(types) if name in self._limits}
        return known, self._unknown & types

    def states(self, selection: SubnetSelection | None = None) -> dict[SourceName, SourceState]:
        """How each of the questions does; that for subnets as asked for a selection, if one is
        given."""
        states = {name: source.state for name, source in self._sources.items()}
        if selection:
            states[SourceName.EC2_SUBNETS] = self._selected.get(selection, _Selected()).source.state
        return states | self.inventories.states()

    def untried(self) -> list[SourceName]:
        """Questions that were not even tried yet."""
        untried = {name for name, source in self._sources.items() if not source.tried}
        if self.selections - set(self._selected):
            untried.add(SourceName.EC2_SUBNETS)
        return [name for name in EC2_SOURCES if name in untried]

    def _known(self, ids: Iterable[str]) -> list[SubnetFacts]:
        return [facts for key in ids if (facts := self._subnets.get(key)) is not None]

    def _all_subnets(self) -> set[str]:
        """Ids of every subnet that matters to anybody."""
        lists = (
            self._known(self._subnets),
            self._beside_nodes(),
            *(held.subnets for held in self._selected.values()),
        )
        return {subnet.subnet_id for found in lists for subnet in found}

    def _beside_nodes(self) -> list[SubnetFacts]:
        """Subnets with a CNI's role tag in the VPCs and zones of the nodes."""
        places = {(subnet.vpc_id, subnet.zone) for subnet in self._known(self._subnets)}
        return [s for s in self._with_role.subnets if (s.vpc_id, s.zone) in places]

    async def _refresh_instances(self, wanted: set[str]) -> None:
        self._instances = {key: v for key, v in self._instances.items() if key in wanted}
        source = self._sources[SourceName.EC2_INSTANCES]
        again = self._asker.due(source, self._settings.ec2_instances_interval_s)
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
        wanted |= self.eni_configs
        instances = self._sources[SourceName.EC2_INSTANCES]
        if not wanted and instances.state.error is not None:
            source.tried = True
            source.state = SourceState(
                source.state.succeeded_at_s, instances.state.error, instances.state.permission
            )
            return
        again = self._asker.due(source, self._settings.ec2_subnets_interval_s)
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

    async def _refresh_with_role(self) -> None:
        """Ask for the subnets that an aws-node may discover; a failure shows as that for others."""
        vpcs = {subnet.vpc_id for subnet in self._known(self._subnets)} - {""}
        if not self.discovery or not vpcs:
            self._with_role = _Selected()
            return
        source = self._with_role.source
        if self._asker.due(source, self._settings.ec2_subnets_interval_s):
            answer = await self._ask(source, vpcs, self.client.role_subnets)
            if answer is not None:
                self._with_role.subnets = tuple(answer.values())
                source.asked_at_s = self._clock()

    async def _refresh_selected(self) -> None:
        wanted = sorted(self.selections, key=lambda s: (s.ids, s.tags))
        self._selected = {key: v for key, v in self._selected.items() if key in wanted}
        for selection in wanted:
            held = self._selected.get(selection) or _Selected()
            if not self._asker.due(held.source, self._settings.ec2_subnets_interval_s):
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

    async def _ask(
        self,
        source: Source,
        asked: Collection[A],
        question: Callable[[Collection[A]], T],
    ) -> T | None:
        """The answer about `asked`; None when nothing is asked, or not yet again, or in vain."""
        if not asked:
            self._asker.succeeded(source)
            return None
        return await self._asker.ask(source, partial(question, asked))
