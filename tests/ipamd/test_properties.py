"""What holds on every node, whatever its settings, pods and subnets."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from ipamd_driver import World

from ippolicy.ipamd import Ipamd, NodeInitFailed, NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.cloud import NODE_SUBNET, CountedEC2, CountedSubnet, Latency
from ippolicy.ipamd.virtual import VirtualNode

SHAPES = st.builds(
    NodeShape,
    st.just("any"),
    eni_limit=st.integers(1, 12),
    addresses_per_eni=st.integers(1, 16),
    max_pods=st.integers(1, 120),
    trunk_capable=st.booleans(),
)
SETTINGS = st.builds(
    PoolSettings,
    st.builds(
        WarmTargets, st.integers(0, 3), st.integers(0, 20), st.integers(0, 30), st.integers(0, 3)
    ),
    prefix_delegation=st.booleans(),
    max_eni=st.integers(0, 4),
    custom_networking=st.booleans(),
    subnet_discovery=st.booleans(),
    pod_eni=st.booleans(),
    cooldown_s=st.sampled_from([0, 10, 30]),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "delete", "pass", "wait", "restart"]), st.integers(1, 9)),
    max_size=40,
)


def check(world: World, free_at_first: int) -> None:
    node, subnets = world.node, world.cloud.subnets.values()
    snapshot = node.snapshot()
    assert len(snapshot.enis) <= world.shape.eni_limit
    assert all(len(eni.cidrs) <= world.shape.slots for eni in snapshot.enis)
    assert all(subnet.free >= 0 for subnet in subnets)
    pool = node.store.count()
    assert pool.total == pool.assigned + pool.available
    assert snapshot.cooling <= pool.available
    assert snapshot.assigned_addresses == len(node.checkpoint())
    assert len(set(node.checkpoint().values())) == len(node.checkpoint())
    held = snapshot.total_addresses + len(snapshot.enis) - 1
    assert sum(subnet.free for subnet in subnets) == free_at_first - held
    for eni in node.store.enis.values():
        cidrs = eni.cidrs.values()
        assert sum(eni.held) == len(cidrs)
        assert eni.pods == sum(len(cidr.used) for cidr in cidrs)
        assert sum(eni.unused) == sum(not cidr.used for cidr in cidrs)


@settings(max_examples=200, deadline=None)
@given(SHAPES, st.tuples(SETTINGS, SETTINGS), STEPS, st.integers(0, 400), st.integers(0, 9))
def test_limits_hold_and_addresses_add_up(
    shape: NodeShape,
    chosen: tuple[PoolSettings, PoolSettings],
    steps: list[tuple[str, int]],
    free: int,
    seed: int,
) -> None:
    subnets = [CountedSubnet(NODE_SUBNET, free), CountedSubnet("subnet-2", 200, "1")]
    world = World(chosen[0], shape=shape, subnets=subnets, seed=seed)
    try:
        world.start()
        made = 0
        for step, number in steps:
            if step == "add":
                world.add(*(f"pod-{made + one}" for one in range(number)))
                made += number
            elif step == "delete":
                for pod in list(world.node.checkpoint())[:number]:
                    world.node.del_pod(pod)
            elif step == "pass":
                world.pass_()
            elif step == "wait":
                world.pass_(20.0 * number)
            else:
                checkpoint = world.node.checkpoint()
                world.make(chosen[1])
                world.start(checkpoint)
                assert world.node.checkpoint() == checkpoint
            check(world, free + 200)
    except NodeInitFailed:
        return


@settings(max_examples=60, deadline=None)
@given(SHAPES, SETTINGS, st.integers(0, 9), st.integers(0, 20))
def test_a_pass_that_calls_nothing_changes_nothing(
    shape: NodeShape, chosen: PoolSettings, seed: int, pods: int
) -> None:
    subnets = [CountedSubnet(NODE_SUBNET, 200), CountedSubnet("subnet-2", 200, "1")]
    world = World(chosen, shape=shape, subnets=subnets, seed=seed)
    try:
        world.start()
    except NodeInitFailed:
        return
    world.add(*(f"pod-{number}" for number in range(pods)))
    for _ in range(20):
        before = world.node.snapshot()
        if not world.pass_():
            after = world.node.snapshot()
            assert (after.enis, after.total_addresses) == (before.enis, before.total_addresses)


class EveryPass(VirtualNode):
    """Leaves no pass out."""

    def _end_pass(self, *, acted: bool) -> None:
        super()._end_pass(acted=True)


@settings(max_examples=60, deadline=None)
@given(SETTINGS, st.integers(0, 2000), STEPS, st.booleans())
def test_leaving_out_idle_passes_makes_no_difference(
    chosen: PoolSettings, seed: int, steps: list[tuple[str, int]], slow: bool
) -> None:
    """Compared where no choice is random: one ENI, and as many calls at the same moments."""
    chosen = PoolSettings(
        chosen.targets,
        prefix_delegation=chosen.prefix_delegation,
        max_eni=1,
        subnet_discovery=chosen.subnet_discovery,
        cooldown_s=chosen.cooldown_s,
    )
    histories = []
    for kind in (VirtualNode, EveryPass):
        node = kind(
            NodeShape("any", 3, 10, 29),
            CountedEC2([CountedSubnet(NODE_SUBNET, seed % 60)]),
            random=Random(seed),
            latency=Latency() if slow else Latency.none(),
        )
        node.boot(chosen)
        pods: list[str] = []
        history = []
        for number, (step, count) in enumerate(steps):
            node.advance(node.now + 7 * count)
            if step == "add":
                names = [f"{number}-{one}" for one in range(count)]
                pods += [name for name in names if node.add_pod(name)]
            elif step == "delete":
                for name in pods[:count]:
                    node.del_pod(name)
                del pods[:count]
            pool = node.ipamd.store.count()
            if not chosen.prefix_delegation:
                history.append((node.now, pool.total, pool.assigned, Counter(node.cloud.calls)))
        histories.append(history)
    assert histories[0] == histories[1]


def test_two_replays_with_one_seed_are_the_same() -> None:
    def replay() -> list[object]:
        world = World(PoolSettings(WarmTargets(1, 2, 4)), seed=5)
        world.start()
        for number in range(30):
            world.add(f"pod-{number}")
            if number > 8:
                world.node.del_pod(f"pod-{number - 8}")
            world.pass_()
        node: Ipamd = world.node
        return [node.snapshot(), node.checkpoint()]

    assert replay() == replay()
