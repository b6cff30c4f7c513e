"""What EC2 is asked, and what its refusals and silences become."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import exceptions as raised
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber
from moto import mock_aws

from ippolicy.errors import EC2Unavailable
from ippolicy.facts import InstanceLimits, SubnetSelection
from ippolicy.observe.ec2_client import Ec2Client
from ippolicy.observe.ec2_errors import explain
from ippolicy.observe.settings import ObserveSettings
from ippolicy.sandbox.ec2 import OPERATOR, Ec2StandIn, Loss

SETTINGS = ObserveSettings(ec2_timeout_s=0.5, ec2_attempts=1)
pytestmark = pytest.mark.usefixtures("aws_environment")


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2StandIn]:
    with Ec2StandIn() as running:
        running.add_vpc("10.0.0.0/16")
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint_url)
        yield running


def asked(client: Ec2Client, ids: list[str]) -> EC2Unavailable:
    with pytest.raises(EC2Unavailable) as caught:
        client.subnets(ids)
    assert "\n" not in str(caught.value)
    assert client.errors[caught.value.reason] == 1
    return caught.value


def test_subnets_of_all_enis_of_the_nodes_are_found(standin: Ec2StandIn) -> None:
    first, second = standin.add_subnet("10.0.0.0/24"), standin.add_subnet("10.0.1.0/24")
    instance = standin.add_instance("m5.large", first.id)
    eni = standin.add_interface(second.id, secondary_count=5)
    standin.attach_interface(eni.id, instance.id, 1)
    client = Ec2Client(SETTINGS)
    found = client.subnets_of_instances([instance.id, "i-0123456789abcdef0"])
    assert found == {instance.id: frozenset({first.id, second.id})}
    facts = client.subnets([first.id, second.id, "subnet-0123456789abcdef0"])
    assert set(facts) == {first.id, second.id}
    assert (facts[second.id].size, facts[second.id].free) == (256, 251 - 6)
    assert facts[second.id].zone == "us-west-2a"
    assert standin.calls.count(caller=OPERATOR) == client.calls.total() == 2


def test_a_selection_finds_the_subnets_that_have_all_of_its_ids_and_tags(
    standin: Ec2StandIn,
) -> None:
    client = Ec2Client(SETTINGS)
    subnets = {name: standin.add_subnet(f"10.0.{n}.0/24").id for n, name in enumerate("abc")}
    for names, key, value in (("bc", "role", "private"), ("c", "team", "x")):
        client._connected().create_tags(
            Resources=[subnets[name] for name in names], Tags=[{"Key": key, "Value": value}]
        )
    private, both = {"role": "private"}, {"role": "private", "team": "x"}
    cases: tuple[tuple[str, dict[str, str], str], ...] = (
        ("ab", {}, "ab"),
        ("a?", {}, "a"),
        ("", private, "bc"),
        ("", both, "c"),
        ("ab", private, "b"),
        ("a", private, ""),
        ("", {"role": "none"}, ""),
    )
    for ids, tags, expected in cases:
        named = tuple(subnets.get(name, "subnet-0123456789abcdef0") for name in ids)
        found = client.selected_subnets(SubnetSelection(named, tuple(tags.items())))
        assert set(found) == {subnets[name] for name in expected}, (ids, tags)
        assert all((facts.size, facts.free) == (256, 251) for facts in found.values())


def test_a_subnet_without_ipv4_is_left_out() -> None:
    client = Ec2Client(SETTINGS)
    rows = [
        {"SubnetId": "subnet-1", "AvailableIpAddressCount": 0, "Ipv6Native": True},
        {"SubnetId": "subnet-2", "AvailableIpAddressCount": 7, "CidrBlock": "10.0.0.0/24"},
    ]
    with stubbed(client) as stub:
        for _ in range(2):
            stub.add_response("describe_subnets", {"Subnets": rows})
        assert set(client.subnets(["subnet-1", "subnet-2"])) == {"subnet-2"}
        assert set(client.selected_subnets(SubnetSelection(tags=(("a", "b"),)))) == {"subnet-2"}


def test_the_pages_of_a_selection_are_followed_to_the_last() -> None:
    client = Ec2Client(SETTINGS)
    row: dict[str, Any] = {"CidrBlock": "10.0.0.0/24", "AvailableIpAddressCount": 7}
    asked_for = {
        "Filters": [
            {"Name": "tag:role", "Values": ["private"]},
            {"Name": "subnet-id", "Values": ["subnet-1", "subnet-2"]},
        ]
    }
    with stubbed(client) as stub:
        first = {"Subnets": [{**row, "SubnetId": "subnet-1"}], "NextToken": "more"}
        stub.add_response("describe_subnets", first, asked_for)
        second = {"Subnets": [{**row, "SubnetId": "subnet-2"}]}
        stub.add_response("describe_subnets", second, {**asked_for, "NextToken": "more"})
        selection = SubnetSelection(("subnet-1", "subnet-2"), (("role", "private"),))
        assert set(client.selected_subnets(selection)) == {"subnet-1", "subnet-2"}
        stub.assert_no_pending_responses()


def test_more_nodes_than_fit_one_question_are_asked_in_several(standin: Ec2StandIn) -> None:
    subnet = standin.add_subnet("10.0.16.0/20")
    ids = [standin.add_instance("m5.large", subnet.id).id for _ in range(210)]
    client = Ec2Client(ObserveSettings())
    assert client.subnets_of_instances(ids) == dict.fromkeys(ids, frozenset({subnet.id}))
    assert client.calls["DescribeInstances"] >= 2


def test_limits_are_asked_and_unknown_types_do_not_lose_the_others(standin: Ec2StandIn) -> None:
    client = Ec2Client(SETTINGS)
    names = ["m5.large", "made.up", "t3.2xlarge", "also.unknown", "t2.micro", "m5.metal"]
    limits, unknown = client.instance_types(names)
    assert unknown == {"made.up", "also.unknown"}
    assert limits["m5.large"] == InstanceLimits("m5.large", 3, 10, nitro=True, vcpus=2)
    assert limits["t3.2xlarge"].slots == 14
    assert not limits["t2.micro"].nitro
    assert limits["m5.metal"].nitro


def test_limits_are_those_of_the_default_network_card(standin: Ec2StandIn) -> None:
    limits, _ = Ec2Client(SETTINGS).instance_types(["p4d.24xlarge"])
    assert limits["p4d.24xlarge"].enis == 15


def test_an_independent_ec2_is_understood_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    with mock_aws():
        ec2 = boto3.client("ec2", region_name="us-west-2")
        subnet = ec2.describe_subnets()["Subnets"][0]
        launched = ec2.run_instances(
            ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=subnet["SubnetId"]
        )
        instance_id = launched["Instances"][0]["InstanceId"]
        client = Ec2Client(SETTINGS)
        found = client.subnets_of_instances([instance_id])
        assert found == {instance_id: frozenset({subnet["SubnetId"]})}
        facts = client.subnets(found[instance_id])[subnet["SubnetId"]]
        assert (facts.cidr, facts.free) == (subnet["CidrBlock"], facts.usable - 1)
        assert client.instance_types(["m5.large", "no.such"])[1] == {"no.such"}


def test_a_missing_right_is_named(standin: Ec2StandIn) -> None:
    standin.faults.deny("DescribeSubnets")
    error = asked(Ec2Client(SETTINGS), ["subnet-1"])
    assert (error.reason, error.permission) == ("AccessDenied", "ec2:DescribeSubnets")
    assert "arn:" not in str(error)


def test_silence_and_half_answers_are_told_apart(standin: Ec2StandIn) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    standin.faults.lose("DescribeSubnets", Loss.HANG, times=1)
    assert asked(Ec2Client(SETTINGS), [subnet.id]).reason == "Timeout"
    standin.faults.clear()
    standin.faults.lose("DescribeSubnets", Loss.DROP, times=1)
    assert asked(Ec2Client(SETTINGS), [subnet.id]).reason == "Unreachable"
    standin.faults.clear()
    standin.faults.lose("DescribeSubnets", Loss.TRUNCATE, times=1)
    assert asked(Ec2Client(SETTINGS), [subnet.id]).reason in {"Unreachable", "Garbage"}


def test_throttling_is_retried_and_then_said(standin: Ec2StandIn) -> None:
    standin.faults.throttle("DescribeSubnets", burst=0, per_s=0.001)
    assert asked(Ec2Client(SETTINGS), ["subnet-1"]).reason == "Throttled"


def test_nobody_at_the_endpoint_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    error = asked(Ec2Client(SETTINGS), ["subnet-1"])
    assert error.reason == "Unreachable"
    assert "AWS_ENDPOINT_URL" in str(error)


def test_an_endpoint_that_is_no_address_is_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    assert asked(Ec2Client(SETTINGS), ["subnet-1"]).reason == "Garbage"


def test_no_credentials_is_said_and_seen_again_when_they_come(
    standin: Ec2StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    subnet = standin.add_subnet("10.0.0.0/24")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    client = Ec2Client(SETTINGS)
    error = asked(client, [subnet.id])
    assert error.reason == "NoCredentials"
    assert "IAM role" in str(error)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert set(client.subnets([subnet.id])) == {subnet.id}


def test_no_region_is_said(standin: Ec2StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    error = asked(Ec2Client(SETTINGS), ["subnet-1"])
    assert error.reason == "NoRegion"
    assert "set AWS_REGION" in str(error)


def stubbed(client: Ec2Client) -> Stubber:
    return Stubber(client._connected())


@pytest.mark.parametrize(
    ("code", "reason", "permission"),
    [
        ("UnauthorizedOperation", "AccessDenied", "ec2:DescribeSubnets"),
        ("AccessDenied", "AccessDenied", "ec2:DescribeSubnets"),
        ("AuthFailure", "BadCredentials", None),
        ("ExpiredToken", "BadCredentials", None),
        ("RequestLimitExceeded", "Throttled", None),
        ("InternalError", "InternalError", None),
        ("404", "404", None),
    ],
)
def test_an_answer_s_code_becomes_a_reason_without_aws_s_words(
    code: str, reason: str, permission: str | None
) -> None:
    client = Ec2Client(SETTINGS)
    said = "arn:aws:sts::123456789012:assumed-role/x is not authorized"
    with stubbed(client) as stub:
        stub.add_client_error("describe_subnets", code, said)
        error = asked(client, ["subnet-1"])
    assert (error.reason, error.permission) == (reason, permission)
    assert "123456789012" not in str(error)
    assert "arn:" not in str(error)


def test_an_answer_without_its_list_is_garbage_and_not_nothing() -> None:
    client = Ec2Client(SETTINGS)
    with stubbed(client) as stub:
        stub.add_response("describe_subnets", {})
        assert asked(client, ["subnet-1"]).reason == "Garbage"


def test_pages_are_followed_to_the_last() -> None:
    client = Ec2Client(SETTINGS)
    row: dict[str, Any] = {"CidrBlock": "10.0.0.0/24", "AvailableIpAddressCount": 7}
    with stubbed(client) as stub:
        first = {"Subnets": [{**row, "SubnetId": "subnet-1"}], "NextToken": "more"}
        stub.add_response("describe_subnets", first)
        stub.add_response("describe_subnets", {"Subnets": [{**row, "SubnetId": "subnet-2"}]})
        assert set(client.subnets(["subnet-1", "subnet-2"])) == {"subnet-1", "subnet-2"}
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (raised.NoCredentialsError(), "NoCredentials"),
        (raised.PartialCredentialsError(provider="env", cred_var="x"), "NoCredentials"),
        (raised.CredentialRetrievalError(provider="x", error_msg="arn:aws:1"), "NoCredentials"),
        (raised.ProfileNotFound(profile="x"), "NoCredentials"),
        (raised.NoRegionError(), "NoRegion"),
        (raised.ConnectTimeoutError(endpoint_url="x"), "Timeout"),
        (raised.ReadTimeoutError(endpoint_url="x"), "Timeout"),
        (raised.EndpointConnectionError(endpoint_url="x"), "Unreachable"),
        (raised.SSLError(endpoint_url="x", error=OSError()), "Unreachable"),
        (ResponseParserError("x"), "Garbage"),
    ],
)
def test_every_failure_below_the_answer_has_a_reason_and_a_fix(
    error: Exception, reason: str
) -> None:
    explained = explain("DescribeSubnets", error)
    assert explained.reason == reason
    assert ":" in str(explained)
    assert "arn:" not in str(explained)


def test_boto3_is_not_imported_before_the_first_question() -> None:
    code = (
        "import sys; from ippolicy.observe import Observer, ObserveSettings;"
        "from ippolicy.observe.ec2_client import Ec2Client; Ec2Client(ObserveSettings());"
        "print('boto3' in sys.modules, 'botocore' in sys.modules, 'kubernetes' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert out.stdout.split() == ["False", "False", "False"]
