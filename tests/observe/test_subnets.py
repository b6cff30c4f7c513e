"""Which subnets matter follows the CNI's own rules."""

from __future__ import annotations

import pytest

from ippolicy.facts import SubnetFacts, SubnetUse
from ippolicy.observe.subnets import OWN_ALONE, SubnetChoice, subnets_that_matter

NODES, CONFIGS, DISCOVERY = SubnetUse.NODES, SubnetUse.ENI_CONFIG, SubnetUse.DISCOVERY
FINDING = SubnetChoice(discovery=True)


def subnet(
    name: str, role: str = "", *clusters: str, zone: str = "a", vpc: str = "vpc-1"
) -> SubnetFacts:
    return SubnetFacts(name, zone, "10.0.0.0/24", 256, 9, 0.0, vpc, role, clusters)


def uses(choice: SubnetChoice, *more: SubnetFacts, configs: tuple[SubnetFacts, ...] = ()) -> object:
    found = subnets_that_matter([subnet("home")], configs, more, choice)
    return {facts.subnet_id: facts.uses for facts in found}


@pytest.mark.parametrize(
    ("env", "choice"),
    [
        ({}, SubnetChoice(discovery=True)),
        ({"ENABLE_SUBNET_DISCOVERY": "false"}, OWN_ALONE),
        ({"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"}, SubnetChoice(eni_configs=True)),
        ({"CLUSTER_NAME": "blue"}, SubnetChoice(discovery=True, cluster="blue")),
    ],
)
def test_the_choice_is_read_from_the_env_of_aws_node(
    env: dict[str, str], choice: SubnetChoice
) -> None:
    assert SubnetChoice.from_env(env) == choice


def test_subnets_of_nodes_matter_even_if_no_new_eni_may_be_made_there() -> None:
    excluded = subnet("home", "0")
    found = subnets_that_matter([excluded, subnet("other")], (), [excluded], FINDING)
    assert {facts.subnet_id: facts.uses for facts in found} == {"home": (NODES,), "other": (NODES,)}


@pytest.mark.parametrize(
    ("other", "matters"),
    [
        (subnet("s", "1"), True),
        (subnet("s", "yes"), True),
        (subnet("s", "0"), False),
        (subnet("s", ""), False),
        (subnet("s", "1", zone="b"), False),
        (subnet("s", "1", vpc="vpc-2"), False),
    ],
)
def test_a_subnet_is_discovered_by_role_zone_and_vpc(other: SubnetFacts, matters: bool) -> None:
    expected = {"home": (NODES,)} | ({"s": (DISCOVERY,)} if matters else {})
    assert uses(FINDING, other) == expected
    assert uses(OWN_ALONE, other) == {"home": (NODES,)}


@pytest.mark.parametrize(
    ("cluster", "kept_for", "matters"),
    [
        ("blue", (), True),
        ("blue", ("blue", "red"), True),
        ("blue", ("red",), False),
        ("", ("red",), True),
    ],
)
def test_a_subnet_kept_for_other_clusters_is_not_discovered(
    cluster: str, kept_for: tuple[str, ...], matters: bool
) -> None:
    choice = SubnetChoice(discovery=True, cluster=cluster)
    assert choice.discovers(subnet("s", "1", *kept_for)) is matters


def test_subnets_of_eni_configs_matter_with_custom_networking_only() -> None:
    configs = (subnet("c", zone="b"), subnet("home"))
    assert uses(SubnetChoice(eni_configs=True), configs=configs) == {
        "c": (CONFIGS,),
        "home": (NODES, CONFIGS),
    }
    assert uses(FINDING, configs=configs) == {"home": (NODES,)}
