"""An engine whose predictions do not come true stops writing, and goes on once they do again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from builders import change, daemon_set, pool, record, snapshot
from engine_fakes import REF, Rig, raw_policy
from ippolicy.account.conditions import conditions
from ippolicy.decide.types import Reason, Verdict
from ippolicy.facts import DaemonSetRef, Snapshot, SourceState
from virtual_loop import START_S, in_virtual_time, wall_clock

GENEROUS = {"WARM_IP_TARGET": "9", "MINIMUM_IP_TARGET": "30"}
AS_THE_MODEL_SAYS, MORE = 30, 42  # addresses of a node with 20 pods


def cluster(clock: Callable[[], float], held: list[int]) -> Callable[[DaemonSetRef], Snapshot]:
    """Ten nodes with 20 pods each, of which each holds the last of `held`."""

    def facts(_: DaemonSetRef) -> Snapshot:
        now_s = clock()
        found = snapshot(
            daemon_set=daemon_set(GENEROUS, read_at_s=now_s),
            pools={f"node-{n}": pool(n, held=held[-1], read_at_s=now_s) for n in range(10)},
        )
        fresh = {name: SourceState(succeeded_at_s=now_s) for name in found.sources}
        return replace(found, sources=fresh)

    return facts


def confidence(rig: Rig) -> tuple[str, str]:
    """Status and reason of the condition LowConfidence after the last pass."""
    view = rig.publisher.views[-1]
    said = {one.type: one for one in conditions(view, (), view.now_s)}["LowConfidence"]
    return said.status, said.reason


@in_virtual_time
async def test_a_third_misprediction_stops_writes_until_the_model_explains_it_again() -> None:
    clock, held = wall_clock(), [MORE]
    rig = Rig(clock=clock, interval="1m", choice="rule")
    rig.observer.facts = cluster(clock, held)
    made = change(after=GENEROUS, intended_at_s=START_S - 60, completed_at_s=START_S)
    rig.actor.records[REF] = record(made, mispredicted=2)
    spec = {"cooldown": "20m", "maxPerDay": 48, "stabilization": "0s"}
    rig.take(raw_policy(demand={"minEvidence": "1m"}, change=spec))
    await rig.engine.start()

    await asyncio.sleep(2 * 3_600)
    assert rig.actor.records[REF].mispredicted == 3
    assert rig.publisher.views[-1].decision is not None
    assert rig.publisher.views[-1].decision.reason is Reason.MISPREDICTED
    assert confidence(rig) == ("True", "Mispredicted")
    assert not rig.actor.carried_out, "though cooldown is over"

    held.append(AS_THE_MODEL_SAYS)
    await asyncio.sleep(2.5 * 3_600)
    assert rig.actor.records[REF].mispredicted == 0
    assert confidence(rig) == ("False", "EnoughEvidence")
    decision = rig.publisher.views[-1].decision
    assert decision is not None
    assert decision.verdict is Verdict.CHANGE
    assert rig.actor.carried_out
    await rig.engine.stop()
