"""Prefix mode is advised in figures, with what stands in its way, and never switched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import builders
from ippolicy.decide.max_pods import places, recommended_max_pods
from ippolicy.decide.preconditions import Check, Precondition, State
from ippolicy.decide.prefixes import PrefixAdvice, prefix_advice
from ippolicy.decide.trials import Played
from ippolicy.decide.units import units_of
from ippolicy.facts import InstanceLimits, PoolCounters, PrefixRoom, Snapshot, SubnetFacts
from ippolicy.facts.network import SubnetUse
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.fast.trace import Trace

T3_LARGE = InstanceLimits("t3.large", 3, 12, nitro=True, vcpus=2)
T3_MEDIUM = InstanceLimits("t3.medium", 3, 6, nitro=True, vcpus=2)
M4_LARGE = InstanceLimits("m4.large", 2, 10, nitro=False, vcpus=2)
ADDRESSES = PoolSettings(targets=WarmTargets(warm_eni=1, warm_prefix=1))
PREFIXES = PoolSettings(targets=WarmTargets(warm_eni=1, warm_prefix=1), prefix_delegation=True)

# type, ENIs, addresses of each, vCPUs -> max-pods with addresses, with prefixes
MAX_PODS = [
    ("t3.small", 3, 4, 2, 11, 110),
    ("t3.medium", 3, 6, 2, 17, 110),
    ("t3.large", 3, 12, 2, 35, 110),
    ("m5.large", 3, 10, 2, 29, 110),
    ("r5.xlarge", 4, 15, 4, 58, 110),
    ("t3.2xlarge", 4, 15, 8, 58, 110),
    ("t3.nano", 2, 2, 2, 4, 34),
    ("m5.4xlarge", 8, 30, 16, 110, 110),  # 234 addresses and places, but few vCPUs
    ("m5.8xlarge", 8, 30, 32, 234, 250),
    ("p3dn.24xlarge", 15, 50, 96, 250, 250),
]


@pytest.mark.parametrize("row", MAX_PODS, ids=lambda row: row[0])
def test_max_pods_are_those_of_amazons_calculator(row: tuple[str, int, int, int, int, int]) -> None:
    name, enis, addresses, vcpus, plain, prefixed = row
    limits = InstanceLimits(name, enis, addresses, nitro=True, vcpus=vcpus)
    assert recommended_max_pods(limits, ADDRESSES) == plain
    assert recommended_max_pods(limits, PREFIXES) == prefixed


def test_custom_networking_and_max_eni_leave_fewer_enis() -> None:
    custom = PoolSettings(custom_networking=True)
    assert recommended_max_pods(T3_LARGE, custom) == 2 * 11 + 2
    assert recommended_max_pods(T3_LARGE, PoolSettings(max_eni=1)) == 11 + 2
    both = PoolSettings(custom_networking=True, prefix_delegation=True, max_eni=2)
    assert recommended_max_pods(T3_MEDIUM, both) == 5 * 16 + 2


def test_an_instance_that_is_no_nitro_has_no_more_places_with_prefixes() -> None:
    assert recommended_max_pods(M4_LARGE, PREFIXES) == 20
    assert recommended_max_pods(InstanceLimits("x", 4, 15, nitro=True), PREFIXES) == 110


def test_97_of_150_pods_run_because_max_pods_binds() -> None:
    now = places([(35, 3 * 11 * 16)] * 3)
    assert (now.all, now.host, now.dns, now.workload) == (105, 6, 2, 97)
    assert now.bound_by_max_pods == 3
    raised = places([(110, 3 * 11 * 16)] * 3)
    assert raised.workload == 3 * 110 - 6 - 2 >= 150


def fleet(
    limits: InstanceLimits, nodes: int = 3, *, max_pods: int = 35, pods: int = 33, **pool: Any
) -> Snapshot:
    """Nodes of one type in one subnet, at the CNI's defaults."""
    names = [f"node-{n}" for n in range(nodes)]
    facts = {"held": 33, "assigned": pods, "enis": 3, **pool}
    return builders.snapshot(
        nodes,
        nodes=tuple(
            builders.node(n, instance_type=limits.instance_type, max_pods=max_pods)
            for n in range(nodes)
        ),
        pods_per_node=dict.fromkeys(names, pods),
        pools={name: builders.pool(n, **facts) for n, name in enumerate(names)},
        limits={limits.instance_type: limits},
        subnets=(
            SubnetFacts(
                "subnet-1",
                "eu-west-1a",
                "10.0.0.0/24",
                256,
                150,
                builders.NOW_S,
                uses=(SubnetUse.NODES,),
            ),
        ),
    )


