"""Carries out what the ipamd model asks for, against the EC2 stand-in and the sandbox's clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from ippolicy.ipamd import (
    AssignAddresses,
    AttachedENI,
    AttachInterface,
    CreateInterface,
    CreateTags,
    DeleteInterface,
    DescribeInstances,
    DescribeInterfaces,
    DescribeLeakedInterfaces,
    DescribeSubnets,
    DetachInterface,
    EC2CallError,
    ModifyInterface,
    Request,
    Sleep,
    Steps,
    SubnetFact,
    UnassignAddresses,
    WaitForInterface,
)
from ippolicy.sandbox.clock import SandboxClock
from ippolicy.sandbox.ec2 import Attachment, Ec2CallError, Ec2StandIn, Interface, Subnet

T = TypeVar("T")

INSTANCE_TAG: Final = "node.k8s.amazonaws.com/instance_id"
CREATED_TAG: Final = "node.k8s.amazonaws.com/createdAt"
NO_MANAGE_TAG: Final = "node.k8s.amazonaws.com/no_manage"
ROLE_TAG: Final = "kubernetes.io/role/cni"
CLUSTER_TAG: Final = "cni.networking.k8s.aws/cluster/"

LATENCY_S: Mapping[str, float] = MappingProxyType(
    {
        "AssignPrivateIpAddresses": 1.0,
        "CreateNetworkInterface": 1.0,
        "AttachNetworkInterface": 3.0,
    }
)
"""Seconds of sandbox time that EC2 takes for the slow calls; the others take OTHER_LATENCY_S."""
OTHER_LATENCY_S: Final = 0.2
LEAKED_AFTER_S: Final = 300.0
"""Age from which a detached ENI of the CNI's counts as left behind."""


