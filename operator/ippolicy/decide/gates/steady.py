"""Shrinking goes to the most generous of the recommendations of the last change.stabilization.

As the HorizontalPodAutoscaler does when it scales down: what was recommended meanwhile is kept, and
a change that holds less goes to that which would hold most, with the pods of now. So one lean
moment shrinks nothing, and two that differ shrink to the more generous. Until recommendations are
known for that long, which they are not after a start, nothing shrinks. Growth does not wait, nor
does a schedule of the day, which rests on whole days.

What is kept are the recommendations themselves, worked out from facts alone; what was set, or held
back, has no part in it. While the brake is on, nothing is added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ippolicy.api import Duration
from ippolicy.decide.gates.stop import Stop
from ippolicy.decide.types import (
    Prediction,
    Reason,
    Recommendation,
    Recommendations,
    Recommended,
)
from ippolicy.ipamd import WarmTargets

BINDING: Final = "change.stabilization"
GAP_S: Final = 600.0
"""A longer time without a recommendation is one that nothing is known of."""
MOST: Final = 100


def noted(
    former: Recommendations | None, advice: Recommendation, now_s: float, *, span_s: float
) -> Recommendations:
    """What was recommended in the last `span_s`, with the `advice` of now.

    Of more than `MOST` different targets those that would hold least are forgotten.
    """
    if former is None or not 0 <= now_s - former.last_at_s <= max(GAP_S, span_s):
        former = Recommendations(now_s)
    kept = [
        one
        for one in former.seen
        if one.last_at_s >= now_s - span_s and one.targets != advice.targets
    ]
    if len(kept) >= MOST:
        kept.remove(min(kept, key=lambda one: one.predicted.held))
    newest = Recommended(advice.targets, advice.predicted, advice.meets, now_s)
    return Recommendations(former.since_s, (*kept, newest))


def most_generous(
    known: Recommendations, advice: Recommendation, predict: Callable[[WarmTargets], Prediction]
) -> Recommendation:
    """`advice`, or what was recommended meanwhile and would hold more with the pods of now.

    Only for advice that holds less than the targets in force; any other stays as it is. `predict`
    says what targets would hold; what a replay said of them is as it was then.
    """
    if advice.plan is not None or not shrinks(advice):
        return advice
    most = advice
    for one in reversed(known.seen):
        if one.targets == advice.targets:
            continue
        now = predict(one.targets)
        if now.held > most.predicted.held:
            predicted = replace(one.predicted, held=now.held, warm=now.warm, enis=now.enis)
            most = replace(
                advice,
                targets=one.targets,
                predicted=predicted,
                meets=one.meets,
                binding=BINDING,
                held_interval=None,
            )
    return most


def steady_gate(
    known: Recommendations, advice: Recommendation, most: Recommendation, span: Duration
) -> Stop | None:
    """Whether a change that holds less waits: for time, or as the `most` generous holds no less."""
    if advice.plan is not None or not shrinks(advice):
        return None
    known_s = known.last_at_s - known.since_s
    if known_s < span.seconds:
        return Stop(
            Reason.STABILIZING,
            f"fewer addresses are advised; recommendations are known for {known_s:.0f} s of "
            f"change.stabilization {span}",
        )
    if shrinks(most):
        return None
    return Stop(
        Reason.STABILIZING,
        f"fewer addresses are advised, but targets that hold {most.predicted.held} were within "
        f"change.stabilization {span}",
    )


def shrinks(advice: Recommendation) -> bool:
    """Whether it holds fewer addresses than the targets in force do."""
    return advice.predicted.usually_held < advice.present.usually_held