def room(blocks: int = 12, refusals: int = 0) -> Mapping[str, PrefixRoom]:
    return {"subnet-1": PrefixRoom("subnet-1", 200, 200, blocks, 0, builders.NOW_S, refusals)}


def advice(
    snapshot: Snapshot,
    present: PoolSettings = ADDRESSES,
    rooms: Mapping[str, PrefixRoom] | None = None,
    image: str = "amazon-k8s-cni:v1.23.1",
) -> PrefixAdvice:
    daemon_set = builders.daemon_set(image=image)
    return prefix_advice(snapshot, daemon_set, present, room() if rooms is None else rooms)


def check(found: PrefixAdvice, name: Precondition) -> Check:
    return next(one for one in found.checks if one.name is name)


def test_story_3_is_told_in_numbers() -> None:
    found = advice(fleet(T3_LARGE, prefixes=3, held=48, enis=1), PREFIXES)
    assert found.active
    assert found.places_now.workload == 97
    assert found.places_raised.workload == 322
    lines = found.lines()
    assert lines[1] == (
        "3 nodes have 105 places, less 6 for aws-node and kube-proxy and 2 for CoreDNS: 97 pods; "
        "with prefixes and max-pods raised: 322"
    )
    kubelets = check(found, Precondition.MAX_PODS)
    assert kubelets.state is State.CAUTION
    assert "3 t3.large take 35 pods each, 110 are recommended" in kubelets.text
    assert all("\n" not in line for line in lines)


def test_a_t3_medium_goes_from_17_to_110() -> None:
    found = advice(fleet(T3_MEDIUM, max_pods=17, pods=15, held=15))
    kubelet = found.kubelets[0]
    assert (kubelet.now, kubelet.with_addresses, kubelet.with_prefixes) == (17, 17, 110)
    assert found.go


def test_both_modes_are_told_in_addresses() -> None:
    found = advice(fleet(T3_LARGE, pods=20))
    # 20 pods at WARM_ENI=1: 3 ENIs of 11 and their own; at WARM_PREFIX=1: 3 prefixes on one ENI.
    assert (found.addresses.held, found.addresses.subnet_addresses) == (3 * 33, 3 * 36)
    assert (found.prefixes.held, found.prefixes.subnet_addresses) == (3 * 48, 3 * 49)
    assert found.prefixes.targets == WarmTargets(warm_prefix=1)
    assert found.addresses.delayed_share is None
    assert found.lines()[0] == (
        "prefix mode may be switched on: nodes would come to hold 147 with prefixes, 39 addresses "
        "more than without"
    )


def test_targets_that_count_addresses_are_kept_in_the_other_mode() -> None:
    present = PoolSettings(targets=WarmTargets(warm_ip=5, minimum_ip=20))
    found = advice(fleet(T3_LARGE, pods=20), present)
    assert found.prefixes.targets == present.targets
    assert found.prefixes.held == 3 * 32


@pytest.mark.parametrize(
    ("image", "version", "state"),
    [
        ("cni:v1.8.0", "v1.8.0", State.NO_GO),
        ("cni:v1.9.0", "v1.9.0", State.MET),
        ("cni:v1.10.1-eksbuild.1", "", State.MET),
        ("cni:latest", "", State.UNKNOWN),
        ("cni:v1.23.1", "v1.7.5", State.NO_GO),  # a rollout in the middle
        ("cni@sha256:abc", "2.0.0", State.MET),
    ],
)
def test_the_cni_must_be_1_9_0(image: str, version: str, state: State) -> None:
    found = advice(fleet(T3_LARGE, cni_version=version), image=image)
    assert check(found, Precondition.CNI_VERSION).state is state
    assert found.go == (state is not State.NO_GO)


