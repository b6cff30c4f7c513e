"""Does what was seen carry a recommendation?

demand.minEvidence   how long any node must have been watched
node time            as much as `ENOUGH_NODES` nodes make in that time: one node for longer, or
                     more nodes; fewer do not vary enough for drawing them anew to say anything
resamples            the limits are kept in `SURE_SHARE` of them
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ippolicy.api.quantities import Duration
from ippolicy.decide.objective import SURE_SHARE
from ippolicy.decide.question import Advice, Choice
from ippolicy.decide.resample import LEAST
from ippolicy.decide.types import Evidence
from ippolicy.decide.units import LAYERS
from ippolicy.facts import NodeTrace, watched_s

ENOUGH_NODES: Final = LAYERS * LEAST


def evidence_of(
    traces: Sequence[NodeTrace],
    *,
    needed: Duration,
    nodes: int,
    advice: Advice | None = None,
    choice: Choice | None = None,
) -> Evidence:
    """What a recommendation for `nodes` rests on; `advice` is None where nothing was replayed."""
    observed_s = watched_s(traces)
    message = f"demand was watched for {observed_s:.0f} s of demand.minEvidence {needed}"
    sufficient = observed_s >= needed.seconds
    if sufficient and advice is not None and choice is not None:
        message += (
            f"; {choice.units_played} of {choice.units} node days were replayed under "
            f"{choice.settings} settings"
        )
        if choice.pooled:
            message += f", the smallest {choice.pooled} groups as one"
        lack = _too_few(traces, needed) or _unsure(advice)
        if lack is not None:
            sufficient = False
            message += f", and {lack}"
    return Evidence(
        observed_s=observed_s,
        nodes=nodes,
        arrivals=sum(int((trace.changes > 0).sum()) for trace in traces),
        sufficient=sufficient,
        message=message,
    )


def _too_few(traces: Sequence[NodeTrace], needed: Duration) -> str | None:
    node_s, least_s = sum(trace.span_s for trace in traces), ENOUGH_NODES * needed.seconds
    if node_s >= least_s:
        return None
    return (
        f"so few nodes must be watched for longer: {node_s:.0f} s of node time were seen, "
        f"{least_s:.0f} s are needed"
    )


def _unsure(advice: Advice) -> str | None:
    if not advice.met or advice.sure >= SURE_SHARE:
        return None
    return (
        f"the limits are kept in {advice.sure:.0%} of the resamples, {SURE_SHARE:.0%} are needed: "
        "more demand must be seen"
    )
