"""What was lowered for a rollout is put back by who may write, once it is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from builders import REF, change, policy, record
from ippolicy.act.actor import Actor
from ippolicy.engine.election import Alone
from ippolicy.engine.pacing import put_back_pace
from ippolicy.facts import ChangePhase, DaemonSetRef, Record

LOWERED = record(change(), max_unavailable="10%")
PUT_BACK = record(change())


@dataclass
class FakeActor:
    asked: list[DaemonSetRef] = field(default_factory=list)

    def put_back_pace(self, ref: DaemonSetRef) -> Record | None:
        self.asked.append(ref)
        return PUT_BACK


class OutOfOffice(Alone):
    async def confirm(self) -> bool:
        return False


async def served(
    made: Record | None, spec: dict[str, Any] | None = None, *, leads: bool = True, **metadata: Any
) -> tuple[Record | None, bool]:
    actor, office = FakeActor(), Alone() if leads else OutOfOffice()
    asked = policy(spec, **metadata)
    after = await put_back_pace(cast("Actor", actor), office, asked, REF, made)
    return after, bool(actor.asked)


async def test_after_the_rollout_it_is_put_back() -> None:
    assert await served(LOWERED) == (PUT_BACK, True)


@pytest.mark.parametrize("phase", [ChangePhase.INTENDED, ChangePhase.ROLLING])
async def test_while_the_rollout_goes_on_it_stays(phase: ChangePhase) -> None:
    rolling = record(change(phase=phase), max_unavailable="10%")
    assert await served(rolling) == (rolling, False)


async def test_where_nothing_was_lowered_nothing_is_asked() -> None:
    assert await served(PUT_BACK) == (PUT_BACK, False)
    assert await served(None) == (None, False)


@pytest.mark.parametrize("spec", [{"mode": "Off"}, {"mode": "Recommend"}])
async def test_a_policy_that_does_not_write_puts_nothing_back_yet(spec: dict[str, Any]) -> None:
    assert await served(LOWERED, spec) == (LOWERED, False)


async def test_a_paused_policy_waits() -> None:
    paused = {"ippolicy.dev/paused": "true"}
    assert await served(LOWERED, annotations=paused) == (LOWERED, False)


async def test_out_of_office_nothing_is_written() -> None:
    assert await served(LOWERED, leads=False) == (LOWERED, False)
