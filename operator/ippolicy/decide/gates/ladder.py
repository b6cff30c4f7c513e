"""How far facts may be trusted to write on: all changes, growth alone, or none.

step       at once, for any of these                                      back
---------  -------------------------------------------------------------  -----------------------
Normal     nothing is wrong
GrowOnly   EC2 refuses calls for load; subnets were not read for long;    once nothing has called
           too few aws-node pods could be read                            for it for a steady while
Frozen     a source that a change needs is too old; the API server does   the same
           not answer; hardly any aws-node pod could be read

A steady while is as long as facts may be old (`Limits.facts_max_age_s`). The step is the worst that
anything called for in it: a function of facts over time, never of what was decided. Before all was
well for the first time there is nothing to come back from, so a start is not held up.

In GrowOnly the brake goes on where EC2's load is the only cause: leaner targets are then the way
out, as calls for addresses that a subnet does not have are tried again and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ippolicy.decide.ec2 import budget_share
from ippolicy.decide.gates.facts import NEEDED_SOURCES, age_text, facts_gate, stale
from ippolicy.decide.gates.stop import Limits, Stop
from ippolicy.decide.trust import Cause, Ladder, Step, Trouble
from ippolicy.decide.types import Reason
from ippolicy.facts import Signals, Snapshot, SourceName

EC2_LEAVES: Final = 0.9
"""Where EC2 leaves less of the budget of calls, some in a hundred were refused for load."""
SUBNETS_MAX_AGE_S: Final = 900.0
_API_SOURCES: Final = (
    SourceName.NODES,
    SourceName.PODS,
    SourceName.AWS_NODE,
    SourceName.DAEMON_SET,
)


def climb(former: Ladder | None, snapshot: Snapshot, signals: Signals, limits: Limits) -> Ladder:
    """The ladder after a look at what is known now."""
    now_s = snapshot.taken_at_s
    former = former or Ladder()
    found = {trouble.cause: trouble for trouble in _troubles(snapshot, signals, limits)}
    if former.well_once:
        for past in former.troubles:
            last_at_s = min(past.last_at_s, now_s)  # a clock that was put back
            if last_at_s > now_s - limits.facts_max_age_s:
                found.setdefault(past.cause, replace(past, last_at_s=last_at_s))
    worst_first = sorted(found.values(), key=lambda trouble: (-trouble.step, trouble.cause))
    well = not found and facts_gate(snapshot, limits) is None
    return Ladder(tuple(worst_first), former.well_once or well)


def ladder_gate(ladder: Ladder, *, growing: bool, braked: bool) -> Stop | None:
    """Whether the step allows a change that is `growing`, or that the brake asks for."""
    why = "; ".join(ladder.causes)
    if ladder.step is Step.FROZEN:
        return Stop(Reason.FROZEN, f"nothing is written until it is over for a while: {why}")
    only_load = all(trouble.cause is Cause.EC2_LOAD for trouble in ladder.troubles)
    if ladder.step is Step.NORMAL or growing or (braked and only_load):
        return None
    return Stop(Reason.GROW_ONLY, f"only growth is written until it is over for a while: {why}")


def _troubles(snapshot: Snapshot, signals: Signals, limits: Limits) -> Iterator[Trouble]:
    now_s, most_s = snapshot.taken_at_s, limits.facts_max_age_s
    for name in NEEDED_SOURCES:
        if stale(snapshot, name, most_s):
            text = f"{name} {_age(snapshot, name)}"
            yield Trouble(Step.FROZEN, Cause.FACTS_STALE, text, now_s)
            break
    failing = [name for name in _API_SOURCES if _fails(snapshot, name, most_s / 3)]
    if failing:
        text = f"the API server does not answer: {failing[0]} {_age(snapshot, failing[0])}"
        yield Trouble(Step.FROZEN, Cause.API_ERRORS, text, now_s)
    yield from _coverage(snapshot, limits)
    subnets = snapshot.sources.get(SourceName.EC2_SUBNETS)
    known = subnets is not None and subnets.succeeded_at_s is not None
    if known and stale(snapshot, SourceName.EC2_SUBNETS, SUBNETS_MAX_AGE_S):
        text = f"{SourceName.EC2_SUBNETS} {_age(snapshot, SourceName.EC2_SUBNETS)}"
        yield Trouble(Step.GROW_ONLY, Cause.SUBNETS_STALE, text, now_s)
    left = budget_share(signals.ec2)
    if left < EC2_LEAVES:
        text = f"EC2 refuses calls of aws-node for load: {left:.0%} of them are left"
        yield Trouble(Step.GROW_ONLY, Cause.EC2_LOAD, text, now_s)


def _coverage(snapshot: Snapshot, limits: Limits) -> Iterator[Trouble]:
    """What the metrics lack: pods that were missed again and again, not those that are just new."""
    coverage = snapshot.coverage
    text = f"{coverage.stale} of {coverage.listed} aws-node pods cannot be read"
    if coverage.reachable < limits.min_coverage_to_grow:
        yield Trouble(Step.FROZEN, Cause.COVERAGE_NONE, text, snapshot.taken_at_s)
    elif coverage.reachable < limits.min_coverage:
        yield Trouble(Step.GROW_ONLY, Cause.COVERAGE_LOW, text, snapshot.taken_at_s)


def _fails(snapshot: Snapshot, name: SourceName, after_s: float) -> bool:
    """Whether a source has had an error for so long."""
    state = snapshot.sources.get(name)
    return (
        state is not None
        and state.error is not None
        and after_s < state.age_s(snapshot.taken_at_s) < float("inf")
    )


def _age(snapshot: Snapshot, name: SourceName) -> str:
    state = snapshot.sources.get(name)
    return age_text(float("inf") if state is None else state.age_s(snapshot.taken_at_s))
