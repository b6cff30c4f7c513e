"""Room for prefixes: the whole free /28 blocks of a subnet, which EC2 itself tells nobody.

Every block of 16 addresses, aligned on 16, in which nothing is used, EC2's own (the first four and
the last of the subnet) or reserved for explicit assignment can become a prefix.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from ippolicy.facts import CidrReservation, PrefixRoom, Snapshot, SubnetFacts
from ippolicy.facts.subnets import BLOCK

_FIRST_OWN, _LAST_OWN = 0b1111, 1 << BLOCK - 1  # EC2's own addresses in the first, last block


def rooms(snapshot: Snapshot) -> dict[str, PrefixRoom]:
    """Subnet id -> room, for the subnets whose ENIs and reservations are both known."""
    found: dict[str, PrefixRoom] = {}
    for subnet_id, inventory in snapshot.inventories.items():
        if subnet_id in snapshot.reservations:
            nodes = {
                snapshot.instances[eni.instance_id].node
                for eni in inventory.interfaces
                if eni.instance_id in snapshot.instances
            }
            pools = (snapshot.pools[name] for name in nodes if name in snapshot.pools)
            found[subnet_id] = room(
                inventory.subnet,
                inventory.used,
                snapshot.reservations[subnet_id],
                refusals=sum(pool.counters.no_free_blocks for pool in pools),
                read_at_s=inventory.read_at_s,
            )
    return found


def room(
    subnet: SubnetFacts,
    used: bytes,
    reservations: Sequence[CidrReservation] = (),
    *,
    refusals: int = 0,
    read_at_s: float = 0.0,
) -> PrefixRoom:
    """The room of one subnet; `used` is a map of its addresses as `SubnetInventory` has it."""
    explicit = _mask(subnet.cidr, (r.cidr for r in reservations if not r.for_prefixes))
    reserved = _mask(subnet.cidr, (r.cidr for r in reservations if r.for_prefixes))
    last = subnet.size // BLOCK - 1
    whole = (1 << BLOCK) - 1
    free = singly = blocks = reserved_blocks = 0
    for number in range(last + 1):
        at = slice(2 * number, 2 * number + 2)
        taken = int.from_bytes(used[at], "little") | int.from_bytes(explicit[at], "little")
        taken |= (_FIRST_OWN if number == 0 else 0) | (_LAST_OWN if number == last else 0)
        kept = int.from_bytes(reserved[at], "little")
        free += BLOCK - taken.bit_count()
        singly += BLOCK - (taken | kept).bit_count()
        blocks += not taken
        reserved_blocks += not taken and kept == whole
    return PrefixRoom(
        subnet_id=subnet.subnet_id,
        free_addresses=free,
        free_singly=singly,
        free_blocks=blocks,
        reserved_blocks=reserved_blocks,
        read_at_s=read_at_s,
        refusals=refusals,
    )


def _mask(cidr: str, ranges: Iterable[str]) -> bytes:
    """The addresses of `ranges` within a subnet, as a map like `used`."""
    network = ipaddress.IPv4Network(cidr)
    bits = 0
    for text in ranges:
        part = ipaddress.IPv4Network(text)
        if part.subnet_of(network):
            offset = int(part.network_address) - int(network.network_address)
            bits |= ((1 << part.num_addresses) - 1) << offset
    return bits.to_bytes(max(2, network.num_addresses // 8), "little")
