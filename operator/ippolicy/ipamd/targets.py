"""What ipamd's pool manager concludes from counts alone: pure, and the same for every node.

    who rules           too low                       too high                    asked for
    ------------------  ----------------------------  --------------------------  ---------------
    WARM_IP/MINIMUM_IP  short > 0                     over > 0                    short
    prefixes: P         available < 16 P, or P = 0    free prefixes > P           P - free, min. 1
                        and none available
    ENIs: E             available < cap E, or E = 0   never                       the ENI's slots
                        and none available

WARM_IP/MINIMUM_IP rule wherever one of them is set; prefix delegation puts WARM_ENI aside. Nothing
is too low once the addresses held reach maxPods. With prefixes, short and over count prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.ipamd.settings import WarmTargets
from ippolicy.ipamd.shape import ADDRESSES_PER_PREFIX
from ippolicy.ipamd.store import PoolCount


def prefixes_for(addresses: int) -> int:
    """Prefixes that hold `addresses` addresses."""
    return -(-addresses // ADDRESSES_PER_PREFIX)


@dataclass(frozen=True, slots=True)
class Demand:
    """How far a pool is from its targets: in addresses, or in prefixes where the node uses them."""

    short: int
    over: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The pool manager's arithmetic for one node (`slots` per ENI, `max_pods` of the Node)."""

    targets: WarmTargets
    prefixes: bool
    slots: int
    max_pods: int

    @property
    def addresses_per_full_eni(self) -> int:
        """Pod addresses of an ENI with all slots filled."""
        return self.slots * (ADDRESSES_PER_PREFIX if self.prefixes else 1)

    def demand(self, pool: PoolCount) -> Demand:
        """How short of, or over, WARM_IP and MINIMUM_IP the pool is; zero where neither is set."""
        targets = self.targets
        if not targets.counts_addresses:
            return Demand(0, 0)
        short = max(targets.warm_ip - pool.available, targets.minimum_ip - pool.total, 0)
        if self.prefixes:
            needed_warm = prefixes_for(pool.assigned + targets.warm_ip)
            needed_minimum = prefixes_for(targets.minimum_ip)
            spare = pool.total_prefixes - max(needed_warm, needed_minimum)
            return Demand(prefixes_for(short), max(min(pool.free_prefixes, spare), 0))
        spare = min(max(pool.available - targets.warm_ip, 0), pool.total - targets.minimum_ip)
        return Demand(short, max(spare, 0))

    def too_low(self, pool: PoolCount) -> bool:
        """Whether the pool must grow."""
        if pool.total >= self.max_pods:
            return False
        if self.targets.counts_addresses:
            return self.demand(pool).short > 0
        if self.prefixes:
            warm, unit = self.targets.warm_prefix, ADDRESSES_PER_PREFIX
        else:
            warm, unit = self.targets.warm_eni, self.addresses_per_full_eni
        return pool.available < unit * warm or (warm == 0 and pool.available == 0)

    def surplus(self, pool: PoolCount) -> int:
        """CIDRs that shrinking would give back; above 0 the pool is too high."""
        if self.targets.counts_addresses:
            return self.demand(pool).over
        return self.prefixes_over_target(pool)

    def prefixes_over_target(self, pool: PoolCount) -> int:
        """Free prefixes beyond WARM_PREFIX, whoever rules; 0 where the node has no prefixes."""
        return max(pool.free_prefixes - self.targets.warm_prefix, 0) if self.prefixes else 0

    def prefixes_needed(self, pool: PoolCount) -> int:
        """Prefixes that growth asks for: never none."""
        if self.targets.counts_addresses:
            return max(1, self.demand(pool).short)
        return max(1, self.targets.warm_prefix - pool.free_prefixes)

    def wanted(self, pool: PoolCount) -> int:
        """CIDRs that growth asks one ENI for, before the ENI's own room is looked at."""
        if self.prefixes:
            return self.prefixes_needed(pool)
        return self.demand(pool).short if self.targets.counts_addresses else self.slots

    def new_eni_brings(self, pool: PoolCount) -> int:
        """CIDRs that a new ENI is made with; none is made for 0."""
        return min(self.wanted(pool), self.slots)

    def may_free_eni(self, pool: PoolCount, *, idle_eni: bool) -> bool:
        """Whether ipamd looks for an ENI to free.

        `idle_eni` says that some ENI, neither primary nor trunk, has no pods.
        """
        if self.targets.counts_addresses:
            return True
        warm = self.targets.warm_prefix if self.prefixes else self.targets.warm_eni
        if pool.available >= (warm + 1) * self.addresses_per_full_eni:
            return True
        return self.prefixes and idle_eni
