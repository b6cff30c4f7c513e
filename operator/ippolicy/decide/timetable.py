"""A schedule put on the clock: when it is looked for, which part is in force, when to switch.

A schedule is looked for where all of this holds:

    demand          every hour of the day (UTC) was watched on `DAYS_NEEDED` whole days; for this
                    spec.demand.window must be a day longer, at least 96h
    change          spec.change.maxPerDay allows two switches
    windows         none are given, which a switch that is due would have to wait for
    method          not Admission: nodes get targets as they are made, not when it is due
    in force        one setting on all nodes
    late starts     none that were measured forbid leaner targets
    rollout         the DaemonSet restarts its pods by itself
    groups          they are not so many that two node days of each are beyond the budget

It is found from whole days alone, so it stays the same from one midnight (UTC) to the next. What is
in force has no part in finding it, so that a switch does not change it either.

A part that holds more is due before its hour: by the time that a rollout takes and `MARGIN_S`, in
which nodes fill their pools. A part that holds less is due at its hour, or up to three quarters of
an hour later, when fewest pods start: many come on the full hour. A switch may be late by
`MARGIN_S`, since maxPerDay counts any 24 hours, and no day's switch comes before that of the day
before: what is lost so is made good by leaving one out (`ippolicy.decide.gates`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from ippolicy.decide.environment import rule_alike
from ippolicy.decide.grid import Candidate, candidates, coarse
from ippolicy.decide.hours import HOURS, Hours
from ippolicy.decide.profiles import DayQuestion, Schedule, beside_present, schedule_of
from ippolicy.decide.question import DaySearched, Question
from ippolicy.decide.restart import rollout_s
from ippolicy.decide.trials import EVENTS_OF_A_LANE, Indexes, Replay, replay_fast
from ippolicy.decide.types import DayPlan
from ippolicy.decide.units import DAY_S, HOUR_S, Unit, units_of
from ippolicy.facts import DaemonSetFacts, NodeTrace, Snapshot
from ippolicy.ipamd import WarmTargets

DAYS_NEEDED: Final = 3
MARGIN_S: Final = 900.0
BUDGET_EVENTS: Final = 8_000_000  # beside that of the search
_USUAL_SETTINGS: Final = 100
_HALF_HOUR_S: Final = HOUR_S / 2  # an hour of which less was watched was not seen


@dataclass(frozen=True, slots=True)
class DayAsk:
    """What a plan of the day rests on; `day` is the schedule that was found last, if any."""

    snapshot: Snapshot
    daemon_set: DaemonSetFacts
    traces: Sequence[NodeTrace]
    question: Question
    day: DaySearched | None
    window_s: float
    max_per_day: int
    min_saving: float
    cooldown_s: float

    @property
    def now_s(self) -> float:
        """The moment of the snapshot."""
        return self.snapshot.taken_at_s


def day_searched(ask: DayAsk) -> DaySearched | None:
    """The schedule that still stands, or a new one; None where none is looked for."""
    until_s = ask.now_s - ask.now_s % DAY_S
    since_s = until_s - DAY_S * (ask.window_s // DAY_S - 1)
    may_switch = ask.max_per_day >= 2 and ask.daemon_set.rollout.strategy != "OnDelete"
    if not may_switch or ask.question.runs or ask.question.floors.fleet is not None:
        return None
    if since_s > until_s - DAY_S:
        return None
    asked = _asked(ask)
    stands = ask.day is not None and ask.day.answers(ask.question, asked, until_s)
    if ask.day is not None and stands and ask.day.question.present == ask.question.present:
        return ask.day
    seen = [t for t in ask.traces if t.until_s > since_s and t.since_s < until_s]
    if days_seen(seen, since_s, until_s) < DAYS_NEEDED:
        return None
    cut = [trace.between(since_s, until_s) for trace in seen]
    units = units_of(ask.snapshot, ask.snapshot.nodes, cut, until_s=until_s)
    replay = partial(replay_fast, latency=ask.question.latency)
    if ask.day is not None and stands:
        schedule = ask.day.schedule
    else:
        schedule = _search(units, ask.question, asked, replay) if units else None
    if schedule is not None and len(schedule.parts) > 1:
        share = _share(units, _USUAL_SETTINGS)
        schedule = beside_present(schedule, units, asked, replay=replay, share=share)
    return DaySearched(ask.question, asked, until_s, schedule)


def plan_of(ask: DayAsk, day: DaySearched) -> DayPlan | None:
    """Where in the schedule this moment is; None where the day has no parts."""
    schedule = day.schedule
    if schedule is None or len(schedule.parts) < 2:
        return None
    lead_s = _asked(ask).lead_s
    midnight_s = ask.now_s - ask.now_s % DAY_S
    # The part of the small hours began the day before; so may the switch to the part after them.
    due = sorted(
        (
            midnight_s
            + days * DAY_S
            + part.start_hour * HOUR_S
            + (-lead_s if part.grows else part.wait_s),
            number,
        )
        for days in (-1, 0, 1, 2)
        for number, part in enumerate(schedule.parts)
    )
    at = max(index for index, (due_s, _) in enumerate(due) if due_s <= ask.now_s)
    present, prefixes = ask.question.present.targets, ask.question.present.prefix_delegation
    return DayPlan(
        schedule=schedule,
        part=schedule.parts[due[at][1]],
        since_s=due[at][0],
        until_s=due[at + 1][0],
        in_turn=any(
            rule_alike(present, part.targets, prefixes=prefixes) for part in schedule.parts
        ),
        switches_s=tuple(
            due_s + MARGIN_S for due_s, _ in due[at + 1 :] if due_s <= ask.now_s + DAY_S
        ),
    )


def days_seen(traces: Iterable[NodeTrace], since_s: float, until_s: float) -> int:
    """On how many days between two midnights the hour was seen that was seen on the fewest."""
    edges_s = np.arange(since_s, until_s + HOUR_S / 2, HOUR_S)
    most_s = np.zeros(len(edges_s) - 1)
    for trace in traces:
        watched_s = np.minimum(edges_s[1:], trace.until_s) - np.maximum(edges_s[:-1], trace.since_s)
        most_s = np.maximum(most_s, watched_s)
    days: int = (most_s >= _HALF_HOUR_S).reshape(-1, HOURS).sum(axis=0).min()
    return int(days)


def _asked(ask: DayAsk) -> DayQuestion:
    takes_s = rollout_s(ask.daemon_set.rollout)
    return DayQuestion(
        base=ask.question.present,
        objective=ask.question.strictest,
        nodes=ask.question.nodes,
        max_switches=ask.max_per_day,
        min_saving=ask.min_saving,
        cooldown_s=ask.cooldown_s,
        lead_s=takes_s + MARGIN_S,
        rollout_s=takes_s,
    )


def _search(
    units: Sequence[Unit], question: Question, asked: DayQuestion, replay: Replay
) -> Schedule | None:
    """A schedule of the coarse grid, then one of the settings around its own."""
    grid = _grid(units, question)
    rough = coarse(grid)
    columns = 2 * len(rough)  # as many again lie around what is found
    hours = Hours(
        units,
        [candidate.targets for candidate in grid],
        question.present,
        question.nodes,
        replay,
        share=_share(units, columns),
    )
    if hours.cost(columns) > 2 * BUDGET_EVENTS:
        return None
    schedule = schedule_of(hours, grid, rough, asked)
    if schedule is None:
        return None
    near = _around(grid, [part.targets for part in schedule.parts])
    return schedule_of(hours, grid, np.union1d(rough, near), asked)


def _share(units: Sequence[Unit], settings: int) -> float:
    """The share of the units that the budget allows to be played under so many settings."""
    cost = settings * sum(unit.events + HOURS * EVENTS_OF_A_LANE for unit in units)
    return min(1.0, BUDGET_EVENTS / cost)


def _grid(units: Sequence[Unit], question: Question) -> list[Candidate]:
    """The settings within bounds, the same whatever is in force; the first, which would win ties,
    is not to be chosen."""
    targets = question.present.targets
    neutral = replace(question.present, targets=replace(targets, warm_ip=0, minimum_ip=0))
    anchor = WarmTargets(warm_ip=1, minimum_ip=max(unit.peak for unit in units))
    grid = candidates(units, neutral, question.bounds, anchor=anchor, may_write_prefix=False)
    return [Candidate(neutral.targets, writable=False), *(c for c in grid[1:] if c.writable)]


def _around(grid: Sequence[Candidate], chosen: Sequence[WarmTargets]) -> Indexes:
    """The numbers of the settings of a grid that are within two values of those chosen."""
    values = [candidate.values for candidate in grid]
    warms, minimums = (
        sorted({pair[axis] for pair in values if pair is not None}) for axis in (0, 1)
    )
    near = {
        (warm, minimum)
        for targets in chosen
        for warm in _beside(warms, targets.warm_ip)
        for minimum in _beside(minimums, targets.minimum_ip)
    }
    return np.array([n for n, pair in enumerate(values) if pair in near], dtype=np.int64)


def _beside(values: Sequence[int], value: int) -> Sequence[int]:
    at = values.index(value)
    return values[max(0, at - 2) : at + 3]