class AwsCalls:
    """The EC2 that one aws-node process calls; `latency_s` maps API name -> seconds it takes.

    Attributes:
        latency_ms: API name -> (successful calls so far, sandbox milliseconds they took together).
    """

    def __init__(
        self,
        ec2: Ec2StandIn,
        instance_id: str,
        clock: SandboxClock,
        *,
        cluster: str,
        latency_s: Mapping[str, float] = LATENCY_S,
    ) -> None:
        self._ec2 = ec2
        self._instance_id = instance_id
        self._cni = ec2.cni(instance_id, sleep=clock.sleep)
        self._clock = clock
        self._cluster_tag = CLUSTER_TAG + cluster
        self._latency_s = latency_s
        self.latency_ms: dict[str, tuple[int, float]] = {}
        self._tags = {INSTANCE_TAG: instance_id, "cluster.k8s.amazonaws.com/name": cluster}
        self._acts: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
            Sleep: self._sleep,
            WaitForInterface: self._wait_for_interface,
            DescribeInterfaces: self._describe_interfaces,
            DescribeLeakedInterfaces: self._describe_leaked,
            DescribeSubnets: self._describe_subnets,
            DescribeInstances: self._describe_instances,
            CreateTags: self._create_tags,
            AssignAddresses: self._assign,
            UnassignAddresses: self._unassign,
            CreateInterface: self._create,
            AttachInterface: self._attach,
            ModifyInterface: self._modify,
            DetachInterface: self._detach,
            DeleteInterface: self._delete,
        }

    async def run(self, steps: Steps[T]) -> T:
        """Drive `steps` to its end; gives what it returns and passes on what it raises."""
        try:
            request = next(steps)
            while True:
                try:
                    result = await self._perform(request)
                except EC2CallError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(result)
        except StopIteration as end:
            value: T = end.value
            return value

    async def _perform(self, request: Request) -> Any:
        began_s = self._clock.now()
        api = request.api_name
        if api is not None:
            await self._clock.sleep(self._latency_s.get(api, OTHER_LATENCY_S))
        try:
            result = await self._acts[type(request)](request)
        except Ec2CallError as error:
            raise EC2CallError(error.code, error.message) from error
        if api is not None:
            count, total_ms = self.latency_ms.get(api, (0, 0.0))
            took_ms = round((self._clock.now() - began_s) * 1000)
            self.latency_ms[api] = (count + 1, total_ms + took_ms)
        return result

    async def _sleep(self, request: Sleep) -> None:
        await self._clock.sleep(request.seconds)

    async def _wait_for_interface(self, request: WaitForInterface) -> AttachedENI:
        found = self._in_metadata(request.eni_id)
        if found is None:
            raise EC2CallError("NotFound", f"{request.eni_id} is not in the instance metadata")
        return _attached(found)

    async def _describe_interfaces(self, request: DescribeInterfaces) -> tuple[AttachedENI, ...]:
        if request.eni_ids:
            return tuple(
                [_attached(await self._cni.describe_interface(one)) for one in request.eni_ids]
            )
        return tuple(_attached(one) for one in await self._cni.describe_interfaces())

    async def _describe_leaked(self, _: DescribeLeakedInterfaces) -> tuple[str, ...]:
        oldest_s = self._clock.now() - LEAKED_AFTER_S
        return tuple(
            one.id
            for one in await self._cni.describe_leaked_interfaces()
            if float(one.tags.get(CREATED_TAG, 0)) < oldest_s
        )

    async def _describe_subnets(self, request: DescribeSubnets) -> tuple[SubnetFact, ...]:
        return tuple(
            self._fact(one)
            for one in await self._cni.describe_subnets()
            if not request.subnet_ids or one.id in request.subnet_ids
        )

    async def _describe_instances(self, _: DescribeInstances) -> tuple[int, ...]:
        instance = await self._cni.describe_instance()
        return tuple(_place(one).device_index for one in instance.interfaces)

    async def _create_tags(self, request: CreateTags) -> None:
        await self._cni.create_tags([request.eni_id], self._tags)

    async def _assign(self, request: AssignAddresses) -> tuple[str, ...]:
        if request.prefixes:
            return await self._cni.assign_prefixes(request.eni_id, request.count)
        return await self._cni.assign_addresses(request.eni_id, request.count)

    async def _unassign(self, request: UnassignAddresses) -> None:
        if request.prefixes:
            await self._cni.unassign_prefixes(request.eni_id, request.cidrs)
        else:
            await self._cni.unassign_addresses(request.eni_id, request.cidrs)

    async def _create(self, request: CreateInterface) -> str:
        made = await self._cni.create_interface(
            request.subnet_id,
            secondary_count=0 if request.prefixes else request.count,
            prefix_count=request.count if request.prefixes else 0,
            description=f"aws-K8S-{self._instance_id}",
            tags={**self._tags, CREATED_TAG: f"{self._clock.now():.3f}"},
        )
        return made.id

    async def _attach(self, request: AttachInterface) -> str:
        attachment = await self._cni.attach(request.eni_id, self._instance_id, request.device_index)
        return attachment.id

    async def _modify(self, request: ModifyInterface) -> None:
        await self._cni.modify_attribute(
            request.eni_id,
            attachment_id=request.attachment_id,
            delete_on_termination=True if request.attachment_id else None,
        )

    async def _detach(self, request: DetachInterface) -> None:
        found = self._in_metadata(request.eni_id)
        if found is None:
            raise EC2CallError("InvalidAttachmentID.NotFound", f"{request.eni_id} is not attached")
        await self._cni.detach(_place(found).id)

    async def _delete(self, request: DeleteInterface) -> None:
        await self._cni.delete(request.eni_id)

    def _in_metadata(self, eni_id: str) -> Interface | None:
        """The ENI as the instance metadata shows it, which is no EC2 call and never throttled."""
        seen = self._ec2.instance(self._instance_id).interfaces
        return next((one for one in seen if one.id == eni_id), None)

    def _fact(self, subnet: Subnet) -> SubnetFact:
        clusters = [tag for tag in subnet.tags if tag.startswith(CLUSTER_TAG)]
        return SubnetFact(
            subnet.id,
            subnet.free_addresses,
            role_tag=subnet.tags.get(ROLE_TAG),
            foreign_cluster=bool(clusters) and self._cluster_tag not in clusters,
        )


def _attached(interface: Interface) -> AttachedENI:
    return AttachedENI(
        eni_id=interface.id,
        subnet_id=interface.subnet_id,
        device_index=_place(interface).device_index,
        primary_address=interface.primary_address,
        addresses=interface.secondary_addresses,
        prefixes=interface.prefixes,
        trunk=interface.interface_type == "trunk",
        managed=interface.tags.get(NO_MANAGE_TAG) != "true",
        tagged=INSTANCE_TAG in interface.tags,
    )


def _place(interface: Interface) -> Attachment:
    if interface.attachment is None:
        raise EC2CallError("InvalidNetworkInterface.NotAttached", f"{interface.id} is loose")
    return interface.attachment
