"""The subnets around the nodes of a DaemonSet, who is in them, and the CNI that fills them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from ippolicy.facts import (
    CidrReservation,
    CniFacts,
    DaemonSetFacts,
    DaemonSetRef,
    InstanceUse,
    NodeFacts,
    SourceName,
    SourceState,
    SubnetFacts,
    SubnetInventory,
    SubnetSelection,
)
from ippolicy.ipamd import PoolSettings
from ippolicy.observe.cluster import Cluster
from ippolicy.observe.cni import has_cilium_enis, recognise
from ippolicy.observe.ec2 import Ec2Facts
from ippolicy.observe.lookups import (
    CILIUM_CONFIG,
    ENI_CONFIGS,
    VPC_CNI_CONFIG,
    Lookup,
    read_config_map,
    read_eni_configs,
    read_windows_ipam,
)
from ippolicy.observe.settings import ObserveSettings
from ippolicy.observe.subnets import OWN_ALONE, SubnetChoice
from ippolicy.observe.transport import Transport

CILIUM = "cilium"
"""Name of Cilium's DaemonSet."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a snapshot has of the surroundings; see there."""

    subnets: tuple[SubnetFacts, ...]
    inventories: Mapping[str, SubnetInventory]
    reservations: Mapping[str, tuple[CidrReservation, ...]]
    instances: Mapping[str, InstanceUse]
    cni: CniFacts
    windows_ipam: Mapping[str, str]


class Surroundings:
    """Tells `ec2` what to ask for, by what the cluster says, and picks from its answers."""

    def __init__(
        self,
        api: Transport,
        cluster: Cluster,
        ec2: Ec2Facts,
        settings: ObserveSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = cluster
        self._ec2 = ec2
        self._eni_configs: Lookup[frozenset[str]] = Lookup(
            api, read_eni_configs, frozenset(), "list eniconfigs", settings, clock=clock
        )
        self._cilium_config: Lookup[Mapping[str, str]] = Lookup(
            api, read_config_map, {}, "get configmaps", settings, clock=clock
        )
        self._windows_ipam: Lookup[Mapping[str, str]] = Lookup(
            api, read_windows_ipam, {}, "get configmaps", settings, clock=clock
        )

    async def look(self, refs: Collection[DaemonSetRef]) -> None:
        """Read what tells where the DaemonSets `refs` get addresses from, and pass it on."""
        choices = [_choice(self._cluster.daemon_set(ref)) for ref in refs]
        custom = any(choice.eni_configs for choice in choices)
        await self._eni_configs.refresh(ENI_CONFIGS if custom else None)
        namespace = next((ref.namespace for ref in sorted(refs) if self._cilium(ref)), None)
        await self._cilium_config.refresh(
            CILIUM_CONFIG.format(namespace=namespace) if namespace is not None else None
        )
        aws_node = next((ref for ref in sorted(refs) if self._cluster.daemon_set(ref)), None)
        await self._windows_ipam.refresh(
            VPC_CNI_CONFIG.format(namespace=aws_node.namespace) if aws_node is not None else None
        )
        self._ec2.eni_configs = self._eni_configs.value
        self._ec2.discovery = any(choice.discovery for choice in choices)

    def seen(
        self,
        ref: DaemonSetRef,
        nodes: Collection[NodeFacts],
        now_s: float,
        selection: SubnetSelection | None,
    ) -> Seen:
        """What is known around the DaemonSet `ref` with the nodes `nodes`; no I/O.

        The subnets are those of `selection`, or else of the ENIs of `nodes` and those that the CNI
        may make more ENIs in. Where no node has an aws-node, all nodes of the cluster count.
        """
        daemon_set = self._cluster.daemon_set(ref)
        env = daemon_set.literal_env() if daemon_set is not None else {}
        if selection:
            subnets = self._ec2.selected(selection)
        else:
            of_nodes = nodes or tuple(self._cluster.nodes_with_pools())
            subnets = self._ec2.subnets_of(of_nodes, _choice(daemon_set))
        ids = [subnet.subnet_id for subnet in subnets]
        inventories = self._ec2.inventories.of(ids)
        instances = self._cluster.instances(now_s, PoolSettings.from_env(env).cooldown_s)
        return Seen(
            subnets=subnets,
            inventories=inventories,
            reservations=self._ec2.inventories.reservations_of(ids),
            instances=instances,
            cni=self._cni(ref, daemon_set, inventories.values(), instances, now_s),
            windows_ipam=self._windows_ipam.value,
        )

    def states(self) -> dict[SourceName, SourceState]:
        """How the sources do that only some clusters have; those not wanted are left out."""
        states = {
            SourceName.ENI_CONFIGS: self._eni_configs.state,
            SourceName.CILIUM: self._cilium_config.state,
            SourceName.WINDOWS_IPAM: self._windows_ipam.state,
        }
        return {name: state for name, state in states.items() if state is not None}

    def _cilium(self, ref: DaemonSetRef) -> DaemonSetFacts | None:
        """Cilium's DaemonSet beside the DaemonSet `ref`, if it is there."""
        return self._cluster.daemon_set(DaemonSetRef(ref.namespace, CILIUM))

    def _cni(
        self,
        ref: DaemonSetRef,
        daemon_set: DaemonSetFacts | None,
        inventories: Iterable[SubnetInventory],
        instances: Mapping[str, InstanceUse],
        now_s: float,
    ) -> CniFacts:
        """The CNI at work; nothing is said before the DaemonSets were listed."""
        states = self._cluster.states(now_s, ref.namespace)
        if states[SourceName.DAEMON_SET].succeeded_at_s is None:
            return CniFacts()
        running = daemon_set is not None and daemon_set.rollout.desired > 0
        return recognise(
            ref,
            daemon_set,
            self._cilium(ref),
            self._cilium_config.value,
            cilium_enis=not running and has_cilium_enis(inventories, instances),
        )


def _choice(daemon_set: DaemonSetFacts | None) -> SubnetChoice:
    if daemon_set is None or not daemon_set.rollout.desired:
        return OWN_ALONE
    return SubnetChoice.from_env(daemon_set.literal_env())
