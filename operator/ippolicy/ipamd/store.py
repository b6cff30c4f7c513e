"""What a node holds: ENIs, the addresses and prefixes on them, and the pods that use them.

Nothing here decides or calls; times are seconds of the clock that the caller passes in.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from random import Random

from ippolicy.ipamd.gomap import GoMap
from ippolicy.ipamd.shape import ADDRESSES_PER_PREFIX

CLOCK_NOISE_S = 1e-6
"""Clocks are floats: two times nearer than this are the same moment."""


class Cidr:
    """One secondary address, or one /28, attached to an ENI."""

    __slots__ = ("eni", "freed_at", "is_prefix", "size", "text", "used")

    def __init__(self, eni: ENI, text: str, *, is_prefix: bool) -> None:
        self.eni = eni
        self.text = text
        self.is_prefix = is_prefix
        self.size = ADDRESSES_PER_PREFIX if is_prefix else 1
        self.used: dict[str, str] = {}
        self.freed_at: dict[str, float] = {}

    def cooling(self, now: float, cooldown_s: float) -> int:
        """Addresses that a pod left within the last `cooldown_s` seconds, that moment included."""
        if not self.freed_at:
            return 0
        oldest = now - cooldown_s - CLOCK_NOISE_S
        return sum(freed >= oldest for freed in self.freed_at.values())

    def take(self, pod: str, now: float, cooldown_s: float, random: Random) -> str | None:
        """Give `pod` an address: one that has cooled down, else the lowest never used yet."""
        oldest = now - cooldown_s - CLOCK_NOISE_S
        cooled = [address for address, freed in self.freed_at.items() if freed < oldest]
        if cooled:
            address = cooled[int(random.random() * len(cooled))] if len(cooled) > 1 else cooled[0]
            for known in cooled:
                del self.freed_at[known]
        else:
            fresh = self._never_used()
            if fresh is None:
                return None
            address = fresh
        self.used[address] = pod
        return address

    def _never_used(self) -> str | None:
        if len(self.used) + len(self.freed_at) == self.size:
            return None
        if not self.is_prefix:
            return self.text
        addresses = map(str, IPv4Network(self.text))
        return next(a for a in addresses if a not in self.used and a not in self.freed_at)


class ENI:
    """An attached ENI that ipamd manages; `seen_at` is when this process learned of it.

    `held` (CIDRs), `used` (addresses that pods have) and `unused` (CIDRs without a pod) are pairs:
    of single addresses first, of prefixes second.
    """

    __slots__ = (
        "cidrs",
        "device_index",
        "eni_id",
        "excluded",
        "held",
        "seen_at",
        "subnet_id",
        "trunk",
        "unused",
        "used",
    )

    def __init__(
        self,
        eni_id: str,
        *,
        device_index: int,
        subnet_id: str,
        trunk: bool,
        seen_at: float,
        random: Random,
    ) -> None:
        self.eni_id = eni_id
        self.device_index = device_index
        self.subnet_id = subnet_id
        self.trunk = trunk
        self.seen_at = seen_at
        self.excluded = False
        self.cidrs: GoMap[Cidr] = GoMap(random)
        self.held = [0, 0]
        self.used = [0, 0]
        self.unused = [0, 0]

    @property
    def primary(self) -> bool:
        """Whether this is the node's first ENI, which is never freed."""
        return self.device_index == 0

    @property
    def pods(self) -> int:
        """Addresses of this ENI that pods have, of either kind."""
        return self.used[0] + self.used[1]

    def freeable(self) -> list[Cidr]:
        """CIDRs without a pod, cooling ones too, in map order."""
        if not any(self.unused):
            return []
        return [cidr for cidr in self.cidrs.walk() if not cidr.used]

    def cooling(self, now: float, cooldown_s: float) -> int:
        """Addresses of this ENI still cooling at `now`."""
        return sum(c.cooling(now, cooldown_s) for c in self.cidrs.values() if c.freed_at)


@dataclass(frozen=True, slots=True)
class PoolCount:
    """The pool as ipamd counts it: CIDRs of the active kind on ENIs that are not excluded.

    `available` includes cooling addresses. `total_prefixes` and `free_prefixes` (no pod on them)
    count the /28s on every ENI.
    """

    total: int
    assigned: int
    total_prefixes: int = 0
    free_prefixes: int = 0

    @property
    def available(self) -> int:
        """Addresses held that no pod uses."""
        return self.total - self.assigned


