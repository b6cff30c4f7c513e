"""A subnet that is drained lasts twice as long with the brake, and targets do not swing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from hurried import PATIENT
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.fleet import NodeSpec
from lockstep import Lockstep
from worlds import World, condition

SPEED, UNWATCHED_SPEED = 160.0, 480.0
"""Only an operator needs time to think."""
HOUR_S = 3_600.0
EVERY_S = 480.0
"""A node joins every eight minutes of sandbox time, with `PODS` pods."""
PODS, BURST = 8, 4
MOST_NODES = 20
"""So many join at most: a multiple of what fits at the defaults."""
BRAKED: Mapping[str, Any] = {
    "mode": "Apply",
    "demand": {"minEvidence": "10m"},
    "subnets": {"brake": {"freeBelow": "10%", "exhaustedWithin": "6h"}},
    "change": {"stabilization": "0s", "cooldown": "1h", "maxPerDay": 48},
}


@dataclass(frozen=True, slots=True)
class Drained:
    """How long pods kept starting, in seconds of sandbox time, and how many nodes had come."""

    lasted_s: float
    nodes: int


def drain(sandbox: Sandbox) -> Drained:
    """Let nodes join until the subnet has no address for one, or none for the pods of those.

    The node that joined before has some more pods for half of the time. In the end all nodes go.
    """
    began_s, names = sandbox.clock.now(), list[str]()
    (subnet,) = sandbox.subnets
    while len(names) < MOST_NODES and not is_empty(sandbox, PODS * len(names)):
        names += sandbox.run(sandbox.fleet.add_nodes([NodeSpec("r5.xlarge", subnet)]))
        steady = dict.fromkeys(names, PODS)
        sandbox.run(sandbox.workload.scale(steady | {names[-2:][0]: PODS + BURST}))
        wait_until(sandbox, began_s + (len(names) - 0.5) * EVERY_S)
        sandbox.run(sandbox.workload.scale(steady))
        wait_until(sandbox, began_s + len(names) * EVERY_S)
    lasted_s = sandbox.clock.now() - began_s
    for name in names:
        sandbox.remove_node(name)
    return Drained(lasted_s, len(names))


def is_empty(sandbox: Sandbox, pods: int) -> bool:
    """Whether no address is free, or fewer than one more node takes and not all `pods` have one."""
    (subnet,) = sandbox.subnet_facts()
    all_run = sum(node.ready for node in sandbox.report().nodes) >= pods
    return subnet.free_addresses < (1 if all_run else PODS + BURST)


def wait_until(sandbox: Sandbox, at_s: float) -> None:
    """Let sandbox time pass."""
    while (left_s := at_s - sandbox.clock.now()) > 0:
        time.sleep(min(0.5, sandbox.clock.real_seconds(left_s)))


def changes(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The changes in the policy's status, the first one first."""
    status = (sandbox.policy() or {}).get("status") or {}
    found: list[dict[str, Any]] = status.get("changes") or []
    return found[::-1]


def test_with_the_brake_pods_start_twice_as_long_and_nothing_swings(world: World) -> None:
    with (
        Lockstep() as time,
        world(
            nodes=0,
            speed=UNWATCHED_SPEED,
            elapsed=time,
            operator_settings=PATIENT,
            operator_command=time.hurried(SPEED),
        ) as sandbox,
    ):
        sandbox.run(time.mind_the_loop())
        at_defaults = drain(sandbox)
        sandbox.clock.set_speed(SPEED)
        sandbox.operator.start()
        sandbox.apply_policy(BRAKED)
        sandbox.wait(condition(sandbox, "Ready", "False", "NoNodes"), "the operator to watch")
        braked = drain(sandbox)
        made = changes(sandbox)
        assert sandbox.daemonset_generation() == 1 + len(made)
    assert 1 < at_defaults.nodes < MOST_NODES  # it is empty, indeed
    assert braked.lasted_s >= 2 * at_defaults.lasted_s
    assert braked.nodes >= 2 * at_defaults.nodes
    assert "SubnetPressure" in [change["reason"] for change in made]
    moments_s = [datetime.fromisoformat(change["time"]).timestamp() for change in made]
    # Each at least an hour after the other. Between them the brake may let go, where the forecast
    # sees the subnet last, and who starts late under the leaner targets then has more again.
    assert all(later - earlier >= HOUR_S for earlier, later in pairwise(moments_s)), made
