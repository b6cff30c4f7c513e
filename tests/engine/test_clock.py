"""The clock of the operator jumps: nothing is undone, stuck or lost for that."""

from __future__ import annotations

from typing import Any

import pytest

from engine_fakes import REF, Rig, raw_policy
from ippolicy.act import RolloutPhase
from ippolicy.act.requests import CallFailed
from ippolicy.decide.trust import Step
from ippolicy.facts import ChangePhase, EnvEntry, RolloutFacts, SourceName, SourceState
from views import NOW_S, a_change, a_daemon_set, a_record, a_snapshot

ROLLING = RolloutFacts(4, 10, 10, 3, 5, 5, "RollingUpdate", "10%")
HOUR_S = 3_600.0


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rolling(clock: Clock) -> Rig:
    """An engine whose change rolls out, with half of the pods missing."""
    rig = Rig(clock=clock, rollout_stuck_after="10m", choice="rule")
    env = {key: EnvEntry(value) for key, value in a_change().after.items()}
    rig.observer.facts = lambda _: a_snapshot(daemon_set=a_daemon_set(env, rollout=ROLLING))
    rig.actor.records[REF] = a_record(
        a_change(ChangePhase.ROLLING, generation=4, intended_at_s=NOW_S)
    )
    rig.take(raw_policy())
    return rig


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
async def test_no_change_is_undone_for_an_hour_that_was_none(clock: Clock, jump_s: float) -> None:
    rig = rolling(clock)
    for after_s in (0.0, 15.0, jump_s, 15.0):
        clock.now_s += after_s
        await rig.engine.tick()
    state = rig.view().rollout
    assert state is not None
    assert state.phase is RolloutPhase.ROLLING
    assert rig.actor.carried_out == []


async def test_a_rollout_that_makes_no_progress_for_long_is_undone(clock: Clock) -> None:
    rig = rolling(clock)
    for _ in range(41):
        await rig.engine.tick()
        clock.now_s += 15.0
    assert rig.actor.carried_out


async def test_while_the_api_server_is_away_facts_are_trusted_less_and_less(clock: Clock) -> None:
    rig = Rig(clock=clock, choice="rule")
    sources = {name: SourceState(NOW_S, "503") for name in SourceName}
    rig.observer.facts = lambda _: a_snapshot(sources=sources)
    rig.actor.failing[REF] = CallFailed("the API server does not answer", status=503)
    rig.take(raw_policy())
    seen: list[Any] = []
    for _ in range(3):
        await rig.engine.tick()
        seen.append(rig.view().ladder)
        clock.now_s += 50.0
    assert [ladder.step for ladder in seen] == [Step.NORMAL, Step.NORMAL, Step.FROZEN]
    assert rig.view().decision is None
    del rig.actor.failing[REF]
    await rig.engine.tick()
    assert rig.view().ladder == rig.engine._decider._ladders[REF]
    assert rig.actor.carried_out == []
