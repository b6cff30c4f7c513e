"""The split: who holds each usable address of a subnet.

Ownership goes by ENI, so it is right whatever CNI runs:

    ENI                                                  its addresses count as
    ---------------------------------------------------  ------------------------------------------
    on, or made for, an instance of this cluster         this cluster's
    a CNI's or a node's, tagged with this cluster's name this cluster's (unclear: no such node)
    a CNI's, or tagged with another cluster's name       another cluster's
    on an instance that also has one of the latter       that other cluster's: its nodes' first ENIs
    all others                                           their kind's

The name of this cluster is what the CNI is told, and what the ENIs of its own instances are tagged
with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ippolicy.facts import (
    Holder,
    InstanceUse,
    InterfaceFacts,
    PoolFacts,
    Snapshot,
    SubnetInventory,
    SubnetSplit,
)


def splits(snapshot: Snapshot) -> dict[str, SubnetSplit]:
    """Subnet id -> split, for each subnet of a snapshot whose ENIs are known."""
    return split_all(
        snapshot.inventories.values(),
        snapshot.instances,
        snapshot.pools,
        cluster=snapshot.cni.cluster,
    )


def split(
    inventory: SubnetInventory,
    instances: Mapping[str, InstanceUse],
    pools: Mapping[str, PoolFacts],
    *,
    cluster: str = "",
) -> SubnetSplit:
    """The split of one subnet, as far as its own ENIs tell who is who; see `split_all`."""
    return split_all([inventory], instances, pools, cluster=cluster)[inventory.subnet.subnet_id]


def split_all(
    inventories: Collection[SubnetInventory],
    instances: Mapping[str, InstanceUse],
    pools: Mapping[str, PoolFacts],
    *,
    cluster: str = "",
) -> dict[str, SubnetSplit]:
    """Subnet id -> split. `instances` are this cluster's by id, `pools` are keyed by node name,
    and `cluster` is its name, if that is known.

    A node tells of all its ENIs together; where they are in several subnets, what pods use counts
    in proportion to what is held in each.
    """
    interfaces = [eni for inventory in inventories for eni in inventory.interfaces]
    owners = _Owners.told_by(interfaces, instances, cluster)
    held: Counter[str] = Counter()
    for eni in interfaces:
        if eni.instance_id in instances:
            held[eni.instance_id] += eni.held
    nodes = {key: _Node.read(use, pools.get(use.node), held[key]) for key, use in instances.items()}
    return {
        inventory.subnet.subnet_id: _split(inventory, owners, nodes) for inventory in inventories
    }


@dataclass(frozen=True, slots=True)
class _Owners:
    """Which instances and names of clusters are whose."""

    instances: Collection[str]
    names: frozenset[str]
    foreign: Mapping[str, str]

    @classmethod
    def told_by(
        cls, interfaces: Collection[InterfaceFacts], instances: Collection[str], cluster: str
    ) -> _Owners:
        told = {eni.cluster for eni in interfaces if eni.instance_id in instances}
        names = frozenset(told | {cluster}) - {""}
        foreign = {
            eni.instance_id: eni.cluster
            for eni in interfaces
            if eni.of_a_cluster
            and eni.instance_id
            and eni.instance_id not in instances
            and eni.cluster not in names
        }
        return cls(instances, names, foreign)

    def owns(self, eni: InterfaceFacts) -> bool:
        """Whether it is this cluster's."""
        if eni.instance_id in self.instances:
            return True
        return eni.of_a_cluster and eni.cluster in self.names

    def other_cluster(self, eni: InterfaceFacts) -> str | None:
        """Name of the other cluster that an ENI is of, "" for one unnamed; None for no cluster."""
        if eni.instance_id in self.foreign:
            return self.foreign[eni.instance_id]
        return eni.cluster if eni.of_a_cluster else None


@dataclass(frozen=True, slots=True)
class _Node:
    """What a node holds in all subnets, and which part of it is assigned, cooling and warm.

    Of a node whose pool cannot be read, each pod has an address, and the rest is unclear.
    """

    held: int
    assigned: int
    unclear: int

    @classmethod
    def read(cls, use: InstanceUse, pool: PoolFacts | None, held: int) -> _Node:
        assigned = min(held, use.pods if pool is None else pool.assigned)
        idle = held - assigned
        return cls(held, assigned, idle if pool is None else min(idle, use.cooling))

    def part(self, held: int) -> tuple[int, int, int]:
        """(assigned, warm, unclear) of the `held` addresses that it has in one subnet."""
        if not self.held:
            return 0, 0, 0
        assigned = round(self.assigned * held / self.held)
        unclear = min(held - assigned, round(self.unclear * held / self.held))
        return assigned, held - assigned - unclear, unclear


def _split(inventory: SubnetInventory, owners: _Owners, nodes: Mapping[str, _Node]) -> SubnetSplit:
    held: Counter[str] = Counter()
    other_clusters: Counter[str] = Counter()
    others: Counter[Holder] = Counter()
    primaries = prefixes = pods_alone = gone = 0
    for eni in inventory.interfaces:
        if owners.owns(eni):
            primaries += not eni.for_pod
            pods_alone += eni.for_pod
            prefixes += eni.prefixes
            if eni.instance_id in nodes:
                held[eni.instance_id] += eni.held
            else:
                gone += eni.held
        elif (name := owners.other_cluster(eni)) is not None:
            other_clusters[name] += eni.addresses
        else:
            others[eni.holder] += eni.addresses
    parts = [nodes[key].part(count) for key, count in held.items()]
    assigned, warm, unclear = (sum(part[i] for part in parts) for i in range(3))
    subnet = inventory.subnet
    return SubnetSplit(
        subnet_id=subnet.subnet_id,
        usable=subnet.usable,
        free=subnet.free,
        assigned=assigned + pods_alone,
        warm=warm,
        unclear=unclear + gone,
        primaries=primaries,
        prefixes=prefixes,
        other_clusters=dict(sorted(other_clusters.items())),
        others=dict(sorted(others.items())),
        read_at_s=inventory.read_at_s,
    )