def test_nodes_that_are_no_nitro_are_named() -> None:
    none = advice(fleet(M4_LARGE, max_pods=20, pods=10))
    assert check(none, Precondition.NITRO).state is State.NO_GO
    assert "m4.large cannot carry prefixes" in none.lines()[0]
    both = fleet(T3_LARGE)
    mixed = builders.snapshot(
        3,
        nodes=(*both.nodes[:2], builders.node(2, instance_type="m4.large", max_pods=20)),
        limits={"t3.large": T3_LARGE, "m4.large": M4_LARGE},
        pools=both.pools,
        subnets=both.subnets,
    )
    some = check(advice(mixed), Precondition.NITRO)
    assert some.state is State.CAUTION
    assert some.text.startswith("1 nodes (m4.large)")


def test_without_room_for_blocks_prefix_mode_is_a_no_go() -> None:
    short = advice(fleet(T3_LARGE, pods=20), rooms=room(blocks=8))
    found = check(short, Precondition.ROOM)
    assert found.state is State.NO_GO
    assert "8 whole free /28 blocks for the 9" in found.text
    assert not short.go
    assert short.lines()[0].startswith("prefix mode is a no-go: subnet-1 has 8 whole free")
    enough = advice(fleet(T3_LARGE, pods=20), rooms=room(blocks=9))
    assert check(enough, Precondition.ROOM).state is State.MET


def test_blocks_that_ec2_refused_are_a_no_go() -> None:
    found = advice(fleet(T3_LARGE, pods=20), rooms=room(blocks=50, refusals=3))
    assert "refused blocks 3 times" in check(found, Precondition.ROOM).text
    assert not found.go


def test_room_that_nobody_may_read_is_unknown_with_the_rights_that_lack() -> None:
    found = check(advice(fleet(T3_LARGE), rooms={}), Precondition.ROOM)
    assert found.state is State.UNKNOWN
    assert "ec2:GetSubnetCidrReservations" in found.text


def test_security_groups_for_pods_are_a_caution() -> None:
    found = advice(fleet(T3_LARGE), PoolSettings(pod_eni=True))
    assert check(found, Precondition.POD_SECURITY_GROUPS).state is State.CAUTION
    assert found.go


def test_starts_and_calls_come_from_a_replay_in_each_mode() -> None:
    asked: list[bool] = []

    def replay(
        shapes: Sequence[NodeShape],
        traces: Sequence[Trace],
        settings: Sequence[PoolSettings],
        score_from_s: float,
    ) -> Played:
        asked.extend({setting.prefix_delegation for setting in settings})
        size = (len(shapes), len(settings))
        late = 0.0 if settings[0].prefix_delegation else 2.0
        # The reference, which always holds all, comes first and is never late.
        delayed = np.full(size, late)
        delayed[:, 0] = 0.0
        ones = np.ones(size)
        return Played(10 * ones, delayed, ones, ones, ones, 5 * ones)

    snapshot = builders.snapshot(2)
    traces = [builders.trace(n, events=[(60.0, 1)]) for n in range(2)]
    units = units_of(snapshot, snapshot.nodes, traces, until_s=builders.NOW_S)
    found = prefix_advice(
        snapshot, builders.daemon_set(), ADDRESSES, {}, units=units, replay=replay
    )
    assert sorted(asked) == [False, True]
    assert found.addresses.delayed_share == pytest.approx(0.2)
    assert found.prefixes.delayed_share == 0.0
    assert found.prefixes.calls_per_minute == pytest.approx(2 * 5 / 120)


def test_counters_of_refusals_are_told_by_the_room_alone() -> None:
    # What nodes counted belongs to a subnet only where its ENIs are known.
    counters = PoolCounters(no_free_blocks=4)
    found = advice(fleet(T3_LARGE, pods=20, counters=counters))
    assert check(found, Precondition.ROOM).state is State.MET
