"""Late starts and how EC2 does, as aws-node counts them, reach decisions."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from engine_fakes import OTHER, REF, Rig, raw_policy
from ippolicy.decide.decision import Inputs
from ippolicy.decide.types import Decision
from ippolicy.facts import ApiFacts, DaemonSetRef, PoolCounters, Snapshot
from ippolicy.ipamd import WarmTargets
from views import a_decision, a_snapshot
from virtual_loop import START_S, in_virtual_time, wall_clock


@in_virtual_time
async def test_what_aws_node_counts_reaches_the_decisions_on_its_daemon_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Inputs] = []

    def decide(inputs: Inputs) -> Decision:
        made.append(inputs)
        return a_decision()

    monkeypatch.setattr("ippolicy.engine.deciding.decide", decide)
    rig = Rig()
    clock, counted = wall_clock(), {"assigned": 0, "failed": 0}

    def facts(ref: DaemonSetRef) -> Snapshot:
        now = a_snapshot(nodes=1)
        api = "AssignPrivateIpAddresses"
        counters = PoolCounters(
            add_requests=counted["failed"],
            no_available_addresses=counted["failed"] if ref == REF else 0,
            ec2_calls={api: counted["assigned"]},
            answers={api: counted["assigned"]},
            answers_ms={api: 1_500 * counted["assigned"]},
        )
        pools = {
            name: replace(pool, counters=counters, read_at_s=clock(), held_max=56)
            for name, pool in now.pools.items()
        }
        return replace(now, pools=pools, pods_per_node={"node-0": 25})

    rig.observer.facts = facts
    rig.take(raw_policy("a"), raw_policy("b", OTHER))
    for failed, assigned in ((0, 0), (0, 40), (7, 40)):
        counted.update(failed=failed, assigned=assigned)
        await rig.engine.tick()
        await asyncio.sleep(120)
    await asyncio.sleep(900)
    await rig.engine.tick()
    ours, theirs = (
        next(i for i in reversed(made) if i.policy.name == name).signals for name in ("a", "b")
    )
    (late,) = ours.late
    assert (late.at_s - START_S, late.node, late.group, late.pods) == (240, "node-0", "group-0", 5)
    assert theirs.late == ()
    assert ours.ec2 == {"AssignPrivateIpAddresses": ApiFacts(calls=40, overloaded=0, mean_s=1.5)}
    (in_force,) = ours.in_force
    assert in_force.targets == WarmTargets(warm_eni=1, warm_prefix=1)
