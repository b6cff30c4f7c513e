"""The table of instance types says what EC2 says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ippolicy.cli import instances
from ippolicy.cli.instances import instance_type, instance_types
from ippolicy.errors import InvalidInput
from ippolicy.ipamd import PoolSettings

PREFIXES = PoolSettings(prefix_delegation=True)
TABLE = Path(instances.__file__).parent / instances.FILE


@pytest.mark.parametrize(
    ("name", "enis", "addresses"),
    [
        ("t3.small", 3, 4),
        ("t3.medium", 3, 6),
        ("m5.large", 3, 10),
        ("c5.large", 3, 10),
        ("r5.xlarge", 4, 15),
        ("t3.2xlarge", 4, 15),
        ("m5.4xlarge", 8, 30),
        ("p3dn.24xlarge", 15, 50),
        ("p4d.24xlarge", 15, 50),  # of its four network cards, the default one
    ],
)
def test_limits_are_those_of_the_default_network_card(name: str, enis: int, addresses: int) -> None:
    kind = instance_type(name)
    assert (kind.enis, kind.addresses_per_eni) == (enis, addresses)


@pytest.mark.parametrize(
    ("name", "alone", "prefixed"),
    [
        ("t3.medium", 17, 110),
        ("t3.large", 35, 110),
        ("m5.large", 29, 110),
        ("r5.xlarge", 58, 110),
        ("t3.nano", 4, 34),  # 2 x 16 addresses and the two pods of the host network
        ("c5.18xlarge", 737, 250),  # more than 30 vCPUs
        ("m4.large", 20, 20),  # not Nitro: prefixes do nothing
    ],
)
def test_max_pods_are_those_that_amazon_recommends(name: str, alone: int, prefixed: int) -> None:
    kind = instance_type(name)
    assert kind.max_pods(PoolSettings()) == alone
    assert kind.max_pods(PREFIXES) == prefixed


def test_custom_networking_and_max_eni_take_enis_from_max_pods() -> None:
    kind = instance_type("m5.large")
    assert kind.max_pods(PoolSettings(custom_networking=True)) == 20
    assert kind.max_pods(PoolSettings(max_eni=2)) == 20
    assert kind.max_pods(PoolSettings(max_eni=9)) == 29


def test_metal_takes_prefixes_and_a_family_t_no_trunk() -> None:
    assert instance_type("m5.metal").prefix_capable
    assert not instance_type("m4.large").prefix_capable
    assert instance_type("m5.large").trunk_capable
    assert instance_type("trn1.2xlarge").trunk_capable
    assert not instance_type("t3.large").trunk_capable


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"'r5\.xlrge' is not known: did you mean r5\.xlarge"):
        instance_type("r5.xlrge")
    with pytest.raises(InvalidInput, match="'potato' is not known: Give another type"):
        instance_type("potato")


def test_the_table_is_small_whole_and_says_where_it_is_from() -> None:
    lines = TABLE.read_text("utf-8").splitlines()
    assert TABLE.stat().st_size < 60_000
    assert lines[0] == f"# {instances.FORMAT}"
    assert f": {len(instance_types())} types" in lines[1]
    assert len(instance_types()) > 1_000


def test_the_table_agrees_with_what_the_operator_would_ask_ec2() -> None:
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    from ippolicy.observe import ec2_client

    for name, raw in INSTANCE_TYPES.items():
        kind, limits = instance_type(name), ec2_client._limits(raw)
        assert (kind.enis, kind.addresses_per_eni) == (limits.enis, limits.addresses_per_eni)
        assert kind.prefix_capable == limits.nitro
