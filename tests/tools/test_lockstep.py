"""Time in lockstep passes, but for moments in which a part lies back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import lockstep
from kubeapi import until
from lockstep import Lockstep


@pytest.fixture
def shared() -> Iterator[Lockstep]:
    with Lockstep() as shared:
        yield shared


def test_it_passes_while_all_keep_up(shared: Lockstep) -> None:
    began_s = shared()
    until(lambda: shared() >= began_s + 4 * lockstep.TICK_S)


@pytest.mark.parametrize("part", [lockstep._LOOP, lockstep._OPERATOR])
def test_it_waits_for_a_part_that_lies_back(
    shared: Lockstep, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockstep, "LOOP_LAG_S", 0.05)
    monkeypatch.setattr(lockstep, "OPERATOR_LAG_S", 0.05)
    seen_s = until(shared)
    lockstep._SEEN.pack_into(shared._shared, part, seen_s)
    until(lambda: lockstep._TIME.unpack_from(shared._shared, 0)[1] == lockstep._NEVER)
    stopped_s, real_s = shared(), time.monotonic()
    until(lambda: time.monotonic() > real_s + 4 * lockstep.TICK_S)
    assert shared() == stopped_s
    lockstep._SEEN.pack_into(shared._shared, part, lockstep._NEVER)
    until(lambda: shared() > stopped_s)


def test_a_machine_that_stood_still_costs_no_more_than_a_moment() -> None:
    shared = bytearray(32)
    lockstep._TIME.pack_into(shared, 0, 5.0, 1_000.0)
    an_hour_later = lockstep._elapsed(shared, real=lambda: 4_600.0)
    assert an_hour_later == 5.0 + lockstep.MOST_STEP_S
