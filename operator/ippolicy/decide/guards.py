"""Did a change do harm? Guards watch it while it rolls and for change.rollback.within after.

guard          trips when, since the change
-------------  --------------------------------------------------------------------------------
DelayedStarts  more starts waited for EC2 than the objective allows, and than did before
NoAddresses    the kubelet's tries that find no address come faster than before
EC2Errors      EC2 refuses more calls of aws-node than before
PodsNotReady   more aws-node pods than the update strategy allows are not ready, for `SHORT_S`
RolloutStuck   the rollout makes no progress

"More" is more than chance would have it. Events are few, and each pass looks again: so each test
asks for odds of `ODDS`, for `LEAST_*` events, and for two incidents at least, since what happens on
one node at one moment is one event however many pods it hits.

Before is the hour before the change, as far as it was watched. Where it was not (the operator came
later), the model's word on the targets of then stands in for late starts, and the two guards of
rates have nothing to go by. A change that the brake made trades late starts for addresses: the
guards of starts leave it alone. A rate is compared with the other given their sum, which is
binomial if both are the same (Przyborowski, Wilenski: Homogeneity of results in testing samples
from Poisson series, 1940).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from ippolicy.api import IPPolicy
from ippolicy.decide.measure import Counts
from ippolicy.decide.types import Reason
from ippolicy.facts import Change, ChangeKind, ChangePhase, RolloutFacts

ODDS: Final = 1e-3
BEFORE_S: Final = 3_600.0
LEAST_BEFORE_S: Final = 300.0
LEAST_LATE: Final = 5
LEAST_FAILED: Final = 30
LEAST_ERRORS: Final = 20
LEAST_INCIDENTS: Final = 2
FASTER: Final = 3.0
"""How many times faster than before tries or calls must fail: a little worse is no harm."""
SHORT_S: Final = 180.0
SHORT_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Trip:
    """A guard that tripped, and what it saw, in one line."""

    guard: str
    text: str


@dataclass(frozen=True, slots=True)
class Watched:
    """What guards look at: the counts before a change and since it.

    `short_s` is for how long aws-node pods have been missing, `stuck` what is said of a rollout
    without progress, empty for none. `against` names what `before` stands for: where some nodes
    change and others do not, it is these. It says something once it was watched for `least_s`.
    """

    before: Counts
    since: Counts
    short_s: float = 0.0
    stuck: str = ""
    against: str = "before the change"
    least_s: float = LEAST_BEFORE_S

    @property
    def known(self) -> bool:
        """Whether there is anything to hold `since` against."""
        return self.before.watched_s >= self.least_s


def guarded(policy: IPPolicy, change: Change | None, now_s: float) -> bool:
    """Whether guards watch over a change now: neither over one that undoes another, so that there
    is no ping-pong, nor over one that sets again what was in force before."""
    within_s = policy.spec.change.rollback.within.seconds
    if change is None or change.kind is not ChangeKind.TUNE or not within_s:
        return False
    if change.phase is ChangePhase.ROLLING:
        return True
    completed_s = change.completed_at_s
    if change.phase is not ChangePhase.COMPLETE or completed_s is None:
        return False
    return now_s - completed_s <= within_s


def trip(policy: IPPolicy, change: Change, rollout: RolloutFacts, watched: Watched) -> Trip | None:
    """The first guard that trips, or None; also while the user has restarted no pod for it yet."""
    if rollout.on_delete and not rollout.updated:
        return None
    found = _stuck(watched) or _not_ready(rollout, watched)
    if found is None and change.reason != Reason.SUBNET_PRESSURE:
        limit = policy.spec.objective.delayed_starts_limit
        expected = change.present.delayed_share if change.present is not None else None
        found = late_starts(limit, expected, watched) or no_addresses(watched)
    return found or ec2_errors(watched)


def missing(rollout: RolloutFacts) -> int:
    """aws-node pods that are not available beyond those that the update strategy may take down,
    and beyond the few that any large cluster has."""
    spare = max(1, math.floor(rollout.desired * SHORT_SHARE))
    return max(0, rollout.desired - rollout.available - _max_unavailable(rollout) - spare)


def _max_unavailable(rollout: RolloutFacts) -> int:
    text = rollout.max_unavailable
    if text.endswith("%"):
        share = float(text[:-1]) / 100 if text[:-1].isdecimal() else 1.0
        return math.ceil(rollout.desired * share)
    return int(text) if text.isdecimal() else 1


def _stuck(watched: Watched) -> Trip | None:
    return Trip("RolloutStuck", watched.stuck) if watched.stuck else None


def _not_ready(rollout: RolloutFacts, watched: Watched) -> Trip | None:
    if not missing(rollout) or watched.short_s < SHORT_S:
        return None
    return Trip(
        "PodsNotReady",
        f"{rollout.available} of {rollout.desired} aws-node pods are available for "
        f"{watched.short_s:.0f} s, maxUnavailable is {rollout.max_unavailable}",
    )


def late_starts(limit: float, expected: float | None, watched: Watched) -> Trip | None:
    """Whether more starts wait than the `limit` allows and than is usual; `expected` is the share
    that the model says is usual, for where nobody watched before."""
    before, since = watched.before, watched.since
    if since.late < LEAST_LATE or since.incidents < LEAST_INCIDENTS:
        return None
    known = watched.known and before.starts > 0
    usual = (before.late_share if known else expected) or 0.0
    if tail(since.late, since.starts, min(1.0, max(limit, usual))) >= ODDS:
        return None
    if known and not _more_often(since.late, since.starts, before.late, before.starts):
        return None
    return Trip(
        "DelayedStarts",
        f"{since.late} of {since.starts} starts waited for EC2 ({since.late / since.starts:.1%}), "
        f"the limit is {limit:.2%}, {watched.against} it was {usual:.2%}",
    )


def no_addresses(watched: Watched) -> Trip | None:
    """Whether tries of the kubelet find no address clearly more often."""
    before, since = watched.before, watched.since
    if since.incidents < LEAST_INCIDENTS:
        return None
    if not _faster(watched, before.failed_adds, since.failed_adds, LEAST_FAILED):
        return None
    return Trip(
        "NoAddresses",
        f"{since.failed_adds} tries of the kubelet found no address in {since.watched_s:.0f} s, "
        f"{_rate(since.failed_adds, since):.3g} a minute; {watched.against} it was "
        f"{_rate(before.failed_adds, before):.3g}",
    )


def ec2_errors(watched: Watched) -> Trip | None:
    """Whether EC2 refuses clearly more calls."""
    before, since = watched.before, watched.since
    if not _faster(watched, before.errors, since.errors, LEAST_ERRORS):
        return None
    # What grows no faster than the calls themselves is no worse: a rollout makes many.
    if not _more_often(since.errors, since.calls, before.errors, before.calls):
        return None
    return Trip(
        "EC2Errors",
        f"EC2 refused {since.errors} calls of aws-node in {since.watched_s:.0f} s, "
        f"{_rate(since.errors, since):.3g} a minute; {watched.against} it was "
        f"{_rate(before.errors, before):.3g}",
    )


def _faster(watched: Watched, events_before: int, events: int, least: int) -> bool:
    """Whether events come clearly faster, by node and second."""
    before, since = watched.before, watched.since
    if events < least or not watched.known or not before.node_s:
        return False
    if events / since.node_s <= FASTER * events_before / before.node_s:
        return False
    return _more_often(events, since.node_s, events_before, before.node_s)


def _more_often(events: int, exposure: float, events_before: int, exposure_before: float) -> bool:
    """Whether events are more frequent than before, beyond chance."""
    if exposure + exposure_before <= 0 or not exposure_before:
        return True
    return tail(events, events + events_before, exposure / (exposure + exposure_before)) < ODDS


def tail(events: int, trials: float, share: float) -> float:
    """P(X >= events) for X binomial of `trials` and `share`: the odds that it is chance."""
    count = max(int(trials), events)
    if events <= 0 or share >= 1.0:
        return 1.0
    if share <= 0.0:
        return 0.0
    # From the largest term on, terms fall: those below it are summed where they are fewer.
    log_share, log_rest = math.log(share), math.log1p(-share)

    def term(k: int) -> float:
        ways = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        return math.exp(ways + k * log_share + (count - k) * log_rest)

    if events <= share * count:
        return 1.0  # no more than expected: whatever it is exactly, it is no cause
    total = 0.0
    for k in range(events, count + 1):
        more = term(k)
        total += more
        if more <= total * 1e-9:
            break
    return min(1.0, total)


def _rate(events: int, counts: Counts) -> float:
    return 60.0 * events / counts.watched_s if counts.watched_s else 0.0
