"""Of two operators one acts; when it goes, however it goes, the other one goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ippolicy.sandbox.cluster import POLICIES, Sandbox
from replicas import OUT_OF_OFFICE, Replicas, elected, two_operators
from worlds import RECORD, SOON, World, changed, condition, targets, wait_until_applied

DURATION_S = 6.0
"""A leader that stands still for two thirds of it, as a busy machine may make it, has to go."""
AT_ONCE_S, LONG_S = 20.0, 60.0
"""What may come at once even there, and how long the expiry takes that is not waited for."""
CHECKPOINT = "/api/v1/namespaces/kube-system/configmaps/ippolicy-checkpoint-aws-node"
OURS = (f"{POLICIES}/default", RECORD, CHECKPOINT)


@contextmanager
def two(
    world: World, duration_s: float = DURATION_S, **settings: str
) -> Iterator[tuple[Sandbox, Replicas]]:
    with (
        world(operator_settings=elected(f"{duration_s:g}s") | settings) as sandbox,
        two_operators(sandbox) as replicas,
    ):
        yield sandbox, replicas


def both_ready(replicas: Replicas) -> bool:
    return all(one.answers("/readyz")[0] == 200 for one in replicas.all)


def leaders(replicas: Replicas) -> list[str]:
    """Who says of itself that it is in office."""
    served = {one.name: one.answers("/metrics")[1].splitlines() for one in replicas.all}
    return [name for name, lines in served.items() if "ippolicy_leader 1.0" in lines]


def versions(sandbox: Sandbox) -> dict[str, str]:
    """The versions of all that operators write, but for aws-node, whose status moves."""
    found = {path: sandbox.run(sandbox.client.find(path)) for path in OURS}
    return {path: one["metadata"]["resourceVersion"] for path, one in found.items() if one}


def test_one_acts_and_the_other_is_ready(world: World) -> None:
    with two(world) as (sandbox, replicas):
        leader, _ = replicas.wait_for_leader()
        follower = replicas.other_than(leader)
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        sandbox.wait(lambda: both_ready(replicas), "both to be ready")
        assert leaders(replicas) == [leader.name]
        assert sandbox.daemonset_generation() == 2
        assert 'ippolicy_changes_total{outcome="Written"' in leader.answers("/metrics")[1]
        assert "ippolicy_changes_total" not in follower.answers("/metrics")[1]
        assert replicas.lease()["leaseTransitions"] == 0


def test_a_leader_that_dies_in_the_middle_of_a_change_is_followed_without_a_second_rollout(
    world: World,
) -> None:
    with two(world) as (sandbox, replicas):
        leader, _ = replicas.wait_for_leader()
        sandbox.wait(lambda: both_ready(replicas), "both to be ready")
        originals = targets(sandbox)
        sandbox.apply_policy(SOON)
        sandbox.wait(lambda: changed(sandbox), "the targets")
        leader.process.kill9()
        _, took_s = replicas.wait_for_leader(not_one=leader)
        assert took_s <= 2 * DURATION_S
        wait_until_applied(sandbox)
        assert sandbox.daemonset_generation() == 2
        sandbox.delete_policy()
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert targets(sandbox) == originals
        assert sandbox.daemonset_generation() == 3


def test_a_leader_that_dies_in_the_middle_of_a_deletion_is_followed_to_its_end(
    world: World,
) -> None:
    with two(world) as (sandbox, replicas):
        leader, _ = replicas.wait_for_leader()
        originals = targets(sandbox)
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        leader.pause()
        sandbox.delete_policy()
        leader.process.kill9()
        assert sandbox.policy() is not None
        sandbox.wait(lambda: sandbox.policy() is None, "the policy to go")
        assert targets(sandbox) == originals
        assert sandbox.daemonset_generation() == 3
        assert sandbox.run(sandbox.client.find(RECORD)) is None


def test_a_leader_that_was_paused_and_goes_on_ends_and_writes_nothing(world: World) -> None:
    with two(world, IPPOLICY_CHECKPOINT_INTERVAL="1s") as (sandbox, replicas):
        leader, _ = replicas.wait_for_leader()
        sandbox.apply_policy(SOON)
        wait_until_applied(sandbox)
        leader.pause()
        follower, took_s = replicas.wait_for_leader(not_one=leader)
        assert took_s <= 2 * DURATION_S
        # With nobody left who may write, and much to write, what is written is the old one's.
        sandbox.wait(condition(sandbox, "Progressing", "False"), "a status of the new leader")
        follower.process.kill9()
        sandbox.set_env({"WARM_IP_TARGET": "9"})
        sandbox.apply_policy({**SOON, "bounds": {"warmIPTarget": {"min": 3, "max": 5}}})
        before = versions(sandbox), sandbox.daemonset_generation(), replicas.lease()
        leader.resume()
        assert leader.exit_code() == OUT_OF_OFFICE
        assert "is out of office" in "\n".join(leader.process.last_lines())
        assert (versions(sandbox), sandbox.daemonset_generation(), replicas.lease()) == before


def test_a_clean_stop_hands_over_at_once(world: World) -> None:
    with two(world, duration_s=LONG_S) as (sandbox, replicas):
        leader, _ = replicas.wait_for_leader()
        sandbox.wait(lambda: both_ready(replicas), "both to be ready")
        sandbox.apply_policy(SOON)
        sandbox.wait(lambda: changed(sandbox), "the targets")
        assert leader.process.stop() == 0
        _, took_s = replicas.wait_for_leader(not_one=leader)
        assert took_s < AT_ONCE_S
        wait_until_applied(sandbox)
        assert sandbox.daemonset_generation() == 2
