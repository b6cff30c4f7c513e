"""What a change rests on, and whether it came as predicted.

    at the decision   what the search expected of the targets before and after: `proof_of`
    15 min, 1 h,      what was held, and what the model makes of the demand that there really was
    24 h after it     meanwhile, once each: `due`, `measured`
    each hour         what was held less than the defaults of the CNI would have: `saved`

A measurement begins `SETTLE_S` after the rollout is complete: the last pools have shrunk by then.
When the operator was away at its time it is made late, over what was watched, if that is at least
half of what it should be.

A change whose outcome is outside the interval counts as mispredicted, once. After `MOST_WRONG` of
them in a row nothing is written but what undoes a change, until the model explains again what is
held: a later measurement, or the look at the last hour that is made each hour meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ippolicy.api import IPPolicy
from ippolicy.decide.basis import basis_of
from ippolicy.decide.environment import shown
from ippolicy.decide.measure import Counts
from ippolicy.decide.types import Prediction, Proof, Recommendation
from ippolicy.facts import (
    Change,
    ChangePhase,
    Forecast,
    Ledger,
    Measured,
    NodeTrace,
    Record,
)
from ippolicy.ipamd import PoolSettings, WarmTargets

AFTER_S: Final = (900, 3_600, 86_400)
SETTLE_S: Final = 120.0
LEDGER_S: Final = 3_600.0
MOST_WRONG: Final = 3
MOST_REJECTED: Final = 3
DEFAULTS: Final = WarmTargets(warm_eni=1, warm_prefix=1)
_LEAST_WATCHED: Final = 0.5


def proof_of(
    policy: IPPolicy,
    settings: PoolSettings,
    nodes: int,
    traces: Sequence[NodeTrace],
    fleet: Recommendation,
) -> Proof:
    """What a change to the targets of `fleet` rests on."""
    prefixes = settings.prefix_delegation
    return Proof(
        basis=basis_of(policy, settings, nodes, traces),
        binding=fleet.binding,
        rejected=tuple(
            f"{shown(one.targets, prefixes=prefixes)}: {one.held:.0f} held, "
            f"{one.delayed_share:.2%} late, {one.calls_per_minute:.3g} calls/min: {one.why}"
            for one in fleet.runners_up[:MOST_REJECTED]
        ),
        present=_forecast(fleet.present, None),
        predicted=_forecast(fleet.predicted, fleet.held_interval),
    )


def due(change: Change | None, now_s: float) -> int | None:
    """The `after_s` of the measurement that is to be made now: the longest that is due, if any.

    Those before it that were missed are left out: they would tell of the same time.
    """
    if change is None or change.phase is not ChangePhase.COMPLETE:
        return None
    if change.completed_at_s is None:
        return None
    done = max((one.after_s for one in change.measured), default=0)
    reached = [after_s for after_s in AFTER_S if done < after_s <= now_s - change.completed_at_s]
    return max(reached, default=None)


def window(change: Change, after_s: int, now_s: float) -> tuple[float, float]:
    """The time that a measurement is of: the last `after_s` seconds, settling left out."""
    completed_s = change.completed_at_s or change.intended_at_s
    return max(completed_s + SETTLE_S, now_s - after_s), now_s


def enough(counts: Counts, after_s: int) -> bool:
    """Whether so much of the time was watched that the measurement says something."""
    return counts.watched_s >= _LEAST_WATCHED * (after_s - SETTLE_S)


def measurement(after_s: int, at_s: float, counts: Counts, expected: Forecast | None) -> Measured:
    """What was counted, beside what the model makes of the demand of the same time."""
    fits = None if expected is None else within(counts, expected)
    return Measured(
        after_s=after_s,
        at_s=at_s,
        pods=round(counts.pods),
        held=counts.held,
        expected_held=None if expected is None else expected.held,
        delayed_share=counts.late_share,
        ec2_calls_per_minute=counts.calls_per_minute,
        as_expected=fits,
    )


def within(counts: Counts, expected: Forecast) -> bool:
    """Whether what was held is what the model expected, give or take an address."""
    return expected.held_low - 1 <= counts.held <= expected.held_high + 1


def with_measured(record: Record, change_id: str, found: Measured) -> Record:
    """The record with a measurement of its last change, or of a change of a group; as it was where
    that is not there any more, or has this measurement."""
    known = (*record.changes[-1:], *record.group_changes)
    change = next((one for one in known if one.id == change_id), None)
    if change is None or any(one.after_s == found.after_s for one in change.measured):
        return record
    wrong_before = any(one.as_expected is False for one in change.measured)
    mispredicted = record.mispredicted
    if found.as_expected:
        mispredicted = 0
    elif found.as_expected is False and not wrong_before:
        mispredicted += 1
    after = replace(change, measured=(*change.measured, found))
    return replace(
        record,
        changes=tuple(after if one is change else one for one in record.changes),
        group_changes=tuple(after if one is change else one for one in record.group_changes),
        mispredicted=mispredicted,
    )


def saved(record: Record, counts: Counts, defaults: Forecast, now_s: float) -> Record:
    """The record with what was saved in the time of `counts`, where the CNI's defaults would have
    held `defaults`."""
    ledger = record.ledger
    since_s = ledger.since_s if ledger.since_s is not None else now_s - counts.watched_s
    total = ledger.saved_address_s + (defaults.held - counts.held) * counts.watched_s
    return replace(record, ledger=Ledger(total, until_s=now_s, since_s=since_s))


def with_saved(
    record: Record, counts: Counts, defaults: Forecast, expected: Forecast, now_s: float
) -> Record:
    """The record with what was saved, which is trusted again where the model explains, by what is
    `expected`, what was held."""
    after = saved(record, counts, defaults, now_s)
    return replace(after, mispredicted=0) if within(counts, expected) else after


def _forecast(prediction: Prediction, interval: tuple[float, float] | None) -> Forecast:
    held = prediction.usually_held
    low, high = interval if interval is not None else (held, held)
    return Forecast(
        held=held,
        held_low=low,
        held_high=high,
        delayed_share=prediction.delayed_share,
        ec2_calls_per_minute=prediction.ec2_calls_per_minute,
    )
