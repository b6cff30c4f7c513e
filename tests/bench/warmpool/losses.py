"""Where our choices are worse than something else: sentences with figures, found, not written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from warmpool.learning import balanced
from warmpool.published import PUBLISHED, Figures
from warmpool.results import FamilyResult
from warmpool.runs import CHOICE, DEFAULT_POLICY, NEWSVENDOR, PROFILES
from warmpool.terms import GRID, name_of

LIMIT_PCT = 100.0 * balanced().delayed_share
_LEAST_MORE_IDLE = 0.05
"""A share of idle addresses less than this is no loss worth a line."""


def losses(results: Sequence[FamilyResult]) -> list[str]:
    """A sentence each."""
    return [line for result in results for line in _of(result)]


def _of(result: FamilyResult) -> Iterator[str]:
    yield from _calls(result)
    yield from _limit(result)
    yield from _hindsight(result)
    yield from _newsvendor(result)
    yield from _controller(result)


def _calls(result: FamilyResult) -> Iterator[str]:
    ours, base = (result.mean(policy, "calls").mean for policy in (CHOICE, DEFAULT_POLICY))
    if ours > base:
        yield (
            f"**{result.family}, calls.** The choice makes {ours:.0f} EC2 calls in three days, the "
            f"default {base:.0f}: addresses that are not held idle are fetched one by one."
        )


def _limit(result: FamilyResult) -> Iterator[str]:
    for policy in (CHOICE, PROFILES):
        late = result.figures(policy, "avoidable_pct")
        over = late > LIMIT_PCT
        if over.any():
            yield (
                f"**{result.family}, the limit.** The {policy} kept {LIMIT_PCT:g} % on the days it "
                f"learned from. On the three days after them it delays {late.mean():.2f} % in the "
                f"mean, and breaks the limit for {over.sum()} of {len(late)} seeds, at worst with "
                f"{late.max():.2f} %."
            )


def _hindsight(result: FamilyResult) -> Iterator[str]:
    best = result.best_static(LIMIT_PCT)
    delayed, idle, _ = result.grid_costs.mean(axis=0)[best]
    ours = result.mean(CHOICE, "idle").mean
    if ours > idle * (1 + _LEAST_MORE_IDLE):
        yield (
            f"**{result.family}, hindsight.** Who had known how the three days would turn out, for "
            f"all seeds, could have set {name_of(GRID[best])}: {idle:.2f} idle addresses and "
            f"{delayed:.2f} % delayed. The choice holds {ours:.2f} and delays "
            f"{result.mean(CHOICE, 'avoidable_pct').mean:.2f} %."
        )


def _newsvendor(result: FamilyResult) -> Iterator[str]:
    late, idle = (result.mean(NEWSVENDOR, name).mean for name in ("avoidable_pct", "idle"))
    ours = result.mean(CHOICE, "idle").mean
    if late <= LIMIT_PCT and ours > idle * (1 + _LEAST_MORE_IDLE):
        yield (
            f"**{result.family}, the newsvendor** holds {idle:.2f} idle addresses at {late:.2f} % "
            f"delayed, the choice {ours:.2f}."
        )


def _controller(result: FamilyResult) -> Iterator[str]:
    theirs, ours = PUBLISHED[result.family].controller, _best(result)
    worse = [
        f"{name} {mine:{form}} against {its:{form}}"
        for name, mine, its, form in (
            ("delayed", ours.delayed_pct, theirs.delayed_pct, ".2f"),
            ("idle", ours.idle, theirs.idle, ".2f"),
            ("calls", ours.calls, theirs.calls, ".0f"),
        )
        if mine > its
    ]
    if worse:
        yield f"**{result.family}, the controller inside ipamd** is better in: {', '.join(worse)}."


def _best(result: FamilyResult) -> Figures:
    """The choice by time of day, which is the choice itself where a day has no parts."""
    return Figures(
        result.mean(PROFILES, "delayed_pct").mean,
        result.mean(PROFILES, "idle").mean,
        round(result.mean(PROFILES, "simple_calls").mean),
    )
