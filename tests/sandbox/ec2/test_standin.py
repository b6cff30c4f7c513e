"""Starting, stopping, seeding, and the fleet's calls."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from ippolicy.errors import SandboxError
from ippolicy.sandbox.ec2 import Ec2CallError, Ec2StandIn, Loss


def test_stopping_leaves_no_thread_no_port_and_no_hanging_caller(
    aws: boto3.session.Session,
) -> None:
    before = set(threading.enumerate())
    standin = Ec2StandIn().start()
    url = standin.endpoint_url
    client = aws.client("ec2", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}))
    standin.faults.lose("DescribeVpcs", Loss.HANG)
    client.describe_subnets()
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(client.describe_vpcs)
        while set(threading.enumerate()) - before == set():
            time.sleep(0.01)
        time.sleep(0.05)
        began = time.monotonic()
        standin.stop()
        assert time.monotonic() - began < 10  # less than the caller's patience
        assert isinstance(hanging.exception(), ConnectionClosedError)
    client.close()

    assert set(threading.enumerate()) <= before
    address = urlsplit(url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port), 1)


def test_two_in_one_process_share_nothing(aws: boto3.session.Session) -> None:
    with Ec2StandIn(seed=1) as one, Ec2StandIn(seed=2) as two:
        one.add_subnet("10.0.0.0/24")
        one.faults.throttle("*", burst=0, per_s=0)
        client = aws.client("ec2", endpoint_url=two.endpoint_url)

        assert client.describe_subnets()["Subnets"] == []
        assert one.calls.count() == 0
        assert two.calls.count() == 1
        client.close()


def test_it_starts_once_and_again_after_a_stop() -> None:
    standin = Ec2StandIn()
    with pytest.raises(SandboxError, match="call start"):
        _ = standin.endpoint_url
    standin.start()
    with pytest.raises(SandboxError, match="runs already"):
        standin.start()
    standin.stop()
    standin.stop()
    with standin:
        assert standin.endpoint_url.startswith("http://127.0.0.1:")


def test_the_same_seed_lays_out_the_same_network() -> None:
    def laid_out() -> tuple[Any, ...]:
        standin = Ec2StandIn(seed=7, clock=lambda: 0.0)
        subnet = standin.add_subnet("10.0.0.0/24")
        standin.add_instance("m5.large", subnet.id)
        standin.add_interface(subnet.id, secondary_count=3, prefix_count=1)
        return standin.interfaces()

    assert laid_out() == laid_out()


def test_a_large_fleet_is_seeded_in_seconds_and_its_calls_take_less_than_a_millisecond() -> None:
    """In processor time, so that it holds on a busy machine as well."""
    standin = Ec2StandIn()
    standin.add_vpc("10.0.0.0/16")
    subnets = [standin.add_subnet(f"10.0.{third}.0/18") for third in (0, 64)]
    began = time.process_time()
    nodes = [standin.add_instance("m5.large", subnets[n % 2].id) for n in range(2000)]
    assert time.process_time() - began < 2

    async def grow() -> None:
        for node in nodes:
            await standin.cni(node.id).assign_addresses(node.interfaces[0].id, 9)

    began = time.process_time()
    asyncio.run(grow())
    assert time.process_time() - began < 2
    assert [standin.subnet(subnet.id).free_addresses for subnet in subnets] == [6379, 6379]


def test_calls_from_many_threads_never_hand_out_an_address_twice() -> None:
    standin = Ec2StandIn()
    subnet = standin.add_subnet("10.0.0.0/24")
    nodes = [standin.add_instance("t3.2xlarge", subnet.id) for _ in range(20)]

    def fill(node_id: str, interface_id: str) -> int:
        async def one_by_one() -> int:
            held = 0
            for _ in range(14):
                try:
                    held += len(await standin.cni(node_id).assign_addresses(interface_id, 1))
                except Ec2CallError as refusal:
                    assert refusal.code == "InsufficientFreeAddressesInSubnet"  # noqa: PT017 - either way is right
            return held

        return asyncio.run(one_by_one())

    with ThreadPoolExecutor(8) as pool:
        held = sum(pool.map(fill, [n.id for n in nodes], [n.interfaces[0].id for n in nodes]))

    addresses = [address for one in standin.interfaces() for address in one.secondary_addresses]
    assert held == len(addresses) == len(set(addresses)) == 251 - 20
    assert standin.subnet(subnet.id).free_addresses == 0


def test_terminating_takes_the_interfaces_set_to_go_and_leaves_the_others() -> None:
    standin = Ec2StandIn()
    subnet = standin.add_subnet("10.0.0.0/24")
    node = standin.add_instance("m5.large", subnet.id)
    left = standin.add_interface(subnet.id, secondary_count=2)
    standin.attach_interface(left.id, node.id, 1)

    standin.terminate_instance(node.id)

    assert [(one.id, one.status) for one in standin.interfaces()] == [(left.id, "available")]
    assert standin.subnet(subnet.id).free_addresses == 251 - 3
    with pytest.raises(Ec2CallError, match=r"InvalidInstanceID\.NotFound"):
        standin.instance(node.id)


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "10.0.0.0/29", "10.0.0.1/24", "nonsense"])
def test_a_subnet_that_ec2_would_not_make_is_refused(cidr: str) -> None:
    standin = Ec2StandIn()
    standin.add_vpc("10.0.0.0/16")

    with pytest.raises(SandboxError, match=cidr):
        standin.add_subnet(cidr)


def test_subnets_lie_within_their_vpc_and_apart() -> None:
    standin = Ec2StandIn()
    standin.add_vpc("10.0.0.0/16")
    standin.add_subnet("10.0.0.0/24")

    with pytest.raises(SandboxError, match="overlaps"):
        standin.add_subnet("10.0.0.128/25")
    with pytest.raises(SandboxError, match="not within"):
        standin.add_subnet("10.1.0.0/24")


def test_an_instance_of_no_known_type_is_refused() -> None:
    standin = Ec2StandIn()
    subnet = standin.add_subnet("10.0.0.0/24")

    with pytest.raises(Ec2CallError, match="InvalidInstanceType"):
        standin.add_instance("m5.big", subnet.id)
    assert standin.subnet(subnet.id).free_addresses == 251


async def test_the_calls_of_one_node_over_its_life() -> None:
    standin = Ec2StandIn()
    here = standin.add_subnet("10.0.0.0/24", "us-west-2a")
    also_here = standin.add_subnet("10.0.1.0/24", "us-west-2a")
    standin.add_subnet("10.0.2.0/24", "us-west-2b")
    node = standin.add_instance("m5.large", here.id)
    cni = standin.cni(node.id)

    (primary,) = await cni.describe_interfaces()
    await cni.create_tags([primary.id], {"cluster.k8s.amazonaws.com/name": "blue"})
    addresses = await cni.assign_addresses(primary.id, 4)
    await cni.unassign_addresses(primary.id, addresses[:1])
    (prefix,) = await cni.assign_prefixes(primary.id, 1)
    assert [subnet.id for subnet in await cni.describe_subnets()] == [here.id, also_here.id]
    second = await cni.create_interface(
        also_here.id,
        secondary_count=2,
        description=f"aws-K8S-{node.id}",
        tags={"node.k8s.amazonaws.com/instance_id": node.id},
    )
    assert await cni.describe_leaked_interfaces() == (second,)
    attachment = await cni.attach(second.id, node.id, 1)
    await cni.modify_attribute(second.id, attachment_id=attachment.id, delete_on_termination=True)

    primary, second = (await cni.describe_instance()).interfaces
    assert primary.secondary_addresses == addresses[1:]
    assert primary.prefixes == (prefix,)
    assert primary.tags == {"cluster.k8s.amazonaws.com/name": "blue"}
    assert second.attachment is not None
    assert second.attachment.delete_on_termination
    assert await cni.describe_leaked_interfaces() == ()
    assert (await cni.describe_instance_type("m5.large")).interfaces_per_card == (3,)

    await cni.unassign_prefixes(primary.id, [prefix])
    await cni.detach(second.attachment.id)
    assert (await cni.describe_interface(second.id)).status == "available"
    await cni.delete(second.id)
    assert standin.subnet(also_here.id).free_addresses == 251
    assert standin.subnet(here.id).free_addresses == 251 - 4
    assert standin.calls.count("DescribeNetworkInterfaces") == 4


def test_a_service_lets_its_interface_go_when_it_is_deleted() -> None:
    standin = Ec2StandIn()
    subnet = standin.add_subnet("10.0.0.0/24")

    standin.delete_interface(standin.add_load_balancer(subnet.id, "web").id)

    assert standin.interfaces() == ()
    assert standin.subnet(subnet.id).free_addresses == 251


def test_a_parameter_of_a_wrong_type_is_refused_over_http(standin: Ec2StandIn) -> None:
    form = {"Action": "DescribeSubnets", "MaxResults": "many"}
    with pytest.raises(HTTPError) as caught:
        urlopen(standin.endpoint_url, urlencode(form).encode())  # noqa: S310 - loopback

    with caught.value as answer:
        assert answer.code == 400
        assert b"<Code>InvalidParameterValue</Code>" in answer.read()
