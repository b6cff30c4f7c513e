"""Whether what is known is fresh and whole enough to write on."""

from __future__ import annotations

import math

from ippolicy.decide.gates.stop import Limits, Stop
from ippolicy.decide.types import Reason
from ippolicy.facts import Snapshot, SourceName

NEEDED_SOURCES = (
    SourceName.NODES,
    SourceName.PODS,
    SourceName.AWS_NODE,
    SourceName.DAEMON_SET,
    SourceName.METRICS,
)


def facts_gate(snapshot: Snapshot, limits: Limits, *, growing: bool = False) -> Stop | None:
    """Whether the facts allow a change; less coverage is enough for one that is `growing`."""
    for name in NEEDED_SOURCES:
        if stop := stale(snapshot, name, limits.facts_max_age_s):
            return stop
    coverage = snapshot.coverage
    needed = limits.min_coverage_to_grow if growing else limits.min_coverage
    if coverage.share < needed:
        return Stop(
            Reason.COVERAGE_LOW,
            f"{coverage.read} of {coverage.listed} aws-node pods could be read, "
            f"{needed:.0%} are needed: check that port 61678 is reachable",
        )
    return None


def unread(snapshot: Snapshot, name: SourceName) -> Stop | None:
    """Whether a source was never read, so that what it lacks may be there all the same."""
    return stale(snapshot, name, max_age_s=math.inf)


def stale(snapshot: Snapshot, name: SourceName, max_age_s: float) -> Stop | None:
    """Whether a source was last read longer than `max_age_s` ago."""
    state = snapshot.sources.get(name)
    age_s = math.inf if state is None else state.age_s(snapshot.taken_at_s)
    if age_s < math.inf and age_s <= max_age_s:
        return None
    why = f": {state.error}" if state and state.error else ""
    return Stop(Reason.FACTS_STALE, f"{name} {age_text(age_s)}{why}")


def age_text(age_s: float) -> str:
    """When something was read, in words."""
    return "was never read" if age_s == math.inf else f"was last read {age_s:.0f} s ago"
