"""The EC2 calls that one node's aws-node makes, without HTTP in between.

They meet the same faults, limits and shortages as HTTP calls and are counted with them, under
the CNI's user agent. Retrying is the caller's matter, as in the SDK that aws-node uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from ippolicy.sandbox.ec2 import interfaces
from ippolicy.sandbox.ec2.calls import AWS_NODE, OK, Call, CallLog
from ippolicy.sandbox.ec2.errors import Ec2CallError, answer_cut_short, connection_lost
from ippolicy.sandbox.ec2.faults import Faults, Loss, Verdict
from ippolicy.sandbox.ec2.limits import limits_of
from ippolicy.sandbox.ec2.model import (
    Attachment,
    Instance,
    InstanceLimits,
    Interface,
    Subnet,
)
from ippolicy.sandbox.ec2.network import Network
from ippolicy.sandbox.ec2.records import dotted

CNI_USER_AGENT = "aws-sdk-go-v2/1.39.0 api/ec2 amazon-vpc-cni-k8s/v1.23.1"
HANG_S = 3600.0
LEAKED_PREFIX = "aws-K8S-"
CREATED_FOR_TAG = "node.k8s.amazonaws.com/instance_id"

T = TypeVar("T")


class CniCalls:
    """EC2 as one node's aws-node sees it; every method is one EC2 call of the same name.

    Each raises Ec2CallError with AWS's code. An injected latency is awaited through `sleep`
    (seconds) before the call takes effect, so a sandbox clock may shorten it. A hanging call
    sleeps for an hour and then fails with RequestError; wrap it in a timeout of your own.
    """

    def __init__(
        self,
        instance_id: str,
        *,
        network: Network,
        faults: Faults,
        calls: CallLog,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.instance_id = instance_id
        self._network = network
        self._faults = faults
        self._calls = calls
        self._clock = clock
        self._sleep = sleep

    async def assign_addresses(self, interface_id: str, count: int) -> tuple[str, ...]:
        """AssignPrivateIpAddresses by count: the addresses that were added."""
        return await self._call(
            "AssignPrivateIpAddresses",
            lambda: tuple(
                map(dotted, interfaces.assign_addresses(self._network, interface_id, count=count))
            ),
        )

    async def assign_prefixes(self, interface_id: str, count: int) -> tuple[str, ...]:
        """AssignPrivateIpAddresses with Ipv4PrefixCount: the /28s that were added."""
        return await self._call(
            "AssignPrivateIpAddresses",
            lambda: tuple(
                f"{dotted(first)}/28"
                for first in interfaces.assign_prefixes(self._network, interface_id, count=count)
            ),
        )

    async def unassign_addresses(self, interface_id: str, addresses: Sequence[str]) -> None:
        """UnassignPrivateIpAddresses of secondary addresses."""
        await self._call(
            "UnassignPrivateIpAddresses",
            lambda: interfaces.unassign(
                self._network, interface_id, addresses=addresses, prefixes=()
            ),
        )

    async def unassign_prefixes(self, interface_id: str, prefixes: Sequence[str]) -> None:
        """UnassignPrivateIpAddresses with Ipv4Prefixes, each `a.b.c.d/28`."""
        await self._call(
            "UnassignPrivateIpAddresses",
            lambda: interfaces.unassign(
                self._network, interface_id, addresses=(), prefixes=prefixes
            ),
        )

    async def create_interface(
        self,
        subnet_id: str,
        *,
        secondary_count: int = 0,
        prefix_count: int = 0,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> Interface:
        """CreateNetworkInterface; aws-node asks for secondary addresses or for prefixes."""
        return await self._call(
            "CreateNetworkInterface",
            lambda: interfaces.create(
                self._network,
                subnet_id,
                secondary_count=secondary_count,
                prefix_count=prefix_count,
                description=description,
                tags=tags,
            ).view(),
        )

    async def attach(self, interface_id: str, instance_id: str, device_index: int) -> Attachment:
        """AttachNetworkInterface on network card 0."""
        return await self._call(
            "AttachNetworkInterface",
            lambda: interfaces.attach(
                self._network, interface_id, instance_id, device_index=device_index
            ),
        )

    async def modify_attribute(
        self,
        interface_id: str,
        *,
        attachment_id: str | None = None,
        delete_on_termination: bool | None = None,
        security_groups: Sequence[str] | None = None,
    ) -> None:
        """ModifyNetworkInterfaceAttribute; DeleteOnTermination needs the attachment's id."""
        await self._call(
            "ModifyNetworkInterfaceAttribute",
            lambda: interfaces.modify(
                self._network,
                interface_id,
                attachment_id=attachment_id,
                delete_on_termination=delete_on_termination,
                security_groups=security_groups,
            ),
        )

    async def detach(self, attachment_id: str) -> None:
        """DetachNetworkInterface."""
        await self._call(
            "DetachNetworkInterface", lambda: interfaces.detach(self._network, attachment_id)
        )

    async def delete(self, interface_id: str) -> None:
        """DeleteNetworkInterface of a detached ENI."""
        await self._call(
            "DeleteNetworkInterface", lambda: interfaces.delete(self._network, interface_id)
        )

    async def create_tags(self, resource_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """CreateTags."""
        await self._call("CreateTags", lambda: self._network.create_tags(list(resource_ids), tags))

    async def describe_interfaces(self, instance_id: str | None = None) -> tuple[Interface, ...]:
        """DescribeNetworkInterfaces of an instance (its own by default), by device index."""
        instance = instance_id or self.instance_id
        return await self._call(
            "DescribeNetworkInterfaces",
            lambda: self._network.instance(instance).view().interfaces,
        )

    async def describe_interface(self, interface_id: str) -> Interface:
        """DescribeNetworkInterfaces of one id."""
        return await self._call(
            "DescribeNetworkInterfaces", lambda: self._network.interface(interface_id).view()
        )

    async def describe_leaked_interfaces(self) -> tuple[Interface, ...]:
        """DescribeNetworkInterfaces as the hourly cleanup asks: available ENIs of the CNI's."""
        return await self._call("DescribeNetworkInterfaces", self._leaked)

    async def describe_subnets(self) -> tuple[Subnet, ...]:
        """DescribeSubnets as subnet discovery asks: the node's VPC and availability zone."""
        return await self._call("DescribeSubnets", self._subnets_here)

    async def describe_instance(self) -> Instance:
        """DescribeInstances of the node itself; its ENIs tell the free device indexes."""
        return await self._call(
            "DescribeInstances", lambda: self._network.instance(self.instance_id).view()
        )

    async def describe_instance_type(self, instance_type: str) -> InstanceLimits:
        """DescribeInstanceTypes of one type, which aws-node asks for types it does not know."""
        return await self._call("DescribeInstanceTypes", lambda: limits_of(instance_type))

    def _leaked(self) -> tuple[Interface, ...]:
        return tuple(
            interface.view()
            for interface in self._network.interfaces.values()
            if interface.attachment is None
            and interface.description.startswith(LEAKED_PREFIX)
            and CREATED_FOR_TAG in interface.tags
        )

    def _subnets_here(self) -> tuple[Subnet, ...]:
        home = self._network.instance(self.instance_id).subnet
        return tuple(
            subnet.view()
            for subnet in self._network.subnets.values()
            if subnet.vpc is home.vpc and subnet.availability_zone == home.availability_zone
        )

    async def _call(self, api: str, act: Callable[[], T]) -> T:
        verdict = self._faults.judge(api, AWS_NODE)
        try:
            await self._meet(verdict)
            with self._network.lock:
                answer = act()
        except Ec2CallError as error:
            self._record(api, verdict.loss.value if verdict.loss else error.code)
            raise
        self._record(api, verdict.loss.value if verdict.loss else OK)
        if verdict.loss is Loss.TRUNCATE:
            raise answer_cut_short()
        return answer

    async def _meet(self, verdict: Verdict) -> None:
        if verdict.loss is Loss.HANG:
            await self._sleep(HANG_S)
        if verdict.loss in (Loss.HANG, Loss.DROP):
            raise connection_lost()
        if verdict.delay_s > 0:
            await self._sleep(verdict.delay_s)
        if verdict.error is not None:
            raise verdict.error

    def _record(self, api: str, result: str) -> None:
        self._calls.record(Call(api, AWS_NODE, CNI_USER_AGENT, result, self._clock()))
