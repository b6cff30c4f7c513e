"""What the fleet holds and does, as facts for tables, tests and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ippolicy.ipamd import WarmTargets
from ippolicy.sandbox.fleet.awsnode import AwsNodeState


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node now.

    `pods` are those on the pod network, `ready` of them run. `held` are secondary addresses and
    those of prefixes, as EC2 has them; `assigned` of them are pods', `cooling` were until lately.
    A subnet gives `held + enis` to the node. `targets` are None while aws-node is down.
    """

    name: str
    group: str
    zone: str
    state: AwsNodeState
    pods: int
    ready: int
    held: int
    assigned: int
    cooling: int
    enis: int
    starts: int
    targets: WarmTargets | None

    @property
    def warm(self) -> int:
        """Addresses held that the next pod could get."""
        return self.held - self.assigned - self.cooling


@dataclass(frozen=True, slots=True)
class FleetReport:
    """All nodes now, and what happened since the fleet began.

    `delayed_starts` found no free address, `held_up_starts` met an aws-node that was down.
    `ec2_calls` maps API name -> calls by all aws-node.
    """

    nodes: tuple[NodeReport, ...]
    pod_starts: int
    delayed_starts: int
    held_up_starts: int
    longest_wait_s: float
    ec2_calls: Mapping[str, int]

    @property
    def held(self) -> int:
        """Addresses held by all nodes."""
        return sum(node.held for node in self.nodes)

    @property
    def assigned(self) -> int:
        """Addresses that pods use."""
        return sum(node.assigned for node in self.nodes)

    @property
    def warm(self) -> int:
        """Addresses held that the next pods could get."""
        return sum(node.warm for node in self.nodes)

    @property
    def enis(self) -> int:
        """ENIs of all nodes."""
        return sum(node.enis for node in self.nodes)

    @property
    def pods(self) -> int:
        """Pods on the pod network."""
        return sum(node.pods for node in self.nodes)
