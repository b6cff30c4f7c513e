"""One simulated node: its instance in EC2, its aws-node and its kubelet."""

from __future__ import annotations

from random import Random

from ippolicy.ipamd import NodeShape
from ippolicy.sandbox.clock import SandboxClock
from ippolicy.sandbox.ec2 import Ec2StandIn
from ippolicy.sandbox.ec2.limits import limits_of
from ippolicy.sandbox.fleet.awscalls import AwsCalls
from ippolicy.sandbox.fleet.awsnode import AwsNodeHost, AwsNodeState, Timings
from ippolicy.sandbox.fleet.endpoints import MetricsEndpoints
from ippolicy.sandbox.fleet.kubeclient import KubeClient, Object
from ippolicy.sandbox.fleet.kubelet import Kubelet
from ippolicy.sandbox.fleet.objects import NodeIdentity, NodeSpec, node_object
from ippolicy.sandbox.fleet.report import NodeReport
from ippolicy.sandbox.fleet.starts import StartLog

UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"


class SimulatedNode:
    """A node of the fleet. Its instance runs from the start; `object` is the Node to register."""

    def __init__(
        self,
        spec: NodeSpec,
        identity: NodeIdentity,
        *,
        cluster: str,
        ec2: Ec2StandIn,
        client: KubeClient,
        clock: SandboxClock,
        endpoints: MetricsEndpoints,
        timings: Timings,
        starts: StartLog,
        random: Random,
    ) -> None:
        self.spec = spec
        self.identity = identity
        self.object = node_object(spec, identity)
        self._ec2 = ec2
        limits = limits_of(spec.instance_type)
        self.aws_node = AwsNodeHost(
            address=identity.address,
            shape=NodeShape(
                spec.instance_type,
                eni_limit=limits.interfaces_per_card[0],
                addresses_per_eni=limits.ipv4_per_interface,
                max_pods=spec.max_pods,
            ),
            client=client,
            clock=clock,
            endpoints=endpoints,
            timings=timings,
            random=random,
            new_calls=lambda: AwsCalls(ec2, identity.instance_id, clock, cluster=cluster),
            custom_subnet=spec.custom_subnet,
        )
        self.kubelet = Kubelet(
            node=identity.name,
            address=identity.address,
            aws_node=self.aws_node,
            client=client,
            clock=clock,
            timings=timings,
            starts=starts,
        )

    @property
    def name(self) -> str:
        """The Node's name."""
        return self.identity.name

    def observe(self, node: Object) -> None:
        """The Node object as the API server has it now."""
        taints = node["spec"].get("taints") or ()
        self.aws_node.set_unschedulable(any(t["key"] == UNSCHEDULABLE_TAINT for t in taints))

    def settled(self, *, for_good: bool) -> bool:
        """Whether aws-node runs and has nothing to do, and all pods are ready."""
        process = self.aws_node.process
        return (
            self.aws_node.state is AwsNodeState.RUNNING
            and process is not None
            and process.settled(for_good=for_good)
            and self.kubelet.settled()
        )

    def check(self) -> None:
        """Raise what went wrong inside the simulation, if anything did."""
        self.kubelet.check()
        if self.aws_node.process is not None:
            self.aws_node.process.check()

    def report(self) -> NodeReport:
        """The node now."""
        interfaces = self._ec2.instance(self.identity.instance_id).interfaces
        process = self.aws_node.process
        pool = process.snapshot() if process is not None else None
        pods, ready = self.kubelet.workload
        return NodeReport(
            name=self.name,
            group=self.spec.group,
            zone=self.identity.zone,
            state=self.aws_node.state,
            pods=pods,
            ready=ready,
            held=sum(len(i.secondary_addresses) + 16 * len(i.prefixes) for i in interfaces),
            assigned=len(self.aws_node.assignments()),
            cooling=pool.cooling if pool is not None else 0,
            enis=len(interfaces),
            starts=self.aws_node.starts,
            targets=process.settings.targets if process is not None else None,
        )

    async def close(self) -> None:
        """Switch the machine off; EC2 and the API server keep what they have of it."""
        await self.kubelet.close()
        await self.aws_node.kill()
