"""Faults meet HTTP callers and the fleet alike, and are written down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from ippolicy.sandbox.ec2 import AWS_NODE, OK, OPERATOR, Ec2CallError, Ec2StandIn, Instance, Loss
from ippolicy.sandbox.ec2.faults import Faults


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standin(clock: Clock) -> Iterator[Ec2StandIn]:
    with Ec2StandIn(clock=clock) as running:
        running.add_vpc("10.0.0.0/16")
        running.add_subnet("10.0.0.0/24")
        yield running


@pytest.fixture
def node(standin: Ec2StandIn) -> Instance:
    return standin.add_instance("m5.large", standin.add_subnet("10.0.1.0/24").id)


def code_of(error: ClientError) -> str:
    code: str = error.response["Error"]["Code"]
    return code


def test_a_throttled_api_answers_its_burst_and_then_its_rate(
    standin: Ec2StandIn, ec2: Any, clock: Clock
) -> None:
    standin.faults.throttle("DescribeSubnets", burst=2, per_s=0.5)

    ec2.describe_subnets()
    ec2.describe_subnets()
    with pytest.raises(ClientError, match="Request limit exceeded") as caught:
        ec2.describe_subnets()
    assert code_of(caught.value) == "RequestLimitExceeded"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    ec2.describe_vpcs()
    clock.now_s += 2
    ec2.describe_subnets()

    assert standin.calls.count("DescribeSubnets", result=OK) == 3
    assert standin.calls.count("DescribeSubnets", result="RequestLimitExceeded") == 1


async def test_operator_and_fleet_drink_from_the_same_bucket(
    standin: Ec2StandIn, ec2: Any, node: Instance
) -> None:
    standin.faults.throttle("Describe*", burst=1, per_s=1)
    await standin.cni(node.id).describe_subnets()

    with pytest.raises(ClientError):
        ec2.describe_subnets()
    ec2.describe_network_interfaces()


def test_aws_like_buckets_hold_a_hundred_assigns_and_five_a_second(clock: Clock) -> None:
    faults = Faults(clock=clock, account_id="111122223333")
    faults.throttle_like_aws()

    def admitted(tries: int) -> int:
        verdicts = [faults.judge("AssignPrivateIpAddresses", AWS_NODE) for _ in range(tries)]
        return sum(verdict.error is None for verdict in verdicts)

    assert admitted(150) == 100
    clock.now_s += 3
    assert admitted(150) == 15
    clock.now_s += 3600
    assert admitted(150) == 100


def test_a_denied_action_is_named_with_status_403(standin: Ec2StandIn, ec2: Any) -> None:
    standin.faults.deny("ec2:DescribeSubnets", caller=OPERATOR)

    with pytest.raises(ClientError) as caught:
        ec2.describe_subnets()

    assert caught.value.response["Error"] == {
        "Code": "UnauthorizedOperation",
        "Message": (
            "You are not authorized to perform this operation. User: "
            "arn:aws:sts::111122223333:assumed-role/ippolicy-operator/session is not authorized "
            "to perform: ec2:DescribeSubnets because no identity-based policy allows the "
            "ec2:DescribeSubnets action"
        ),
    }
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    standin.faults.allow("ec2:DescribeSubnets", caller=OPERATOR)
    ec2.describe_subnets()


async def test_a_denial_for_one_caller_leaves_the_other_alone(
    standin: Ec2StandIn, ec2: Any, node: Instance
) -> None:
    standin.faults.deny("ec2:Describe*", caller=AWS_NODE)

    ec2.describe_subnets()
    with pytest.raises(Ec2CallError) as caught:
        await standin.cni(node.id).describe_instance()

    assert caught.value.code == "UnauthorizedOperation"


async def test_a_denied_change_carries_an_encoded_explanation(
    standin: Ec2StandIn, node: Instance
) -> None:
    standin.faults.deny("ec2:AssignPrivateIpAddresses")

    with pytest.raises(Ec2CallError, match="Encoded authorization failure message: "):
        await standin.cni(node.id).assign_addresses(node.interfaces[0].id, 1)

    assert len(standin.instance(node.id).interfaces[0].secondary_addresses) == 0


def test_server_errors_come_as_often_as_asked(standin: Ec2StandIn, ec2: Any) -> None:
    standin.faults.fail("Describe*", code="Unavailable", message="Try later", status=503, times=1)

    with pytest.raises(ClientError, match="Try later") as caught:
        ec2.describe_subnets()
    assert code_of(caught.value) == "Unavailable"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    ec2.describe_subnets()


def test_a_dropped_connection_does_nothing(standin: Ec2StandIn, ec2: Any) -> None:
    interface_id = standin.add_interface(standin.add_subnet("10.0.2.0/24").id).id
    standin.faults.lose("DeleteNetworkInterface", Loss.DROP, times=1)

    with pytest.raises(ConnectionClosedError):
        ec2.delete_network_interface(NetworkInterfaceId=interface_id)

    assert [one.id for one in standin.interfaces()] == [interface_id]
    assert standin.calls.count("DeleteNetworkInterface", result="drop") == 1


def test_an_answer_cut_short_was_carried_out_all_the_same(standin: Ec2StandIn, ec2: Any) -> None:
    interface_id = standin.add_interface(standin.add_subnet("10.0.2.0/24").id).id
    standin.faults.lose("DeleteNetworkInterface", Loss.TRUNCATE)

    with pytest.raises(ResponseParserError):
        ec2.delete_network_interface(NetworkInterfaceId=interface_id)

    assert standin.interfaces() == ()


def test_a_hanging_call_ends_with_the_callers_patience(standin: Ec2StandIn, ec2: Any) -> None:
    standin.faults.lose("DescribeSubnets", Loss.HANG)
    began = time.monotonic()

    with pytest.raises(ReadTimeoutError):
        ec2.describe_subnets()

    assert time.monotonic() - began > 0.4


def test_latency_is_added_to_the_answer(standin: Ec2StandIn, ec2: Any) -> None:
    standin.faults.delay("DescribeSubnets", 0.2)
    began = time.monotonic()

    ec2.describe_subnets()

    assert time.monotonic() - began >= 0.2


async def test_the_fleets_latency_is_awaited_by_its_own_clock(
    standin: Ec2StandIn, node: Instance, clock: Clock
) -> None:
    standin.faults.delay("AttachNetworkInterface", 17)
    standin.faults.delay("*", 0.5, caller=AWS_NODE)
    cni = standin.cni(node.id, sleep=clock.sleep)
    began_s = clock.now_s

    made = await cni.create_interface(node.subnet_id)
    await cni.attach(made.id, node.id, 1)

    assert clock.now_s - began_s == pytest.approx(18)


@pytest.mark.parametrize(
    ("loss", "code", "assigned"),
    [
        (Loss.DROP, "RequestError", 0),
        (Loss.HANG, "RequestError", 0),
        (Loss.TRUNCATE, "SerializationError", 3),
    ],
)
async def test_lost_answers_meet_the_fleet_too(
    standin: Ec2StandIn, node: Instance, loss: Loss, code: str, assigned: int
) -> None:
    async def at_once(_: float) -> None:
        return

    standin.faults.lose("AssignPrivateIpAddresses", loss, times=1)

    with pytest.raises(Ec2CallError) as caught:
        await standin.cni(node.id, sleep=at_once).assign_addresses(node.interfaces[0].id, 3)

    assert caught.value.code == code
    held = standin.instance(node.id).interfaces[0].secondary_addresses
    assert len(held) == assigned
    assert standin.calls.count(caller=AWS_NODE, result=loss.value) == 1


def test_clearing_ends_every_fault(standin: Ec2StandIn, ec2: Any) -> None:
    standin.faults.throttle("*", burst=0, per_s=0)
    standin.faults.deny("ec2:*")
    standin.faults.fail("*")
    standin.faults.lose("*", Loss.DROP)
    standin.faults.delay("*", 30)

    standin.faults.clear()

    ec2.describe_subnets()


async def test_calls_tell_the_operator_from_the_fleet_and_from_others(
    standin: Ec2StandIn, ec2: Any, node: Instance, aws: boto3.session.Session
) -> None:
    someone = aws.client(
        "ec2",
        endpoint_url=standin.endpoint_url,
        config=Config(retries={"total_max_attempts": 1}),
    )
    ec2.describe_subnets()
    someone.describe_vpcs()
    someone.close()
    await standin.cni(node.id).describe_interfaces()

    assert standin.calls.by_api(caller=OPERATOR) == {"DescribeSubnets": 1}
    assert standin.calls.by_api(caller=AWS_NODE) == {"DescribeNetworkInterfaces": 1}
    assert standin.calls.by_api() == {
        "DescribeSubnets": 1,
        "DescribeVpcs": 1,
        "DescribeNetworkInterfaces": 1,
    }
    assert [call.caller for call in standin.calls.latest()] == ["operator", "other", "aws-node"]
    standin.calls.clear()
    assert standin.calls.count() == 0
