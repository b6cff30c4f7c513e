"""Which subnets matter to the nodes of one DaemonSet, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from ippolicy.facts import SubnetFacts, SubnetUse
from ippolicy.ipamd import PoolSettings
from ippolicy.observe.cni import CLUSTER_NAME


@dataclass(frozen=True, slots=True)
class SubnetChoice:
    """Where aws-node is told to make new ENIs: in the subnets of the ENIConfigs, in those that it
    discovers by their tags, or in the node's own alone. `cluster` is the name that it is told."""

    eni_configs: bool = False
    discovery: bool = False
    cluster: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """As aws-node reads its env; with custom networking it discovers nothing."""
        settings = PoolSettings.from_env(env)
        return cls(
            eni_configs=settings.custom_networking,
            discovery=settings.subnet_discovery and not settings.custom_networking,
            cluster=env.get(CLUSTER_NAME, ""),
        )

    def discovers(self, subnet: SubnetFacts) -> bool:
        """Whether it would make ENIs here, beside a node in the same VPC and zone: the tag
        kubernetes.io/role/cni is there and not 0, and no tag keeps it for other clusters only."""
        if not self.discovery or not subnet.cni_role or subnet.excluded:
            return False
        return not (self.cluster and subnet.clusters) or self.cluster in subnet.clusters


OWN_ALONE = SubnetChoice()
"""New ENIs are made in the subnet of the node's first one, and nowhere else."""


def subnets_that_matter(
    of_nodes: Iterable[SubnetFacts],
    of_eni_configs: Iterable[SubnetFacts],
    with_role: Iterable[SubnetFacts],
    choice: SubnetChoice,
) -> tuple[SubnetFacts, ...]:
    """The subnets of the nodes' ENIs, those of the ENIConfigs, and those that the CNI discovers
    beside them, each once with all its `uses`, by id."""
    found = {subnet.subnet_id: (subnet, [SubnetUse.NODES]) for subnet in of_nodes}
    places = {(subnet.vpc_id, subnet.zone) for subnet, _ in found.values()}
    more = [(SubnetUse.ENI_CONFIG, subnet) for subnet in of_eni_configs if choice.eni_configs]
    more += [
        (SubnetUse.DISCOVERY, subnet)
        for subnet in with_role
        if (subnet.vpc_id, subnet.zone) in places and choice.discovers(subnet)
    ]
    for use, subnet in more:
        found.setdefault(subnet.subnet_id, (subnet, []))[1].append(use)
    return tuple(replace(found[key][0], uses=tuple(found[key][1])) for key in sorted(found))
