"""What was rolled back is not tried again: not before a while has passed, nor while nothing that it
was decided on has changed.

The wait is `FIRST_S` after the first time and doubles with each further one, up to `LONGEST_S`; a
day after the last wait is over, all is forgotten. What is held back with the targets rolled back
are those that hold less still: what was too lean is no better leaner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ippolicy.api import EnvKey
from ippolicy.decide.basis import has_changed
from ippolicy.facts import BackOff, Change, Record

FIRST_S: Final = 3_600.0
LONGEST_S: Final = 86_400.0
FORGOTTEN_S: Final = 86_400.0
MOST_KEPT: Final = 8


def rolled_back(record: Record, rollback: Change) -> Record:
    """The record, whose last change is undone by `rollback`, with that change held back.

    The binding rule of `rollback` is what the guard said.
    """
    if record.last_change is None:
        return record
    undone = replace(record.last_change, undone=rollback.binding)
    now_s = rollback.intended_at_s
    kept = [one for one in record.back_offs if now_s < one.until_s + FORGOTTEN_S]
    times = 1 + max((one.times for one in kept if one.after == undone.after), default=0)
    again = BackOff(
        after=undone.after,
        basis=undone.basis,
        until_s=now_s + min(FIRST_S * 2.0 ** (times - 1), LONGEST_S),
        times=times,
    )
    others = [one for one in kept if one.after != undone.after]
    return replace(
        record,
        changes=(*record.changes[:-1], undone),
        back_offs=(*others, again)[-MOST_KEPT:],
    )


def held_back(
    record: Record | None, env: Mapping[str, str | None], basis: str, now_s: float
) -> BackOff | None:
    """What keeps `env` from being tried, decided on `basis`, if anything does."""
    for one in record.back_offs if record is not None else ():
        # A wait is never longer than the longest: one that looks so is of a clock that was ahead.
        waits = now_s < one.until_s <= now_s + LONGEST_S
        if waits and no_more_generous(env, one.after) and not has_changed(one.basis, basis):
            return one
    return None


def no_more_generous(env: Mapping[str, str | None], other: Mapping[str, str | None]) -> bool:
    """Whether no target of `env` is above that of `other`, both setting the same keys."""
    if dict(env) == dict(other):
        return True
    if set(env) != set(other) or EnvKey.WARM_IP_TARGET not in env:
        return False
    return all(_count(env[key]) <= _count(other[key]) for key in env)


def _count(value: str | None) -> int:
    return int(value) if value is not None and value.isdecimal() else 0
