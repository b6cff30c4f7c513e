"""Who is in the subnets that matter: their ENIs, page after page, and their reservations."""

from __future__ import annotations

from array import array
from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial

from ippolicy.facts import (
    CidrReservation,
    InterfaceFacts,
    SourceName,
    SourceState,
    SubnetFacts,
    SubnetInventory,
)
from ippolicy.facts.subnets import used_bits
from ippolicy.observe.asking import Asker, Source
from ippolicy.observe.ec2_client import FILTER_VALUES_MAX, InterfacePage
from ippolicy.observe.settings import ObserveSettings

_PASSING = {"Throttled", "Timeout", "Unreachable"}
"""Reasons after which the token of the next page is still good."""


def _integers() -> array[int]:
    return array("I")


@dataclass(slots=True)
class _Slice:
    """Some subnets whose ENIs are being listed, and what was listed so far."""

    subnets: frozenset[str]
    token: str | None = None
    interfaces: dict[str, list[InterfaceFacts]] = field(default_factory=lambda: defaultdict(list))
    addresses: dict[str, array[int]] = field(default_factory=lambda: defaultdict(_integers))

    def take(self, page: InterfacePage) -> None:
        for listed in page.interfaces:
            self.interfaces[listed.facts.subnet_id].append(listed.facts)
            self.addresses[listed.facts.subnet_id].extend(listed.addresses)
        self.token = page.token

    def inventory(self, subnet: SubnetFacts) -> SubnetInventory:
        return SubnetInventory(
            subnet=subnet,
            interfaces=tuple(self.interfaces.get(subnet.subnet_id, ())),
            used=used_bits(subnet.cidr, self.addresses.get(subnet.subnet_id, ())),
            read_at_s=subnet.read_at_s,
        )


class Inventories:
    """ENIs and reservations of subnets, read bit by bit as the budget of calls allows.

    All ENIs are listed anew every `ec2_interfaces_interval_s`, those of subnets that are new at
    once: up to `FILTER_VALUES_MAX` subnets a slice, 1000 ENIs a call. A slice that had to stop
    goes on at the page where it did. Reservations are asked one subnet at a time, the longest
    unread first, each every `ec2_reservations_interval_s`.

    Where the right to ask is missing, nothing is known, old answers included.
    """

    def __init__(self, asker: Asker, settings: ObserveSettings) -> None:
        self._asker = asker
        self._settings = settings
        self._interfaces = Source()
        self._reservations = Source()
        self._slices: deque[_Slice] = deque()
        self._listed: frozenset[str] = frozenset()
        self._inventories: dict[str, SubnetInventory] = {}
        self._reserved: dict[str, tuple[CidrReservation, ...]] = {}
        self._reserved_at_s: dict[str, float] = {}
        self._questions = deque([self._refresh_interfaces, self._refresh_reservations])

    async def refresh(self, wanted: Collection[str]) -> None:
        """Ask what is due about the subnets `wanted`, and forget all others.

        The two questions go first in turn, so that neither starves when calls are short.
        """
        for question in self._questions:
            await question(frozenset(wanted))
        self._questions.rotate()

    def of(self, subnets: Iterable[str]) -> dict[str, SubnetInventory]:
        """Subnet id -> its ENIs as last listed, for those of `subnets` that were."""
        return {key: self._inventories[key] for key in subnets if key in self._inventories}

    def reservations_of(self, subnets: Iterable[str]) -> dict[str, tuple[CidrReservation, ...]]:
        """Subnet id -> its reservations as last read, for those of `subnets` that were."""
        return {key: self._reserved[key] for key in subnets if key in self._reserved}

    def states(self) -> dict[SourceName, SourceState]:
        """How both questions do."""
        return {
            SourceName.EC2_INTERFACES: self._interfaces.state,
            SourceName.EC2_RESERVATIONS: self._reservations.state,
        }

    async def _refresh_interfaces(self, wanted: frozenset[str]) -> None:
        source = self._interfaces
        self._inventories = {key: v for key, v in self._inventories.items() if key in wanted}
        self._listed &= wanted
        if not self._slices:
            self._start(wanted)
        if not wanted:
            self._asker.succeeded(source)
        while self._slices:
            part = self._slices[0]
            answer = await self._asker.ask(source, partial(self._next_page, part))
            if answer is None:
                self._stopped(source)
                return
            page, subnets = answer
            part.take(page)
            if page.token is None:
                self._slices.popleft()
                self._inventories |= {
                    key: part.inventory(facts) for key, facts in subnets.items() if key in wanted
                }

    def _stopped(self, source: Source) -> None:
        """Keep what is still good of a list that cannot go on now."""
        if source.state.permission is not None:
            self._slices.clear()
            self._listed, self._inventories = frozenset(), {}
        elif source.reason is not None and source.reason not in _PASSING:
            self._slices[0] = _Slice(self._slices[0].subnets)

    def _start(self, wanted: frozenset[str]) -> None:
        """Begin to list all subnets if that is due, else those that are new."""
        again = self._asker.due(self._interfaces, self._settings.ec2_interfaces_interval_s)
        asked = sorted(wanted if again else wanted - self._listed)
        if again and asked:
            self._interfaces.asked_at_s = self._asker.now_s()
        self._listed = wanted
        for first in range(0, len(asked), FILTER_VALUES_MAX):
            self._slices.append(_Slice(frozenset(asked[first : first + FILTER_VALUES_MAX])))

    def _next_page(self, part: _Slice) -> tuple[InterfacePage, dict[str, SubnetFacts]]:
        """The next page, and with the last one the subnets, so that both tell of one moment."""
        page = self._asker.client.interfaces(part.subnets, part.token)
        return page, self._asker.client.subnets(part.subnets) if page.token is None else {}

    async def _refresh_reservations(self, wanted: frozenset[str]) -> None:
        source = self._reservations
        self._reserved = {key: v for key, v in self._reserved.items() if key in wanted}
        read = {key: at_s for key, at_s in self._reserved_at_s.items() if key in wanted}
        self._reserved_at_s = read
        now_s = self._asker.now_s()
        oldest_s = now_s - self._settings.ec2_reservations_interval_s
        due = {key for key in wanted if not oldest_s < read.get(key, oldest_s) <= now_s}
        if not wanted:
            self._asker.succeeded(source)
        for key in sorted(due, key=lambda key: (read.get(key, float("-inf")), key)):
            answer = await self._asker.ask(source, partial(self._asker.client.reservations, key))
            if answer is None:
                if source.state.permission is not None:
                    self._reserved = {}
                return
            self._reserved[key] = answer
            self._reserved_at_s[key] = self._asker.now_s()
