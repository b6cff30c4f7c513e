"""How the pool grows, shrinks and gives up ENIs: the steps of a pass, each with its EC2 calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from ippolicy.ipamd.calls import (
    ADDRESS_LIMIT_EXCEEDED,
    AssignAddresses,
    AttachedENI,
    DescribeInterfaces,
    DescribeSubnets,
    EC2CallError,
    Steps,
    SubnetFact,
    UnassignAddresses,
)
from ippolicy.ipamd.choice import (
    MINIMUM_ENI_LIFE_S,
    allocatable,
    deletable,
    has_idle_eni,
    has_room_for_eni,
)
from ippolicy.ipamd.ec2 import EC2, NoSubnetForENI, Placement, is_excluded
from ippolicy.ipamd.gomap import GoMap
from ippolicy.ipamd.settings import PoolSettings
from ippolicy.ipamd.shape import NodeShape
from ippolicy.ipamd.store import CLOCK_NOISE_S, ENI, Cidr, PoolCount, Store
from ippolicy.ipamd.targets import Rules

SHRINK_INTERVAL_S: Final = 30.0
SUBNET_BACKOFF_S: Final = 120.0
_LONG_AGO: Final = float("-inf")


@dataclass(slots=True)
class Pool:
    """One node's pool and the two timers that hold it back.

    `unmanaged_enis` are attached ENIs that the CNI leaves alone; `placement` says where new ENIs
    go, once the start has found out.
    """

    shape: NodeShape
    settings: PoolSettings
    rules: Rules
    store: Store
    ec2: EC2
    random: Random
    clock: Callable[[], float]
    placement: Placement
    unmanaged_enis: int = 0
    last_shrink: float = _LONG_AGO
    last_insufficient: float = _LONG_AGO

    @property
    def max_eni(self) -> int:
        """ENIs this node may have: its type's limit, or MAX_ENI where that is lower."""
        limit, chosen = self.shape.eni_limit, self.settings.max_eni
        return chosen if 1 <= chosen < limit else limit

    def has_room_for_eni(self) -> bool:
        """Whether one more ENI may be attached to this node."""
        awaits_trunk = (
            self.settings.pod_eni
            and self.shape.trunk_capable
            and not any(eni.trunk for eni in self.store.enis.values())
        )
        return has_room_for_eni(
            self.store,
            max_eni=self.max_eni,
            unmanaged=self.unmanaged_enis,
            awaits_trunk=awaits_trunk,
        )

    def set_up(self, attached: AttachedENI) -> Steps[None]:
        """Learn of an attached ENI and of all that is on it.

        Raises:
            EC2CallError: with discovery, the subnets could not be described.
        """
        eni = self.store.add_eni(
            attached.eni_id,
            device_index=attached.device_index,
            subnet_id=attached.subnet_id,
            trunk=attached.trunk,
            now=self.clock(),
        )
        if self.settings.subnet_discovery:
            subnets: tuple[SubnetFact, ...] = yield from self.ec2.call(DescribeSubnets())
            eni.excluded = is_excluded(attached.subnet_id, subnets)
        self.store.add_cidrs(eni, attached.addresses, prefixes=False)
        self.store.add_cidrs(eni, attached.prefixes, prefixes=True)

    # -- growing ------------------------------------------------------------------------------

    def grow(self) -> Steps[None]:
        """Add to one ENI, or make one; nothing while backing off from a subnet that ran out.

        Raises:
            EC2CallError: adding failed for another reason than a lack of addresses.
        """
        if self.clock() - self.last_insufficient <= SUBNET_BACKOFF_S + CLOCK_NOISE_S:
            return
        try:
            grown = yield from self._add_to_an_eni()
        except EC2CallError as error:
            if not error.insufficient:
                raise
            self.last_insufficient = self.clock()
            return
        if not grown and self.has_room_for_eni():
            yield from self._add_eni()

    def _add_to_an_eni(self) -> Steps[bool]:
        """Fill up the first ENI that has room and can be filled; False where there is none."""
        wanted = self.rules.wanted(self.store.count())
        slots = self.shape.slots
        for eni in allocatable(self.store, slots, skip_primary=self.settings.custom_networking):
            try:
                added = yield from self._assign(eni, min(slots - len(eni.cidrs), wanted))
            except EC2CallError as error:
                if self.settings.subnet_discovery and error.insufficient:
                    continue
                raise
            self.store.add_cidrs(eni, added, prefixes=self.store.prefixes)
            return True
        return False

    def _assign(self, eni: ENI, count: int) -> Steps[tuple[str, ...]]:
        """What EC2 put on the ENI: `count`, or one where it will not give as many.

        Where EC2 says that the ENI is full, ipamd's picture of it is wrong, so it looks.
        """
        kind = self.store.prefixes
        try:
            added: tuple[str, ...] = yield from self._assign_or_one(eni, count)
        except EC2CallError as error:
            if error.code != ADDRESS_LIMIT_EXCEEDED:
                raise
        else:
            return added
        look = DescribeInterfaces((eni.eni_id,))
        seen: tuple[AttachedENI, ...] = yield from self.ec2.call(look)
        return seen[0].prefixes if kind else seen[0].addresses

    def _assign_or_one(self, eni: ENI, count: int) -> Steps[tuple[str, ...]]:
        kind = self.store.prefixes
        try:
            added: tuple[str, ...] = yield from self.ec2.call(
                AssignAddresses(eni.eni_id, count, kind)
            )
        except EC2CallError as error:
            if error.code == ADDRESS_LIMIT_EXCEEDED:
                raise
            added = yield from self.ec2.call(AssignAddresses(eni.eni_id, 1, kind))
        return added

    def _add_eni(self) -> Steps[None]:
        count = self.rules.new_eni_brings(self.store.count())
        if count <= 0:
            return
        try:
            attached = yield from self.ec2.make_eni(
                self.placement, count, prefixes=self.store.prefixes
            )
            yield from self.set_up(attached)
        except NoSubnetForENI:
            return
        except EC2CallError as error:
            if error.insufficient:
                self.last_insufficient = self.clock()

    # -- shrinking ----------------------------------------------------------------------------

    @property
    def may_shrink_after(self) -> float:
        """The moment after which the pool may give addresses back again."""
        return self.last_shrink + SHRINK_INTERVAL_S + CLOCK_NOISE_S

    def shrink(self) -> Steps[None]:
        """Give back what is over the targets, ENI after ENI."""
        over = self.rules.surplus(self.store.count())
        for eni in self.copied_walk():
            over -= yield from self.give_back(eni, eni.freeable()[:over])
            if over <= 0:
                return

    def copied_walk(self) -> list[ENI]:
        """The ENIs as ipamd walks a copy of its map, whose slots follow a first walk."""
        enis = self.store.enis.walk()
        copy: GoMap[ENI] = GoMap(self.random, hint=len(enis))
        for eni in enis:
            copy[eni.eni_id] = eni
        return copy.walk()

    def give_back(self, eni: ENI, cidrs: list[Cidr]) -> Steps[int]:
        """Forget `cidrs` and unassign them, prefixes first; how many went.

        A call that fails is not repeated here: reconciling finds what is still on the ENI.
        """
        gone = [cidr for cidr in cidrs if self.store.remove_cidr(cidr)]
        for kind in (True, False):
            texts = tuple(cidr.text for cidr in gone if cidr.is_prefix is kind)
            if texts:
                try:
                    yield from self.ec2.call(UnassignAddresses(eni.eni_id, texts, kind))
                except EC2CallError:
                    continue
        return len(gone)

    # -- freeing an ENI -----------------------------------------------------------------------

    def may_free_eni(self, pool: PoolCount) -> bool:
        """Whether to look for an ENI to free, by the counts that the pass began with."""
        return self.rules.may_free_eni(pool, idle_eni=has_idle_eni(self.store))

    def free_eni(self) -> Steps[None]:
        """Free the first ENI that may be freed, if there is one."""
        eni = next(deletable(self.store, self.settings.targets, self.clock()), None)
        if eni is not None:
            self.store.remove_eni(eni)
            yield from self.ec2.free_eni(eni.eni_id)

    def turning_points(self) -> list[float]:
        """Moments at which a pass may find something that no pod had a part in."""
        moments = [self.may_shrink_after, self.last_insufficient + SUBNET_BACKOFF_S]
        for eni in self.store.enis.values():
            if not (eni.primary or eni.trunk or eni.pods):
                moments.append(eni.seen_at + MINIMUM_ENI_LIFE_S)
                moments += [
                    freed + self.store.cooldown_s
                    for cidr in eni.cidrs.values()
                    for freed in cidr.freed_at.values()
                ]
        return moments
