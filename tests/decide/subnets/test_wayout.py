"""Where no targets can save a subnet, that is said in figures, with the ways out."""

from __future__ import annotations

from dataclasses import replace

import pytest

import builders
from ippolicy.decide.prefixes import PrefixAdvice, prefix_advice
from ippolicy.decide.subnets.brake import leanest
from ippolicy.decide.subnets.outlook import Outlook
from ippolicy.decide.subnets.wayout import DeadEnd, Way, WayKind, dead_ends
from ippolicy.facts import PrefixRoom, Snapshot, SubnetFacts
from ippolicy.facts.network import SubnetUse
from ippolicy.ipamd import PoolSettings, WarmTargets
from subnet_world import Operated, SubnetWorld

ZONE = "eu-west-1a"


def drained(env: dict[str, str] | None = None) -> tuple[Operated, Snapshot]:
    """A world in which strangers take four addresses every ten minutes, six hours long."""
    world = SubnetWorld(pods={"node-0": 20, "node-1": 20}, others={ZONE: 0}, env=env or {})
    operated = Operated(world, builders.policy({"mode": "Off"}))
    for number in range(37):
        world.others[ZONE] = 4 * number
        operated.step()
    return operated, world.snapshot()


def advice(snapshot: Snapshot, settings: PoolSettings, *, blocks: int) -> PrefixAdvice:
    room = PrefixRoom(f"subnet-{ZONE}", 200, 200, blocks, 0, builders.NOW_S)
    return prefix_advice(snapshot, builders.daemon_set(), settings, {room.subnet_id: room})


def ends(operated: Operated, snapshot: Snapshot, *, blocks: int = 0) -> tuple[DeadEnd, ...]:
    settings = operated.world.settings
    assert isinstance(operated.outlook, Outlook)
    target = leanest(operated.policy, settings.targets)
    told = advice(snapshot, settings, blocks=blocks)
    return dead_ends(snapshot, operated.outlook, settings, target, told)


def way(end: DeadEnd, kind: WayKind) -> Way:
    return next(way for way in end.ways if way.kind is kind)


def test_a_subnet_that_strangers_drain_is_a_dead_end_told_in_figures() -> None:
    operated, snapshot = drained()
    (end,) = ends(operated, snapshot)
    # 2 nodes at the CNI's defaults keep 25 idle each, the leanest 1 and 2 ENIs.
    assert (end.idle, end.gives_back) == (50, 44)
    left_s = (251 - 40 - 144 - 6) / 4 * 600
    assert end.exhaustion.likely_s == pytest.approx(left_s, rel=0.3)
    assert end.text().startswith(f"subnet-{ZONE} in {ZONE} runs out in ")
    assert "give back 44 of 50 idle addresses there" in end.text()
    assert {way.kind for way in end.ways} == set(WayKind)
    assert all("\n" not in way.text for way in end.ways)


def test_a_subnet_that_leaner_targets_save_is_none() -> None:
    world = SubnetWorld(pods={f"node-{n}": 10 for n in range(8)})
    operated = Operated(world, builders.policy({"mode": "Off"}))
    for _ in range(20):
        operated.step()
    assert world.free(ZONE) < 20
    assert ends(operated, world.snapshot()) == ()


def test_prefix_mode_is_a_way_only_where_it_may_be_and_helps() -> None:
    operated, snapshot = drained()
    assert operated.outlook is not None
    short = way(ends(operated, snapshot, blocks=2)[0], WayKind.PREFIXES)
    assert not short.open
    assert "no-go" in short.text
    # Three blocks and an ENI for 20 pods: 49 addresses, against 45 on three ENIs.
    more = way(ends(operated, snapshot, blocks=9)[0], WayKind.PREFIXES)
    assert not more.open
    assert "8 addresses more" in more.text
    settings = replace(operated.world.settings, targets=WarmTargets(warm_eni=2))
    told = advice(snapshot, settings, blocks=9)
    (end,) = dead_ends(snapshot, operated.outlook, settings, WarmTargets(warm_ip=1), told)
    fewer = way(end, WayKind.PREFIXES)
    assert fewer.open
    assert "22 addresses fewer" in fewer.text


def test_prefix_mode_that_is_on_is_no_way() -> None:
    operated, snapshot = drained({"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"})
    (end,) = ends(operated, snapshot, blocks=9)
    assert way(end, WayKind.PREFIXES).text == "prefix mode is on already"


def test_another_subnet_of_the_zone_is_named_with_how_to_draw_from_it() -> None:
    operated, snapshot = drained()
    none = way(ends(operated, snapshot)[0], WayKind.OTHER_SUBNET)
    assert not none.open
    roomy = SubnetFacts("subnet-roomy", ZONE, "10.0.9.0/24", 256, 200, builders.NOW_S)
    far = replace(roomy, subnet_id="subnet-far", zone="eu-west-1b", free=250)
    beside = replace(snapshot, subnets=(*snapshot.subnets, roomy, far))
    found = way(ends(operated, beside)[0], WayKind.OTHER_SUBNET)
    assert found.open
    assert found.text == (
        "subnet-roomy has 200 free addresses: tag it kubernetes.io/role/cni=1, so that new ENIs "
        "are made there"
    )
    tagged = replace(roomy, uses=(SubnetUse.DISCOVERY,))
    beside = replace(snapshot, subnets=(*snapshot.subnets, tagged))
    found = way(ends(operated, beside)[0], WayKind.OTHER_SUBNET)
    assert "new ENIs may be made there already" in found.text


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"}, "ENIConfig"),
        ({"ENABLE_SUBNET_DISCOVERY": "false"}, "ENABLE_SUBNET_DISCOVERY=true"),
        ({}, "kubernetes.io/role/cni=1"),
    ],
)
def test_a_secondary_cidr_is_drawn_from_as_the_settings_have_it(
    env: dict[str, str], told: str
) -> None:
    operated, snapshot = drained(env)
    found = way(ends(operated, snapshot)[0], WayKind.SECONDARY_CIDR)
    assert found.open
    assert told in found.text


def test_what_is_exhausted_already_runs_out_now() -> None:
    operated, _ = drained({"WARM_IP_TARGET": "1"})
    operated.world.others[ZONE] = 251 - 40 - 6
    operated.step()
    (end,) = ends(operated, operated.world.snapshot())
    assert f"subnet-{ZONE} in {ZONE} runs out now even with the leanest" in end.text()
