"""Where a node's pool comes to rest, in closed form.

It is asked for a node that starts empty and whose pods arrive one by one, each when the pool has
settled, and stay. With p pods, s slots an ENI and 16 addresses a prefix the pool rests at

    WARM_ENI = E > 0              s (E + ceil(p / s)) addresses
    WARM_ENI = 0                  s (floor(p / s) + 1)
    WARM_IP = W, MINIMUM_IP = M   max(p + W, M), or M where W is 0: no further pod gets an address
    prefixes, WARM_PREFIX = P     P + ceil(p / 16) prefixes, floor(p / 16) + 1 where P is 0
    prefixes, W and M             max(ceil((p + W) / 16), ceil(M / 16)), or ceil(M / 16) without W

unless maxPods or the ENIs end its growth before. ENIs are filled one after another, so as few as
possible are used. How pods spread over addresses is random and none of this depends on it, with
one exception: for P above 1, growth asks for P less the prefixes free of pods, which may be one
more than the fewest that suffice, and these are the ones given here.
"""

from __future__ import annotations

from dataclasses import dataclass

from ippolicy.ipamd.settings import PoolSettings, WarmTargets
from ippolicy.ipamd.shape import ADDRESSES_PER_PREFIX, NodeShape


@dataclass(frozen=True, slots=True)
class SteadyState:
    """A pool at rest with `pods` wanted.

    `addresses` are the secondary ones held, within `prefixes` /28s where the node uses them.
    `settles` is False where the pool never rests: it makes and frees the same spare for ever, at
    the cost of EC2 calls, and the numbers are those while it has the spare.
    """

    pods: int
    served: int
    enis: int
    addresses: int
    prefixes: int
    settles: bool = True

    @property
    def idle(self) -> int:
        """Addresses held that no pod uses."""
        return self.addresses - self.served

    @property
    def unserved(self) -> int:
        """Pods that never get an address."""
        return self.pods - self.served

    @property
    def subnet_addresses(self) -> int:
        """Addresses taken from the subnets, each ENI's own primary address among them."""
        return self.addresses + self.enis


def steady_state(shape: NodeShape, settings: PoolSettings, pods: int) -> SteadyState:
    """The pool at rest with `pods` pods that need an address."""
    prefixes = settings.prefix_delegation and shape.prefix_capable
    size = ADDRESSES_PER_PREFIX if prefixes else 1
    wanted = _wanted(shape, settings.targets, pods, prefixes=prefixes)
    first = _wanted(shape, settings.targets, 0, prefixes=prefixes)
    room = shape.slots * _pool_enis(shape, settings)
    cidrs = min(wanted, room, _last_growth(shape, settings.targets, first, prefixes=prefixes))
    filled = -(-cidrs // shape.slots) if cidrs else 0
    reserved = 1 if settings.custom_networking else 0
    return SteadyState(
        pods=pods,
        served=min(pods, cidrs * size),
        enis=max(filled + reserved, 1),
        addresses=cidrs * size,
        prefixes=cidrs if prefixes else 0,
        settles=cidrs < wanted or not _flaps(shape, settings, pods, prefixes=prefixes),
    )


def _wanted(shape: NodeShape, targets: WarmTargets, pods: int, *, prefixes: bool) -> int:
    """CIDRs at rest if nothing were limited."""
    size = ADDRESSES_PER_PREFIX if prefixes else 1
    if targets.counts_addresses:
        warm = pods + targets.warm_ip if targets.warm_ip else 0
        return max(-(-warm // size), -(-targets.minimum_ip // size))
    if prefixes:
        return _whole(pods, size, targets.warm_prefix)
    return shape.slots * _whole(pods, shape.slots, targets.warm_eni)


def _whole(pods: int, unit: int, warm: int) -> int:
    """Units for `pods` with `warm` to spare; without any to spare, growth waits for the last."""
    return warm + -(-pods // unit) if warm else pods // unit + 1


def _pool_enis(shape: NodeShape, settings: PoolSettings) -> int:
    """ENIs that can serve pods."""
    limit = shape.eni_limit
    if settings.max_eni:
        limit = min(limit, settings.max_eni)
    if settings.pod_eni and shape.trunk_capable:
        limit = max(limit - 1, 1)
    return limit - settings.custom_networking


def _last_growth(shape: NodeShape, targets: WarmTargets, first: int, *, prefixes: bool) -> int:
    """CIDRs after the growth that reaches maxPods; there is none after it.

    The first fill comes ENI by ENI and so does WARM_ENI's growth; all other growth follows the
    pods one by one.
    """
    size = ADDRESSES_PER_PREFIX if prefixes else 1
    enough = -(-shape.max_pods // size)
    whole_enis = shape.slots * -(-enough // shape.slots)
    if not targets.counts_addresses and not prefixes:
        return whole_enis
    return min(first, whole_enis) if first >= enough else enough


def _flaps(shape: NodeShape, settings: PoolSettings, pods: int, *, prefixes: bool) -> bool:
    """Whether the spare that a target of 0 calls for is surplus as soon as it is there."""
    targets = settings.targets
    if targets.counts_addresses:
        return False
    if prefixes:
        return targets.warm_prefix == 0 and pods % ADDRESSES_PER_PREFIX == 0
    spare_is_primary = pods == 0 and not settings.custom_networking
    return targets.warm_eni == 0 and pods % shape.slots == 0 and not spare_is_primary