class Store:
    """ipamd's datastore of one network card."""

    def __init__(self, random: Random, *, prefixes: bool, cooldown_s: float) -> None:
        self._random = random
        self.prefixes = prefixes
        self.cooldown_s = cooldown_s
        self.enis: GoMap[ENI] = GoMap(random)
        self.pods: dict[str, tuple[Cidr, str]] = {}

    def add_eni(
        self, eni_id: str, *, device_index: int, subnet_id: str, trunk: bool, now: float
    ) -> ENI:
        """Learn of an ENI; one already known is returned as it is."""
        known = self.enis.get(eni_id)
        if known is not None:
            return known
        eni = ENI(
            eni_id,
            device_index=device_index,
            subnet_id=subnet_id,
            trunk=trunk,
            seen_at=now,
            random=self._random,
        )
        self.enis[eni_id] = eni
        return eni

    def add_cidrs(self, eni: ENI, texts: tuple[str, ...], *, prefixes: bool) -> None:
        """Learn of addresses or /28s on `eni`; known ones stay as they are."""
        for text in texts:
            if text not in eni.cidrs:
                eni.cidrs[text] = Cidr(eni, text, is_prefix=prefixes)
                eni.held[prefixes] += 1
                eni.unused[prefixes] += 1

    def remove_cidr(self, cidr: Cidr) -> bool:
        """Forget a CIDR; False, and nothing is done, where a pod uses it or it is gone already."""
        if cidr.used or cidr.text not in cidr.eni.cidrs:
            return False
        del cidr.eni.cidrs[cidr.text]
        cidr.eni.held[cidr.is_prefix] -= 1
        cidr.eni.unused[cidr.is_prefix] -= 1
        return True

    def remove_eni(self, eni: ENI) -> None:
        """Forget an ENI and all on it."""
        del self.enis[eni.eni_id]

    def count(self) -> PoolCount:
        """The pool's counts now."""
        kind, size = self.prefixes, ADDRESSES_PER_PREFIX if self.prefixes else 1
        total = assigned = prefixes = free = 0
        for eni in self.enis.values():
            prefixes += eni.held[1]
            free += eni.unused[1]
            if not eni.excluded:
                total += eni.held[kind] * size
                assigned += eni.used[kind]
        return PoolCount(total, assigned, prefixes, free)

    def cooling(self, now: float) -> int:
        """Addresses of the pool that no pod may have yet."""
        return sum(
            cidr.cooling(now, self.cooldown_s)
            for eni in self.enis.values()
            if not eni.excluded
            for cidr in eni.cidrs.values()
            if cidr.freed_at and cidr.is_prefix == self.prefixes
        )

    def assign(self, pod: str, now: float) -> str | None:
        """An address for `pod` from the first ENI and CIDR that can give one, in map order."""
        known = self.pods.get(pod)
        if known is not None:
            return known[1]
        if self.count().available == 0:
            return None
        for eni in self.enis.walk():
            if eni.excluded:
                continue
            for cidr in eni.cidrs.walk():
                if cidr.is_prefix != self.prefixes:
                    continue
                address = cidr.take(pod, now, self.cooldown_s, self._random)
                if address is not None:
                    self._mark_used(pod, cidr, address)
                    return address
        return None

    def restore(self, pod: str, address: str) -> bool:
        """Give `pod` back the address it had; False where no ENI of this node has it now."""
        for eni in self.enis.values():
            for cidr in eni.cidrs.values():
                if address == cidr.text or (cidr.is_prefix and _contains(cidr.text, address)):
                    cidr.used[address] = pod
                    self._mark_used(pod, cidr, address)
                    return True
        return False

    def release(self, pod: str, now: float) -> Cidr | None:
        """Take `pod`'s address back, to cool; the CIDR it was of, or None for an unknown pod."""
        known = self.pods.pop(pod, None)
        if known is None:
            return None
        cidr, address = known
        del cidr.used[address]
        cidr.freed_at[address] = now
        cidr.eni.used[cidr.is_prefix] -= 1
        cidr.eni.unused[cidr.is_prefix] += not cidr.used
        return cidr

    def _mark_used(self, pod: str, cidr: Cidr, address: str) -> None:
        self.pods[pod] = (cidr, address)
        cidr.eni.used[cidr.is_prefix] += 1
        cidr.eni.unused[cidr.is_prefix] -= len(cidr.used) == 1


def _contains(prefix: str, address: str) -> bool:
    network = prefix.removesuffix("/28").rsplit(".", 1)
    parts = address.rsplit(".", 1)
    return network[0] == parts[0] and 0 <= int(parts[1]) - int(network[1]) < ADDRESSES_PER_PREFIX
