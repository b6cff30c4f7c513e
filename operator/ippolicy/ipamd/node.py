"""The ipamd process of one node: start, pods, passes, and what can be seen of it.

Work that takes time is written as generators of requests (`ippolicy.ipamd.calls`). Between two
requests pods may come and go, exactly as they do while the real ipamd waits for EC2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Final

from ippolicy.errors import ModelError
from ippolicy.ipamd.calls import (
    AttachedENI,
    DescribeInterfaces,
    EC2CallError,
    ModifyInterface,
    Sleep,
    Steps,
)
from ippolicy.ipamd.ec2 import EC2, Placement
from ippolicy.ipamd.pool import Pool
from ippolicy.ipamd.settings import PoolSettings
from ippolicy.ipamd.shape import NodeShape
from ippolicy.ipamd.snapshot import Counters, ENIView, Snapshot
from ippolicy.ipamd.store import CLOCK_NOISE_S, ENI, Cidr, Store
from ippolicy.ipamd.targets import Rules

PASS_INTERVAL_S: Final = 5.0
EMPTIED_CIDR_DELAY_S: Final = 5.0
_SETUP_ATTEMPTS: Final = 6
_SETUP_PAUSE_S: Final = 10.0


class NodeInitFailed(ModelError):
    """ipamd could not start: the node stays NotReady and aws-node is restarted."""


class Ipamd:
    """The ipamd process of one node, from its start to its end.

    `clock` gives seconds and never goes back; `random` decides what Go's map order decides.
    `custom_subnet` is the subnet of the node's ENIConfig, used under custom networking only.
    A restart is a new `Ipamd` whose `start` is given the old one's `checkpoint`.

    Attributes:
        unschedulable: set while the Node has the taint node.kubernetes.io/unschedulable.
        terminating: set once aws-node got its SIGTERM.
        pool: the pool and the steps that change it.
        store: what the pool holds.
    """

    def __init__(
        self,
        shape: NodeShape,
        settings: PoolSettings,
        *,
        random: Random,
        clock: Callable[[], float],
        custom_subnet: str | None = None,
    ) -> None:
        if settings.custom_networking and custom_subnet is None:
            raise ModelError(
                f"{shape.instance_type}: custom networking without the subnet of an ENIConfig: "
                "give custom_subnet"
            )
        self.settings = settings
        self.unschedulable = False
        self.terminating = False
        prefixes = settings.prefix_delegation and shape.prefix_capable
        self.pool = Pool(
            shape=shape,
            settings=settings,
            rules=Rules(settings.targets, prefixes, shape.slots, shape.max_pods),
            store=Store(random, prefixes=prefixes, cooldown_s=settings.cooldown_s),
            ec2=EC2(),
            random=random,
            clock=clock,
            placement=Placement(
                own_subnet="",
                discovery=settings.subnet_discovery,
                custom_subnet=custom_subnet if settings.custom_networking else None,
            ),
        )
        self.store = self.pool.store
        self._clock = clock
        self._emptied: list[tuple[float, Cidr]] = []
        self._adds = self._dels = self._no_available = 0

    # -- pods ---------------------------------------------------------------------------------

    def add_pod(self, pod: str) -> str | None:
        """CNI ADD: the pod's address, or None where none is free; kubelet then tries again."""
        self._adds += 1
        address = self.store.assign(pod, self._clock())
        if address is None:
            self._no_available += 1
        return address

    def del_pod(self, pod: str) -> None:
        """CNI DEL: the pod's address starts to cool down; an unknown pod changes nothing."""
        self._dels += 1
        now = self._clock()
        cidr = self.store.release(pod, now)
        if cidr is not None and cidr.eni.excluded and not cidr.used:
            self._emptied.append((now + EMPTIED_CIDR_DELAY_S, cidr))

    def checkpoint(self) -> dict[str, str]:
        """Pod -> address, what survives a restart."""
        return {pod: address for pod, (_, address) in self.store.pods.items()}

    # -- start --------------------------------------------------------------------------------

    def start(self, assignments: Mapping[str, str] | None = None) -> Steps[None]:
        """Node init: learn what is attached, take `assignments` back, fill the pool once.

        Raises:
            NodeInitFailed: EC2 refused what ipamd cannot start without.
        """
        pool = self.pool
        try:
            attached: tuple[AttachedENI, ...] = yield from pool.ec2.call(DescribeInterfaces())
            managed = [eni for eni in attached if eni.managed]
            pool.unmanaged_enis = len(attached) - len(managed)
            pool.placement = replace(pool.placement, own_subnet=_own_subnet(attached))
            for eni in managed:
                yield from self._adopt(eni)
        except EC2CallError as error:
            raise NodeInitFailed(f"failed to set up the attached ENIs: {error}") from error
        for pod, address in (assignments or {}).items():
            self.store.restore(pod, address)
        yield from self._clean_up()
        if not self.settings.custom_networking:
            for eni_id in sorted(eni.eni_id for eni in self.store.enis.values()):
                with suppress(EC2CallError):  # ipamd only logs it
                    yield from pool.ec2.call(ModifyInterface(eni_id))
        if pool.rules.too_low(self.store.count()):
            yield from self._first_fill()

    def _adopt(self, attached: AttachedENI) -> Steps[None]:
        """Tag and learn an ENI; ipamd goes on without what it cannot learn after some tries."""
        if not attached.tagged and not attached.trunk:
            yield from self.pool.ec2.tag(attached.eni_id)
        for attempt in range(1, _SETUP_ATTEMPTS + 1):
            try:
                yield from self.pool.set_up(attached)
            except EC2CallError:
                if attempt < _SETUP_ATTEMPTS:
                    yield Sleep(_SETUP_PAUSE_S)
            else:
                return

    def _clean_up(self) -> Steps[None]:
        """Give back what no pod can get: on excluded ENIs, and of the kind not in use."""
        kind = self.store.prefixes
        for eni in self.pool.copied_walk():
            if eni.excluded:
                yield from self.pool.give_back(eni, _unused(eni, prefixes=kind))
        for eni in self.pool.copied_walk():
            yield from self.pool.give_back(eni, _unused(eni, prefixes=not kind))

    def _first_fill(self) -> Steps[None]:
        if self._may_manage():
            try:
                yield from self.pool.grow()
            except EC2CallError as error:
                raise NodeInitFailed("error while trying to increase datastore pool") from error
        if self.settings.custom_networking and self.store.count().total == 0:
            raise NodeInitFailed("Failed to attach any ENIs for custom networking")

    # -- the pass -----------------------------------------------------------------------------

    def pool_pass(self) -> Steps[bool]:
        """One pass of the pool manager; says whether it made any EC2 call.

        The next pass is due `PASS_INTERVAL_S` after this one ends.
        """
        pool = self.pool
        calls_before = pool.ec2.calls.total()
        self._drop_emptied()
        count = self.store.count()
        if pool.rules.too_low(count):
            with suppress(EC2CallError):  # ipamd only logs it, and tries again in the next pass
                if self._may_manage():
                    yield from pool.grow()
            shrinks = False
        else:
            shrinks = bool(pool.rules.surplus(count)) and self._clock() > pool.may_shrink_after
            if shrinks:
                yield from pool.shrink()
        if pool.may_free_eni(count) and self._may_manage():
            yield from pool.free_eni()
        if shrinks:
            pool.last_shrink = self._clock()
        return pool.ec2.calls.total() > calls_before

    def idle_until(self) -> float:
        """The first moment when a pass could act, if the last made no call and no pod moves.

        Passes before it would find exactly what the last one found.
        """
        now = self._clock() - CLOCK_NOISE_S
        moments = [*self.pool.turning_points(), *(due for due, _ in self._emptied)]
        return min((moment for moment in moments if moment >= now), default=float("inf"))

    def _may_manage(self) -> bool:
        if self.terminating:
            return False
        return self.settings.manage_non_schedulable or not self.unschedulable

    def _drop_emptied(self) -> None:
        """ipamd forgets a CIDR of an excluded ENI 5 s after its last pod, without a call."""
        now = self._clock() + CLOCK_NOISE_S
        for due, cidr in self._emptied:
            if due <= now:
                self.store.remove_cidr(cidr)
        self._emptied = [entry for entry in self._emptied if entry[0] > now]

    # -- what can be seen ---------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The pool and the counters now."""
        enis = self.store.enis.values()
        pool = self.store.count()
        eni_max = self.pool.max_eni - self.pool.unmanaged_enis
        return Snapshot(
            eni_max=eni_max,
            address_max=self.pool.rules.addresses_per_full_eni * eni_max,
            total_addresses=sum(c.size for eni in enis for c in eni.cidrs.values()),
            assigned_addresses=sum(eni.pods for eni in enis),
            pool_addresses=pool.total,
            pool_assigned=pool.assigned,
            cooling=self.store.cooling(self._clock()),
            prefixes=pool.total_prefixes,
            free_prefixes=pool.free_prefixes,
            enis=tuple(_view(eni) for eni in enis),
            counters=self.counters(),
        )

    def counters(self) -> Counters:
        """The awscni counters now."""
        return Counters(
            add_requests=self._adds,
            del_requests=self._dels,
            no_available_addresses=self._no_available,
            ec2_calls=dict(self.pool.ec2.calls),
            ec2_errors=dict(self.pool.ec2.errors),
            error_codes=dict(self.pool.ec2.error_codes),
        )


def _own_subnet(attached: tuple[AttachedENI, ...]) -> str:
    primary = next((eni for eni in attached if eni.primary), None)
    if primary is None:
        raise NodeInitFailed("no primary ENI is attached: device index 0 must be in use")
    return primary.subnet_id


def _unused(eni: ENI, *, prefixes: bool) -> list[Cidr]:
    return [cidr for cidr in eni.freeable() if cidr.is_prefix is prefixes]


def _view(eni: ENI) -> ENIView:
    return ENIView(
        eni_id=eni.eni_id,
        primary=eni.primary,
        trunk=eni.trunk,
        excluded=eni.excluded,
        cidrs={cidr.text: len(cidr.used) for cidr in eni.cidrs.values()},
    )
