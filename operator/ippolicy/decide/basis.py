"""What a decision rests on, in one line that a person can read and two of which can be compared.

    spec=9f2c11d0 present=WARM_ENI_TARGET=1 nodes=10 pods=203 starts=61.5/h

`spec` is a digest of what the policy asks of targets, `present` the targets in force, and the rest
the demand: the nodes of now, the pods in the mean over the time watched, and their starts. Demand
is never twice the same, so that it counts as another only when it is `FACTOR` times what it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final

from ippolicy.api import IPPolicy
from ippolicy.decide.environment import shown
from ippolicy.facts import NodeTrace, watched_s
from ippolicy.ipamd import PoolSettings

FACTOR: Final = 1.5
_FEW: Final = 2.0  # nodes, pods or starts an hour: below it, no difference counts


def basis_of(
    policy: IPPolicy, settings: PoolSettings, nodes: int, traces: Sequence[NodeTrace]
) -> str:
    """The line for a decision on `traces`, with `settings` in force on `nodes` nodes."""
    spec = policy.spec
    parts: list[object] = [
        part.to_raw() for part in (spec.objective, spec.bounds, spec.demand, spec.subnets)
    ]
    parts += [one.to_raw() for one in spec.groups if one.objective or one.bounds]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    present = shown(settings.targets, prefixes=settings.prefix_delegation).replace(" ", ",")
    hours = watched_s(traces) / 3_600
    pod_hours = sum(_pod_seconds(trace) * trace.weight for trace in traces) / 3_600
    starts = sum(int((trace.changes > 0).sum()) * trace.weight for trace in traces)
    pods, rate = (total / hours if hours else 0.0 for total in (pod_hours, starts))
    return f"spec={digest} present={present} nodes={nodes} pods={pods:.4g} starts={rate:.4g}/h"


def has_changed(before: str, now: str) -> bool:
    """Whether a decision rests on something else now. Lines that cannot be read are the same only
    if they are equal."""
    was, then = _fields(before), _fields(now)
    if was is None or then is None:
        return before != now
    return was[0] != then[0] or any(
        max(one, other, _FEW) > FACTOR * max(min(one, other), _FEW)
        for one, other in zip(was[1], then[1], strict=True)
    )


def _fields(basis: str) -> tuple[tuple[str, str], tuple[float, float, float]] | None:
    found = dict(part.partition("=")[::2] for part in basis.split())
    try:
        demand = (
            float(found["nodes"]),
            float(found["pods"]),
            float(found["starts"].removesuffix("/h")),
        )
        return (found["spec"], found["present"]), demand
    except (KeyError, ValueError):
        return None


def _pod_seconds(trace: NodeTrace) -> float:
    """Pods times seconds: each pod from when it comes to when it goes, or to the end."""
    left_s = (trace.until_s - trace.times_s) * trace.changes
    return trace.level * trace.span_s + float(left_s.sum())
