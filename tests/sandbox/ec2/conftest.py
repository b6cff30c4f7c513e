"""A small VPC, and boto3 pointed at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from ippolicy.sandbox.ec2 import Ec2StandIn


@pytest.fixture
def standin() -> Iterator[Ec2StandIn]:
    with Ec2StandIn() as running:
        running.add_vpc("10.0.0.0/16")
        yield running


@pytest.fixture(scope="session")
def aws() -> boto3.session.Session:
    """One session for all tests: reading boto3's EC2 model is the slow part."""
    return boto3.session.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name="us-west-2"
    )


@pytest.fixture
def ec2(standin: Ec2StandIn, aws: boto3.session.Session) -> Iterator[Any]:
    """The operator's client, without retries so that every answer is seen."""
    client = aws.client(
        "ec2",
        endpoint_url=standin.endpoint_url,
        config=Config(
            retries={"total_max_attempts": 1},
            user_agent_extra="ippolicy-operator/test",
            read_timeout=0.5,
        ),
    )
    yield client
    client.close()
