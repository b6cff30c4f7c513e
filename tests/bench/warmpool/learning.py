"""Our own policies: what the product recommends after the first days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from builders import node, policy, snapshot
from ippolicy.decide.grid import candidates
from ippolicy.decide.objective import Objective
from ippolicy.decide.profiles import DayQuestion, Part, Schedule, day_schedule
from ippolicy.decide.question import Advice, Question
from ippolicy.decide.restart import STEP_S
from ippolicy.decide.search import choose
from ippolicy.decide.timetable import MARGIN_S
from ippolicy.decide.units import Unit, units_of
from ippolicy.facts import InstanceLimits, NodeTrace
from ippolicy.ipamd import PoolSettings, WarmTargets
from warmpool.families import DAY_S, HOUR_S, Pods
from warmpool.terms import LEARN_S, NODE

EPOCH_S = 20_000.0 * DAY_S
"""When the first day begins: a midnight, in UTC."""
POLICY = policy({})
"""It says nothing: goal Balanced, default bounds, two changes a day."""
SPEC = POLICY.spec
LEAD_S = STEP_S + MARGIN_S
"""How long before its hour a part that holds more is due: a rollout of one node, and a margin."""
_GROUP = "node"


def demand_of(pods: Pods) -> list[Unit]:
    """The first days of `pods` as the operator sees them: how many come and go, and when."""
    times_s, changes = events_of(pods)
    learned = slice(0, int(np.searchsorted(times_s, LEARN_S)))
    seen = NodeTrace(
        node="node-0",
        group=_GROUP,
        since_s=EPOCH_S,
        until_s=EPOCH_S + LEARN_S,
        level=0,
        times_s=EPOCH_S + times_s[learned],
        changes=changes[learned],
    )
    limits = InstanceLimits(NODE.instance_type, NODE.eni_limit, NODE.addresses_per_eni, nitro=True)
    members = (node(0, instance_type=NODE.instance_type, group=_GROUP, created_at_s=EPOCH_S),)
    facts = snapshot(nodes=members, limits={NODE.instance_type: limits})
    return units_of(facts, members, [seen], until_s=seen.until_s)


def events_of(pods: Pods) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """When pods come (+1) and go (-1), if none ever waits: seconds, ascending, and changes."""
    times_s = np.concatenate([pods[:, 0], pods[:, 0] + pods[:, 1]])
    changes = np.repeat(np.array([1, -1], dtype=np.int8), len(pods))
    order = np.lexsort((changes, times_s))
    return times_s[order].astype(np.float64), changes[order]


def balanced() -> Objective:
    """The limits of the goal Balanced."""
    objective = SPEC.objective
    return Objective(objective.delayed_starts_limit, float(objective.ec2_calls_per_minute_limit))


def question_of(units: Sequence[Unit], objective: Objective) -> Question:
    """What the operator asks the search about one node with the CNI's defaults."""
    anchor = WarmTargets(warm_ip=1, minimum_ip=max(unit.peak for unit in units))
    return Question(
        present=PoolSettings(),
        bounds=SPEC.bounds,
        objective=objective,
        nodes={_GROUP: 1},
        anchor=anchor,
        anchors={_GROUP: anchor},
    )


def advice_for(units: Sequence[Unit], objective: Objective) -> Advice:
    """The operator's recommendation within `objective`."""
    choice = choose([units], question_of(units, objective))
    assert choice is not None
    return choice.fleet


def no_later_than_default(advice: Advice) -> Objective:
    """Limits that allow as many delayed starts as the default had, as `advice` saw it."""
    return replace(balanced(), delayed_share=advice.present.delayed_share)


def schedule_for(units: Sequence[Unit], objective: Objective) -> Schedule | None:
    """The operator's settings by the time of day."""
    question = question_of(units, objective)
    tried = candidates(
        units, question.present, question.bounds, anchor=question.anchor, may_write_prefix=False
    )
    asked = DayQuestion(
        question.present,
        objective,
        nodes={_GROUP: 1},
        max_switches=SPEC.change.max_per_day,
        min_saving=SPEC.change.min_saving.fraction,
    )
    return day_schedule(units, [c.targets for c in tried if c.writable], asked)


def due_s(part: Part) -> float:
    """When in the day the switch to a part is due; before midnight if negative."""
    return part.start_hour * HOUR_S + (-LEAD_S if part.grows else part.wait_s)
