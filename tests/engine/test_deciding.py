"""What one pass learns of subnets serves the next, and what is decided on it."""

from __future__ import annotations

import pytest

import builders
from ippolicy.api import IPPolicy
from ippolicy.decide.decision import Inputs
from ippolicy.decide.gates import Limits
from ippolicy.decide.signals_kept import unpack as unpack_signals
from ippolicy.decide.subnets.ahead import Ahead
from ippolicy.decide.subnets.kept import unpack
from ippolicy.decide.types import Decision, Reason, Recommendations
from ippolicy.engine.deciding import Decider
from ippolicy.engine.proof import Proofs
from ippolicy.facts import Snapshot
from subnet_world import SubnetWorld

POLICY = builders.policy()


def passes(
    decider: Decider, world: SubnetWorld, count: int, policy: IPPolicy = POLICY
) -> tuple[Inputs, Decision, Ahead]:
    """The last of so many passes, a minute apart."""
    for _ in range(count):
        world.now_s += 60.0
        made = one_pass(decider, world.snapshot(), policy)
    return made


def one_pass(
    decider: Decider, snapshot: Snapshot, policy: IPPolicy = POLICY
) -> tuple[Inputs, Decision, Ahead]:
    return decider.decide(
        policy,
        builders.REF,
        snapshot,
        record=None,
        traces=[builders.trace(n) for n in range(len(snapshot.nodes))],
    )


@pytest.fixture
def decider() -> Decider:
    return Decider(Limits(), Proofs(noting=lambda _, __: None), by_replay=False)


def test_after_a_few_minutes_subnets_are_watched(decider: Decider) -> None:
    world = SubnetWorld(pods={"node-0": 20, "node-1": 20})
    _, _, first = passes(decider, world, 1)
    assert first.outlook.subnets[0].free is None
    inputs, decision, ahead = passes(decider, world, 20)
    forecast = ahead.outlook.subnets[0].free
    assert forecast is not None
    assert forecast.exhaustion is None
    assert forecast.watched_s >= 1_200
    assert inputs.rooms == ahead.outlook.rooms
    assert decision.braking is not None
    assert [row.subnet_id for row in ahead.headroom] == ["subnet-eu-west-1a"]
    assert ahead.prefixes is not None


def test_what_is_found_short_brakes_the_same_pass(decider: Decider) -> None:
    world = SubnetWorld(pods={f"node-{n}": 20 for n in range(5)}, others={"eu-west-1a": 26})
    assert world.free("eu-west-1a") == 0
    traces = [
        builders.trace(n, level=0, events=[(600.0 + i, 1) for i in range(20)]) for n in range(5)
    ]
    world.now_s += 60.0
    inputs, decision, _ = decider.decide(
        builders.policy({"subnets": {"brake": {"freeBelow": "40%"}}}),
        builders.REF,
        world.snapshot(),
        record=None,
        traces=traces,
    )
    assert inputs.rooms[0].moments[-1].room == 251 - 100 - 26
    assert decision.reason is Reason.SUBNET_PRESSURE


def test_without_aws_node_subnets_are_watched_all_the_same(decider: Decider) -> None:
    world = SubnetWorld(pods={"node-0": 20})
    bare = builders.snapshot(0, daemon_set=None, subnets=world.snapshot().subnets, nodes=())
    _, decision, ahead = one_pass(decider, bare)
    assert decision.reason is Reason.NO_DAEMON_SET
    assert [one.subnet_id for one in ahead.outlook.subnets] == ["subnet-eu-west-1a"]
    assert ahead.prefixes is None


def test_one_who_stands_by_knows_what_was_noted(decider: Decider) -> None:
    world = SubnetWorld(pods={"node-0": 20})
    for _ in range(20):
        world.now_s += 60.0
        decider.note(POLICY, builders.REF, world.snapshot())
    _, _, ahead = passes(decider, world, 1)
    assert ahead.outlook.subnets[0].free is not None


def test_what_no_policy_asks_for_is_forgotten(decider: Decider) -> None:
    world = SubnetWorld(pods={"node-0": 20})
    passes(decider, world, 20)
    decider.keep({builders.REF})
    _, _, ahead = passes(decider, world, 1)
    assert ahead.outlook.subnets[0].free is not None
    decider.keep(set())
    _, _, ahead = passes(decider, world, 1)
    assert ahead.outlook.subnets[0].free is None


def test_another_operator_goes_on_from_what_was_packed(decider: Decider) -> None:
    world = SubnetWorld(pods={"node-0": 20})
    assert decider.packed_subnets(builders.REF) == b""
    passes(decider, world, 40)
    after = Decider(Limits(), Proofs(noting=lambda _, __: None), by_replay=False)
    after.adopt_subnets(builders.REF, unpack(decider.packed_subnets(builders.REF)))
    _, _, ahead = passes(after, world, 1)
    forecast = ahead.outlook.subnets[0].free
    assert forecast is not None
    assert forecast.watched_s >= 2_400


def test_another_operator_remembers_late_starts(decider: Decider) -> None:
    world = SubnetWorld(pods={"node-0": 20})
    assert decider.packed_signals(builders.REF) == b""
    passes(decider, world, 3)
    after = Decider(Limits(), Proofs(noting=lambda _, __: None), by_replay=False)
    after.adopt_signals(builders.REF, unpack_signals(decider.packed_signals(builders.REF)))
    before, later = (passes(one, world, 1)[0].signals for one in (decider, after))
    assert before.in_force
    assert later == before


def test_what_was_recommended_and_how_far_facts_are_trusted_is_handed_on(decider: Decider) -> None:
    world = SubnetWorld(pods={"node-0": 20, "node-1": 20})
    first, decided, _ = passes(decider, world, 1)
    assert first.recommended == Recommendations(world.now_s)  # nothing is known at a start
    second, _, _ = passes(decider, world, 1)
    assert second.recommended == decided.recommended != first.recommended
    assert second.ladder == decided.ladder
    decider.keep(set())
    third, _, _ = passes(decider, world, 1)
    assert (third.recommended, third.ladder) == (Recommendations(world.now_s), None)
