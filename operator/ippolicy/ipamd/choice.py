"""Which ENIs may grow, which may be freed, and whether there is room for one more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ippolicy.ipamd.settings import WarmTargets
from ippolicy.ipamd.shape import ADDRESSES_PER_PREFIX
from ippolicy.ipamd.store import CLOCK_NOISE_S, ENI, Store
from ippolicy.ipamd.targets import prefixes_for

MINIMUM_ENI_LIFE_S: Final = 60.0


def allocatable(store: Store, slots: int, *, skip_primary: bool) -> list[ENI]:
    """ENIs that can take another address or prefix, in map order.

    `skip_primary` under custom networking, where the primary serves no pods.
    """
    return [
        eni
        for eni in store.enis.walk()
        if not eni.trunk
        and not eni.excluded
        and not (skip_primary and eni.primary)
        and len(eni.cidrs) < slots
    ]


def has_room_for_eni(store: Store, *, max_eni: int, unmanaged: int, awaits_trunk: bool) -> bool:
    """Whether one more ENI may be attached; one slot stays free for a trunk that is to come.

    ENIs in excluded subnets count like any other.
    """
    return len(store.enis) < max_eni - unmanaged - awaits_trunk


def has_idle_eni(store: Store) -> bool:
    """Whether some ENI that ipamd could free has no pods, whatever its age."""
    return any(not (e.primary or e.trunk or e.pods) for e in store.enis.values())


def deletable(store: Store, targets: WarmTargets, now: float) -> Iterator[ENI]:
    """ENIs that may be freed at `now`, in map order; ipamd takes the first."""
    for eni in store.enis.walk():
        if eni.primary or eni.trunk or eni.pods:
            continue
        if now - eni.seen_at < MINIMUM_ENI_LIFE_S - CLOCK_NOISE_S:
            continue
        if eni.cooling(now, store.cooldown_s) or _is_needed(store, eni, targets):
            continue
        yield eni


def _is_needed(store: Store, eni: ENI, targets: WarmTargets) -> bool:
    """Whether the other ENIs alone would miss WARM_IP, MINIMUM_IP or WARM_PREFIX.

    WARM_ENI is no reason to keep an ENI here, and WARM_PREFIX is one even where WARM_IP rules.
    """
    kind = store.prefixes
    size = ADDRESSES_PER_PREFIX if kind else 1
    others = [o for o in store.enis.values() if o is not eni and not o.excluded]
    total = sum(other.held[kind] for other in others) * size
    free = total - sum(other.used[kind] for other in others)
    if targets.warm_ip and free < _whole(targets.warm_ip, size):
        return True
    if targets.minimum_ip and total < _whole(targets.minimum_ip, size):
        return True
    return kind and sum(sum(other.unused) for other in others) < targets.warm_prefix


def _whole(addresses: int, size: int) -> int:
    return addresses if size == 1 else prefixes_for(addresses) * size
